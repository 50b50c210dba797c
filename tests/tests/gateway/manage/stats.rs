//! Statistics.

use std::time::Duration;

use harness::{Gateway, Upstream, eventually};
use serde_json::{Value, json};

use super::{PLAIN_KEY, fixture};

fn named<'a>(stats: &'a Value, dimension: &str, name: &str) -> Option<&'a Value> {
    let list = stats[dimension].as_array()?;
    list.iter().find(|entry| entry["name"] == name)
}

#[tokio::test]
async fn calls_and_tokens_are_told_by_what_they_used() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(fixture(&upstream, ["a", "b"])).await;
    for _ in 0..3 {
        gateway.client().chat("m").await.expect(200);
    }
    gateway.client_with(PLAIN_KEY).chat("m").await.expect(200);

    // A call is settled after its client has the last byte.
    let stats = eventually("four calls are counted", Duration::from_secs(5), || async {
        let stats = gateway.client().get("/api/stats").await.expect(200).json();
        let tokens = |name| {
            stats["credentials"][name]["tokens"]["output"]
                .as_u64()
                .unwrap_or(0)
        };
        (stats["totals"]["requests"] == 4 && tokens(0) == tokens(1) && tokens(0) > 0).then_some(stats)
    })
    .await;
    for name in ["default/a", "default/b"] {
        let entry = named(&stats, "credentials", name).expect("it was used");
        assert_eq!(entry["requests"], 2, "{stats}");
        assert_eq!(
            (&entry["estimated_requests"], &entry["estimated_tokens"]),
            (&json!(0), &json!(0))
        );
        for class in ["input", "cached", "cache_write", "output", "reasoning"] {
            assert!(entry["tokens"][class].is_u64(), "{class}: {entry}");
        }
    }
    assert_eq!(
        named(&stats, "clients", "default/app").expect("it called")["requests"],
        3
    );
    assert_eq!(
        named(&stats, "clients", "default/plain").expect("it called")["requests"],
        1
    );
    assert_eq!(
        named(&stats, "providers", "default/p").expect("it was called")["requests"],
        4
    );
    assert!(stats["since"].as_str().is_some_and(|since| since.ends_with('Z')));
    for list in ["routes", "models"] {
        assert!(stats[list].is_array(), "{list}: {stats}");
    }
    let days = stats["days"].as_array().expect("a list");
    let sum: u64 = days
        .iter()
        .filter_map(|day| day["totals"]["requests"].as_u64())
        .sum();
    assert_eq!(sum, 4, "days sum up to the totals: {stats}");
    let day = days[0]["day"].as_str().expect("a day");
    assert_eq!((day.len(), day.matches('-').count()), (10, 2), "{day}");
    assert!(named(&days[0], "credentials", "default/a").is_some(), "{stats}");
}

#[tokio::test]
async fn days_are_asked_for_within_bounds() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(fixture(&upstream, ["a"])).await;
    gateway.client().get("/api/stats?days=1").await.expect(200);
    gateway.client().get("/api/stats?days=35").await.expect(200);
    for days in ["0", "36", "seven", ""] {
        let answer = gateway.client().get(&format!("/api/stats?days={days}")).await;
        assert_eq!(answer.openai_error(400)["code"], "invalid_days", "{days}");
    }
}
