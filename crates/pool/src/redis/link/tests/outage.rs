//! A server that is there and does not answer.

use futures_util::FutureExt;
use redis::Value;
use tokio::task::JoinSet;

use super::{Report, add, added, down, open, settings, up};
use crate::redis::{
    link::{Away, Link, Urgency, Why},
    testing::Server,
};

/// Calls whose futures are done when they are first looked at: nothing was waited for.
fn costs_nothing(link: &Link, why: Why) {
    let away = Err(Away::NotRun(why));
    for _ in 0..1000 {
        let one = added(link, "n").now_or_never().expect("it does not wait");
        assert_eq!(one, away, "a call");
        let calls = [add("n", 1), add("m", 1)];
        let all = link.run_all(&calls, Urgency::Background).now_or_never();
        assert_eq!(
            all.expect("it does not wait"),
            [away.clone(), away.clone()],
            "two calls"
        );
        let mut command = redis::cmd("GET");
        command.arg("n");
        let plain = link.command("get", &command, Urgency::Awaited).now_or_never();
        assert_eq!(plain.expect("it does not wait"), away, "a command");
    }
}

#[tokio::test]
async fn a_frozen_server_costs_the_first_calls_their_deadline_and_the_rest_nothing() {
    let server = Server::start(&[]).await;
    let (link, seen) = open(settings(&server.url()));
    up(&link).await;
    server.freeze();
    assert_eq!(
        added(&link, "n").await,
        Err(Away::Unknown(Why::Slow)),
        "it may run when the server goes on"
    );
    while link.is_up() {
        assert!(added(&link, "n").await.is_err(), "nobody answers");
    }
    down(&link, Why::Slow).await;
    let sent = seen.all().len();
    costs_nothing(&link, Why::Slow);
    assert_eq!(seen.all().len(), sent, "nothing was sent");
    server.thaw();
    up(&link).await;
    added(&link, "n").await.expect("it answers again");
    assert_eq!(
        seen.changes(),
        [Report::Up, Report::Down(Why::Slow), Report::Up],
        "one outage, one reason"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_at_once_open_it_together() {
    let server = Server::start(&[]).await;
    let (link, seen) = open(settings(&server.url()));
    up(&link).await;
    server.cli(&["CLIENT", "PAUSE", "3000"]);
    let mut calls = JoinSet::new();
    for _ in 0..200 {
        let link = link.clone();
        calls.spawn(async move { added(&link, "n").await });
    }
    for result in calls.join_all().await {
        assert_eq!(result, Err(Away::Unknown(Why::Slow)), "all were on their way");
    }
    down(&link, Why::Slow).await;
    costs_nothing(&link, Why::Slow);
    up(&link).await;
    let count = added(&link, "n").await;
    assert!(
        matches!(count, Ok(Value::Int(1..=201))),
        "late calls may have run: {count:?}"
    );
    assert_eq!(
        seen.changes(),
        [Report::Up, Report::Down(Why::Slow), Report::Up],
        "one outage"
    );
}

#[tokio::test]
async fn one_late_answer_is_no_outage() {
    let server = Server::start(&[]).await;
    let (link, seen) = open(settings(&server.url()));
    up(&link).await;
    assert_eq!(
        added(&link, "n").await,
        Ok(Value::Int(1)),
        "the server learns the script"
    );
    server.cli(&["CLIENT", "PAUSE", "500"]);
    assert_eq!(
        added(&link, "n").await,
        Err(Away::Unknown(Why::Slow)),
        "it is late"
    );
    let next = link.run(&add("n", 1), Urgency::Background).await;
    assert_eq!(
        next,
        Ok(Value::Int(3)),
        "the connection was kept, and the late call ran"
    );
    assert_eq!(seen.changes(), [Report::Up], "the store is not away");
}

#[tokio::test]
async fn a_connection_that_the_server_closes_is_replaced() {
    let server = Server::start(&[]).await;
    let (link, seen) = open(settings(&server.url()));
    let first = up(&link).await;
    server.cli(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    down_and_up(&link, first).await;
    added(&link, "n").await.expect("it is served");
    let expected = [Report::Up, Report::Down(Why::Unreachable), Report::Up];
    assert_eq!(seen.changes(), expected, "told without a call that failed");
}

#[tokio::test]
async fn a_server_without_resp3_is_served_too() {
    let mut server = Server::start(&["--rename-command", "HELLO", ""]).await;
    let (link, _) = open(settings(&server.url()));
    let first = up(&link).await;
    assert_eq!(added(&link, "n").await, Ok(Value::Int(1)), "it runs scripts");
    server.kill();
    down(&link, Why::Unreachable).await;
    server.restart().await;
    assert!(up(&link).await > first, "a probe found that it had gone");
}

async fn down_and_up(link: &Link, first: u64) {
    let newer = |state: &super::LinkState| matches!(state, super::LinkState::Up { connection, .. } if *connection > first);
    super::reached(link, newer).await;
}
