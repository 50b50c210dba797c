//! What stays on one credential.

use std::time::Duration;

use snapshot::Strategy;

use super::{Bench, name_of, names, stated, succeed};
use crate::{
    NoneUsable, ObjectId, Pick, RestReason, Store,
    testing::{World, credential, members, narrow, provider_name},
};

pub(super) async fn cases<S: Store>(make: &impl Fn() -> S) {
    a_conversation_stays_until_its_credential_rests(make).await;
    a_conversation_is_forgotten_after_its_time(make).await;
    a_full_credential_is_left_at_once_when_nobody_waits(make).await;
    a_pinned_call_uses_its_credential_or_none(make).await;
    objects_are_remembered_for_a_month(make).await;
    a_call_that_names_an_object_goes_to_its_holder_or_nowhere(make).await;
    an_object_takes_the_conversation_along(make).await;
}

fn talk<S: Store>(bench: &Bench<S>, conversation: u64) -> Pick<'_> {
    Pick {
        affinity: Some(conversation),
        ..bench.world.pick()
    }
}

async fn a_conversation_stays_until_its_credential_rests<S: Store>(make: &impl Fn() -> S) {
    let bench = Bench::new(make, World::new(Strategy::RoundRobin, &members("abc")));
    let mut said = String::new();
    for conversation in [1, 2, 1, 1, 2, 3] {
        let lease = bench.lease_for(talk(&bench, conversation)).await;
        said.push_str(name_of(&lease));
        succeed(lease);
    }
    assert_eq!(said, "abaabc", "each stays where it began");
    bench.report("a", stated(60));
    let moved = bench.lease_for(talk(&bench, 1)).await;
    assert_ne!(name_of(&moved), "a", "a rests");
    let to = name_of(&moved).to_owned();
    succeed(moved);
    bench.step(60);
    let lease = bench.lease_for(talk(&bench, 1)).await;
    assert_eq!(name_of(&lease), to, "it has moved for good");
    succeed(lease);
    let tried = names(&to);
    let pick = Pick {
        tried: &tried,
        ..talk(&bench, 1)
    };
    let lease = bench.lease_for(pick).await;
    assert_ne!(name_of(&lease), to, "that one was tried by this call");
}

async fn a_conversation_is_forgotten_after_its_time<S: Store>(make: &impl Fn() -> S) {
    let mut world = World::new(Strategy::RoundRobin, &members("ab"));
    world.provider.selection.affinity.ttl = Duration::from_secs(100);
    let bench = Bench::new(make, world);
    succeed(bench.lease_for(talk(&bench, 1)).await);
    for _ in 0..3 {
        bench.step(99);
        let lease = bench.lease_for(talk(&bench, 1)).await;
        assert_eq!(name_of(&lease), "a", "each call renews the time");
        succeed(lease);
    }
    bench.step(100);
    let lease = bench.lease_for(talk(&bench, 1)).await;
    assert_eq!(name_of(&lease), "b", "forgotten, and b was used least");
}

async fn a_full_credential_is_left_at_once_when_nobody_waits<S: Store>(make: &impl Fn() -> S) {
    let world = World::new(Strategy::RoundRobin, &[narrow("a", 1), narrow("b", 2)]);
    let bench = Bench::new(make, world);
    let first = bench.lease_for(talk(&bench, 1)).await;
    assert_eq!(name_of(&first), "a");
    let second = bench.lease_for(talk(&bench, 1)).await;
    assert_eq!(name_of(&second), "b", "a is full");
    drop(first);
    let third = bench.lease_for(talk(&bench, 1)).await;
    assert_eq!(name_of(&third), "b", "the conversation has moved");
}

async fn a_pinned_call_uses_its_credential_or_none<S: Store>(make: &impl Fn() -> S) {
    let world = World::new(Strategy::RoundRobin, &[narrow("a", 1), narrow("b", 1)]).tier(&members("c"));
    let bench = Bench::new(make, world);
    let (b, c, elsewhere) = (credential("b"), credential("c"), credential("z"));
    let pin = |pinned| Pick {
        pinned: Some(pinned),
        ..bench.world.pick()
    };
    let lease = bench.lease_for(pin(&c)).await;
    assert_eq!(name_of(&lease), "c", "whatever its tier");
    let lease = bench.lease_for(pin(&b)).await;
    assert_eq!(name_of(&lease), "b", "whoever is next");
    assert_eq!(
        bench.none_for(pin(&b)).await,
        NoneUsable::Full {
            soonest: bench.after(1)
        },
        "b is full, and no other will do"
    );
    drop(lease);
    bench.report("b", stated(60));
    assert_eq!(
        bench.none_for(pin(&b)).await,
        NoneUsable::Resting {
            soonest: bench.after(60),
            reason: RestReason::QuotaExhausted
        }
    );
    assert_eq!(
        bench.none_for(pin(&elsewhere)).await,
        NoneUsable::Empty,
        "not eligible"
    );
    let tried = names("c");
    let pick = Pick {
        tried: &tried,
        ..pin(&c)
    };
    assert_eq!(bench.none_for(pick).await, NoneUsable::Empty, "tried already");
}

async fn objects_are_remembered_for_a_month<S: Store>(make: &impl Fn() -> S) {
    const DAY: u64 = 24 * 3600;
    let bench = Bench::new(make, World::new(Strategy::RoundRobin, &members("ab")));
    bench
        .pool
        .remember(&provider_name(), ObjectId::new("resp_1"), &credential("a"));
    bench.step(DAY);
    bench
        .pool
        .remember(&provider_name(), ObjectId::new("file_2"), &credential("b"));
    assert_eq!(
        bench.pool.recall(ObjectId::new("resp_1")).await,
        Ok(Some(credential("a")))
    );
    assert_eq!(
        bench.pool.recall(ObjectId::new("file_2")).await,
        Ok(Some(credential("b")))
    );
    assert_eq!(
        bench.pool.recall(ObjectId::new("resp_3")).await,
        Ok(None),
        "never seen"
    );
    bench.step(29 * DAY);
    assert_eq!(
        bench.pool.recall(ObjectId::new("resp_1")).await,
        Ok(None),
        "30 days are over"
    );
    assert_eq!(
        bench.pool.recall(ObjectId::new("file_2")).await,
        Ok(Some(credential("b")))
    );
}

async fn a_call_that_names_an_object_goes_to_its_holder_or_nowhere<S: Store>(make: &impl Fn() -> S) {
    let bench = Bench::new(
        make,
        World::new(Strategy::RoundRobin, &members("ab")).tier(&members("c")),
    );
    let object = ObjectId::new("resp_1");
    let about = || Pick {
        object: Some(object),
        ..bench.world.pick()
    };
    assert_eq!(
        bench.none_for(about()).await,
        NoneUsable::UnknownObject,
        "a guess would be worse"
    );
    bench.pool.remember(&provider_name(), object, &credential("c"));
    bench.pool.heard().await;
    for _ in 0..2 {
        let lease = bench.lease_for(about()).await;
        assert_eq!(name_of(&lease), "c", "although others are before it");
        succeed(lease);
    }
    let tried = names("c");
    let again = Pick {
        tried: &tried,
        ..about()
    };
    assert_eq!(
        bench.none_for(again).await,
        NoneUsable::Empty,
        "nobody else will do"
    );
    bench.report("c", stated(60));
    assert_eq!(
        bench.none_for(about()).await,
        NoneUsable::Resting {
            soonest: bench.after(60),
            reason: RestReason::QuotaExhausted
        }
    );
    bench.pool.remember(
        &provider_name(),
        ObjectId::new("resp_2"),
        &credential("elsewhere"),
    );
    bench.pool.heard().await;
    let apart = Pick {
        object: Some(ObjectId::new("resp_2")),
        ..bench.world.pick()
    };
    assert_eq!(
        bench.none_for(apart).await,
        NoneUsable::UnknownObject,
        "its holder does not serve this"
    );
}

async fn an_object_takes_the_conversation_along<S: Store>(make: &impl Fn() -> S) {
    let bench = Bench::new(make, World::new(Strategy::RoundRobin, &members("abc")));
    succeed(bench.lease_for(talk(&bench, 1)).await);
    let object = ObjectId::new("resp_1");
    bench.pool.remember(&provider_name(), object, &credential("c"));
    bench.pool.heard().await;
    let pinned = credential("b");
    let pick = Pick {
        object: Some(object),
        pinned: Some(&pinned),
        ..talk(&bench, 1)
    };
    let lease = bench.lease_for(pick).await;
    assert_eq!(
        name_of(&lease),
        "c",
        "who holds the object, whatever else was said"
    );
    succeed(lease);
    let lease = bench.lease_for(talk(&bench, 1)).await;
    assert_eq!(
        name_of(&lease),
        "c",
        "the conversation goes on where its object is"
    );
    succeed(lease);
}
