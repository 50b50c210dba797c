//! What was used, told the same by every replica.

use harness::{Fixture, Redis, Replicas, Upstream};

#[tokio::test]
async fn every_replica_tells_the_totals_of_all() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a", "b"]).admin();
    let replicas = Replicas::start_patient(3, &redis.arguments(), &fixture).await;
    // Uneven on purpose: replica 2 serves nobody.
    for turn in [0, 0, 0, 1, 1] {
        replicas.client(turn).chat("m").await.expect(200);
        replicas
            .client(turn)
            .chat_stream("m")
            .await
            .finish()
            .await
            .expect(200);
    }
    replicas.expect_totals(&upstream).await;
}

#[tokio::test]
async fn totals_outlive_the_gateways_that_counted_them() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a", "b"]).admin();
    let mut replicas = Replicas::start_patient(2, &redis.arguments(), &fixture).await;
    for turn in 0..6 {
        replicas.client(turn).chat("m").await.expect(200);
    }
    for number in 0..replicas.len() {
        replicas[number].terminate();
        let status = replicas[number].exit(std::time::Duration::from_secs(15)).await;
        assert_eq!(status.code(), Some(0), "{status}");
    }
    let later = Replicas::start_patient(2, &redis.arguments(), &fixture).await;
    later.expect_totals(&upstream).await;
    later.client(0).chat("m").await.expect(200);
    later.expect_totals(&upstream).await;
}
