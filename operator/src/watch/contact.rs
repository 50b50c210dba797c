//! Whether the API server answers, told once when it stops and once when it starts again.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use telemetry::Health;

use crate::kubernetes::CallError;

/// What all that talk to the API server know of it together. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Contact {
    health: Health,
    troubles: Arc<Mutex<Troubles>>,
}

/// One that talks to the API server. Its troubles end with it.
#[derive(Debug)]
pub struct Party {
    contact: Contact,
    /// What it is about, such as `Secrets of namespace team`.
    subject: String,
}

#[derive(Debug, Default)]
struct Troubles {
    is_away: bool,
    of: BTreeMap<String, Trouble>,
}

#[derive(Debug, PartialEq, Eq)]
enum Trouble {
    /// One call failed. An API server that starts or is busy has such moments; the next call tells more.
    Hiccup,
    Away,
    Refused(String),
}

impl Contact {
    /// Nothing is wrong yet.
    pub fn new(health: Health) -> Self {
        Self {
            health,
            troubles: Arc::default(),
        }
    }

    /// Somebody else who talks to the API server.
    pub fn party(&self, subject: impl Into<String>) -> Party {
        Party {
            contact: self.clone(),
            subject: subject.into(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Troubles)) {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut troubles);
        if troubles.is_away && !troubles.of.values().any(|it| *it == Trouble::Away) {
            troubles.is_away = false;
            tracing::info!("the API server answers again");
        }
        self.health.degraded("kubernetes", troubles.told());
    }
}

impl Party {
    /// A call failed. It is told when it is the second one in a row.
    pub fn fails(&self, error: &CallError) {
        self.contact.change(|troubles| {
            let Some(before) = troubles.of.get(&self.subject) else {
                tracing::debug!(subject = self.subject, %error, "a call to the API server failed");
                troubles.of.insert(self.subject.clone(), Trouble::Hiccup);
                return;
            };
            if error.is_outage() {
                if !troubles.is_away {
                    tracing::warn!(subject = self.subject, %error, "the API server does not answer; what was read last stays, and asking goes on");
                }
                troubles.is_away = true;
                troubles.of.insert(self.subject.clone(), Trouble::Away);
                return;
            }
            let trouble = Trouble::Refused(error.to_string());
            if *before != trouble {
                tracing::warn!(subject = self.subject, %error, "the API server refuses; asking goes on");
                troubles.of.insert(self.subject.clone(), trouble);
            }
        });
    }

    /// A call succeeded.
    pub fn works(&self) {
        self.contact.change(|troubles| {
            if let Some(Trouble::Refused(_)) = troubles.of.remove(&self.subject) {
                tracing::info!(subject = self.subject, "the API server no longer refuses");
            }
        });
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        self.contact.change(|troubles| {
            troubles.of.remove(&self.subject);
        });
    }
}

impl Troubles {
    /// In a few words; `None` when there are none.
    fn told(&self) -> Option<String> {
        let refused = self.of.iter().filter_map(|(subject, trouble)| match trouble {
            Trouble::Hiccup | Trouble::Away => None,
            Trouble::Refused(why) => Some(format!("refuses {subject}: {why}")),
        });
        let away = self.is_away.then(|| "does not answer".to_owned());
        let told: Vec<String> = away.into_iter().chain(refused.take(3)).collect();
        (!told.is_empty()).then(|| told.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn degraded(health: &Health) -> String {
        let mut degraded = health.state().degraded;
        degraded.remove("kubernetes").unwrap_or_default()
    }

    #[test]
    fn an_outage_lasts_until_nobody_notices_it_any_more() {
        let health = Health::new();
        let contact = Contact::new(health.clone());
        let (one, other) = (contact.party("Secrets"), contact.party("Providers"));
        one.works();
        assert_eq!(degraded(&health), "");
        one.fails(&CallError::TimedOut);
        assert_eq!(degraded(&health), "", "one failure is none");
        one.works();
        for _ in 0..2 {
            one.fails(&CallError::TimedOut);
            other.fails(&CallError::Broken("reset".to_owned()));
        }
        one.works();
        assert_eq!(degraded(&health), "does not answer");
        drop(other);
        assert_eq!(degraded(&health), "");
    }

    #[test]
    fn what_is_refused_is_named_and_no_outage() {
        let health = Health::new();
        let contact = Contact::new(health.clone());
        let party = contact.party("Secrets of namespace a");
        for _ in 0..2 {
            party.fails(&CallError::Refused {
                code: 403,
                reason: "Forbidden".to_owned(),
                message: "forbidden".to_owned(),
            });
        }
        assert_eq!(
            degraded(&health),
            "refuses Secrets of namespace a: forbidden (403)"
        );
        party.fails(&CallError::Refused {
            code: 503,
            reason: "ServiceUnavailable".to_owned(),
            message: "shutting down".to_owned(),
        });
        assert_eq!(degraded(&health), "does not answer");
        party.works();
        assert_eq!(degraded(&health), "");
    }
}
