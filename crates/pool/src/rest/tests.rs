use std::time::Duration;

use proptest::prelude::*;
use snapshot::{RestReason, Timestamp};

use super::{LONGEST, PROBE_LOCK, Rest, RestEnd, Scope, Standing, ladder};

const START: Timestamp = Timestamp::from_micros(1_000_000_000);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn guessed_rests_double_up_to_a_bound() {
    let cases = [
        (RestReason::RateLimited, [5, 10, 20, 300]),
        (RestReason::Unauthorized, [60, 120, 240, 3600]),
        (RestReason::Failing, [60, 120, 240, 3600]),
        (RestReason::QuotaExhausted, [600, 1200, 2400, 3600]),
        (RestReason::AccountBlocked, [600, 1200, 2400, 3600]),
        (RestReason::ModelUnavailable, [600, 1200, 2400, 3600]),
    ];
    for (reason, expected) in cases {
        let steps = [1, 2, 3, u32::MAX].map(|count| ladder(reason, count));
        assert_eq!(steps, expected.map(seconds), "{reason:?}");
    }
}

#[test]
fn a_withdrawn_refusal_of_a_probe_leaves_what_was_there() {
    let guess = Rest {
        reason: RestReason::Failing,
        end: RestEnd::Guessed,
    };
    let mut scope = Scope::default();
    scope.refuse(1, 2, START, guess);
    let half = START + seconds(60);
    scope.probe(3, half);
    let undo = scope.refuse(3, 4, half, guess).expect("it rests for longer");
    assert_eq!(
        scope.standing(half),
        Standing::Closed(half + seconds(120), RestReason::Failing),
        "the second step"
    );
    assert!(scope.withdraw(&undo), "nothing came later");
    assert_eq!(
        scope.standing(half),
        Standing::HalfOpen(RestReason::Failing),
        "the first refusal stands, and the next call may probe"
    );
    scope.probe(5, half);
    scope.refuse(5, 6, half, guess);
    assert_eq!(
        scope.standing(half),
        Standing::Closed(half + seconds(120), RestReason::Failing),
        "the withdrawn step does not count"
    );
}

#[derive(Clone, Debug)]
enum Step {
    Refuse { age: u64, rest: Rest },
    Probe,
    Succeed { age: u64 },
    Clear,
    Wait(u64),
}

fn any_step() -> impl Strategy<Value = Step> {
    let reason = prop_oneof![Just(RestReason::RateLimited), Just(RestReason::Unauthorized)];
    let end = prop_oneof![
        any::<u64>().prop_map(|micros| RestEnd::Stated(Duration::from_micros(micros))),
        any::<u32>().prop_map(|length| RestEnd::Hinted(seconds(length.into()))),
        any::<u64>().prop_map(|length| RestEnd::For(seconds(length))),
        Just(RestEnd::Guessed),
    ];
    let rest = (reason, end).prop_map(|(reason, end)| Rest { reason, end });
    prop_oneof![
        (0..6u64, rest).prop_map(|(age, rest)| Step::Refuse { age, rest }),
        Just(Step::Probe),
        (0..6u64).prop_map(|age| Step::Succeed { age }),
        Just(Step::Clear),
        (0..5000u64).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn every_rest_ends_and_a_later_end_is_never_shortened(steps in prop::collection::vec(any_step(), 1..60)) {
        let mut scope = Scope::default();
        let mut now = START;
        let mut sequence = 100;
        for step in steps {
            sequence += 1;
            let before = scope.rest(now);
            match step {
                Step::Refuse { age, rest } => {
                    scope.refuse(sequence - age, sequence, now, rest);
                    if let Some((_, until)) = before {
                        let after = scope.rest(now).map(|(_, until)| until);
                        prop_assert!(after >= Some(until), "{after:?} is before {until}");
                    }
                }
                Step::Probe => {
                    if matches!(scope.standing(now), Standing::HalfOpen(_)) {
                        scope.probe(sequence, now);
                    }
                }
                Step::Succeed { age } => {
                    scope.succeed(sequence - age, sequence, now);
                }
                Step::Clear => scope.clear(sequence),
                Step::Wait(length) => now = now + seconds(length),
            }
            let end = now + LONGEST + PROBE_LOCK;
            prop_assert!(!matches!(scope.standing(end), Standing::Closed(..)), "it does not end");
        }
    }
}
