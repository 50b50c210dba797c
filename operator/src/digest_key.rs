//! The key of the installation, under which client keys and versions are hashed: a Secret that is made once.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use k8s_openapi::{ByteString, api::core::v1::Secret as SecretObject};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use snapshot::Secret;
use tokio::time::sleep;

use crate::{
    kubernetes::{CallError, FIELD_MANAGER, Pauses, call},
    watch::{Contact, Party},
};

/// The key within the Secret.
const KEY: &str = "digest-key";
/// Its length in bytes, and the least that is taken.
const LENGTH: usize = 32;

/// Reads the Secret `RELEASE-digest-key`, or makes it. Asks until there is an answer; an error says why the Secret that
/// is there cannot be used, which somebody has to mend.
pub async fn obtain(
    client: &Client,
    namespace: &str,
    release: &str,
    contact: &Contact,
) -> anyhow::Result<Secret> {
    let name = format!("{release}-digest-key");
    let secrets: Api<SecretObject> = Api::namespaced(client.clone(), namespace);
    let party = contact.party(format!("Secret {namespace}/{name}"));
    let mut pauses = Pauses::default();
    loop {
        match read_or_make(&secrets, &name).await {
            Ok(found) => {
                party.works();
                return of(found).with_context(|| format!("Secret {namespace}/{name} cannot be used"));
            }
            Err(error) => retry(&party, &error, &mut pauses).await,
        }
    }
}

async fn retry(party: &Party, error: &CallError, pauses: &mut Pauses) {
    party.fails(error);
    sleep(pauses.longer()).await;
}

async fn read_or_make(secrets: &Api<SecretObject>, name: &str) -> Result<SecretObject, CallError> {
    if let Some(found) = call(secrets.get_opt(name)).await? {
        return Ok(found);
    }
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some(BTreeMap::from([(
            "app.kubernetes.io/managed-by".to_owned(),
            FIELD_MANAGER.to_owned(),
        )])),
        ..ObjectMeta::default()
    };
    let made = SecretObject {
        metadata,
        data: Some(BTreeMap::from([(
            KEY.to_owned(),
            ByteString(rand::random::<[u8; LENGTH]>().to_vec()),
        )])),
        ..SecretObject::default()
    };
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    match call(secrets.create(&params, &made)).await {
        // Another replica was faster; what it made is what counts.
        Err(error) if error.code() == Some(409) => call(secrets.get(name)).await,
        done => done,
    }
}

fn of(mut secret: SecretObject) -> anyhow::Result<Secret> {
    let value = secret.data.as_mut().and_then(|data| data.remove(KEY));
    let Some(ByteString(value)) = value else {
        bail!("it has no key {KEY}; delete it, and a new one is made");
    };
    if value.len() < LENGTH {
        bail!("its key {KEY} has {} bytes, and {LENGTH} are needed", value.len());
    }
    Ok(Secret::new(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_missing_or_short_is_refused_without_its_value() {
        let secret = |data: &[(&str, &[u8])]| SecretObject {
            data: Some(
                data.iter()
                    .map(|(key, value)| ((*key).to_owned(), ByteString(value.to_vec())))
                    .collect(),
            ),
            ..SecretObject::default()
        };
        assert_eq!(of(secret(&[(KEY, &[7; 32])])).unwrap(), Secret::new(vec![7; 32]));
        for (data, expected) in [
            (vec![], "no key digest-key"),
            (vec![("other", &[7; 32][..])], "no key digest-key"),
            (vec![(KEY, b"canary")], "6 bytes"),
        ] {
            let error = of(secret(&data)).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("canary"), "{error}");
        }
    }
}
