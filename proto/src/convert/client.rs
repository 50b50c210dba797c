//! Callers.

use snapshot::{AcceptedKey, Client, KeyDigest};

use super::{Invalid, all, known, name, patterns, required, texts, timestamp, to_timestamp, v1};

impl From<&Client> for v1::Client {
    fn from(client: &Client) -> Self {
        Self {
            name: client.name.to_string(),
            digests: client.keys.iter().map(Into::into).collect(),
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
            keys: all(message.digests, "digests")?,
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

impl From<&AcceptedKey> for v1::KeyDigest {
    fn from(key: &AcceptedKey) -> Self {
        Self {
            value: key.digest.as_bytes().to_vec(),
            valid_until: key.valid_until.map(to_timestamp),
        }
    }
}

impl TryFrom<v1::KeyDigest> for AcceptedKey {
    type Error = Invalid;

    fn try_from(message: v1::KeyDigest) -> Result<Self, Invalid> {
        let bytes = message.value.try_into();
        let digest = bytes
            .map(KeyDigest::new)
            .map_err(|_| Invalid::expected("value", "32 bytes"))?;
        Ok(Self {
            digest,
            valid_until: timestamp(message.valid_until, "valid_until")?,
        })
    }
}
