//! When a replica says that it is ready.

use std::{sync::Arc, time::Duration};

use proto::Contents;
use snapshot::Secret;
use tokio::{task::JoinSet, time::sleep};

use super::*;
use crate::{authority::testing::issue, published::Published};

#[tokio::test(start_paused = true)]
async fn it_is_ready_when_everything_was_read_and_there_is_a_certificate() {
    let health = Health::new();
    health.not_ready("Syncing", "not everything was read yet");
    let (publish, publications) = watch::channel(None);
    let (present, presented) = watch::channel(None);
    let mut tasks = JoinSet::new();
    tasks.spawn(tell_when_ready(health.clone(), publications, presented));
    let after = async |expected: (bool, &str)| {
        sleep(Duration::from_secs(1)).await;
        let state = health.state();
        assert_eq!((state.ready, state.reason), expected, "{}", state.detail);
    };

    after((false, "Syncing")).await;
    publish.send_replace(Some(Arc::new(Published {
        contents: Contents::new(Arc::default(), Arc::default(), Secret::new("a key of digests")),
        conditions: Arc::default(),
        objects: Arc::default(),
    })));
    after((false, "NoCertificate")).await;
    present.send_replace(Some(issue().1));
    after((true, "Ready")).await;
    assert!(
        tasks.try_join_next().is_none(),
        "its end would be the end of the process"
    );
}

#[tokio::test(start_paused = true)]
async fn a_certificate_alone_is_not_enough() {
    let health = Health::new();
    let (_publish, publications) = watch::channel(None);
    let (_present, presented) = watch::channel(Some(issue().1));
    let mut tasks = JoinSet::new();
    tasks.spawn(tell_when_ready(health.clone(), publications, presented));
    sleep(Duration::from_secs(1)).await;
    assert!(!health.state().ready);
}
