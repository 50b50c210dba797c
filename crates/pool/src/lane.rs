//! Lists of credentials among which a strategy chooses.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use sha2::{Digest, Sha256};
use snapshot::{CalendarUnit, CallLimits, CredentialName, Period, ProviderName, QuotaWindow, Strategy};

use crate::redis::LaneText;

/// The credentials eligible for one upstream model of a Provider at one priority, sorted by name.
///
/// A lane is immutable. Whoever compiles the same list gets the same [`LaneId`] and so shares its order;
/// a changed list is another lane.
#[derive(Clone, Debug)]
pub struct Lane {
    id: LaneId,
    provider: ProviderName,
    model: Arc<str>,
    strategy: Strategy,
    members: Vec<Member>,
    /// What the scripts of a shared store call it and its members.
    text: OnceLock<LaneText>,
}

/// A hash of everything that a lane consists of, equal in every process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneId(u128);

/// One credential of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Which credential.
    pub credential: CredentialName,
    /// Its share under [`Strategy::Weighted`], at least 1.
    pub weight: u32,
    /// What may be asked of it at most.
    pub limits: CallLimits,
    /// What its account allows within longer periods.
    pub quota: Arc<[QuotaWindow]>,
}

impl Lane {
    /// Sorts the members by name; of members with equal names the first stays.
    pub fn new(provider: ProviderName, model: &str, strategy: Strategy, mut members: Vec<Member>) -> Self {
        members.sort_by(|a, b| a.credential.cmp(&b.credential));
        members.dedup_by(|later, earlier| later.credential == earlier.credential);
        let id = LaneId::of(&provider, model, strategy, &members);
        Self {
            id,
            provider,
            model: model.into(),
            strategy,
            members,
            text: OnceLock::new(),
        }
    }

    /// What identifies this lane.
    pub const fn id(&self) -> LaneId {
        self.id
    }

    /// The Provider whose credentials these are.
    pub const fn provider(&self) -> &ProviderName {
        &self.provider
    }

    /// The upstream's name of the model.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// How a member is chosen.
    pub const fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// The members, sorted by name.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// What the scripts of a shared store call it and its members.
    pub(crate) fn text(&self) -> &LaneText {
        self.text.get_or_init(|| LaneText::new(self))
    }

    /// The position of a credential.
    pub(crate) fn position(&self, credential: &CredentialName) -> Option<usize> {
        self.members
            .binary_search_by(|member| member.credential.cmp(credential))
            .ok()
    }

    /// The position of a credential by its name in the Provider's namespace, where all members are.
    pub(crate) fn position_of(&self, name: &str) -> Option<usize> {
        self.members
            .binary_search_by(|member| member.credential.name().cmp(name))
            .ok()
    }
}

impl LaneId {
    fn of(provider: &ProviderName, model: &str, strategy: Strategy, members: &[Member]) -> Self {
        // Zero bytes separate texts: names and models cannot contain them.
        let mut hash = Sha256::new();
        for text in [provider.as_str(), model] {
            hash.update(text);
            hash.update([0]);
        }
        hash.update([match strategy {
            Strategy::RoundRobin => 0,
            Strategy::LeastBusy => 1,
            Strategy::Weighted => 2,
            Strategy::FillFirst => 3,
            Strategy::MostHeadroom => 4,
        }]);
        for member in members {
            hash.update(member.credential.as_str());
            hash.update([0]);
            hash.update(member.weight.to_le_bytes());
            let limits = member.limits;
            for limit in [
                limits.concurrency.map(u64::from),
                limits.requests_per_minute.map(u64::from),
                limits.tokens_per_minute,
            ] {
                hash_limit(&mut hash, limit);
            }
            for window in &*member.quota {
                hash.update(&*window.name);
                hash.update([0]);
                hash_period(&mut hash, &window.period);
                hash_limit(&mut hash, window.requests);
                hash_limit(&mut hash, window.tokens);
            }
        }
        Self(truncated(hash))
    }
}

impl fmt::Display for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

fn hash_limit(hash: &mut Sha256, limit: Option<u64>) {
    hash.update([u8::from(limit.is_some())]);
    hash.update(limit.unwrap_or(0).to_le_bytes());
}

fn hash_period(hash: &mut Sha256, period: &Period) {
    match period {
        Period::Rolling(length) => {
            hash.update([0]);
            hash.update(length.as_micros().to_le_bytes());
        }
        Period::Calendar(calendar) => {
            let (unit, day) = match calendar.unit {
                CalendarUnit::Day => (1, 0),
                CalendarUnit::Week(day) => (2, day.to_monday_zero_offset().unsigned_abs()),
                CalendarUnit::Month(day) => (3, day),
            };
            hash.update([unit, day, calendar.hour, calendar.minute]);
            hash.update(calendar.zone.iana_name().unwrap_or_default());
            hash.update([0]);
        }
    }
}

/// The hash under which an object of an upstream is remembered.
pub(crate) fn object_hash(object_id: &str) -> u128 {
    truncated(Sha256::new_with_prefix(object_id))
}

fn truncated(hash: Sha256) -> u128 {
    let digest: [u8; 32] = hash.finalize().into();
    digest
        .iter()
        .take(16)
        .fold(0, |number, byte| number << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use snapshot::{CallLimits, Strategy};

    use super::{Lane, Member};
    use crate::testing::rolling;

    fn member(name: &str, weight: u32, concurrency: Option<u32>) -> Member {
        Member {
            credential: name.parse().expect("a valid name"),
            weight,
            limits: CallLimits {
                concurrency,
                ..CallLimits::default()
            },
            quota: Vec::new().into(),
        }
    }

    fn with_quota(name: &str, seconds: u64) -> Member {
        crate::testing::with_quota(name, &[rolling("window", seconds)])
    }

    fn lane(model: &str, strategy: Strategy, members: Vec<Member>) -> Lane {
        Lane::new("ns/p".parse().expect("a valid name"), model, strategy, members)
    }

    #[test]
    fn a_lane_is_identified_by_its_content_in_any_order() {
        let ab = vec![member("ns/a", 1, None), member("ns/b", 1, None)];
        let same = lane("m", Strategy::RoundRobin, ab.clone());
        let reversed = lane("m", Strategy::RoundRobin, ab.iter().rev().cloned().collect());
        assert_eq!(same.id(), reversed.id(), "order of writing does not matter");

        let others = [
            lane("n", Strategy::RoundRobin, ab.clone()),
            lane("m", Strategy::Weighted, ab.clone()),
            lane("m", Strategy::RoundRobin, ab[..1].to_vec()),
            lane(
                "m",
                Strategy::RoundRobin,
                vec![member("ns/a", 2, None), ab[1].clone()],
            ),
            lane(
                "m",
                Strategy::RoundRobin,
                vec![member("ns/a", 1, Some(0)), ab[1].clone()],
            ),
            lane(
                "m",
                Strategy::RoundRobin,
                vec![with_quota("a", 60), member("ns/b", 1, None)],
            ),
            lane(
                "m",
                Strategy::RoundRobin,
                vec![with_quota("a", 61), member("ns/b", 1, None)],
            ),
        ];
        let mut ids: Vec<_> = others.iter().chain([&same]).map(Lane::id).collect();
        ids.sort();
        let count = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), count, "each of {others:?} is another lane");
    }
}
