//! Times one call's share of the ledger: the call and one attempt, begun and ended.
//!
//! `cargo run --release -p roundhouse-pool --features conformance --example ledger`

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use pool::{
    TokenCounts,
    testing::{START, credential, provider_name},
    usage::{Attempt, Call, Ledger},
};
use snapshot::ClientName;

const CALLS: u32 = 1_000_000;

#[expect(clippy::print_stdout, reason = "the result")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("ns per call with one attempt, begun and ended");
    for (names, threads) in [(1, 1), (1_000, 1), (1_000, 2), (1_000, 4)] {
        let clients = (0..names).map(|number| format!("ns/client-{number}").parse());
        let clients: Vec<ClientName> = clients.collect::<Result<_, _>>()?;
        let ledger = Arc::new(Ledger::default());
        time(&ledger, &clients, CALLS / 10);
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| time(&ledger, &clients, CALLS));
            }
        });
        let nanos = start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS * threads);
        println!("{nanos:>8.0}  {names} clients and credentials, {threads} threads");
    }
    Ok(())
}

fn time(ledger: &Arc<Ledger>, clients: &[ClientName], calls: u32) {
    let provider = provider_name();
    let credentials = (0..clients.len()).map(|number| credential(&format!("account-{number:04}")));
    let credentials: Vec<_> = credentials.collect();
    let usage = TokenCounts {
        input: 100,
        output: 20,
        ..TokenCounts::default()
    };
    let names = clients.iter().zip(&credentials).cycle();
    for (number, (client, credential)) in (0..calls).zip(names) {
        let now = START + Duration::from_micros(number.into());
        let call = Call {
            client,
            route: "route",
        };
        let attempt = Attempt {
            provider: &provider,
            credential,
            model: "model",
        };
        let call = ledger.begin_call(now, call, 1000);
        let attempt = ledger.begin_attempt(now, attempt, 1000);
        black_box(attempt).end(Some(usage), false);
        black_box(call).end(Some(usage), false);
    }
}
