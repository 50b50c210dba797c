//! A server that answers, and does not serve.

use redis::Value;

use super::{added, down, open, settings, up};
use crate::redis::{
    link::{Away, LinkSettings, Why},
    testing::{Folder, Server},
};

#[tokio::test]
async fn a_full_server_is_away_until_it_has_room() {
    let server = Server::start(&["--maxmemory-policy", "noeviction"]).await;
    let (link, _) = open(settings(&server.url()));
    let first = up(&link).await;
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(
        added(&link, "n").await,
        Err(Away::NotRun(Why::OutOfMemory)),
        "it refuses to write"
    );
    assert!(!link.is_up(), "one answer is enough");
    down(&link, Why::OutOfMemory).await;
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(up(&link).await, first, "the connection was kept");
    assert_eq!(
        added(&link, "n").await,
        Ok(Value::Int(1)),
        "it has not run before"
    );
}

#[tokio::test]
async fn a_server_that_becomes_a_replica_is_away() {
    let server = Server::start(&[]).await;
    let (link, _) = open(settings(&server.url()));
    let first = up(&link).await;
    server.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    assert_eq!(
        added(&link, "n").await,
        Err(Away::NotRun(Why::ReadOnly)),
        "it refuses to write"
    );
    down(&link, Why::ReadOnly).await;
    server.cli(&["REPLICAOF", "NO", "ONE"]);
    assert!(
        up(&link).await > first,
        "another connection might have led to another server"
    );
}

#[tokio::test]
async fn a_replica_without_its_master_is_away() {
    let args = [
        "--replicaof",
        "127.0.0.1",
        "1",
        "--replica-serve-stale-data",
        "no",
    ];
    let server = Server::start(&args).await;
    let (link, _) = open(settings(&server.url()));
    down(&link, Why::NoMaster).await;
}

#[tokio::test]
async fn a_master_with_too_few_replicas_is_away() {
    let server = Server::start(&["--min-replicas-to-write", "1"]).await;
    let (link, _) = open(settings(&server.url()));
    down(&link, Why::Rejected).await;
    server.cli(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    up(&link).await;
}

#[tokio::test]
async fn a_server_that_loads_is_away() {
    // It loads a hundred keys in a second, and answers between every 2 MB.
    let slowly = ["--key-load-delay", "10000", "--rdbcompression", "no"];
    let mut server = Server::start(&slowly).await;
    let fill = "for n = 1, 200 do redis.call('SET', n, string.rep('x', 100 * 1024)) end";
    server.cli(&["EVAL", fill, "0"]);
    server.cli(&["SAVE"]);
    server.restart().await;
    let (link, _) = open(settings(&server.url()));
    down(&link, Why::Loading).await;
    up(&link).await;
}

#[tokio::test]
async fn a_busy_server_is_away() {
    let server = Server::start(&["--lua-time-limit", "100"]).await;
    let (link, _) = open(settings(&server.url()));
    up(&link).await;
    let port = server.port().to_string();
    let mut endless = std::process::Command::new("redis-cli")
        .args(["-p", &port, "EVAL", "while true do end", "0"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("redis-cli runs");
    down(&link, Why::Slow).await;
    server.cli(&["SCRIPT", "KILL"]);
    endless.wait().expect("it ends with its script");
    up(&link).await;
}

#[tokio::test]
async fn a_password_is_read_for_every_connection() {
    let server = Server::start(&["--requirepass", "first"]).await;
    let folder = Folder::new();
    let file = folder.path().join("password");
    let address = format!("redis://:ignored@127.0.0.1:{}", server.port());
    let (link, _) = open(LinkSettings {
        password_file: Some(file.clone()),
        ..settings(&address)
    });
    down(&link, Why::Unauthenticated).await;
    folder.write("password", "wrong");
    assert!(!link.is_up(), "it is not let in");
    folder.write("password", "first\n");
    up(&link).await;

    let first = ["-a", "first", "--no-auth-warning"];
    let cli = |args: &[&str]| server.cli(&[&first[..], args].concat());
    assert_eq!(
        cli(&["CONFIG", "SET", "requirepass", "second"]),
        "OK",
        "the password changes"
    );
    added(&link, "n").await.expect("who is in stays in");
    folder.write("password", "second\r\n");
    let second = ["-a", "second", "--no-auth-warning"];
    server.cli(&[&second[..], &["CLIENT", "KILL", "TYPE", "normal"]].concat());
    down(&link, Why::Unreachable).await;
    up(&link).await;
}

#[tokio::test]
async fn a_wrong_password_is_named_and_never_printed() {
    let server = Server::start(&["--requirepass", "right"]).await;
    let (without, _) = open(settings(&server.url()));
    down(&without, Why::Unauthenticated).await;
    let (link, _) = open(settings(&format!("redis://:canary@127.0.0.1:{}", server.port())));
    down(&link, Why::Unauthenticated).await;
    assert!(!format!("{link:?}").contains("canary"), "{link:?}");
}

#[tokio::test]
async fn a_user_needs_scripts_its_keys_and_nothing_else() {
    let server = Server::start(&[]).await;
    let address = |user: &str| format!("redis://{user}:secret@127.0.0.1:{}", server.port());
    let user = [
        "ACL",
        "SETUSER",
        "gateway",
        "on",
        ">secret",
        "~roundhouse:*",
        "~n",
    ];
    let allowed = ["+evalsha", "+eval", "+set", "+incrby"];
    assert_eq!(server.cli(&[&user[..], &allowed].concat()), "OK", "a user");
    let (link, _) = open(settings(&address("gateway")));
    up(&link).await;
    assert_eq!(added(&link, "n").await, Ok(Value::Int(1)), "it is let in");

    let refused = added(&link, "other").await;
    let Err(Away::Refused { code, .. }) = refused else {
        panic!("expected a refusal, found {refused:?}");
    };
    assert_eq!(code, "NOPERM", "a key that is not its own");
    assert!(link.is_up(), "others are");
    server.cli(&["ACL", "SETUSER", "gateway", "-evalsha", "-eval"]);
    down(&link, Why::Forbidden).await;

    let user = ["ACL", "SETUSER", "reader", "on", ">secret", "~*", "+get"];
    assert_eq!(server.cli(&user), "OK", "another user");
    let (link, _) = open(settings(&address("reader")));
    down(&link, Why::Forbidden).await;
}
