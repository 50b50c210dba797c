//! Times pairs of a pick and its end over a real redis-server, which is started and stopped here.
//!
//! `cargo run --release -p roundhouse-pool --features conformance --example redis_pairs [PART_OF_A_NAME]`
//!
//! One thread drives all callers. Each line is a list of `name=value`: pairs per second, microseconds of the
//! server's and of this process's CPU time per pair, and how long a caller waits for its pick. `empty` is a script
//! that does nothing, called twice for a pair: what of the numbers is not the store's own.

mod scenes;

use std::{
    error::Error,
    fs,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use pool::{
    Outcome, Pick, Pool, Redis, RedisSettings, Rest, RestEnd, RestReason, Settled, SystemClock, TokenCounts,
    redis::{
        link::{Link, LinkSettings, LinkState, Observe, Script, Urgency, Why},
        testing::{PATIENCE, Server},
    },
    testing::{World, provider_name},
};
use scenes::Scene;
use tokio::{task::JoinSet, time::sleep};

/// Callers at the same time.
const CALLERS: u64 = 32;
/// How long each scene is measured.
const MEASURED: Duration = Duration::from_secs(3);
/// Picks that are timed one by one, a pause between them.
const ALONE: u64 = 500;
/// The pause between these.
const PAUSE: Duration = Duration::from_millis(1);
/// How long it runs before that.
const WARM_UP: Duration = Duration::from_millis(500);

static EMPTY: LazyLock<Script> = LazyLock::new(|| Script::new("empty", &["return {'ok'}"]));

/// Nobody listens.
struct Silent;

/// What was spent until a moment: CPU time in microseconds, and calls of scripts.
struct Spent {
    server: f64,
    scripts: f64,
    client: f64,
    at: Instant,
}

type Failure = Box<dyn Error + Send + Sync>;

impl Observe for Silent {
    fn command(&self, _: &'static str, _: Duration, _: bool) {}
    fn up(&self) {}
    fn down(&self, _: Why) {}
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let server = Server::start(&[]).await;
    let link = linked(&server).await?;
    if "empty".contains(&wanted) {
        empty(&server, &link).await?;
    }
    for scene in scenes::all() {
        if scene.name.contains(&wanted) {
            time(&server, &link, scene).await?;
        }
    }
    Ok(())
}

async fn linked(server: &Server) -> Result<Link, Failure> {
    let mut settings = LinkSettings::new(server.url().parse()?);
    settings.scripts = Redis::scripts();
    settings.scripts.push(&EMPTY);
    // A server that is slow for a moment is not away: the numbers are about the server.
    settings.deadline = PATIENCE;
    settings.background_deadline = PATIENCE;
    let link = Link::open(settings, Arc::new(Silent))?;
    let mut changes = link.changes();
    changes
        .wait_for(|state| matches!(state, LinkState::Up { .. }))
        .await?;
    Ok(link)
}

/// Runs a scene and prints its line.
async fn time(server: &Server, link: &Link, scene: Scene) -> Result<(), Failure> {
    let settings = RedisSettings {
        prefix: format!("bench-{}", scene.name),
        owner: "bench".to_owned(),
        callers_clock: false,
    };
    let pool = Arc::new(Pool::new(
        Redis::new(link.clone(), settings),
        Arc::new(SystemClock::default()),
    ));
    for member in scene.members.iter().skip(scene.usable) {
        let rest = Rest {
            reason: RestReason::QuotaExhausted,
            end: RestEnd::Stated(Duration::from_secs(3600)),
        };
        pool.report(&provider_name(), &member.credential, None, rest);
    }
    let world = Arc::new(scene.world());
    // The first pick fills the lanes, and finds out who rests.
    settle(pool.pick(world.pick()).await?);
    let calls = |until| {
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let (pool, world, scene) = (Arc::clone(&pool), Arc::clone(&world), scene.clone());
            callers.spawn(async move { call(&pool, &world, &scene, caller, until).await });
        }
        callers
    };
    gathered(calls(Instant::now() + WARM_UP)).await?;
    let before = Spent::now(server)?;
    let waits = gathered(calls(Instant::now() + MEASURED)).await?;
    let after = Spent::now(server)?;
    let mut alone = Vec::new();
    for turn in 0..ALONE {
        sleep(PAUSE).await;
        alone.push(pair(&pool, &world, &scene, turn).await?);
    }
    print(&scene.name, &waits, &before, &after, &alone);
    Ok(())
}

/// One caller after another until the time is over; how long each waited for its pick.
async fn call(
    pool: &Pool<Redis>,
    world: &World,
    scene: &Scene,
    caller: u64,
    until: Instant,
) -> Result<Vec<Duration>, Failure> {
    let mut waits = Vec::new();
    let mut turn = caller;
    while Instant::now() < until {
        waits.push(pair(pool, world, scene, turn).await?);
        turn += CALLERS;
    }
    Ok(waits)
}

/// One call; how long it waited for its pick.
async fn pair(pool: &Pool<Redis>, world: &World, scene: &Scene, turn: u64) -> Result<Duration, Failure> {
    let pick = Pick {
        affinity: scene.conversations.map(|count| turn % count),
        ..world.pick()
    };
    let began = Instant::now();
    let (admission, lease) = if scene.enters {
        let (admission, lease) = pool.enter(world.admit(), pick).await?;
        (Some(admission), lease?)
    } else {
        (None, pool.pick(pick).await?)
    };
    let wait = began.elapsed();
    // A call takes its time: others run before it ends.
    tokio::task::yield_now().await;
    settle(lease);
    if let Some(admission) = admission {
        admission.settle(USAGE.total());
    }
    Ok(wait)
}

const USAGE: TokenCounts = TokenCounts {
    input: 100,
    cached: 0,
    cache_write: 0,
    output: 20,
    reasoning: 0,
};

fn settle(lease: pool::Lease<Redis>) {
    lease.settle(Settled {
        outcome: Outcome::Succeeded,
        usage: Some(USAGE),
        rest: None,
        headroom: None,
    });
}

/// The script that does nothing, with as many arguments as a pick has.
async fn empty(server: &Server, link: &Link) -> Result<(), Failure> {
    let mut callers = JoinSet::new();
    let before = Spent::now(server)?;
    let until = Instant::now() + MEASURED;
    for _ in 0..CALLERS {
        let link = link.clone();
        callers.spawn(async move {
            let mut waits = Vec::new();
            while Instant::now() < until {
                waits.push(empty_call(&link).await?);
                empty_call(&link).await?;
            }
            Ok(waits)
        });
    }
    let waits = gathered(callers).await?;
    let after = Spent::now(server)?;
    let mut alone = Vec::new();
    for _ in 0..ALONE {
        sleep(PAUSE).await;
        alone.push(empty_call(link).await?);
    }
    print("empty", &waits, &before, &after, &alone);
    Ok(())
}

async fn empty_call(link: &Link) -> Result<Duration, Failure> {
    let began = Instant::now();
    let mut call = EMPTY.on(&["key"]);
    for argument in 0..20 {
        call = call.arg(argument);
    }
    link.run(&call, Urgency::Awaited).await?;
    Ok(began.elapsed())
}

async fn gathered(callers: JoinSet<Result<Vec<Duration>, Failure>>) -> Result<Vec<Duration>, Failure> {
    let mut all = Vec::new();
    for waits in callers.join_all().await {
        all.extend(waits?);
    }
    all.sort_unstable();
    Ok(all)
}

impl Spent {
    fn now(server: &Server) -> Result<Self, Failure> {
        let info = server.cli(&["INFO", "cpu", "commandstats"]);
        let number = |name: &str| {
            let line = info.lines().find_map(|line| line.trim().strip_prefix(name));
            let number = line.ok_or("INFO does not say it")?.split(',').next();
            number.unwrap_or_default().parse::<f64>().map_err(Failure::from)
        };
        let server = (number("used_cpu_user:")? + number("used_cpu_sys:")?) * 1e6;
        // The first field is this thread's time in nanoseconds.
        let own = fs::read_to_string("/proc/thread-self/schedstat")?;
        let nanos: f64 = own.split(' ').next().unwrap_or_default().parse()?;
        Ok(Self {
            server,
            scripts: number("cmdstat_evalsha:calls=").unwrap_or_default(),
            client: nanos / 1e3,
            at: Instant::now(),
        })
    }
}

#[expect(clippy::print_stdout, reason = "the result")]
#[expect(clippy::cast_precision_loss, reason = "a number of calls")]
fn print(name: &str, waits: &[Duration], before: &Spent, after: &Spent, alone: &[Duration]) {
    let mut alone = alone.to_vec();
    alone.sort_unstable();
    let pairs = waits.len() as f64;
    let server = (after.server - before.server) / pairs;
    let client = (after.client - before.client) / pairs;
    let scripts = (after.scripts - before.scripts) / pairs;
    let rate = pairs / after.at.duration_since(before.at).as_secs_f64();
    println!(
        "scene={name} pairs_per_second={rate:.0} server_us={server:.1} pairs_per_server_second={:.0} \
         client_us={client:.1} scripts={scripts:.2} pick_p50_us={} pick_p99_us={} alone_p50_us={}",
        1e6 / server,
        part(waits, 50),
        part(waits, 99),
        part(&alone, 50),
    );
}

/// What so many percent of the times are at most, in microseconds.
fn part(sorted: &[Duration], percent: usize) -> u128 {
    sorted
        .get(sorted.len() * percent / 100)
        .map_or(0, Duration::as_micros)
}
