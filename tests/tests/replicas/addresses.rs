//! The ways to reach a store, each with two gateways that share it.

use harness::{Certificates, Cluster, Fixture, Redis, Replicas, Sentinel, Upstream};

use crate::rotation::expect_shared_rotation;

/// Starts two gateways with this store and sees them take turns.
async fn shares(store: &[String]) -> (Upstream, Replicas) {
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a", "b", "c"]).admin();
    let replicas = Replicas::start_patient(2, store, &fixture).await;
    expect_shared_rotation(&replicas, &upstream).await;
    replicas.expect_totals(&upstream).await;
    (upstream, replicas)
}

#[tokio::test]
async fn a_single_server() {
    let redis = Redis::start().await;
    shares(&redis.arguments()).await;
    for key in redis.keys().await {
        assert!(
            key.starts_with("roundhouse:"),
            "a key without our prefix: {key:?}"
        );
    }
}

#[tokio::test]
async fn a_server_with_tls() {
    let certificates = Certificates::for_name("127.0.0.1");
    let redis = Redis::prepare().tls(&certificates).start().await;
    shares(&redis.arguments()).await;
}

#[tokio::test]
async fn a_user_with_few_rights_and_a_password_file() {
    let redis = Redis::prepare().protected("roundhouse").start().await;
    let (_, replicas) = shares(&redis.arguments()).await;
    let password = std::fs::read_to_string(redis.password_file()).unwrap();
    for gateway in replicas.iter() {
        assert!(
            !gateway.log().contains(password.trim()),
            "the password is in the log"
        );
    }
}

#[tokio::test]
async fn a_new_password_needs_no_restart() {
    let redis = Redis::prepare().protected("roundhouse").start().await;
    let (upstream, replicas) = shares(&redis.arguments()).await;
    std::fs::write(redis.password_file(), "a-new-password-0123456789\n").unwrap();
    redis.change_password("a-new-password-0123456789").await;
    // Whoever was asked while it was connecting decided alone.
    replicas.until_store_is(true).await;
    replicas.client(0).chat("m").await.expect(200);
    replicas.client(1).chat("m").await.expect(200);
    replicas.until_store_is(true).await;
    replicas.expect_totals(&upstream).await;
}

#[tokio::test]
async fn two_installations_in_one_server_do_not_meet() {
    let redis = Redis::start().await;
    let with_prefix = |prefix: &str| {
        let flag = ["--redis-prefix".to_owned(), prefix.to_owned()];
        [redis.arguments(), flag.to_vec()].concat()
    };
    let (first, replicas) = shares(&with_prefix("first")).await;
    let keys = redis.keys().await;
    assert!(!keys.is_empty(), "what is shared is in Redis");
    for key in keys {
        assert!(key.starts_with("first:"), "a key without the prefix: {key:?}");
    }
    let before = first.counts();
    shares(&with_prefix("second")).await;
    assert_eq!(first.counts(), before);
    replicas.expect_totals(&first).await;
}

#[tokio::test]
async fn a_sentinels_master() {
    let sentinel = Sentinel::start().await;
    shares(&sentinel.arguments()).await;
    assert!(
        !sentinel.master().await.keys().await.is_empty(),
        "what is shared is on the master"
    );
}

#[tokio::test]
async fn a_cluster() {
    let cluster = Cluster::start().await;
    shares(&cluster.arguments()).await;
    assert!(
        !cluster.keys().await.is_empty(),
        "what is shared is in the Cluster"
    );
}
