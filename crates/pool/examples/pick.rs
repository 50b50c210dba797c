//! Times one call's share of the pool: enter, and both ends.
//!
//! `cargo run --release -p roundhouse-pool --features conformance --example pick`

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use pool::{
    Outcome, Pool, Rest, RestEnd, RestReason, Settled, SystemClock, TokenCounts,
    testing::{World, member, provider_name, requests, tokens},
};
use snapshot::{CallLimits, Strategy};

const CALLS: u32 = 1_000_000;

#[expect(clippy::print_stdout, reason = "the result")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let limits = CallLimits {
        concurrency: Some(100),
        requests_per_minute: Some(u32::MAX),
        tokens_per_minute: Some(u64::MAX),
    };
    println!("ns per enter and both settles, one thread");
    for (what, strategy, count, usable, limits) in [
        ("3 members", Strategy::RoundRobin, 3, 3, CallLimits::default()),
        (
            "1,000 members",
            Strategy::RoundRobin,
            1000,
            1000,
            CallLimits::default(),
        ),
        (
            "1,000 members, 999 at rest",
            Strategy::RoundRobin,
            1000,
            1,
            CallLimits::default(),
        ),
        (
            "3 members, LeastBusy",
            Strategy::LeastBusy,
            3,
            3,
            CallLimits::default(),
        ),
        ("3 members, all limits", Strategy::RoundRobin, 3, 3, limits),
        (
            "1,000 members, all limits",
            Strategy::RoundRobin,
            1000,
            1000,
            limits,
        ),
        (
            "3 members, two quotas, MostHeadroom",
            Strategy::MostHeadroom,
            3,
            3,
            CallLimits::default(),
        ),
    ] {
        let members: Vec<_> = (0..count)
            .map(|number| {
                let mut member = member(&format!("account-{number:04}"));
                member.limits = limits;
                if strategy == Strategy::MostHeadroom {
                    member.quota = [
                        requests("5h", 5 * 3600, u64::MAX),
                        tokens("week", 168 * 3600, u64::MAX),
                    ]
                    .into();
                }
                member
            })
            .collect();
        let mut world = World::new(strategy, &members);
        world.limits = limits;
        let pool = Pool::in_memory(Arc::new(SystemClock::default()));
        for member in members.iter().skip(usable) {
            let rest = Rest {
                reason: RestReason::QuotaExhausted,
                end: RestEnd::Stated(Duration::from_secs(3600)),
            };
            pool.report(&provider_name(), &member.credential, None, rest);
        }
        let nanos = runtime.block_on(async {
            time(&pool, &world, CALLS / 10).await?;
            time(&pool, &world, CALLS).await
        })?;
        println!("{nanos:>8.0}  {what}");
    }
    Ok(())
}

async fn time(pool: &Pool, world: &World, calls: u32) -> Result<f64, Box<dyn std::error::Error>> {
    let start = Instant::now();
    for _ in 0..calls {
        let (admission, lease) = pool.enter(world.admit(), world.pick()).await?;
        let usage = TokenCounts {
            input: 100,
            output: 20,
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
    Ok(start.elapsed().as_secs_f64() * 1e9 / f64::from(calls))
}
