//! The key of the installation, under which client keys and versions are hashed: a Secret that is made once.
//!
//! All replicas have to use one key, so each looks again and again whether the Secret still has its own. While replicas
//! run they remember the key, and a Secret that was deleted is put back as it was.

use std::{collections::BTreeMap, convert::Infallible, time::Duration};

use anyhow::Context as _;
use k8s_openapi::{ByteString, api::core::v1::Secret as SecretObject};
use kube::{Api, Client, api::ObjectMeta};
use rand::RngExt;
use snapshot::Secret;
use tokio::{sync::watch, time::sleep};

use crate::{
    kubernetes::{CallError, FIELD_MANAGER, Pauses, call, post},
    watch::{Contact, Party},
};

/// The key within the Secret.
const KEY: &str = "digest-key";
/// Its length in bytes, and the least that is taken.
const LENGTH: usize = 32;

/// How often to look whether the Secret is as it was.
pub const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Looks after the Secret `RELEASE-digest-key`.
#[derive(Debug)]
pub struct Keeper {
    secrets: Api<SecretObject>,
    /// Its name.
    name: String,
    party: Party,
}

/// What is wrong with the Secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Unusable {
    #[error("it has no key {KEY}; delete it, and it is made again")]
    Missing,
    #[error("its key {KEY} has {0} bytes, and {LENGTH} are needed")]
    Short(usize),
}

/// What to do about the Secret as it was found.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Nothing.
    Rest,
    /// It is gone: make it again with the key that is in use.
    PutBack,
    /// It has another key, which replicas that start will use.
    Adopt(Secret),
    /// Somebody has to mend it.
    Complain(Unusable),
}

impl Keeper {
    /// That of a release in a namespace.
    pub fn new(client: Client, namespace: &str, release: &str, contact: &Contact) -> Self {
        let name = format!("{release}-digest-key");
        Self {
            secrets: Api::namespaced(client, namespace),
            party: contact.party(format!("Secret {namespace}/{name}")),
            name,
        }
    }

    /// Reads the key, or makes it. Asks until there is an answer; an error says why the Secret that is there cannot be
    /// used, which somebody has to mend.
    pub async fn obtain(&self) -> anyhow::Result<Secret> {
        let mut pauses = Pauses::default();
        loop {
            match self.read_or_make().await {
                Ok(found) => {
                    self.party.works();
                    return of(found).with_context(|| format!("Secret {} cannot be used", self.name));
                }
                Err(error) => {
                    self.party.fails(&error);
                    sleep(pauses.longer()).await;
                }
            }
        }
    }

    /// Sees to it, every `look_every`, that the key in use (`keys`) is the one in the Secret: puts a Secret that is gone
    /// back while this replica `leads`, and uses the key of one that has another.
    pub async fn keep(
        &self,
        keys: watch::Sender<Secret>,
        leads: watch::Receiver<bool>,
        look_every: Duration,
    ) -> Infallible {
        let mut wrong: Option<Unusable> = None;
        loop {
            // Replicas that started together do not stay in step.
            let pause = look_every.mul_f64(rand::rng().random_range(0.75..1.0));
            sleep(pause).await;
            let found = match call(self.secrets.get_opt(&self.name)).await {
                Ok(found) => found,
                Err(error) => {
                    self.party.fails(&error);
                    continue;
                }
            };
            self.party.works();
            let own = keys.borrow().clone();
            let step = decide(&own, found.map(of), *leads.borrow());
            if !matches!(step, Step::Complain(_)) {
                wrong = None;
            }
            match step {
                Step::Rest => (),
                Step::PutBack => self.put_back(&own).await,
                Step::Adopt(other) => {
                    tracing::error!(
                        secret = self.name,
                        "the key of the installation was replaced; it is used from now on, and all that gateways have is sent anew"
                    );
                    keys.send_replace(other);
                }
                Step::Complain(unusable) => {
                    if wrong.as_ref() != Some(&unusable) {
                        tracing::error!(
                            secret = self.name,
                            error = %unusable,
                            "the key of the installation cannot be used; this replica goes on with the one that it has, and another cannot start"
                        );
                        wrong = Some(unusable);
                    }
                }
            }
        }
    }

    async fn put_back(&self, own: &Secret) {
        let put = call(self.secrets.create(&post(), &self.object(own.expose()))).await;
        match put {
            Ok(_) => tracing::warn!(
                secret = self.name,
                "the key of the installation had been deleted and was put back"
            ),
            // A replica that started made another: the next look tells.
            Err(error) if error.code() == Some(409) => (),
            Err(error) => self.party.fails(&error),
        }
    }

    async fn read_or_make(&self) -> Result<SecretObject, CallError> {
        if let Some(found) = call(self.secrets.get_opt(&self.name)).await? {
            return Ok(found);
        }
        let made = self.object(&rand::random::<[u8; LENGTH]>());
        match call(self.secrets.create(&post(), &made)).await {
            // Another replica was faster; what it made is what counts.
            Err(error) if error.code() == Some(409) => call(self.secrets.get(&self.name)).await,
            done => done,
        }
    }

    fn object(&self, key: &[u8]) -> SecretObject {
        let managed_by = (
            "app.kubernetes.io/managed-by".to_owned(),
            FIELD_MANAGER.to_owned(),
        );
        SecretObject {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                labels: Some(BTreeMap::from([managed_by])),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([(KEY.to_owned(), ByteString(key.to_vec()))])),
            ..SecretObject::default()
        }
    }
}

/// What to do as a replica that uses the key `own`, and leads or not.
fn decide(own: &Secret, found: Option<Result<Secret, Unusable>>, leads: bool) -> Step {
    match found {
        None if leads => Step::PutBack,
        None => Step::Rest,
        Some(Ok(found)) if found == *own => Step::Rest,
        Some(Ok(found)) => Step::Adopt(found),
        Some(Err(unusable)) => Step::Complain(unusable),
    }
}

fn of(mut secret: SecretObject) -> Result<Secret, Unusable> {
    let value = secret.data.as_mut().and_then(|data| data.remove(KEY));
    let ByteString(value) = value.ok_or(Unusable::Missing)?;
    if value.len() < LENGTH {
        return Err(Unusable::Short(value.len()));
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

    #[test]
    fn what_is_gone_is_put_back_by_the_leader_and_what_differs_is_used_by_all() {
        let (own, other) = (Secret::new("one"), Secret::new("other"));
        for leads in [false, true] {
            let gone = if leads { Step::PutBack } else { Step::Rest };
            assert_eq!(decide(&own, None, leads), gone);
            assert_eq!(decide(&own, Some(Ok(own.clone())), leads), Step::Rest);
            let adopted = Step::Adopt(other.clone());
            assert_eq!(decide(&own, Some(Ok(other.clone())), leads), adopted);
            let unusable = Unusable::Short(3);
            let complained = Step::Complain(unusable.clone());
            assert_eq!(
                decide(&own, Some(Err(unusable)), leads),
                complained,
                "and keeps its own"
            );
        }
    }
}
