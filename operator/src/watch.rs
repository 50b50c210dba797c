//! Follows the cluster: watches and reads feed the [index](crate::index), and what it comes to is compiled and published.

mod contact;
mod decode;
mod follow;
mod pace;
mod read;

use std::{collections::BTreeMap, sync::Arc};

use anyhow::bail;
use kube::Client;
use tokio::{
    sync::{Notify, mpsc},
    task::JoinSet,
    time::{Instant, sleep_until},
};

pub use contact::{Contact, Party};

use crate::{
    index::{Change, Directive, Index, Scope, SecretPolicy},
    publish::Publisher,
};
use follow::Follower;
use pace::Pace;
use read::Readers;

/// Events that wait for the index. Beyond it, watches are read more slowly.
const QUEUE: usize = 256;

/// What is followed.
#[derive(Clone, Debug)]
pub struct WatchSettings {
    /// The namespaces; `None` for all.
    pub namespaces: Option<Vec<String>>,
    /// Which Secrets may be used.
    pub secret_policy: SecretPolicy,
}

/// Follows the cluster and publishes what it comes to, for ever. An error is a panic of one of its tasks.
pub async fn run(
    client: Client,
    settings: WatchSettings,
    contact: Contact,
    mut publisher: Publisher,
) -> anyhow::Result<()> {
    let scopes = Scope::all(settings.namespaces.as_deref());
    let mut index = Index::new(scopes.iter().cloned(), settings.secret_policy);
    let (sender, mut events) = mpsc::channel(QUEUE);
    let mut readers = Readers::new(client.clone(), contact.clone(), sender.clone());
    let mut relists = BTreeMap::new();
    let mut followers = JoinSet::new();
    for scope in scopes {
        let relist = Arc::new(Notify::new());
        relists.insert(scope.clone(), relist.clone());
        let follower = Follower {
            client: client.clone(),
            party: contact.party(scope.to_string()),
            scope,
            events: sender.clone(),
            relist,
        };
        followers.spawn(follower.run());
    }
    let mut pace = Pace::default();
    let mut change = Change::None;
    let mut digest_key = publisher.digest_key();
    loop {
        let due = pace.due().filter(|_| index.is_synced());
        tokio::select! {
            Some(event) = events.recv() => {
                let was_synced = index.is_synced();
                let mut news = index.take(event);
                // What came with it is of one burst, and is cheaper together.
                for _ in 0..QUEUE {
                    let Ok(event) = events.try_recv() else { break };
                    news = news.max(index.take(event));
                }
                if news > Change::None || was_synced != index.is_synced() {
                    pace.changed(Instant::now());
                }
                change = change.max(news);
                for directive in index.directives() {
                    match directive {
                        Directive::Relist(scope) => {
                            if let Some(relist) = relists.get(&scope) {
                                relist.notify_one();
                            }
                        }
                        Directive::Fetch(identity) => readers.fetch(identity),
                        Directive::Forget(identity) => readers.forget(&identity),
                    }
                }
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                let begun = Instant::now();
                publisher.publish(index.objects(), index.refused(), change).await;
                change = Change::None;
                pace.done(begun, Instant::now());
            }
            Ok(()) = digest_key.changed() => {
                change = Change::Content;
                pace.changed(Instant::now());
            }
            Some(ended) = followers.join_next() => bail!("following the cluster ended: {ended:?}"),
            error = readers.failed() => bail!("reading Secrets ended: {error}"),
        }
    }
}
