//! What keeps a conversation on its credential.

use dialect::{Operation, Passthrough};
use sha2::{Digest, Sha256};
use snapshot::AffinityBy;

use super::{
    authenticate::Caller,
    peek::{Call, Payload},
};
use crate::live::LiveProvider;

/// Identifies the conversation that a call belongs to, as the Provider wishes.
pub(super) fn affinity(caller: &Caller, call: &Call, provider: &LiveProvider) -> Option<u64> {
    let stateful = matches!(
        call.operation,
        Operation::Passthrough(
            Passthrough::Files | Passthrough::Uploads | Passthrough::Batches | Passthrough::VectorStores
        )
    );
    let client = caller.client.name.as_str();
    if stateful {
        // A caller's stored objects are kept together, or a listing would show another part each time.
        return Some(hash(client, None));
    }
    let peeked = match &call.payload {
        Payload::Json { body, peeked, .. } => Some((body, peeked)),
        Payload::Empty | Payload::Form(_) => None,
    };
    let header = |name: &str| call.headers.get(name).map(http::HeaderValue::as_bytes);
    let key = match &provider.provider.selection.affinity.by {
        AffinityBy::None => None,
        AffinityBy::Session => SESSION_HEADERS
            .iter()
            .find_map(|name| header(name))
            .or_else(|| peeked?.1.session.as_ref().map(String::as_bytes)),
        AffinityBy::User => peeked.and_then(|(_, peeked)| Some(peeked.user.as_ref()?.as_bytes())),
        AffinityBy::Header(name) => header(name.as_str()),
        AffinityBy::Prefix => peeked.and_then(|(body, peeked)| body.get(peeked.prefix.clone()?)),
    }?;
    Some(hash(client, Some(key)))
}

/// Headers in which clients name their session: Claude Code's and Codex's, and a plain one.
const SESSION_HEADERS: [&str; 3] = ["x-claude-code-session-id", "session-id", "x-session-id"];

/// Sets this use of the hash apart from all others, and one version of it from the next.
const DOMAIN: &[u8] = b"roundhouse affinity 1\0";

/// The first 64 bits of SHA-256 over the domain, the client's name, a zero byte, and a zero byte alone or a one
/// and the key.
///
/// Replicas find each other's conversations by it, so it is the same in every process and version: it depends
/// neither on the standard library's hasher nor on a key of one installation.
fn hash(client: &str, key: Option<&[u8]>) -> u64 {
    let mut hash = Sha256::new();
    hash.update(DOMAIN);
    hash.update(client);
    hash.update([0, u8::from(key.is_some())]);
    hash.update(key.unwrap_or_default());
    let digest: [u8; 32] = hash.finalize().into();
    digest
        .iter()
        .take(8)
        .fold(0, |prefix, byte| prefix << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::hash;

    #[test]
    fn the_hash_is_the_same_in_every_process_and_version() {
        // printf 'roundhouse affinity 1\0default/app\0\1session-1' | sha256sum
        assert_eq!(hash("default/app", Some(b"session-1")), 0x2dac_92e0_52ab_3a98);
        let others = [
            hash("default/app", None),
            hash("default/app", Some(b"")),
            hash("default/app", Some(b"session-2")),
            hash("default/ap", Some(b"psession-1")),
        ];
        assert!(
            others
                .iter()
                .all(|other| *other != hash("default/app", Some(b"session-1"))),
            "{others:x?}"
        );
    }
}
