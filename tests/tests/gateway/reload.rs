//! Resource files that change while the gateway runs.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use harness::{Fixture, Gate, Gateway, Reply, Upstream, When, eventually};
use serde_json::json;

use crate::frames::{DONE, content, finish};

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn changes_take_effect_without_a_dropped_request() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a", "b"]);
    let gateway = Gateway::start(fixture.clone()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (client, stop) = (gateway.client(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut calls = 0;
                while !stop.load(Ordering::SeqCst) {
                    client.chat("m").await.expect(200);
                    calls += 1;
                }
                calls
            })
        })
        .collect();
    for round in 0..5 {
        let name = format!("n{round}");
        let next = fixture
            .clone()
            .provider(&name, &upstream.url("/v1"), &[&name])
            .credential(&name, &name);
        gateway.apply(&next);
        eventually("the new model is served", SOON, || async {
            (gateway.client().chat(&name).await.status == 200).then_some(())
        })
        .await;
    }
    gateway.apply(&fixture.clone().without("Credential", "a"));
    eventually("the removed credential is not used", SOON, || async {
        let before = upstream.counts()["a"];
        for _ in 0..4 {
            gateway.client().chat("m").await.expect(200);
        }
        (upstream.counts()["a"] == before).then_some(())
    })
    .await;
    stop.store(true, Ordering::SeqCst);
    for caller in callers {
        assert!(caller.await.unwrap() > 0);
    }
}

#[tokio::test]
async fn a_stream_outlives_the_credential_that_serves_it() {
    let upstream = Upstream::start().await;
    let gate = Gate::new();
    upstream.once(
        When::any(),
        Reply::stream()
            .chunk(content("Hello"))
            .until(&gate)
            .chunk(format!("{}{DONE}", finish()))
            .end(),
    );
    let fixture = Fixture::pool(&upstream, ["a"]);
    let gateway = Gateway::start(fixture.clone()).await;
    let mut stream = gateway.client().chat_stream("m").await;
    stream.until("Hello").await;
    gateway.apply(&fixture.without("Credential", "a"));
    eventually("it is gone", SOON, || async {
        (gateway.client().chat("m").await.status != 200).then_some(())
    })
    .await;
    gate.open();
    stream.finish().await.expect(200);
}

#[tokio::test]
async fn an_object_that_became_bad_keeps_its_last_good_version() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a"]);
    let gateway = Gateway::start(fixture.clone()).await;
    gateway.client().chat("m").await.expect(200);

    let bad = fixture
        .clone()
        .amend("Provider", "p", "/spec/nonsense", json!(true))
        .provider("marker", &upstream.url("/v1"), &["marker"])
        .credential("marker", "b");
    gateway.apply(&bad);
    eventually("the good part of the file is in effect", SOON, || async {
        (gateway.client().chat("marker").await.status == 200).then_some(())
    })
    .await;
    gateway.client().chat("m").await.expect(200);
    gateway.logged("nonsense").await;

    let file = gateway.resources().join("resources.yaml");
    fs::write(&file, "kind: [\n\tbroken").unwrap();
    gateway.logged("resources.yaml").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    gateway.client().chat("m").await.expect(200);
    gateway.client().chat("marker").await.expect(200);

    gateway.apply(&fixture);
    eventually("a good file is in effect again", SOON, || async {
        (gateway.client().chat("marker").await.status == 404).then_some(())
    })
    .await;
    gateway.client().chat("m").await.expect(200);
}

#[tokio::test]
async fn files_may_come_and_go() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    let more = Fixture::new()
        .provider("q", &upstream.url("/v1"), &["q"])
        .credential("q", "b");
    let folder = gateway.resources();
    fs::write(folder.join("more.yml"), more.yaml()).unwrap();
    eventually("a new file is read", SOON, || async {
        (gateway.client().chat("q").await.status == 200).then_some(())
    })
    .await;
    fs::remove_file(folder.join("more.yml")).unwrap();
    eventually("a removed file is forgotten", SOON, || async {
        (gateway.client().chat("q").await.status == 404).then_some(())
    })
    .await;
    gateway.client().chat("m").await.expect(200);
}

#[tokio::test]
async fn variables_and_files_are_expanded_and_files_are_watched() {
    let upstream = Upstream::start().await;
    let keys = tempfile_folder();
    let key_file = keys.join("key");
    fs::write(&key_file, "sk-one-0123456789abcdef\n").unwrap();
    let fixture = Fixture::pool(&upstream, ["a"])
        .amend(
            "Secret",
            "a-key",
            "/stringData/api-key",
            json!(format!("${{file:{}}}", key_file.display())),
        )
        .amend(
            "Provider",
            "p",
            "/spec/url",
            json!("${ROUNDHOUSE_TEST_URL:-http://127.0.0.1:9/v1}"),
        );
    let gateway = Gateway::with(fixture)
        .variable("ROUNDHOUSE_TEST_URL", &upstream.url("/v1"))
        .start()
        .await;
    gateway.client().chat("m").await.expect(200);
    assert_eq!(
        upstream.last().credential(),
        "one",
        "without the line feed at the end"
    );
    fs::write(&key_file, "sk-two-0123456789abcdef").unwrap();
    eventually("the changed file is read", SOON, || async {
        gateway.client().chat("m").await.expect(200);
        (upstream.last().credential() == "two").then_some(())
    })
    .await;
    fs::remove_dir_all(keys).unwrap();
}

#[tokio::test]
async fn a_client_key_that_is_removed_stops_working() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a"]).client("other", "rh-other-key-0123456789abcdef");
    let gateway = Gateway::start(fixture.clone()).await;
    let other = gateway.client_with("rh-other-key-0123456789abcdef");
    other.chat("m").await.expect(200);
    gateway.apply(&fixture.without("ClientKey", "other"));
    eventually("the key is refused", SOON, || async {
        (other.chat("m").await.status == 401).then_some(())
    })
    .await;
    gateway.client().chat("m").await.expect(200);
}

fn tempfile_folder() -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("roundhouse-keys-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}
