//! A master with replicas under a Sentinel.

use redis::Value;

use super::{Link, LinkState, added, down, open, reached, settings, up};
use crate::redis::{
    link::Why,
    testing::{Replicated, Server},
};

/// Waits until another connection than this one is up.
async fn another(link: &Link, than: u64) -> u64 {
    let newer = |state: &LinkState| matches!(state, LinkState::Up { connection, .. } if *connection > than);
    reached(link, newer).await;
    up(link).await
}

fn on(group: &Replicated, port: u16) -> &Server {
    let found = group.servers.iter().find(|server| server.port() == port);
    found.expect("the master is one of ours")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_master_is_followed_by_a_replica() {
    let mut group = Replicated::start(2, None, &[]).await;
    let (link, _) = open(settings(&group.url()));
    let first = up(&link).await;
    assert_eq!(added(&link, "n").await, Ok(Value::Int(1)), "the master serves");
    let former = group.master();
    group.servers[0].kill();
    another(&link, first).await;
    added(&link, "m").await.expect("the new master serves");
    let master = group.master();
    assert_ne!(master, former, "there is a new master");
    assert_eq!(
        on(&group, master).cli(&["GET", "m"]),
        "1",
        "it has what was written"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_becomes_a_replica_is_left() {
    let group = Replicated::start(2, Some("secret"), &[]).await;
    let url = group.url().replace("://", "://:secret@");
    let (link, _) = open(settings(&url));
    let first = up(&link).await;
    let former = group.master();
    assert_eq!(
        group.sentinel.cli(&["SENTINEL", "FAILOVER", "main"]),
        "OK",
        "a failover"
    );
    another(&link, first).await;
    added(&link, "m").await.expect("the new master serves");
    let master = group.master();
    assert_ne!(master, former, "there is a new master");
    let get = ["-a", "secret", "--no-auth-warning", "GET", "m"];
    assert_eq!(on(&group, master).cli(&get), "1", "it has what was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_master_is_left() {
    let group = Replicated::start(1, None, &[]).await;
    let (link, _) = open(settings(&group.url()));
    let first = up(&link).await;
    group.servers[0].freeze();
    another(&link, first).await;
    let result = added(&link, "m").await;
    assert!(result.is_ok(), "the replica has become the master: {result:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_no_sentinel_knows_has_no_master() {
    let group = Replicated::start(0, None, &[]).await;
    let unreachable = format!(
        "redis-sentinel://127.0.0.1:1,127.0.0.1:{}/main",
        group.sentinel.port()
    );
    let (link, _) = open(settings(&unreachable));
    up(&link).await;
    let (link, _) = open(settings(&group.url().replace("/main", "/other")));
    down(&link, Why::NoMaster).await;
    let (link, _) = open(settings("redis-sentinel://127.0.0.1:1/main"));
    down(&link, Why::Unreachable).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sentinel_may_know_no_user_where_the_master_does() {
    let group = Replicated::start(0, None, &[]).await;
    for server in &group.servers {
        let user = ["ACL", "SETUSER", "gateway", "on", ">secret", "~*", "+@all"];
        assert_eq!(server.cli(&user), "OK", "a user");
    }
    let (link, _) = open(settings(&group.url().replace("://", "://gateway:secret@")));
    up(&link).await;
    assert_eq!(
        added(&link, "n").await,
        Ok(Value::Int(1)),
        "the master knows the user"
    );
    let (link, _) = open(settings(&group.url().replace("://", "://gateway:wrong@")));
    down(&link, Why::Unauthenticated).await;
}
