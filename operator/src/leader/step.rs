//! What a candidate does next, from what it has seen of the Lease.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use tokio::time::Instant;

/// The Lease as it was read last, and since when it has been so by the local clock.
#[derive(Debug, Default)]
pub(super) struct Seen {
    lease: Option<Lease>,
    since: Option<Instant>,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There is none: make it.
    Create,
    /// Nobody holds it, or its holder let it end: take it.
    Take,
    /// It is ours: renew it.
    Renew,
    /// Another holds it.
    Wait,
}

impl Seen {
    /// Notes what was read. The times in it are compared with nothing but what was read before.
    pub(super) fn look(&mut self, lease: Option<Lease>, now: Instant) {
        let spec = |lease: &Option<Lease>| lease.as_ref().and_then(|lease| lease.spec.clone());
        if self.since.is_none() || spec(&self.lease) != spec(&lease) {
            self.since = Some(now);
        }
        self.lease = lease;
    }

    /// What to do as `me`. `usual` is the duration of a Lease that does not say it.
    pub(super) fn step(&self, me: &str, usual: Duration, now: Instant) -> Step {
        let Some(lease) = &self.lease else {
            return Step::Create;
        };
        match self.holder() {
            None => Step::Take,
            Some(holder) if holder == me => Step::Renew,
            Some(_) => {
                let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
                let duration = seconds
                    .and_then(|seconds| u64::try_from(seconds).ok())
                    .map_or(usual, Duration::from_secs);
                match self.since {
                    Some(since) if now.saturating_duration_since(since) >= duration => Step::Take,
                    _ => Step::Wait,
                }
            }
        }
    }

    /// Who holds it.
    pub(super) fn holder(&self) -> Option<&str> {
        let spec = self.lease.as_ref()?.spec.as_ref()?;
        spec.holder_identity
            .as_deref()
            .filter(|holder| !holder.is_empty())
    }

    /// The Lease.
    pub(super) const fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use k8s_openapi::{
        api::coordination::v1::{Lease, LeaseSpec},
        apimachinery::pkg::apis::meta::v1::MicroTime,
        jiff::Timestamp,
    };
    use tokio::time::Instant;

    use super::{Seen, Step};

    /// Looks, each a number of seconds after the start and what it finds.
    type Looks = Vec<(u64, Option<Lease>)>;

    /// A Lease whose holder wrote it at a second of a clock of its own.
    fn lease(holder: &str, seconds: Option<i32>, renewed: i64) -> Lease {
        let renewed = Timestamp::from_second(renewed).expect("the time exists");
        Lease {
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.to_owned()),
                lease_duration_seconds: seconds,
                renew_time: Some(MicroTime(renewed)),
                ..LeaseSpec::default()
            }),
            ..Lease::default()
        }
    }

    #[test]
    fn a_candidate_goes_by_its_own_clock_alone() {
        let far = 4_000_000_000;
        let some = |holder, seconds, renewed| Some(lease(holder, seconds, renewed));
        // The looks; then what to do at which second.
        let cases: [(&str, Looks, u64, Step); 10] = [
            ("there is none", vec![(0, None)], 0, Step::Create),
            (
                "it was given back",
                vec![(0, some("", Some(1), 0))],
                0,
                Step::Take,
            ),
            (
                "it is ours, from a try whose answer was lost",
                vec![(0, some("me", Some(15), 0))],
                0,
                Step::Renew,
            ),
            (
                "a stranger's is watched first, however old it says it is",
                vec![(0, some("other", Some(15), 0))],
                14,
                Step::Wait,
            ),
            (
                "it did not change for its duration",
                vec![(0, some("other", Some(15), far))],
                15,
                Step::Take,
            ),
            (
                "looking alone is no change",
                vec![(0, some("other", Some(15), 5)), (10, some("other", Some(15), 5))],
                15,
                Step::Take,
            ),
            (
                "a renewal begins it anew",
                vec![(0, some("other", Some(15), 5)), (10, some("other", Some(15), 7))],
                24,
                Step::Wait,
            ),
            (
                "so does one by a clock that was set back",
                vec![(0, some("other", Some(15), 9)), (10, some("other", Some(15), 2))],
                24,
                Step::Wait,
            ),
            (
                "its own duration counts",
                vec![(0, some("other", Some(60), 0))],
                30,
                Step::Wait,
            ),
            (
                "one that says none has ours",
                vec![(0, some("other", None, 0))],
                15,
                Step::Take,
            ),
        ];
        for (why, looks, at, expected) in cases {
            let start = Instant::now();
            let mut seen = Seen::default();
            for (second, lease) in looks {
                seen.look(lease, start + Duration::from_secs(second));
            }
            let step = seen.step("me", Duration::from_secs(15), start + Duration::from_secs(at));
            assert_eq!(step, expected, "{why}");
        }
    }
}
