//! Callers.

use snapshot::{Client, KeyDigest};

use super::{Invalid, all, known, name, patterns, required, texts, timestamp, to_timestamp, v1};

impl From<&Client> for v1::Client {
    fn from(client: &Client) -> Self {
        Self {
            name: client.name.to_string(),
            digests: client.digests.iter().map(Into::into).collect(),
            admin: client.admin,
            models: texts(&client.models),
            limits: Some(client.limits.into()),
            when_store_is_away: v1::WhenStoreIsAway::from(client.when_store_is_away).into(),
            budgets: client.budgets.iter().map(Into::into).collect(),
            expires_at: client.expires_at.map(to_timestamp),
            debug_headers: client.debug_headers,
        }
    }
}

impl TryFrom<v1::Client> for Client {
    type Error = Invalid;

    fn try_from(message: v1::Client) -> Result<Self, Invalid> {
        Ok(Self {
            name: name(&message.name, "name")?,
            digests: all(message.digests, "digests")?,
            admin: message.admin,
            models: patterns(&message.models),
            limits: required(message.limits, "limits")?.into(),
            when_store_is_away: known::<v1::WhenStoreIsAway, _>(
                message.when_store_is_away,
                "when_store_is_away",
            )?,
            budgets: all(message.budgets, "budgets")?,
            expires_at: timestamp(message.expires_at, "expires_at")?,
            debug_headers: message.debug_headers,
        })
    }
}

impl From<&KeyDigest> for v1::KeyDigest {
    fn from(digest: &KeyDigest) -> Self {
        Self {
            value: digest.as_bytes().to_vec(),
        }
    }
}

impl TryFrom<v1::KeyDigest> for KeyDigest {
    type Error = Invalid;

    fn try_from(message: v1::KeyDigest) -> Result<Self, Invalid> {
        let bytes = message.value.try_into();
        bytes
            .map(Self::new)
            .map_err(|_| Invalid::expected("value", "32 bytes"))
    }
}
