//! What `make demo` shows: calls turn over three credentials, one of them is refused and rests while the others serve,
//! and it comes back by itself.
#![expect(clippy::print_stdout, reason = "this program talks to a person")]

use std::time::{Duration, Instant};

use harness::{Client, Gateway, Reply, Upstream, When, repository};
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
    println!("one model, {MODEL}, and three accounts of a scripted upstream: amber, birch and cedar.");

    println!("\n1. Calls take turns.\n");
    let mut turn = Turns::begin(&client, &upstream);
    for _ in 0..6 {
        turn.take().await;
        sleep(Duration::from_millis(300)).await;
    }

    println!(
        "\n2. The upstream refuses birch once: 429, Retry-After {REST} s. The caller does not notice.\n"
    );
    upstream.once(When::credential("birch"), Reply::rate_limited(&REST.to_string()));
    watch_rest(&mut turn).await;

    println!("\n3. A stream, as it comes.\n");
    let mut stream = client.chat_stream(MODEL).await;
    while let Some(piece) = stream.piece().await {
        for line in String::from_utf8_lossy(&piece)
            .lines()
            .filter(|line| !line.is_empty())
        {
            println!("   {}", line.chars().take(96).collect::<String>());
        }
    }

    println!("\n4. What an operator sees in /metrics.\n");
    let metrics = gateway
        .metrics_when("the stream is counted", |metrics| {
            metrics.sum("roundhouse_requests_total", &[]) >= f64::from(turn.calls + 1)
        })
        .await;
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
    println!("\nNow with your own keys: make run");
}

/// Calls once a second until birch was refused, rested and served again.
async fn watch_rest(turn: &mut Turns<'_>) {
    let mut refused: Option<Instant> = None;
    loop {
        let tried = turn.take().await;
        match refused {
            None if tried.len() > 1 => {
                let next = &tried[1];
                println!("          ^ birch was refused, {next} answered the same call. birch rests.");
                refused = Some(Instant::now());
            }
            Some(since) if tried.iter().any(|name| name == "birch") => {
                println!(
                    "          ^ birch is back after {:.0} s.",
                    since.elapsed().as_secs_f64()
                );
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

/// Calls one after the other, a line for each.
struct Turns<'a> {
    client: &'a Client,
    upstream: &'a Upstream,
    began: Instant,
    calls: u32,
}

impl<'a> Turns<'a> {
    fn begin(client: &'a Client, upstream: &'a Upstream) -> Self {
        println!("   time   status  tried           requests that reached each account");
        Self {
            client,
            upstream,
            began: Instant::now(),
            calls: 0,
        }
    }

    /// Calls once and says which accounts were tried.
    async fn take(&mut self) -> Vec<String> {
        let before = self.upstream.count();
        let answer = self.client.chat(MODEL).await;
        self.calls += 1;
        let tried: Vec<String> = self.upstream.seen()[before..]
            .iter()
            .map(|seen| seen.credential().to_owned())
            .collect();
        let counts: Vec<String> = self
            .upstream
            .counts()
            .iter()
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        println!(
            "   {:4.1} s {:6}  {:<14}  {}",
            self.began.elapsed().as_secs_f64(),
            answer.status,
            tried.join(" → "),
            counts.join("  ")
        );
        tried
    }
}
