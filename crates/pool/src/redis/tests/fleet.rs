//! Several processes on one server, by the real clock.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use redis::Value;
use snapshot::{CallLimits, Strategy};
use tokio::time::{Instant, sleep, timeout};

use super::Silent;
use crate::{
    Admission, Clock, Lease, Member, Outcome, Pool, Redis, RedisSettings, Settled, SystemClock, TokenCounts,
    redis::{
        link::{Link, LinkSettings, LinkState},
        reply::text,
        tag::{Pace, Tag},
        testing::{PATIENCE, Server},
    },
    testing::{World, member, provider_name},
};

/// A server, the processes that share it, and the world that they serve.
pub(super) struct Fleet {
    pub(super) server: Server,
    pub(super) world: World,
    pub(super) replicas: Vec<Replica>,
}

/// One process.
pub(super) struct Replica {
    pub(super) pool: Pool<Redis>,
    pub(super) link: Link,
}

/// What all keys begin with.
pub(super) const PREFIX: &str = "fleet";
/// The deadline of calls where none is to be missed.
pub(super) const GENEROUS: Duration = Duration::from_secs(5);
/// Few seconds pass in a test: what comes by itself comes sooner.
pub(super) const PACE: Pace = Pace {
    reconciling: Duration::from_millis(500),
    beat: Duration::from_secs(2),
    active: Duration::from_secs(60),
    stale: Duration::from_secs(6),
    idle: Duration::from_secs(900),
    sweep: Duration::from_secs(60),
};
/// The deadline of the gateway.
pub(super) const USUAL: Duration = Duration::from_millis(40);

impl Replica {
    /// A process that has reached the server. Called inside the runtime that it is to live in.
    pub(super) async fn start(url: &str, owner: &str, deadline: Duration) -> Self {
        Self::begin(url, owner, deadline, PACE, None).await
    }

    /// The same at a pace of its own, and where the time is the world's if that is given.
    pub(super) async fn begin(
        url: &str,
        owner: &str,
        deadline: Duration,
        pace: Pace,
        world: Option<&World>,
    ) -> Self {
        let mut settings = LinkSettings::new(url.parse().expect("an address"));
        settings.scripts = Redis::scripts();
        settings.deadline = deadline;
        settings.background_deadline = deadline.max(Duration::from_millis(500));
        let link = Link::open(settings, Arc::new(Silent)).expect("a link");
        let settings = RedisSettings {
            prefix: PREFIX.to_owned(),
            owner: owner.to_owned(),
            callers_clock: world.is_some(),
        };
        let store = Redis::paced(link.clone(), settings, pace);
        let clock: Arc<dyn Clock> = match world {
            Some(world) => world.clock.clone(),
            None => Arc::new(SystemClock::default()),
        };
        let pool = Pool::new(store, clock);
        let replica = Self { pool, link };
        replica.reaches(true).await;
        replica
    }

    /// Waits until the server is in reach, or is known not to be.
    pub(super) async fn reaches(&self, up: bool) {
        let mut changes = self.link.changes();
        let reached = changes.wait_for(|state| matches!(state, LinkState::Up { .. }) == up);
        let reached = timeout(PATIENCE, reached).await;
        assert!(reached.is_ok_and(|state| state.is_ok()), "the link is up: {up}");
    }

    /// Calls under way of each member, as this process finds them in the store.
    pub(super) async fn in_flight(&self, world: &World) -> Vec<u32> {
        let members = world.lanes.iter().flat_map(|lane| lane.members());
        let members: Vec<Member> = members.cloned().collect();
        let states = self.pool.look_up(&provider_name(), &members).await;
        states.iter().map(|state| state.in_flight).collect()
    }

    pub(super) async fn lease(&self, world: &World) -> Lease<Redis> {
        self.pool
            .pick(world.pick())
            .await
            .expect("a credential is usable")
    }

    /// A call of the world's caller: its admission and its lease; `None` when it is denied.
    pub(super) async fn enter(&self, world: &World) -> Option<(Admission<Redis>, Lease<Redis>)> {
        let entered = self.pool.enter(world.admit(), world.pick()).await;
        let (admission, lease) = entered.ok()?;
        Some((admission, lease.expect("a credential is usable")))
    }

    pub(super) async fn leases(&self, world: &World, count: usize) -> Vec<Lease<Redis>> {
        let mut leases = Vec::new();
        for _ in 0..count {
            leases.push(self.lease(world).await);
        }
        leases
    }

    /// What was used of each window that has begun: requests and tokens.
    pub(super) async fn windows(&self, world: &World) -> Vec<(u64, u64)> {
        let members = world.lanes.iter().flat_map(|lane| lane.members());
        let members: Vec<Member> = members.cloned().collect();
        let states = self.pool.look_up(&provider_name(), &members).await;
        let windows = states.iter().flat_map(|state| &state.windows);
        windows.map(|window| (window.requests, window.tokens)).collect()
    }

    /// The only tag that it uses.
    pub(super) fn tag(&self) -> Arc<Tag> {
        let tags = self.pool.shared.store.tags();
        assert_eq!(tags.len(), 1, "that of the Provider");
        tags.into_iter().next().expect("it is there")
    }

    /// Finds out that the server does not answer.
    pub(super) async fn misses_the_server(&self, world: &World) {
        eventually("the server is known to be away", async || {
            // Nothing is left in the server for later: a look changes nothing.
            self.in_flight(world).await;
            !self.link.is_up()
        })
        .await;
    }
}

impl Fleet {
    /// Processes `a`, `b`, … that serve a world.
    pub(super) async fn start(world: World, replicas: usize, deadline: Duration) -> Self {
        Self::begin(world, replicas, deadline, PACE, false).await
    }

    /// The same where the time is the world's, which stands.
    pub(super) async fn by_hand(world: World, replicas: usize, deadline: Duration, pace: Pace) -> Self {
        Self::begin(world, replicas, deadline, pace, true).await
    }

    async fn begin(world: World, replicas: usize, deadline: Duration, pace: Pace, by_hand: bool) -> Self {
        let server = Server::start(&[]).await;
        let mut all = Vec::new();
        for name in ('a'..).take(replicas) {
            let clock = by_hand.then_some(&world);
            all.push(Replica::begin(&server.url(), &name.to_string(), deadline, pace, clock).await);
        }
        Self {
            server,
            world,
            replicas: all,
        }
    }

    /// The first process.
    pub(super) fn a(&self) -> &Replica {
        self.replicas.first().expect("there is one")
    }

    /// The last process.
    pub(super) fn b(&self) -> &Replica {
        self.replicas.last().expect("there is one")
    }

    /// Lets time pass where it is the world's. By the clock of callers a process learns the time when it is asked
    /// for something; all do at once, or one would seem to lag behind.
    pub(super) async fn step(&self, length: Duration) {
        self.world.clock.step(length);
        join_all(self.replicas.iter().map(|replica| replica.in_flight(&self.world))).await;
    }

    /// When the Provider last heard that a process lives, in microseconds.
    pub(super) fn signed(&self, owner: &str) -> Option<u64> {
        let owners = format!("{PREFIX}:{{p:ns/p}}:w");
        self.server.cli(&["HGET", &owners, owner]).parse().ok()
    }

    /// Waits until every process finds so many calls under way.
    pub(super) async fn settles_at(&self, busy: u32, why: &str) {
        for replica in &self.replicas {
            let until = Instant::now() + PATIENCE;
            loop {
                let found = replica.in_flight(&self.world).await;
                if found.iter().sum::<u32>() == busy {
                    break;
                }
                assert!(Instant::now() < until, "{busy} calls: {why}; found {found:?}");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// Waits until the store says that nothing is under way: no account, no caller and no Provider has calls,
    /// and no process holds anything.
    pub(super) async fn is_quiet(&self) {
        self.settles_at(0, "nothing is under way").await;
        self.none_left("what is held", Self::leftovers).await;
    }

    /// Waits until nothing is found.
    pub(super) async fn none_left(&self, what: &str, find: impl Fn(&Self) -> Vec<String>) {
        let until = Instant::now() + PATIENCE;
        loop {
            let found = find(self);
            if found.is_empty() {
                return;
            }
            assert!(Instant::now() < until, "{what}: {found:#?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// What the store holds of calls under way. Marks of calls that were given up are none.
    pub(super) fn leftovers(&self) -> Vec<String> {
        let script = "
            local found = {}
            for _, key in ipairs(redis.call('KEYS', '*')) do
              if redis.call('TYPE', key).ok == 'hash' then
                for _, field in ipairs({'n', 'v'}) do
                  local number = redis.call('HGET', key, field)
                  if number and number ~= '0' then found[#found + 1] = key .. ' ' .. field .. '=' .. number end
                end
                if string.sub(key, -3) == '}:n' then
                  for _, value in ipairs(redis.call('HVALS', key)) do
                    if (tonumber(value) or 0) > 0 then found[#found + 1] = key .. ' ' .. value end
                  end
                end
                if string.find(key, '}:o:', 1, true) then
                  for _, value in ipairs(redis.call('HVALS', key)) do
                    if value ~= 'x' and string.sub(value, 1, 1) ~= '-' then found[#found + 1] = key .. ' ' .. value end
                  end
                end
              end
            end
            return found";
        let found = self.server.cli(&["EVAL", script, "0"]);
        found
            .lines()
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// How many scripts were run.
    pub(super) fn scripts_run(&self) -> u32 {
        let stats = self.server.cli(&["INFO", "commandstats"]);
        let calls = stats.lines().filter_map(|line| {
            let (_, numbers) = line.split_once("cmdstat_evalsha:calls=")?;
            numbers.split(',').next()?.parse::<u32>().ok()
        });
        calls.sum()
    }

    /// Keys that never expire.
    pub(super) fn immortals(&self) -> Vec<String> {
        let script = "
            local found = {}
            for _, key in ipairs(redis.call('KEYS', '*')) do
              if redis.call('PTTL', key) < 0 then found[#found + 1] = key end
            end
            return found";
        let found = self.server.cli(&["EVAL", script, "0"]);
        found
            .lines()
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    }
}

/// A world of unlimited members that are served in turn.
pub(super) fn world(names: &str) -> World {
    let members: Vec<Member> = names.chars().map(|name| member(&name.to_string())).collect();
    World::new(Strategy::RoundRobin, &members)
}

/// A caller that may make so many requests per minute.
pub(super) fn per_minute(requests: u32) -> CallLimits {
    CallLimits {
        requests_per_minute: Some(requests),
        ..CallLimits::default()
    }
}

/// Ends leases well.
pub(super) fn succeed(leases: Vec<Lease<Redis>>) {
    for lease in leases {
        lease.settle(Settled::new(Outcome::Succeeded));
    }
}

/// A good end after so many tokens.
pub(super) fn used(tokens: u64) -> Settled {
    Settled {
        usage: Some(TokenCounts {
            input: tokens,
            ..TokenCounts::default()
        }),
        ..Settled::new(Outcome::Succeeded)
    }
}

/// Waits until something is so.
pub(super) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < until, "it never was so: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until the store has heard all that a process has to say.
pub(super) async fn heard(replica: &Replica) {
    let heard = timeout(PATIENCE, replica.pool.heard()).await;
    assert!(heard.is_ok(), "the store hears what it is told");
}

/// The bulk strings of an answer.
pub(super) fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().map(|value| text(value).to_owned()).collect(),
        _ => Vec::new(),
    }
}
