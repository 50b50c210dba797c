//! Gateways that share a store.

use std::{
    collections::BTreeMap,
    ops::{Index, IndexMut},
    time::Duration,
};

use tokio::task::JoinSet;

use crate::{ADMIN_KEY, Client, Fixture, Gateway, Totals, Upstream, eventually, tools::panic_with};

/// How long the replicas may take to see that their store came or went, and to agree on totals.
const AGREEMENT: Duration = Duration::from_secs(30);

/// Lets gateways wait for their store on a busy machine.
const PATIENCE: [&str; 2] = ["--redis-deadline", "10s"];

/// What a usual answer of the upstream's chat completions costs: tokens of the prompt and of the answer.
const TOKENS: (u64, u64) = (11, 5);

/// Gateway processes with the same resources and the same store, and a state folder each.
#[derive(Debug)]
pub struct Replicas(Vec<Gateway>);

impl Replicas {
    /// Starts `count` of them and waits until all have their store. `store` is the flags that lead there.
    pub async fn start(count: usize, store: &[String], fixture: &Fixture) -> Self {
        let replicas = Self::start_without_store(count, store, fixture).await;
        replicas.until_store_is(true).await;
        replicas
    }

    /// The same, of gateways that wait for their store for seconds: a machine that runs many tests at once answers
    /// late, and then replicas do not agree.
    pub async fn start_patient(count: usize, store: &[String], fixture: &Fixture) -> Self {
        let patience = PATIENCE.map(str::to_owned);
        Self::start(count, &[store, &patience].concat(), fixture).await
    }

    /// Starts `count` of them and waits until all are ready, which they are without their store too.
    pub async fn start_without_store(count: usize, store: &[String], fixture: &Fixture) -> Self {
        let mut starting = JoinSet::new();
        for _ in 0..count {
            let flags: Vec<&str> = store.iter().map(String::as_str).collect();
            let launch = Gateway::with(fixture.clone()).arguments(&flags);
            starting.spawn(launch.start());
        }
        Self(starting.join_all().await)
    }

    /// Starts one more, of the same installation: what is a digest of a secret here is one there.
    pub async fn join(&mut self, store: &[String], fixture: &Fixture) {
        let flags: Vec<&str> = store.iter().map(String::as_str).collect();
        let launch = Gateway::with(fixture.clone())
            .arguments(&flags)
            .arguments(&PATIENCE)
            .of_installation(&self.0[0]);
        self.0.push(launch.start().await);
        self.until_store_is(true).await;
    }

    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "nobody starts none")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Gateway> {
        self.0.iter()
    }

    /// A client of each, with the usual key.
    pub fn clients(&self) -> Vec<Client> {
        self.0.iter().map(Gateway::client).collect()
    }

    /// A client of the replica whose turn it is, with the usual key.
    pub fn client(&self, turn: usize) -> Client {
        self.0[turn % self.0.len()].client()
    }

    /// Takes one away, whose process ends with SIGKILL.
    pub fn kill(&mut self, number: usize) {
        self.0.remove(number).kill();
    }

    /// Waits until all say that they have their store, or that they have it not.
    pub async fn until_store_is(&self, up: bool) {
        let expected = f64::from(u8::from(up));
        for (number, gateway) in self.0.iter().enumerate() {
            eventually(
                &format!("replica {number} says roundhouse_store_up {expected}"),
                AGREEMENT,
                || async {
                    let metrics = gateway.metrics().await;
                    let name = "roundhouse_store_up";
                    (metrics.has(name, &[]) && metrics.is(name, &[], expected)).then_some(())
                },
            )
            .await;
        }
    }

    /// Waits until all calls to the credentials of `provider` are settled in the store, as an admin is told. Needs
    /// [`Fixture::admin`].
    pub async fn until_settled(&self, provider: &str) {
        let admin = self.0[0].client_with(ADMIN_KEY);
        let path = format!("/{provider}/v1/credentials");
        eventually(&format!("{path}: nothing is under way"), AGREEMENT, || async {
            let listing = admin.get(&path).await.expect(200).json();
            let mut credentials = listing["credentials"].as_array()?.iter();
            credentials
                .all(|credential| credential["in_flight"] == 0)
                .then_some(())
        })
        .await;
    }

    /// Waits until every replica's totals are what the upstream counted: its requests, and the tokens of as many usual
    /// answers.
    pub async fn expect_totals(&self, upstream: &Upstream) {
        let expected: BTreeMap<String, Totals> = upstream
            .counts()
            .into_iter()
            .map(|(name, count)| {
                let requests = u64::try_from(count).unwrap_or(u64::MAX);
                let totals = Totals {
                    requests,
                    input: requests * TOKENS.0,
                    output: requests * TOKENS.1,
                    ..Totals::default()
                };
                (name, totals)
            })
            .collect();
        let deadline = tokio::time::Instant::now() + AGREEMENT;
        for (number, gateway) in self.0.iter().enumerate() {
            loop {
                let stats = gateway.stats().await;
                if stats.credentials() == expected {
                    break;
                }
                if tokio::time::Instant::now() > deadline {
                    panic_with(&format!(
                        "replica {number}: the totals are not the upstream's within {AGREEMENT:?}:\nexpected \
                         {expected:#?}\nfound {:#?}\nin {}",
                        stats.credentials(),
                        stats.text()
                    ));
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

impl Index<usize> for Replicas {
    type Output = Gateway;

    fn index(&self, number: usize) -> &Gateway {
        &self.0[number]
    }
}

impl IndexMut<usize> for Replicas {
    fn index_mut(&mut self, number: usize) -> &mut Gateway {
        &mut self.0[number]
    }
}
