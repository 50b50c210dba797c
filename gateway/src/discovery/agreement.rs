//! What is served, laid together from what the replicas of the operator say. Pure: time is an argument.
//!
//! Versions have no order, and a replica may lag. So it counts what a replica *changes*: what it says is compared with
//! what the same replica said before, object by object, and only the difference is laid over what is served. A replica
//! that says again what it always said changes nothing, however late it says it.

use std::{
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use proto::{Contents, ObjectKey, Versions, apply, diff};

/// How long what is served may differ from what every connected replica says. Watches of the API server end after less.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// How the version of what no replica says as a whole begins.
const MIXED: &str = "mixed-";
/// How long a replica that went away is remembered.
pub(super) const MEMORY: Duration = Duration::from_secs(600);

/// What replicas say, and what it comes to.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    served: Option<Contents>,
    replicas: HashMap<SocketAddr, Replica>,
    /// How often a replica said something new.
    turns: u64,
    /// Since when no connected replica says just what is served.
    alone: Option<Instant>,
}

#[derive(Debug)]
struct Replica {
    said: Contents,
    /// When it said something new, counted in turns.
    turn: u64,
    /// When it went away; `None` while it is connected.
    left: Option<Instant>,
}

impl Agreement {
    /// Begins with what the run before has kept.
    pub(super) fn new(kept: Option<Contents>) -> Self {
        Self {
            served: kept,
            ..Self::default()
        }
    }

    /// What is served.
    pub(super) const fn served(&self) -> Option<&Contents> {
        self.served.as_ref()
    }

    /// A replica says what is to be served, for the first time or again. Gives what is served from now on, if that
    /// changes.
    pub(super) fn says(&mut self, replica: SocketAddr, said: Contents, now: Instant) -> Option<&Contents> {
        let before = self.replicas.get(&replica);
        let is_news = before.is_none_or(|before| before.said.versions() != said.versions());
        let next = match (&self.served, before) {
            (None, _) => Some(said.clone()),
            _ if !is_news => None,
            (Some(served), None) => {
                (served.versions().objects != said.versions().objects).then(|| said.clone())
            }
            (Some(served), Some(before)) => laid_over(served, before.said.versions(), &said),
        };
        let next = next.or_else(|| self.is_named_by(&said).then(|| said.clone()));
        if is_news {
            self.turns += 1;
        }
        let turn = if is_news {
            self.turns
        } else {
            before.map_or(0, |before| before.turn)
        };
        self.replicas.insert(
            replica,
            Replica {
                said,
                turn,
                left: None,
            },
        );
        self.look(now);
        self.served_from_now_on(next)
    }

    /// Whether `said` is what is served, which had no name that an operator gave.
    fn is_named_by(&self, said: &Contents) -> bool {
        self.served
            .as_ref()
            .map(Contents::versions)
            .is_some_and(|served| {
                served.snapshot.starts_with(MIXED) && served.objects == said.versions().objects
            })
    }

    /// A replica has no stream any more.
    pub(super) fn leaves(&mut self, replica: SocketAddr, now: Instant) {
        if let Some(replica) = self.replicas.get_mut(&replica) {
            replica.left.get_or_insert(now);
        }
        self.look(now);
    }

    /// Ends a lasting difference: what nobody says any more is exchanged for what the replica says that changed
    /// something last. Gives what is served from now on, if that changes.
    pub(super) fn settle(&mut self, now: Instant) -> Option<&Contents> {
        self.replicas
            .retain(|_, replica| replica.left.is_none_or(|left| now.duration_since(left) < MEMORY));
        self.look(now);
        if self
            .alone
            .is_none_or(|since| now.duration_since(since) < PATIENCE)
        {
            return None;
        }
        let latest = self.connected().max_by_key(|replica| replica.turn)?;
        let said = latest.said.clone();
        self.alone = None;
        self.served_from_now_on(Some(said))
    }

    /// Notes since when no connected replica says just what is served. While none is connected, nobody disagrees.
    fn look(&mut self, now: Instant) {
        let served = self.served.as_ref().map(Contents::versions);
        let agrees = |replica: &Replica| {
            served.is_some_and(|served| replica.said.versions().objects == served.objects)
        };
        if self.connected().next().is_none() || self.connected().any(agrees) {
            self.alone = None;
        } else {
            self.alone.get_or_insert(now);
        }
    }

    fn connected(&self) -> impl Iterator<Item = &Replica> {
        self.replicas.values().filter(|replica| replica.left.is_none())
    }

    fn served_from_now_on(&mut self, next: Option<Contents>) -> Option<&Contents> {
        self.served = Some(next?);
        self.served.as_ref()
    }
}

/// `served` with what changed between `before` and `said`; `None` when that is so already.
fn laid_over(served: &Contents, before: &Versions, said: &Contents) -> Option<Contents> {
    let now = said.versions();
    let mut objects = served.versions().objects.clone();
    // What `said` would have to follow for just the difference to be told.
    let mut former = now.objects.clone();
    let changed = |(key, version): &(&ObjectKey, _)| before.objects.get(*key) != Some(*version);
    for (key, version) in now.objects.iter().filter(changed) {
        if objects.insert(key.clone(), version.clone()).as_ref() != Some(version) {
            former.remove(key);
        }
    }
    let gone = |key: &&ObjectKey| !now.objects.contains_key(*key);
    for key in before.objects.keys().filter(gone) {
        if let Some(version) = objects.remove(key) {
            former.insert(key.clone(), version);
        }
    }
    if objects == served.versions().objects {
        return None;
    }
    if objects == now.objects {
        return Some(said.clone());
    }
    let mut mixed = Versions {
        snapshot: "".into(),
        objects,
    };
    let digest = mixed.digest();
    let name = digest
        .iter()
        .take(8)
        .fold(0u64, |name, byte| name << 8 | u64::from(*byte));
    mixed.snapshot = format!("{MIXED}{name:016x}").into();
    let former = Versions {
        snapshot: served.versions().snapshot.clone(),
        objects: former,
    };
    let mut delta = diff(&former, said, 0);
    delta.version = mixed.snapshot.to_string();
    delta.digest = mixed.digest().to_vec();
    match apply(served, delta) {
        Ok(mixed) => Some(mixed),
        Err(error) => {
            tracing::error!(%error, "what operators say cannot be laid together; the last word counts");
            Some(said.clone())
        }
    }
}
