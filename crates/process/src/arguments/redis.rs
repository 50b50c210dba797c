//! The Redis that gateways share.

use std::{convert::Infallible, fmt, path::PathBuf, str::FromStr};

use clap::Args;
use pool::redis::link::{Address, AddressError};

/// The Redis that gateways share.
#[derive(Debug, Args)]
pub struct RedisArguments {
    /// The Redis or Valkey that gateways share: `redis://`, `rediss://`, `redis-sentinel://h1,h2/NAME`,
    /// `redis-cluster://h1,h2`. Without it each gateway keeps its state in memory.
    #[arg(
        id = "redis_url",
        long = "redis-url",
        env = "ROUNDHOUSE_REDIS_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub url: Option<RedisUrl>,

    /// A file that holds the password, read again at each connection.
    #[arg(
        id = "redis_password_file",
        long = "redis-password-file",
        env = "ROUNDHOUSE_REDIS_PASSWORD_FILE",
        value_name = "FILE",
        requires = "redis_url"
    )]
    pub password_file: Option<PathBuf>,

    /// How the names of all keys begin. All that share state say the same.
    #[arg(
        id = "redis_prefix",
        long = "redis-prefix",
        env = "ROUNDHOUSE_REDIS_PREFIX",
        value_name = "PREFIX",
        default_value = "roundhouse",
        requires = "redis_url",
        value_parser = prefix
    )]
    pub prefix: String,
}

/// Where a Redis is. It may hold a password, so it cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

impl RedisArguments {
    /// Where the Redis is, if one is named. An error does not repeat the URL, since it may hold a password.
    pub fn address(&self) -> Result<Option<Address>, AddressError> {
        self.url.as_ref().map(|url| url.0.parse()).transpose()
    }
}

impl FromStr for RedisUrl {
    type Err = Infallible;

    /// Takes any text: an error of a parser would repeat it, with the password.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Braces mark which part of a key decides its place in a cluster.
fn prefix(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    if (1..=64).contains(&text.len()) && text.bytes().all(is_plain) {
        Ok(text.to_owned())
    } else {
        Err("expected 1 to 64 letters, digits, `-`, `_`, `.` or `:`".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Some {
        #[command(flatten)]
        redis: RedisArguments,
    }

    fn redis(arguments: &[&str]) -> Result<RedisArguments, String> {
        let given = ["some"].iter().chain(arguments);
        Some::try_parse_from(given)
            .map(|some| some.redis)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn without_a_url_there_is_no_redis() {
        let redis = redis(&[]).unwrap();
        assert!(redis.url.is_none() && redis.password_file.is_none());
        assert_eq!(redis.prefix, "roundhouse");
        assert_eq!(redis.address(), Ok(None));
    }

    #[test]
    fn usage_that_cannot_be_meant_is_refused() {
        let cases: &[(&[&str], &str)] = &[
            (&["--redis-password-file", "f"], "--redis-url"),
            (&["--redis-prefix", "a"], "--redis-url"),
            (
                &["--redis-url", "redis://r", "--redis-prefix", "a{b}"],
                "--redis-prefix",
            ),
        ];
        for (arguments, expected) in cases {
            let error = redis(arguments).expect_err("must be refused");
            assert!(error.contains(expected), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn the_password_in_a_url_is_not_printed() {
        let good = redis(&["--redis-url", "redis://:canary-0123@h/0"]).unwrap();
        assert!(matches!(good.address(), Ok(Some(_))));
        let bad = redis(&["--redis-url", "https://:canary-0123@h/0"]).unwrap();
        let error = bad.address().unwrap_err();
        let printed = format!("{good:?} {bad:?} {error} {error:?}");
        assert!(!printed.contains("canary"), "{printed}");
    }
}
