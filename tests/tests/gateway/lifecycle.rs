//! Starting, ending, and being asked to hurry.

use std::time::{Duration, Instant};

use harness::{Fixture, Gate, Gateway, Reply, Upstream, When, binary, eventually, sse};

use crate::frames::{DONE, content, finish};

fn held(gate: &Gate) -> Reply {
    Reply::stream()
        .chunk(content("Hello"))
        .until(gate)
        .chunk(format!("{}{}{DONE}", content(" again"), finish()))
        .end()
}

#[tokio::test]
async fn a_stream_is_finished_before_the_process_ends() {
    let upstream = Upstream::start().await;
    let gate = Gate::new();
    upstream.on(When::any(), held(&gate));
    let mut gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    let mut stream = gateway.client().chat_stream("m").await;
    stream.until("Hello").await;
    gateway.terminate();
    tokio::time::sleep(Duration::from_millis(500)).await;
    gate.open();
    let answer = stream.finish().await.expect(200);
    assert_eq!(sse::chat_text(&answer.frames()), " again");
    let status = gateway.exit(Duration::from_secs(10)).await;
    assert_eq!(status.code(), Some(0), "{status}");
}

#[tokio::test]
async fn it_is_unready_first_and_serves_on_for_a_while() {
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::with(Fixture::pool(&upstream, ["a"]))
        .arguments(&["--drain-min", "2s"])
        .start()
        .await;
    gateway.admin().get("/healthz").await.expect(200);
    gateway.terminate();
    eventually("not ready any more", Duration::from_secs(1), || async {
        let answer = gateway.admin().request("GET", "/readyz").attempt().await;
        answer.is_ok_and(|answer| answer.status == 503).then_some(())
    })
    .await;
    gateway.admin().get("/healthz").await.expect(200);
    gateway.client().chat("m").await.expect(200);
    let status = gateway.exit(Duration::from_secs(10)).await;
    assert_eq!(status.code(), Some(0), "{status}");
}

#[tokio::test]
async fn what_does_not_end_in_time_is_ended_in_its_dialect() {
    let upstream = Upstream::start().await;
    upstream.on(
        When::any(),
        Reply::stream().forever(content("more "), Duration::from_millis(50)),
    );
    let mut gateway = Gateway::with(Fixture::pool(&upstream, ["a"]))
        .arguments(&["--drain-min", "0s", "--drain-max", "1s"])
        .start()
        .await;
    let mut stream = gateway.client().chat_stream("m").await;
    stream.until("more").await;
    let started = Instant::now();
    gateway.terminate();
    let answer = stream.finish().await.expect(200);
    let frames = answer.frames();
    assert!(
        frames[frames.len() - 2].json()["error"]["message"].is_string(),
        "{:?}",
        frames.last()
    );
    assert_eq!(frames.last().unwrap().data, "[DONE]");
    let status = gateway.exit(Duration::from_secs(10)).await;
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(
        started.elapsed() >= Duration::from_millis(900),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let upstream = Upstream::start().await;
    upstream.on(
        When::any(),
        Reply::stream().forever(content("more "), Duration::from_millis(50)),
    );
    let mut gateway = Gateway::with(Fixture::pool(&upstream, ["a"]))
        .arguments(&["--drain-min", "60s"])
        .start()
        .await;
    let mut stream = gateway.client().chat_stream("m").await;
    stream.until("more").await;
    gateway.terminate();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let started = Instant::now();
    gateway.terminate();
    gateway.exit(Duration::from_secs(5)).await;
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn an_idle_gateway_ends_at_once() {
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    gateway.client().chat("m").await.expect(200);
    gateway.terminate();
    let status = gateway.exit(Duration::from_secs(5)).await;
    assert_eq!(status.code(), Some(0), "{status}");
}

#[tokio::test]
async fn without_any_resources_it_starts_and_says_what_is_missing() {
    let gateway = Gateway::with(Fixture::new()).without_waiting().start().await;
    gateway.admin().get("/healthz").await.expect(200);
    gateway.admin().get("/metrics").await.expect(200);
}

#[tokio::test]
async fn two_processes_do_not_share_a_state_folder() {
    let upstream = Upstream::start().await;
    let first = Gateway::start(Fixture::pool(&upstream, ["a"])).await;
    let second = std::process::Command::new(binary())
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
            "--resources",
        ])
        .arg(first.resources())
        .arg("--state-dir")
        .arg(first.state())
        .output()
        .unwrap();
    assert_eq!(
        second.status.code(),
        Some(1),
        "{}",
        String::from_utf8_lossy(&second.stderr)
    );
    assert!(
        String::from_utf8_lossy(&second.stderr).contains("in use by process"),
        "{}",
        String::from_utf8_lossy(&second.stderr)
    );
}

#[tokio::test]
async fn bad_usage_is_exit_code_2() {
    for arguments in [
        vec!["serve"],
        vec!["serve", "--no-such-flag"],
        vec!["nonsense"],
        vec!["serve", "--resources", ".", "--discovery", "https://x"],
    ] {
        let done = std::process::Command::new(binary())
            .args(&arguments)
            .output()
            .unwrap();
        assert_eq!(
            done.status.code(),
            Some(2),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
}
