//! Measures what credentials and client keys take in a Redis: starts one, uses each of them once over the real pool,
//! and asks the server.
//!
//! `cargo run --release -p roundhouse-pool --features conformance --example redis_memory`

use std::{sync::Arc, time::Duration};

use pool::{
    Outcome, Pool, Redis, RedisSettings, Rest, RestEnd, RestReason, Settled, SystemClock, TokenCounts,
    redis::{
        link::{Link, LinkSettings, LinkState, Observe, Why},
        testing::Server,
    },
    testing::{World, member, provider_name, requests, tokens},
};
use snapshot::{CallLimits, Strategy};

/// Credentials, and client keys.
const COUNT: usize = 1000;

/// Nobody looks on.
struct Nobody;

impl Observe for Nobody {
    fn command(&self, _: &'static str, _: Duration, _: bool) {}
    fn up(&self) {}
    fn down(&self, _: Why) {}
}

/// What is stored.
struct Scene {
    what: &'static str,
    /// Whether credentials, or else client keys, have these limits and two windows.
    limits: Option<CallLimits>,
    windows: bool,
    resting: bool,
    clients: bool,
}

#[expect(clippy::print_stdout, reason = "the result")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let limits = Some(CallLimits {
        concurrency: Some(100),
        requests_per_minute: Some(10_000),
        tokens_per_minute: Some(u64::MAX / 1000),
    });
    let scene = |what, limits, windows, resting, clients| Scene {
        what,
        limits,
        windows,
        resting,
        clients,
    };
    println!("KiB of a Redis for {COUNT} of each, all used once");
    for scene in [
        scene("credentials", None, false, false, false),
        scene("credentials at rest", None, false, true, false),
        scene("credentials with all limits", limits, false, false, false),
        scene(
            "credentials with all limits and two quotas",
            limits,
            true,
            false,
            false,
        ),
        scene("client keys without limits", None, false, false, true),
        scene("client keys with all limits", limits, false, false, true),
        scene(
            "client keys with all limits and two budgets",
            limits,
            true,
            false,
            true,
        ),
    ] {
        let kib = measure(&scene).await?;
        println!("{kib:>8}  {}", scene.what);
    }
    Ok(())
}

/// The memory that the scene's state takes, in KiB.
async fn measure(scene: &Scene) -> Result<u64, Box<dyn std::error::Error>> {
    let server = Server::start(&[]).await;
    let mut settings = LinkSettings::new(server.url().parse()?);
    settings.scripts = Redis::scripts();
    // Nothing is timed here: a busy machine must not look like an outage.
    settings.deadline = Duration::from_secs(5);
    settings.background_deadline = Duration::from_secs(5);
    let link = Link::open(settings, Arc::new(Nobody))?;
    link.changes()
        .wait_for(|state| matches!(state, LinkState::Up { .. }))
        .await?;
    let redis = RedisSettings {
        prefix: "roundhouse".to_owned(),
        owner: format!("{:032x}", 1),
        callers_clock: false,
    };
    let before = used(&server)?;
    let pool = Pool::new(Redis::new(link, redis), Arc::new(SystemClock::default()));
    use_all(&pool, scene).await?;
    pool.heard().await;
    Ok(used(&server)?.saturating_sub(before) / 1024)
}

async fn use_all(pool: &Pool<Redis>, scene: &Scene) -> Result<(), Box<dyn std::error::Error>> {
    let windows = if scene.windows {
        vec![
            requests("5h", 5 * 3600, u64::MAX / 1000),
            tokens("week", 168 * 3600, u64::MAX / 1000),
        ]
    } else {
        Vec::new()
    };
    let limits = scene.limits.unwrap_or_default();
    let credentials = if scene.clients { 3 } else { COUNT };
    let members: Vec<_> = (0..credentials)
        .map(|number| {
            let mut member = member(&format!("account-{number:04}"));
            if !scene.clients {
                member.limits = limits;
                member.quota = windows.clone().into();
            }
            member
        })
        .collect();
    let mut world = World::new(Strategy::RoundRobin, &members);
    if scene.clients {
        world.limits = limits;
        world.budgets = windows;
    }
    for number in 0..COUNT {
        if scene.clients {
            world.client = format!("team/client-{number:04}").parse()?;
        }
        let (admission, lease) = pool.enter(world.admit(), world.pick()).await?;
        let usage = TokenCounts {
            input: 1000,
            output: 200,
            ..TokenCounts::default()
        };
        lease?.settle(Settled {
            outcome: Outcome::Succeeded,
            usage: Some(usage),
            rest: None,
            headroom: None,
        });
        admission.settle(usage.total());
    }
    if scene.resting {
        for member in &members {
            let rest = Rest {
                reason: RestReason::QuotaExhausted,
                end: RestEnd::Stated(Duration::from_secs(3600)),
            };
            pool.report(&provider_name(), &member.credential, None, rest);
        }
        pool.heard().await;
        // Only a pick that meets them parks them.
        let _ = pool.enter(world.admit(), world.pick()).await;
    }
    Ok(())
}

/// What all keys take, their names and places included.
fn used(server: &Server) -> Result<u64, Box<dyn std::error::Error>> {
    const KEYS: &str = "local sum = 0
for _, key in ipairs(redis.call('KEYS', '*')) do
  sum = sum + redis.call('MEMORY', 'USAGE', key, 'SAMPLES', 0)
end
return sum";
    let keys: u64 = server.cli(&["EVAL", KEYS, "0"]).parse()?;
    let stats = server.cli(&["MEMORY", "STATS"]);
    let lines: Vec<&str> = stats.lines().collect();
    let tables = lines
        .iter()
        .zip(lines.iter().skip(1))
        .filter(|(name, _)| name.starts_with("overhead.hashtable."));
    tables
        .map(|(_, bytes)| bytes.parse::<u64>())
        .try_fold(keys, |sum, bytes| Ok(sum + bytes?))
}
