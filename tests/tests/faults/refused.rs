//! The store answers every write with an error.

use harness::Redis;

use crate::trial::Trial;

#[tokio::test]
async fn a_password_that_is_wrong_all_of_a_sudden() {
    let redis = Redis::prepare().protected("roundhouse").start().await;
    let trial = Trial::start(&redis.arguments()).await;
    let password = std::fs::read_to_string(redis.password_file()).unwrap();
    redis.change_password("nobody-told-the-gateways").await;
    trial.expect_outage().await;
    for gateway in trial.replicas.iter() {
        assert!(
            !gateway.log().contains(password.trim()),
            "the password is in the log"
        );
    }
    redis.change_password(password.trim()).await;
    trial.end("the password was wrong").await;
}

#[tokio::test]
async fn a_redis_without_memory() {
    let redis = Redis::start().await;
    let trial = Trial::start(&redis.arguments()).await;
    redis.cli(&["config", "set", "maxmemory", "1"]).await;
    trial.expect_outage().await;
    redis.cli(&["config", "set", "maxmemory", "0"]).await;
    trial.end("Redis was out of memory").await;
}

#[tokio::test]
async fn a_redis_that_became_a_replica() {
    let redis = Redis::start().await;
    let trial = Trial::start(&redis.arguments()).await;
    // Of a master that is not there: it keeps what it has, and refuses to change it.
    redis.cli(&["replicaof", "127.0.0.1", "1"]).await;
    trial.expect_outage().await;
    redis.cli(&["replicaof", "no", "one"]).await;
    trial.end("Redis was read-only").await;
}
