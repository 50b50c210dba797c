//! What is to be done about the authority at a moment. Pure.

use snapshot::Timestamp;

use super::Lives;

/// From when to when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    /// Its first moment.
    pub from: Timestamp,
    /// Its end.
    pub until: Timestamp,
}

impl Validity {
    /// Whether it is over.
    pub(super) fn is_over(self, now: Timestamp) -> bool {
        now >= self.until
    }
}

/// What is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// The one that signs.
    pub(super) current: Option<Validity>,
    /// The one that will, and since when gateways can know it.
    pub(super) next: Option<(Validity, Option<Timestamp>)>,
    /// Whether gateways can know all that there are.
    pub(super) is_published: bool,
    /// The ends of those that signed.
    pub(super) old: Vec<Timestamp>,
}

/// What is to be done, one step at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There is none that can sign: make one. Nobody can have been told of it before.
    Begin,
    /// Make a successor.
    Prepare,
    /// Note that gateways can know the successor from now on.
    Note,
    /// The successor signs from now on.
    Promote,
    /// Leave out what is over.
    Tidy,
    /// Publish what there is.
    Publish,
    /// Nothing.
    Rest,
}

/// What is to be done next.
pub(super) fn decide(standing: &Standing, lives: &Lives, now: Timestamp) -> Step {
    let usable = |validity: Validity| !validity.is_over(now);
    let next = standing.next.filter(|(validity, _)| usable(*validity));
    let Some(current) = standing.current.filter(|validity| usable(*validity)) else {
        // Gateways that do not know the successor yet would know a new one even later.
        return if next.is_some() {
            Step::Promote
        } else {
            Step::Begin
        };
    };
    match next {
        None if is_due(current, now) => return Step::Prepare,
        Some((_, None)) if standing.is_published => return Step::Note,
        Some((_, Some(published))) if published + lives.published_before <= now => return Step::Promote,
        None | Some(_) => (),
    }
    if standing.old.iter().any(|until| now >= *until) {
        return Step::Tidy;
    }
    if standing.is_published {
        Step::Rest
    } else {
        Step::Publish
    }
}

/// Whether two thirds of it are over.
fn is_due(validity: Validity, now: Timestamp) -> bool {
    now.since(validity.from) >= validity.until.since(validity.from) * 2 / 3
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Lives, Standing, Step, Timestamp, Validity, decide};

    const HOUR: u64 = 60;

    fn at(minutes: u64) -> Timestamp {
        Timestamp::EPOCH + Duration::from_secs(60 * minutes)
    }

    fn validity(from: u64, until: u64) -> Validity {
        Validity {
            from: at(from),
            until: at(until),
        }
    }

    #[test]
    fn each_step_follows_from_what_is_there() {
        for (what, standing, minute, expected) in cases() {
            assert_eq!(
                decide(&standing, &Lives::default(), at(minute)),
                expected,
                "{what}"
            );
        }
    }

    /// What is there, at which minute, and what follows.
    fn cases() -> [(&'static str, Standing, u64, Step); 16] {
        let current = Some(validity(0, 90 * HOUR));
        let next = |published: Option<u64>| Some((validity(60 * HOUR, 150 * HOUR), published.map(at)));
        let standing = |current, next, is_published, old: &[u64]| Standing {
            current,
            next,
            is_published,
            old: old.iter().copied().map(at).collect(),
        };
        let well = || standing(current, None, true, &[]);
        [
            (
                "nothing is there",
                standing(None, None, false, &[]),
                0,
                Step::Begin,
            ),
            (
                "what is there is published",
                standing(current, None, false, &[]),
                1,
                Step::Publish,
            ),
            ("all is well", well(), 1, Step::Rest),
            ("just before two thirds", well(), 60 * HOUR - 1, Step::Rest),
            ("two thirds are over", well(), 60 * HOUR, Step::Prepare),
            (
                "two thirds are over, and somebody emptied the ConfigMap",
                standing(current, None, false, &[]),
                60 * HOUR,
                Step::Prepare,
            ),
            (
                "a successor that nobody knows",
                standing(current, next(None), false, &[]),
                61 * HOUR,
                Step::Publish,
            ),
            (
                "a successor that is published",
                standing(current, next(None), true, &[]),
                61 * HOUR,
                Step::Note,
            ),
            (
                "published for less than an hour",
                standing(current, next(Some(61 * HOUR)), true, &[]),
                62 * HOUR - 1,
                Step::Rest,
            ),
            (
                "published for an hour",
                standing(current, next(Some(61 * HOUR)), true, &[]),
                62 * HOUR,
                Step::Promote,
            ),
            (
                "published at a time that is yet to come",
                standing(current, next(Some(99 * HOUR)), true, &[]),
                62 * HOUR,
                Step::Rest,
            ),
            (
                "the current one ended before its successor was known",
                standing(current, next(None), false, &[]),
                90 * HOUR,
                Step::Promote,
            ),
            (
                "all ended while nobody looked",
                standing(current, next(Some(61 * HOUR)), true, &[]),
                150 * HOUR,
                Step::Begin,
            ),
            (
                "the successor is not usable and the current one is",
                standing(
                    Some(validity(0, 900 * HOUR)),
                    Some((validity(0, HOUR), None)),
                    true,
                    &[],
                ),
                2 * HOUR,
                Step::Rest,
            ),
            (
                "an old one is not over",
                standing(current, None, true, &[3]),
                2,
                Step::Rest,
            ),
            (
                "an old one is over",
                standing(current, None, true, &[3, 9]),
                3,
                Step::Tidy,
            ),
        ]
    }
}
