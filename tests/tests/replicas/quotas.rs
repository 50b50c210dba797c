//! What accounts and callers may use within longer periods, counted over all replicas.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use harness::{ADMIN_KEY, Fixture, Redis, Replicas, Reply, Upstream, When, eventually};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// A caller without a budget.
const OTHER: &str = "rh-other-key-0123456789abcdef";

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// Five hours from a moment ago.
const FIVE_HOURS: RangeInclusive<u64> = 5 * HOUR - 300..=5 * HOUR;

fn rolling(limit: &str, most: u64) -> Value {
    json!({ "name": "five-hours", "duration": "5h", limit: most })
}

fn calendar(limit: &str, most: u64) -> Value {
    json!({ "name": "monthly", "calendar": { "unit": "Month", "timeZone": "Asia/Shanghai" }, limit: most })
}

fn with_window(fixture: Fixture, credential: &str, window: &Value) -> Fixture {
    fixture.amend(
        "Credential",
        credential,
        "/spec/quota",
        json!({ "windows": [window] }),
    )
}

/// Asks every replica and asserts that each refuses with this code and tells the same moment, `within` which it is.
async fn expect_closed(replicas: &Replicas, code: &str, within: RangeInclusive<u64>) {
    let mut told = Vec::new();
    for turn in 0..replicas.len() {
        let answer = replicas.client(turn).chat("m").await;
        assert_eq!(answer.openai_error(429)["code"], code, "replica {turn}");
        told.push(answer.retry_after());
    }
    let (least, most) = (told.iter().min().unwrap(), told.iter().max().unwrap());
    assert!(
        within.contains(least) && within.contains(most),
        "retry-after is within {within:?} s at every replica; found {told:?}"
    );
    assert!(
        most - least <= 60,
        "all replicas mean the same moment; found {told:?}"
    );
}

/// Makes 60 calls at once and returns how many were served. Those that were not were told why and when to come back.
async fn served_at_once(replicas: &Replicas, code: &str) -> usize {
    let mut calls = JoinSet::new();
    for turn in 0..60 {
        let client = replicas.client(turn);
        calls.spawn(async move { client.chat("m").await });
    }
    let mut served = 0;
    for answer in calls.join_all().await {
        if answer.status == 200 {
            served += 1;
        } else {
            assert_eq!(answer.openai_error(429)["code"], code);
            answer.retry_after();
        }
    }
    served
}

#[tokio::test]
async fn of_60_calls_at_once_a_client_with_20_in_its_budget_gets_20() {
    for (window, within) in [
        (rolling("requests", 20), FIVE_HOURS),
        (calendar("requests", 20), 1..=31 * DAY),
    ] {
        let redis = Redis::start().await;
        let upstream = Upstream::start().await;
        let fixture = Fixture::pool(&upstream, ["a", "b"]).client("other", OTHER).amend(
            "ClientKey",
            "app",
            "/spec/budgets",
            json!([window]),
        );
        let replicas = Replicas::start_patient(3, &redis.arguments(), &fixture).await;
        assert_eq!(
            served_at_once(&replicas, "insufficient_quota").await,
            20,
            "{window}"
        );
        assert_eq!(upstream.count(), 20, "{window}: calls that the upstream saw");
        expect_closed(&replicas, "insufficient_quota", within).await;
        for gateway in replicas.iter() {
            gateway.client_with(OTHER).chat("m").await.expect(200);
        }
    }
}

#[tokio::test]
async fn tokens_of_a_budget_add_up_over_all_replicas() {
    // An answer has 16 tokens: three calls use up 40, and each of three replicas alone would let three pass.
    for (window, within) in [
        (rolling("tokens", 40), FIVE_HOURS),
        (calendar("tokens", 40), 1..=31 * DAY),
    ] {
        let redis = Redis::start().await;
        let upstream = Upstream::start().await;
        let fixture = Fixture::pool(&upstream, ["a", "b"]).admin().amend(
            "ClientKey",
            "app",
            "/spec/budgets",
            json!([window]),
        );
        let replicas = Replicas::start_patient(3, &redis.arguments(), &fixture).await;
        for turn in 0..3 {
            replicas.client(turn).chat("m").await.expect(200);
            let admin = replicas[0].client_with(ADMIN_KEY);
            eventually("its tokens are counted", Duration::from_secs(10), || async {
                let quota = admin.get("/v1/quota").await.expect(200).json();
                (quota["clients"][0]["budgets"][0]["tokens"] == 16 * (turn + 1)).then_some(())
            })
            .await;
        }
        expect_closed(&replicas, "insufficient_quota", within).await;
        assert_eq!(upstream.count(), 3, "{window}: what is refused is not sent");
    }
}

#[tokio::test]
async fn of_60_calls_at_once_accounts_with_10_and_20_in_their_windows_serve_30() {
    for (window, within) in [
        (rolling as fn(&str, u64) -> Value, FIVE_HOURS),
        (calendar, 1..=31 * DAY),
    ] {
        let redis = Redis::start().await;
        let upstream = Upstream::start().await;
        let fixture = Fixture::pool(&upstream, ["a", "b"]);
        let fixture = with_window(fixture, "a", &window("requests", 10));
        let fixture = with_window(fixture, "b", &window("requests", 20));
        let replicas = Replicas::start_patient(3, &redis.arguments(), &fixture).await;
        assert_eq!(served_at_once(&replicas, "credentials_exhausted").await, 30);
        upstream.expect_counts(&[("a", 10), ("b", 20)]);
        expect_closed(&replicas, "credentials_exhausted", within).await;
        assert_eq!(upstream.count(), 30, "nobody was asked again");
    }
}

#[tokio::test]
async fn tokens_of_an_accounts_window_add_up_over_all_replicas() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    let fixture = with_window(
        Fixture::pool(&upstream, ["a"]).admin(),
        "a",
        &rolling("tokens", 40),
    );
    let replicas = Replicas::start_patient(3, &redis.arguments(), &fixture).await;
    for turn in 0..3 {
        replicas.client(turn).chat("m").await.expect(200);
        replicas.until_settled("p").await;
    }
    expect_closed(&replicas, "credentials_exhausted", FIVE_HOURS).await;
    upstream.expect_counts(&[("a", 3)]);
}

#[tokio::test]
async fn a_window_without_numbers_closes_for_all_when_one_replica_meets_its_end() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    let window = json!({ "name": "two-days", "duration": "48h" });
    let fixture = with_window(Fixture::pool(&upstream, ["a"]).admin(), "a", &window);
    let replicas = Replicas::start_patient(3, &redis.arguments(), &fixture).await;
    replicas.client(0).chat("m").await.expect(200);
    upstream.on(
        When::any(),
        Reply::error(
            429,
            "insufficient_quota",
            "insufficient_quota",
            "You exceeded your current quota.",
        ),
    );
    replicas.client(1).chat("m").await.openai_error(429);
    replicas.until_settled("p").await;
    // The period began with the first call, at another replica than the one that was refused.
    expect_closed(&replicas, "credentials_exhausted", 2 * DAY - 300..=2 * DAY).await;
    assert_eq!(
        upstream.count(),
        2,
        "one call was served, one was refused for all"
    );
}

#[tokio::test]
async fn who_has_most_headroom_is_asked_whichever_replica_heard_of_it() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    let says = |remaining: &str| {
        Reply::json(200, json!({ "choices": [] }))
            .header("x-ratelimit-limit-tokens", "1000")
            .header("x-ratelimit-remaining-tokens", remaining)
            .header("x-ratelimit-reset-tokens", "1h")
    };
    upstream.on(When::credential("a"), says("100"));
    upstream.on(When::credential("b"), says("900"));
    upstream.on(When::credential("c"), says("500"));
    let fixture = Fixture::pool(&upstream, ["a", "b", "c"]).admin().amend(
        "Provider",
        "p",
        "/spec/selection/strategy",
        json!("MostHeadroom"),
    );
    let replicas = Replicas::start_patient(3, &redis.arguments(), &fixture).await;
    for turn in 0..9 {
        replicas.client(turn).chat("m").await.expect(200);
        replicas.until_settled("p").await;
    }
    // Each replica alone would have tried all three.
    upstream.expect_counts(&[("a", 1), ("b", 7), ("c", 1)]);
}

#[tokio::test]
async fn headroom_in_windows_is_that_of_all_replicas_together() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a", "b"]).admin().amend(
        "Provider",
        "p",
        "/spec/selection/strategy",
        json!("MostHeadroom"),
    );
    let fixture = with_window(fixture, "a", &rolling("requests", 100));
    let fixture = with_window(fixture, "b", &rolling("requests", 300));
    let replicas = Replicas::start_patient(3, &redis.arguments(), &fixture).await;
    for turn in 0..40 {
        replicas.client(turn).chat("m").await.expect(200);
    }
    let counts: BTreeMap<String, usize> = upstream.counts();
    assert_eq!(
        (counts["a"].abs_diff(10) <= 1, counts["b"].abs_diff(30) <= 1),
        (true, true),
        "an account with three times the quota serves three times the calls; found {counts:?}"
    );
}
