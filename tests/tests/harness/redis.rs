//! Servers that are started, killed, paused and failed over.

use std::time::{Duration, Instant};

use harness::{Certificates, Cluster, Redis, Sentinel, SlowPath, raw};
use tokio::time::timeout;

/// The value of a flag.
fn flag<'a>(arguments: &'a [String], name: &str) -> &'a str {
    let at = arguments.iter().position(|argument| argument == name);
    &arguments[at.expect("the flag is there") + 1]
}

#[tokio::test]
async fn a_killed_server_comes_back_on_its_port_without_its_data() {
    let mut redis = Redis::start().await;
    let port = redis.port();
    assert_eq!(
        flag(&redis.arguments(), "--redis-url"),
        format!("redis://127.0.0.1:{port}")
    );
    redis.cli(&["set", "b", "1"]).await;
    redis.cli(&["set", "a", "1"]).await;
    assert_eq!(redis.keys().await, ["a", "b"]);
    redis.kill();
    let error = redis.ask(&["ping"]).await.unwrap_err();
    assert!(error.contains("Connection refused"), "{error}");
    redis.restart().await;
    assert_eq!(redis.port(), port);
    assert_eq!(redis.keys().await, [""; 0]);
}

#[tokio::test]
async fn a_durable_server_keeps_its_data_until_it_is_told_not_to() {
    let mut redis = Redis::prepare().durable().start().await;
    redis.cli(&["set", "a", "1"]).await;
    redis.kill();
    redis.restart().await;
    assert_eq!(redis.cli(&["get", "a"]).await, "1");
    redis.kill();
    redis.restart_empty().await;
    assert_eq!(redis.keys().await, [""; 0]);
}

#[tokio::test]
async fn a_paused_server_answers_later() {
    let redis = Redis::start().await;
    redis.pause();
    let asked = timeout(Duration::from_millis(300), redis.ask(&["ping"])).await;
    assert!(asked.is_err(), "it answered: {asked:?}");
    redis.resume();
    assert_eq!(redis.cli(&["ping"]).await, "PONG");

    let started = Instant::now();
    redis.cli(&["client", "pause", "500"]).await;
    assert_eq!(redis.cli(&["ping"]).await, "PONG");
    assert!(
        started.elapsed() >= Duration::from_millis(400),
        "CLIENT PAUSE pauses"
    );
}

#[tokio::test]
async fn a_slow_path_delays_answers_until_it_is_told_not_to() {
    let redis = Redis::start().await;
    let path = SlowPath::to(&redis).await;
    let arguments = path.arguments();
    let address = flag(&arguments, "--redis-url").strip_prefix("redis://").unwrap();
    let ping =
        async || raw::exchange(address.parse().unwrap(), b"PING\r\n", Duration::from_millis(300)).await;
    assert_eq!(ping().await.text, "+PONG\r\n");
    path.slow_down(Duration::from_secs(5));
    assert_eq!(ping().await.text, "", "the answer is not there yet");
    path.slow_down(Duration::ZERO);
    assert_eq!(ping().await.text, "+PONG\r\n");
}

#[tokio::test]
async fn an_error_of_the_server_is_an_error() {
    let redis = Redis::prepare().option("maxmemory", "1").start().await;
    let error = redis.ask(&["set", "a", "1"]).await.unwrap_err();
    assert!(error.starts_with("OOM"), "{error}");
}

#[tokio::test]
async fn a_protected_server_lets_gateways_at_their_keys_only() {
    let redis = Redis::prepare().protected("roundhouse").start().await;
    let arguments = redis.arguments();
    assert_eq!(
        flag(&arguments, "--redis-url"),
        format!("redis://roundhouse@127.0.0.1:{}", redis.port())
    );
    let file = std::fs::read_to_string(flag(&arguments, "--redis-password-file")).unwrap();
    let password = file.trim();
    let as_gateway = async |password: &str, key: &str| {
        let login = ["--user", "roundhouse", "--pass", password, "--no-auth-warning"];
        redis.ask(&[&login[..], &["set", key, "1"]].concat()).await
    };
    assert_eq!(as_gateway(password, "roundhouse:a").await.as_deref(), Ok("OK"));
    let error = as_gateway(password, "other:a").await.unwrap_err();
    assert!(error.contains("NOPERM"), "{error}");
    redis.change_password("another-password").await;
    let error = as_gateway(password, "roundhouse:a").await.unwrap_err();
    assert!(error.contains("WRONGPASS"), "{error}");
    assert_eq!(
        as_gateway("another-password", "roundhouse:a").await.as_deref(),
        Ok("OK")
    );
}

#[tokio::test]
async fn a_server_with_tls_is_trusted_by_its_authority() {
    let redis = Redis::prepare()
        .tls(&Certificates::for_name("127.0.0.1"))
        .start()
        .await;
    let arguments = redis.arguments();
    let (address, authority) = flag(&arguments, "--redis-url").split_once("?ca-file=").unwrap();
    assert_eq!(address, format!("rediss://127.0.0.1:{}", redis.port()));
    assert!(
        std::fs::read_to_string(authority)
            .unwrap()
            .contains("CERTIFICATE")
    );
    assert_eq!(redis.cli(&["ping"]).await, "PONG");
}

#[tokio::test]
async fn sentinels_replace_a_lost_master() {
    let mut sentinel = Sentinel::start().await;
    let hosts = flag(&sentinel.arguments(), "--redis-url")
        .matches("127.0.0.1:")
        .count();
    assert_eq!(hosts, 3);
    let first = sentinel.master().await;
    let lost = first.port();
    first.cli(&["set", "a", "1"]).await;
    // Until both replicas have it.
    assert_eq!(first.cli(&["wait", "2", "10000"]).await, "2");
    sentinel.fail_over().await;
    let second = sentinel.master().await;
    assert_ne!(second.port(), lost);
    assert_eq!(second.cli(&["get", "a"]).await, "1");
    second.cli(&["set", "a", "2"]).await;
}

#[tokio::test]
async fn a_replica_that_lost_everything_can_take_over() {
    let mut sentinel = Sentinel::start().await;
    let first = sentinel.master().await;
    let lost = first.port();
    first.cli(&["set", "a", "1"]).await;
    assert_eq!(first.cli(&["wait", "2", "10000"]).await, "2");
    sentinel.fail_over_to_empty().await;
    let second = sentinel.master().await;
    assert_ne!(second.port(), lost);
    assert_eq!(second.keys().await, [""; 0]);
    second.cli(&["set", "b", "1"]).await;
}

#[tokio::test]
async fn a_cluster_shares_the_slots() {
    let cluster = Cluster::start().await;
    let node = &cluster.nodes()[0];
    for key in ["a", "b", "c", "{b}d"] {
        assert_eq!(node.cli(&["-c", "set", key, "1"]).await, "OK");
    }
    assert_eq!(cluster.keys().await, ["a", "b", "c", "{b}d"]);
    for node in cluster.nodes() {
        assert_ne!(node.keys().await.len(), 4, "each has a part");
    }
    let url = &cluster.arguments()[1];
    assert_eq!(url.matches("127.0.0.1:").count(), 3, "{url}");
}
