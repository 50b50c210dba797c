//! A process that looks and intervenes, and makes no calls.

use redis::Value;
use snapshot::{RestReason, Timestamp};

use super::fleet::{Fleet, GENEROUS, PREFIX, eventually, world};
use crate::{
    Clock as _, CredentialState, Member, Redis, RedisSettings, Rest, RestEnd, Store as _, SystemClock,
    redis::link::Urgency,
    testing::{credential, provider_name},
};

fn beside(fleet: &Fleet) -> Redis {
    let settings = RedisSettings {
        prefix: PREFIX.to_owned(),
        owner: "beside".to_owned(),
        callers_clock: false,
    };
    Redis::beside(fleet.a().link.clone(), settings)
}

fn now() -> Timestamp {
    SystemClock::default().now()
}

async fn states(redis: &Redis, fleet: &Fleet) -> Vec<CredentialState> {
    let members: Vec<Member> = fleet.world.lanes[0].members().to_vec();
    redis
        .states(now(), &provider_name(), &members)
        .await
        .expect("the store is in reach")
}

#[tokio::test]
async fn it_sees_and_ends_rests_and_has_no_share_of_limits() {
    let fleet = Fleet::start(world("ab"), 1, GENEROUS).await;
    let redis = beside(&fleet);
    let rest = Rest {
        reason: RestReason::RateLimited,
        end: RestEnd::Guessed,
    };
    let pool = &fleet.a().pool;
    pool.report(&provider_name(), &credential("a"), None, rest);
    pool.heard().await;
    let rests: Vec<usize> = states(&redis, &fleet)
        .await
        .iter()
        .map(|state| state.rests.len())
        .collect();
    assert_eq!(rests, [1, 0], "what a gateway said is seen");

    redis.clear_rest(now(), &provider_name(), &credential("a"));
    redis.heard().await;
    assert!(states(&redis, &fleet).await[0].rests.is_empty(), "it is over");

    let mut command = redis::cmd("ZCARD");
    command.arg(format!("{PREFIX}:{{processes}}"));
    eventually("the gateway is on the roll, alone", async || {
        let count = fleet
            .a()
            .link
            .command("zcard", &command, Urgency::Background)
            .await;
        count == Ok(Value::Int(1))
    })
    .await;
}

#[tokio::test]
async fn a_store_that_is_away_is_not_one_without_rests() {
    let mut fleet = Fleet::start(world("a"), 1, GENEROUS).await;
    let redis = beside(&fleet);
    assert!(states(&redis, &fleet).await[0].rests.is_empty());
    fleet.server.kill();
    let members: Vec<Member> = fleet.world.lanes[0].members().to_vec();
    let looked = redis.states(now(), &provider_name(), &members).await;
    assert!(looked.is_err(), "{looked:?}");
}
