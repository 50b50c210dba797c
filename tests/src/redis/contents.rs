//! All that a server holds.

use std::time::Duration;

use serde_json::Value;

use super::Redis;

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The key.
    pub key: String,
    /// After how long it goes by itself; `None` when it stays.
    pub expires_in: Option<Duration>,
    /// Whatever it holds, one text a string, a field, a value, a member or a score.
    pub parts: Vec<String>,
}

/// Reads every key by its type. Answers JSON, in which bytes that are no text do not survive; there are none.
const READ: &str = r"
    local all = {}
    for _, key in ipairs(redis.call('KEYS', '*')) do
        local kind, parts = redis.call('TYPE', key).ok, nil
        if kind == 'string' then parts = {redis.call('GET', key)}
        elseif kind == 'hash' then parts = redis.call('HGETALL', key)
        elseif kind == 'zset' then parts = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
        elseif kind == 'set' then parts = redis.call('SMEMBERS', key)
        elseif kind == 'list' then parts = redis.call('LRANGE', key, 0, -1)
        else return redis.error_reply('no way to read a ' .. kind) end
        all[#all + 1] = {key, redis.call('PTTL', key), parts}
    end
    return cjson.encode(all)
";

impl Redis {
    /// Everything in it, in the order of the keys.
    pub async fn contents(&self) -> Vec<Stored> {
        let json = self.cli(&["eval", READ, "0"]).await;
        let all: Vec<Value> = serde_json::from_str(&json).expect("the script answers a list");
        let mut contents: Vec<Stored> = all.iter().map(stored).collect();
        contents.sort_by(|one, other| one.key.cmp(&other.key));
        contents
    }
}

fn stored(entry: &Value) -> Stored {
    let text = |value: &Value| value.as_str().expect("keys and values are texts").to_owned();
    Stored {
        key: text(&entry[0]),
        expires_in: entry[1]
            .as_u64()
            .filter(|left| *left > 0)
            .map(Duration::from_millis),
        parts: entry[2]
            .as_array()
            .expect("a list of parts")
            .iter()
            .map(text)
            .collect(),
    }
}
