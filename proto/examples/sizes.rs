//! Sizes and times of what operators send: all objects, and one change.
//!
//! `cargo run --release -p roundhouse-proto --example sizes`

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use prost::Message;
use proto::{Contents, Follower, MESSAGE_LIMIT, apply, chunks, diff, discovery::v1};
use snapshot::{CredentialSecret, DigestKey, Keyring, Secret, Snapshot};

#[expect(clippy::print_stdout, reason = "the result")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    for count in [1_000, 10_000] {
        let contents = installation(count, "v1", "one")?;
        let changed = installation(count, "v2", "two")?;
        let (snapshot, keyring) = (contents.snapshot(), contents.keyring());
        println!("{count} credentials of 20 providers, with 64-byte keys");

        let messages: Vec<_> = chunks(&contents, MESSAGE_LIMIT)
            .map(|it| it.encode_to_vec())
            .collect();
        let bytes: usize = messages.iter().map(Vec::len).sum();
        println!("  all: {bytes} bytes in {} messages", messages.len());
        let versions =
            timed(|| Contents::new(snapshot.clone(), keyring.clone(), Secret::new("installation")));
        println!("  versions: {versions:?}");
        let encode = timed(|| {
            chunks(&contents, MESSAGE_LIMIT)
                .map(|it| it.encode_to_vec())
                .collect::<Vec<_>>()
        });
        println!("  encode: {encode:?}");
        let decode = timed(|| follow(&messages));
        println!("  decode and assemble: {decode:?}");

        let subscribe = contents.versions().subscribe("gateway-0").encoded_len();
        println!("  subscribe: {subscribe} bytes");
        let delta = diff(contents.versions(), &changed, 1);
        println!(
            "  one change: {} bytes, {} objects",
            delta.encoded_len(),
            delta.upserts.len()
        );
        println!("  diff: {:?}", timed(|| diff(contents.versions(), &changed, 1)));
        println!("  apply: {:?}", timed(|| apply(&contents, delta.clone())));
    }
    Ok(())
}

/// The median of some runs.
fn timed<T>(mut run: impl FnMut() -> T) -> Duration {
    let mut times: Vec<_> = (0..21)
        .map(|_| {
            let begun = Instant::now();
            black_box(run());
            begun.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

fn follow(messages: &[Vec<u8>]) -> Option<Contents> {
    let mut follower = Follower::new(None);
    let responses = messages
        .iter()
        .map(|bytes| v1::StreamResponse::decode(&**bytes).ok());
    responses
        .flatten()
        .find_map(|message| follower.accept(message).ok().flatten())
}

/// An installation whose first credential has a key of its own.
fn installation(count: usize, version: &str, first: &str) -> Result<Contents, Box<dyn std::error::Error>> {
    let key = DigestKey::new(&Secret::new("installation"));
    let mut keyring = Keyring::default();
    let mut snapshot = Snapshot {
        version: version.to_owned(),
        ..Snapshot::default()
    };
    for index in 0..20 {
        let provider = snapshot::Provider::try_from(provider(index))?;
        snapshot
            .providers
            .insert(provider.name.clone(), Arc::new(provider));
    }
    for index in 0..count {
        let text = if index == 0 {
            first.to_owned()
        } else {
            format!("sk-{index:061}")
        };
        let secret = Secret::new(text);
        let version = key.version(&secret);
        let credential = snapshot::Credential::try_from(credential(index, &version.0))?;
        keyring
            .credentials
            .insert(credential.name.clone(), CredentialSecret { version, secret });
        snapshot
            .credentials
            .insert(credential.name.clone(), Arc::new(credential));
    }
    Ok(Contents::new(
        Arc::new(snapshot),
        Arc::new(keyring),
        Secret::new("installation"),
    ))
}

fn provider(index: usize) -> v1::Provider {
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    v1::Provider {
        name: format!("production/provider-{index}"),
        dialect: v1::Dialect::Openai.into(),
        apis: vec![v1::Api::ChatCompletions.into(), v1::Api::Embeddings.into()],
        endpoint: Some(v1::Endpoint {
            scheme: v1::Scheme::Https.into(),
            host: "api.example.com".to_owned(),
            port: 443,
            path: "/v1".to_owned(),
            service: false,
        }),
        auth: Some(v1::Auth {
            scheme: Some(v1::auth::Scheme::Bearer(())),
        }),
        tls: Some(v1::Tls::default()),
        consumers: v1::Consumers::Same.into(),
        timeouts: Some(v1::Timeouts {
            connect: seconds(5),
            first_byte: seconds(300),
            idle: seconds(300),
            total: seconds(1800),
        }),
        breaker: Some(v1::Breaker {
            consecutive_failures: 5,
            open_for: seconds(30),
        }),
        selection: Some(v1::Selection {
            strategy: v1::Strategy::RoundRobin.into(),
            max_wait: seconds(1),
            affinity: Some(v1::Affinity {
                by: Some(v1::affinity::By::None(())),
                ttl: seconds(3600),
            }),
        }),
        ..v1::Provider::default()
    }
}

fn credential(index: usize, secret_version: &str) -> v1::Credential {
    v1::Credential {
        name: format!("production/credential-{index:05}"),
        provider: format!("production/provider-{}", index % 20),
        secret_version: secret_version.to_owned(),
        labels: [("team".to_owned(), "search".to_owned())].into(),
        weight: 1,
        models: Some(v1::ModelFilter::default()),
        limits: Some(v1::CallLimits {
            requests_per_minute: Some(500),
            ..v1::CallLimits::default()
        }),
        ..v1::Credential::default()
    }
}
