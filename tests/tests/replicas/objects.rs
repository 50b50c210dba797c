//! Objects that only one account knows are found from every replica.

use std::time::Duration;

use harness::{Answer, Fixture, Redis, Replicas, Upstream, eventually};
use serde_json::json;

/// Asks for an object until it is found: that it was made is told to the others a moment later.
async fn find(replicas: &Replicas, turn: usize, path: &str) -> Answer {
    eventually(
        &format!("replica {turn} finds {path}"),
        Duration::from_secs(5),
        || async {
            let answer = replicas.client(turn).get(path).await;
            (answer.status == 200).then_some(answer)
        },
    )
    .await
}

#[tokio::test]
async fn a_stored_response_is_found_from_every_replica() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a", "b", "c"]);
    let replicas = Replicas::start_patient(3, &redis.arguments(), &fixture).await;
    for streamed in [false, true] {
        for maker in 0..3 {
            let body = json!({ "model": "m", "input": "x", "stream": streamed });
            let client = replicas.client(maker);
            let answer = client.post("/v1/responses", &body).await.expect(200);
            let id = if streamed {
                answer.frames()[0].json()["response"]["id"].clone()
            } else {
                answer.json()["id"].clone()
            };
            let id = id.as_str().unwrap();
            let owner = upstream.last().credential().to_owned();
            for turn in maker + 1..maker + 3 {
                find(&replicas, turn, &format!("/v1/responses/{id}")).await;
                assert_eq!(
                    upstream.last().credential(),
                    owner,
                    "replica {turn} asks for {id} where it was made"
                );
                let body = json!({ "model": "m", "input": "y", "previous_response_id": id });
                let next = replicas.client(turn).post("/v1/responses", &body).await;
                next.expect(200);
                assert_eq!(
                    upstream.last().credential(),
                    owner,
                    "replica {turn} goes on with {id} where it was made"
                );
            }
        }
    }
}

#[tokio::test]
async fn an_id_that_nobody_made_is_not_guessed_at() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a", "b"]);
    let replicas = Replicas::start_patient(2, &redis.arguments(), &fixture).await;
    let path = "/v1/responses/resp_a_0_0";
    replicas.client(0).get(path).await.openai_error(404);
    replicas.client(1).get(path).await.openai_error(404);
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_file_is_found_from_every_replica() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a", "b"]);
    let replicas = Replicas::start_patient(2, &redis.arguments(), &fixture).await;
    let form = "--B\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nassistants\r\n\
        --B\r\ncontent-disposition: form-data; name=\"file\"; filename=\"f.txt\"\r\n\r\nhello\r\n--B--\r\n";
    let made = replicas
        .client(0)
        .request("POST", "/p/v1/files")
        .header("content-type", "multipart/form-data; boundary=B")
        .body(form)
        .send()
        .await
        .expect(200)
        .json();
    let owner = upstream.last().credential().to_owned();
    let id = made["id"].as_str().unwrap();
    find(&replicas, 1, &format!("/v1/files/{id}")).await;
    assert_eq!(upstream.last().credential(), owner);
}

#[tokio::test]
async fn going_on_elsewhere_takes_one_trip_to_the_store() {
    let redis = Redis::start().await;
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a", "b", "c"]);
    let replicas = Replicas::start_patient(2, &redis.arguments(), &fixture).await;
    for _ in 0..3 {
        let body = json!({ "model": "m", "input": "x" });
        let made = replicas.client(0).post("/v1/responses", &body).await.expect(200);
        let owner = upstream.last().credential().to_owned();
        let id = made.json()["id"].as_str().unwrap().to_owned();
        eventually("the store knows the response", Duration::from_secs(5), || async {
            let known = redis.cli(&["KEYS", "*:b:*"]).await.lines().count();
            (known == upstream.count()).then_some(())
        })
        .await;
        let body = json!({ "model": "m", "input": "y", "previous_response_id": id, "store": false });
        replicas.client(1).post("/v1/responses", &body).await.expect(200);
        assert_eq!(
            upstream.last().credential(),
            owner,
            "it goes on where it was made"
        );
        eventually(
            "what the second made is known too",
            Duration::from_secs(5),
            || async {
                let known = redis.cli(&["KEYS", "*:b:*"]).await.lines().count();
                (known == upstream.count()).then_some(())
            },
        )
        .await;
    }
    let metrics = replicas[1].metrics().await;
    let trips = |command| metrics.sum("roundhouse_store_command_seconds_count", &[("command", command)]);
    assert!(trips("pick") >= 3.0, "each call picks: {}", trips("pick"));
    assert!(trips("get") < 1.0, "and asks for nothing before");
}
