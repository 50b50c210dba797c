//! What the store says, and what annotations ask for.

use harness::Redis;
use snapshot::{
    CallLimits, ClientName, CredentialName, Period, ProviderName, QuotaWindow, RestReason, WhenStoreIsAway,
};
use std::{sync::Arc, time::Duration};

use pool::{
    Admit, Pool, RedisSettings, Rest, RestEnd, SystemClock,
    redis::link::{Link, LinkSettings, Observe, Why},
};

use super::world::World;
use crate::stand_in::until;

const OBJECTS: &str = r#"
{apiVersion: v1, kind: Secret, metadata: {name: keys}, stringData: {first: sk-first-0123456789}}
---
{apiVersion: roundhouse.dev/v1alpha1, kind: Provider, metadata: {name: p}, spec: {dialect: OpenAI, url: "https://api.example.com/v1"}}
---
{apiVersion: roundhouse.dev/v1alpha1, kind: Credential, metadata: {name: c}, spec: {providerRef: {name: p}, apiKey: {secretRef: {name: keys, key: first}}}}
"#;

struct Unobserved;

impl Observe for Unobserved {
    fn command(&self, _: &'static str, _: Duration, _: bool) {}
    fn up(&self) {}
    fn down(&self, _: Why) {}
}

/// A gateway's pool.
fn pool(redis: &Redis) -> Pool<pool::Redis> {
    let address = format!("redis://127.0.0.1:{}", redis.port())
        .parse()
        .expect("an address");
    let mut settings = LinkSettings::new(address);
    settings.scripts = pool::Redis::scripts();
    let link = Link::open(settings, Arc::new(Unobserved)).expect("it works as always");
    let settings = RedisSettings {
        prefix: "roundhouse".to_owned(),
        owner: "gateway".to_owned(),
        callers_clock: false,
    };
    Pool::new(pool::Redis::new(link, settings), Arc::new(SystemClock::default()))
}

fn annotate(world: &World, annotation: &str) {
    world.kubectl(&["annotate", "--overwrite", "cred/c", annotation]);
}

const CLIENT: &str = r"
{apiVersion: v1, kind: Secret, metadata: {name: client}, stringData: {api-key: a-key-of-24-characters!!}}
---
{apiVersion: roundhouse.dev/v1alpha1, kind: ClientKey, metadata: {name: k}, spec: {secretRef: {name: client, key: api-key}, budgets: [{name: day, duration: 24h, requests: 1}]}}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn budgets_of_a_client_key_begin_anew_when_asked_for() {
    let redis = Redis::start().await;
    let mut world = World::new("status-budgets", 1).await;
    world.replica(Some(redis.port()));
    world.apply(CLIENT);
    world.wait("condition=Ready", &["ck/k"]);
    let client = ClientName::new("status-budgets", "k").expect("it works as always");
    let budgets = [QuotaWindow {
        name: "day".into(),
        period: Period::Rolling(Duration::from_secs(86400)),
        requests: Some(1),
        tokens: None,
    }];
    let limits = CallLimits::default();
    let pool = pool(&redis);
    let enter = || {
        pool.admit(Admit {
            client: &client,
            limits: &limits,
            budgets: &budgets,
            when_store_is_away: WhenStoreIsAway::Refuse,
            model: "m",
        })
    };
    until("the store is in reach", async || enter().await.ok())
        .await
        .settle(1);
    pool.heard().await;
    assert!(enter().await.is_err(), "the budget is used up");
    let reset = "roundhouse.dev/reset-quota=2026-01-31T12:00:00Z";
    world.kubectl(&[
        "annotate",
        "ck/k",
        "roundhouse.dev/clear-rest=2026-01-31T12:00:00Z",
        reset,
    ]);
    until("it begins anew", async || enter().await.ok())
        .await
        .settle(1);
    pool.heard().await;
    let told = "jsonpath={.status.lastHandled.resetQuota}=2026-01-31T12:00:00Z";
    world.wait(told, &["ck/k"]);
    world.until(&["describe", "ck", "k"], |described| {
        described.contains("QuotaReset")
    });

    // The same value asks for nothing, also of a replica that leads now.
    world.depose(0);
    world.replica(Some(redis.port()));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(enter().await.is_err(), "it is used up again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rests_of_the_store_are_told_and_cleared_when_asked_for() {
    let redis = Redis::start().await;
    let mut world = World::new("status-orders", 1).await;
    world.replica(Some(redis.port()));
    world.apply(OBJECTS);
    world.wait("condition=Ready", &["cred/c"]);
    let provider = ProviderName::new("status-orders", "p").expect("it works as always");
    let credential = CredentialName::new("status-orders", "c").expect("it works as always");
    let pool = pool(&redis);
    let rest = |reason| Rest {
        reason,
        end: RestEnd::Stated(Duration::from_secs(3600)),
    };
    pool.report(&provider, &credential, None, rest(RestReason::RateLimited));
    pool.heard().await;
    world.wait("condition=CoolingDown", &["cred/c"]);
    let ready =
        "--output=jsonpath={.status.conditions[?(@.type==\"Ready\")].status}{.status.rests[0].reason}";
    assert_eq!(world.kubectl(&["get", "cred", "c", ready]), "TrueRateLimited");

    // A value that is no time is refused, once.
    annotate(&world, "roundhouse.dev/clear-rest=now");
    world.until(&["describe", "cred", "c"], |described| {
        described.contains("Warning  InvalidAnnotation")
    });
    annotate(&world, "roundhouse.dev/clear-rest=2026-01-31T12:00:00Z");
    world.wait("condition=CoolingDown=False", &["cred/c"]);
    let told = "jsonpath={.status.lastHandled.clearRest}=2026-01-31T12:00:00Z";
    world.wait(told, &["cred/c"]);

    // The same value asks for nothing, also of a replica that leads now.
    world.depose(0);
    world.replica(Some(redis.port()));
    pool.report(&provider, &credential, None, rest(RestReason::QuotaExhausted));
    pool.heard().await;
    world.wait("condition=QuotaExhausted", &["cred/c"]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.kubectl(&["wait", "--for=condition=QuotaExhausted", "--timeout=1s", "cred/c"]);
    annotate(&world, "roundhouse.dev/reset-quota=2026-01-31T12:00:00Z");
    world.wait("condition=QuotaExhausted=False", &["cred/c"]);
    world.until(&["describe", "cred", "c"], |described| {
        described.contains("RestCleared") && described.contains("QuotaReset")
    });
}
