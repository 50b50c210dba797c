//! What `make demo` shows: calls turn over three credentials, one of them is refused and rests while the others serve,
//! and it comes back by itself.
#![expect(clippy::print_stdout, reason = "this program talks to a person")]

use std::time::{Duration, Instant};

use harness::{Answer, Client, Gateway, Reply, Upstream, When, repository};
use tokio::time::sleep;

const KEY: &str = "demo-key-for-visitors-only";
const MODEL: &str = "demo-model";
const REST: u64 = 10;

#[tokio::main]
async fn main() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::bare()
        .resources(repository().join("deploy/local/demo"))
        .variable("DEMO_UPSTREAM_URL", &upstream.url("/v1"))
        .start()
        .await;
    let client = gateway.client_with(KEY);
    println!(
        "A gateway listens on http://{}/v1 with the resources in deploy/local/demo:",
        gateway.address()
    );
    println!("one model, {MODEL}, and three credentials of a scripted upstream: amber, birch and cedar.\n");

    println!("1. Calls take turns:");
    for _ in 0..6 {
        show(&client.chat(MODEL).await, &upstream);
        sleep(Duration::from_millis(300)).await;
    }

    println!("\n2. The upstream refuses birch once: 429, retry-after {REST} s. Nobody notices but birch:");
    upstream.once(When::credential("birch"), Reply::rate_limited(&REST.to_string()));
    watch_rest(&client, &upstream).await;

    println!("\n3. A stream, as it comes:");
    let mut stream = client.chat_stream(MODEL).await;
    while let Some(piece) = stream.piece().await {
        for line in String::from_utf8_lossy(&piece)
            .lines()
            .filter(|line| !line.is_empty())
        {
            println!("   {}", line.chars().take(110).collect::<String>());
        }
    }

    println!("\n4. What an operator sees in /metrics:");
    let metrics = gateway.metrics().await;
    let shown = [
        "roundhouse_credential_requests_total",
        "roundhouse_rests_total",
        "roundhouse_requests_total",
    ];
    for line in metrics.text().lines() {
        if shown.iter().any(|name| line.starts_with(name)) {
            println!("   {line}");
        }
    }
}

/// Calls once a second until birch was refused, rested and served again.
async fn watch_rest(client: &Client, upstream: &Upstream) {
    let mut refused: Option<Instant> = None;
    loop {
        let before = upstream.count();
        let answer = client.chat(MODEL).await;
        show(&answer, upstream);
        let tried: Vec<String> = upstream.seen()[before..]
            .iter()
            .map(|seen| seen.credential().to_owned())
            .collect();
        match refused {
            None if tried.len() > 1 => {
                println!(
                    "   ^ birch was refused; the same call went on to {}, birch rests",
                    tried[1]
                );
                refused = Some(Instant::now());
            }
            Some(since) if tried.iter().any(|name| name == "birch") => {
                println!("   ^ birch is back after {} s", since.elapsed().as_secs());
                return;
            }
            _ => {}
        }
        assert!(
            refused.is_none_or(|since| since.elapsed() < Duration::from_secs(3 * REST)),
            "birch did not come back"
        );
        sleep(Duration::from_secs(1)).await;
    }
}

fn show(answer: &Answer, upstream: &Upstream) {
    println!(
        "   {} by {:<14} attempts {}   upstream saw {:?}",
        answer.status,
        answer.header("x-roundhouse-credential"),
        answer.header("x-roundhouse-attempts"),
        upstream.counts()
    );
}
