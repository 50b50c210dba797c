//! How far each object has come among the gateways.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use proto::{Kind, ObjectKey, Versions};
use resources::{ConditionType, Identity, Reason};

use super::fact::{Fact, Truth};
use crate::gateways::Gateway;

/// The gateways that count, beside what they should have.
#[derive(Debug)]
pub(super) struct Fleet<'a> {
    wanted: &'a Versions,
    members: Vec<Member<'a>>,
}

#[derive(Debug)]
struct Member<'a> {
    gateway: &'a Gateway,
    /// Whether it has all that it should have.
    is_current: bool,
}

/// How many gateways have one object as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spread {
    /// Whether gateways should have it, rather than not have it.
    pub(super) served: bool,
    /// Gateways that have it as it should be.
    pub(super) acked: u32,
    /// Gateways that count.
    pub(super) counted: u32,
    /// A gateway that has not and refuses, and why.
    pub(super) refusal: Option<String>,
}

/// For how long a gateway that is not connected counts.
pub(super) const REMEMBERED: Duration = Duration::from_secs(600);
/// How much of a gateway's refusal is told.
const REFUSAL: usize = 256;

impl<'a> Fleet<'a> {
    pub(super) fn new(wanted: &'a Versions, gateways: &'a [Gateway], now: Instant) -> Self {
        let counts = |gateway: &&Gateway| {
            gateway.is_connected || now.saturating_duration_since(gateway.last_seen) < REMEMBERED
        };
        let member = |gateway: &'a Gateway| Member {
            gateway,
            is_current: *gateway.acked == *wanted,
        };
        Self {
            wanted,
            members: gateways.iter().filter(counts).map(member).collect(),
        }
    }

    /// How far an object of ours has come.
    pub(super) fn spread(&self, identity: &Identity) -> Spread {
        let keys = self.keys(identity);
        let served = keys.iter().any(|key| self.wanted.objects.contains_key(key));
        let has = |member: &&Member<'_>| {
            member.is_current
                || keys
                    .iter()
                    .all(|key| member.gateway.acked.objects.get(key) == self.wanted.objects.get(key))
        };
        let (having, lacking): (Vec<_>, Vec<_>) = self.members.iter().partition(has);
        let refusal = lacking.into_iter().find_map(|member| {
            let refusal = member.gateway.refusal.as_deref()?;
            let end = refusal.floor_char_boundary(REFUSAL);
            Some(format!("{}: {}", member.gateway.node, &refusal[..end]))
        });
        Spread {
            served,
            acked: u32::try_from(having.len()).unwrap_or(u32::MAX),
            counted: u32::try_from(self.members.len()).unwrap_or(u32::MAX),
            refusal,
        }
    }

    /// What makes up an object of ours where gateways have it.
    fn keys(&self, identity: &Identity) -> Vec<ObjectKey> {
        let name: Arc<str> = identity.name.as_str().into();
        let key = |kind| ObjectKey {
            kind,
            name: Arc::clone(&name),
        };
        match identity.kind {
            resources::Kind::Provider => {
                let first = ObjectKey {
                    kind: Kind::HeaderSecret,
                    name: format!("{name}/").into(),
                };
                let beginning = Arc::clone(&first.name);
                let headers = self.wanted.objects.range(first..).map(|(key, _)| key);
                let headers = headers
                    .take_while(|key| key.kind == Kind::HeaderSecret && key.name.starts_with(&*beginning));
                [key(Kind::Provider)]
                    .into_iter()
                    .chain(headers.cloned())
                    .collect()
            }
            resources::Kind::Credential => vec![key(Kind::Credential), key(Kind::CredentialSecret)],
            resources::Kind::ModelRoute => vec![key(Kind::Route)],
            resources::Kind::ClientKey => vec![key(Kind::Client)],
            resources::Kind::Secret | resources::Kind::ConfigMap => Vec::new(),
        }
    }
}

impl Spread {
    /// Such as `11/12`.
    pub(super) fn summary(&self) -> String {
        format!("{}/{}", self.acked, self.counted)
    }

    /// What there is to say: `Programmed`, and `Reconciling` while the object is under way.
    pub(super) fn facts(&self) -> Vec<Fact> {
        let programmed =
            |truth, reason, message: String| Fact::new(ConditionType::Programmed, truth, reason, message);
        let summary = self.summary();
        if self.counted == 0 {
            let message = "no gateway was seen in the last 10 minutes".to_owned();
            return vec![programmed(Truth::Unknown, Reason::NoGateways, message)];
        }
        if !self.served {
            let message = format!("it is not served; {summary} gateways do without it");
            return vec![programmed(Truth::False, Reason::NotServed, message)];
        }
        if self.acked == self.counted {
            let message = format!("{summary} gateways have it");
            return vec![programmed(Truth::True, Reason::Delivered, message)];
        }
        let message = match &self.refusal {
            Some(refusal) => format!("{summary} gateways have it; refused by {refusal}"),
            None => format!("{summary} gateways have it"),
        };
        let reason = match &self.refusal {
            Some(_) => Reason::Refused,
            None => Reason::Distributing,
        };
        vec![
            programmed(Truth::False, reason, message.clone()),
            Fact::new(ConditionType::Reconciling, true, reason, message),
        ]
    }
}
