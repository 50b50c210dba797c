//! One server.

use redis::Value;

use super::{ADD, Report, add, added, down, open, settings, up};
use crate::redis::{
    link::{Away, Link, LinkState, Urgency, Why},
    testing::Server,
};

#[tokio::test]
async fn a_script_runs_whether_the_server_knows_it_or_not() {
    let server = Server::start(&[]).await;
    let (link, seen) = open(settings(&server.url()));
    assert_eq!(
        added(&link, "n").await,
        Err(Away::NotRun(Why::Starting)),
        "nothing waits for the first connection"
    );
    assert!(!link.is_up(), "it starts down");
    up(&link).await;
    assert_eq!(
        added(&link, "n").await,
        Ok(Value::Int(1)),
        "the server does not know the script"
    );
    assert_eq!(added(&link, "n").await, Ok(Value::Int(2)), "now it does");
    server.cli(&["SCRIPT", "FLUSH"]);
    let calls = [add("n", 10), add("m", 1), add("n", 100)];
    let results = link.run_all(&calls, Urgency::Awaited).await;
    let numbers = [12, 1, 112].map(|number| Ok(Value::Int(number)));
    assert_eq!(results, numbers, "all of a pipeline were forgotten");
    let expected = [
        Report::Up,
        Report::Command("add", true),
        Report::Command("add", true),
        Report::Command("add", true),
        Report::Command("add", true),
        Report::Command("add", true),
    ];
    assert_eq!(seen.all(), expected, "what was not sent is not reported");
}

#[tokio::test]
async fn scripts_of_the_settings_are_known_from_the_start() {
    let server = Server::start(&[]).await;
    let mut settings = settings(&server.url());
    settings.scripts = vec![&ADD];
    let (link, _) = open(settings);
    up(&link).await;
    added(&link, "n").await.expect("it is up");
    let stats = server.cli(&["INFO", "commandstats"]);
    assert!(
        stats.contains("cmdstat_eval:calls=1,"),
        "one for the probe, none for the script: {stats}"
    );
}

#[tokio::test]
async fn an_error_of_a_script_is_its_callers() {
    let server = Server::start(&[]).await;
    let (link, seen) = open(settings(&server.url()));
    up(&link).await;
    server.cli(&["RPUSH", "list", "x"]);
    for _ in 0..5 {
        let results = link
            .run_all(&[add("n", 1), add("list", 1)], Urgency::Awaited)
            .await;
        assert!(
            matches!(results.first(), Some(Ok(Value::Int(_)))),
            "its neighbour runs: {results:?}"
        );
        let Some(Err(Away::Refused { code, .. })) = results.get(1) else {
            panic!("expected a refusal, found {results:?}");
        };
        assert_eq!(code, "WRONGTYPE", "the code is the command's");
    }
    assert_eq!(seen.changes(), [Report::Up], "the store is not away");
}

#[tokio::test]
async fn a_killed_server_costs_one_call_and_is_found_again() {
    let mut server = Server::start(&[]).await;
    let (link, seen) = open(settings(&server.url()));
    let first = up(&link).await;
    server.kill();
    down(&link, Why::Unreachable).await;
    assert_eq!(
        added(&link, "n").await,
        Err(Away::NotRun(Why::Unreachable)),
        "nothing is sent"
    );
    server.restart().await;
    let second = up(&link).await;
    assert!(
        second > first,
        "another connection has another number: {first}, {second}"
    );
    assert_eq!(
        added(&link, "n").await,
        Ok(Value::Int(1)),
        "the scripts are taught anew"
    );
    assert_eq!(
        seen.changes(),
        [Report::Up, Report::Down(Why::Unreachable), Report::Up],
        "each change is told once"
    );
}

#[tokio::test]
async fn the_end_of_a_former_connection_is_no_news() {
    let mut server = Server::start(&[]).await;
    let (link, _) = open(settings(&server.url()));
    up(&link).await;
    let former = link.shared.current().expect("it is up");
    server.restart().await;
    down_or_newer(&link, former.connection).await;
    up(&link).await;
    let late = former.wire.send(&redis::cmd("PING")).await;
    assert!(late.is_err(), "its server is gone: {late:?}");
    assert_eq!(
        link.shared.conclude(&former, late),
        Err(Away::Unknown(Why::Unreachable)),
        "the call has failed"
    );
    assert!(link.is_up(), "the present connection has not");
}

async fn down_or_newer(link: &Link, than: u64) {
    let is = |state: &LinkState| !matches!(state, LinkState::Up { connection, .. } if *connection == than);
    super::reached(link, is).await;
}
