//! What is usual takes the short way; what is not does not, and comes back to it.

use std::time::Duration;

use snapshot::{RestReason, RestScope};

use super::fleet::{Fleet, GENEROUS, PACE, PREFIX, heard, per_minute, used, world};
use crate::{Outcome, Rest, RestEnd, Settled};

/// How many credentials are marked, by their hash and by the tag.
fn marked(fleet: &Fleet) -> (String, String) {
    let tag = format!("{PREFIX}:{{p:ns/p}}");
    (
        fleet.server.cli(&["HLEN", &format!("{tag}:k")]),
        fleet.server.cli(&["HGET", &tag, "u"]),
    )
}

/// Ends one call of each credential, and gives how many scripts the three picks were.
async fn a_round(fleet: &Fleet) -> u32 {
    let mut scripts = 0;
    for _ in 0..3 {
        let before = fleet.scripts_run();
        let lease = fleet.a().lease(&fleet.world).await;
        scripts += fleet.scripts_run() - before;
        lease.settle(used(1));
        heard(fleet.a()).await;
    }
    scripts
}

/// The next credential is refused and rests for five seconds.
async fn one_rests(fleet: &Fleet) {
    let rest = Rest {
        reason: RestReason::RateLimited,
        end: RestEnd::For(Duration::from_secs(5)),
    };
    fleet.a().lease(&fleet.world).await.settle(Settled {
        rest: Some((RestScope::Credential, rest)),
        ..Settled::new(Outcome::CredentialFault)
    });
    heard(fleet.a()).await;
}

#[tokio::test]
async fn a_credential_whose_rest_has_ended_is_usual_again_after_a_success() {
    let fleet = Fleet::by_hand(world("abc"), 1, GENEROUS, PACE).await;
    a_round(&fleet).await;
    assert_eq!(a_round(&fleet).await, 3, "a script for each pick");
    one_rests(&fleet).await;
    assert_eq!(marked(&fleet), ("1".to_owned(), "1".to_owned()), "it rests");
    fleet.step(Duration::from_secs(6)).await;
    a_round(&fleet).await;
    assert_eq!(
        marked(&fleet),
        ("0".to_owned(), "0".to_owned()),
        "it has succeeded"
    );
    // For some milliseconds after what was not usual calls ask apart.
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(a_round(&fleet).await, 3, "a script for each pick again");
    fleet.is_quiet().await;
}

#[tokio::test]
async fn ends_that_are_told_together_with_one_that_is_not_usual_are_all_heard() {
    let fleet = Fleet::by_hand(world("abc"), 1, GENEROUS, PACE).await;
    one_rests(&fleet).await;
    fleet.step(Duration::from_secs(6)).await;
    let held = fleet.a().leases(&fleet.world, 6).await;
    assert_eq!(fleet.a().in_flight(&fleet.world).await, [2, 2, 2], "all in turn");
    for lease in held {
        lease.settle(used(1));
    }
    heard(fleet.a()).await;
    assert_eq!(
        marked(&fleet),
        ("0".to_owned(), "0".to_owned()),
        "it has succeeded"
    );
    fleet.is_quiet().await;
}

#[tokio::test]
async fn a_lone_call_waits_for_one_script_and_its_end_is_told_without_another_call() {
    let mut world = world("abc");
    world.limits = per_minute(1_000);
    let fleet = Fleet::by_hand(world, 1, GENEROUS, PACE).await;
    for turn in 0..4 {
        let before = fleet.scripts_run();
        let entered = fleet.a().enter(&fleet.world).await;
        let scripts = fleet.scripts_run() - before;
        assert!(
            turn == 0 || scripts == 1,
            "{scripts} scripts for an admission and a pick"
        );
        let (admission, lease) = entered.expect("there is room");
        lease.settle(used(1));
        admission.settle(1);
        heard(fleet.a()).await;
    }
    fleet.is_quiet().await;
}

#[tokio::test]
async fn what_was_given_up_before_it_was_asked_for_is_not_given() {
    // The next question asks for the lease behind the last, and then for the seat.
    for (place, key) in [(1, "{p:ns/p}"), (2, "{c:ns/client}")] {
        let mut world = world("abc");
        world.limits = per_minute(1_000);
        let fleet = Fleet::by_hand(world, 1, GENEROUS, PACE).await;
        let enter = async || fleet.a().enter(&fleet.world).await.expect("there is room");
        let first = enter().await;
        let store = &fleet.a().pool.shared.store;
        let number = store.next_lease() + place;
        let tags = store.tags();
        let tag = tags.iter().find(|tag| tag.key().ends_with(key));
        tag.expect("it is in use").give_up(number, "model");
        heard(fleet.a()).await;
        let owned = format!("{PREFIX}:{key}:o:a");
        let kept = || fleet.server.cli(&["HGET", &owned, &number.to_string()]);
        assert_eq!(kept(), "x", "the store knows that it was given up");
        let second = enter().await;
        assert_eq!(kept(), "x", "another was given");
        for (admission, lease) in [first, second] {
            lease.settle(used(1));
            admission.settle(1);
        }
        fleet.is_quiet().await;
    }
}
