//! The suite that every store must pass.
//!
//! A store's tests call [`suite`] with a function that makes an empty store. Time is a [`ManualClock`],
//! or the runtime's paused clock where something waits: run it with `#[tokio::test(start_paused = true)]`.

mod budgets;
mod conversation;
mod endpoint;
mod guards;
mod headroom;
mod limits;
mod order;
mod quotas;
mod rests;
mod waiting;

use std::{sync::Arc, time::Duration};

use snapshot::CredentialName;

use crate::{
    Blame, Clock, Lease, NoneUsable, Outcome, Pick, Pool, Rest, RestEnd, RestReason, RestScope, Settled,
    Store, TokenCounts,
    testing::{World, credential, provider_name},
};

/// Runs every case, each on a new store.
pub async fn suite<S: Store>(make: impl Fn() -> S) {
    order::cases(&make).await;
    limits::cases(&make).await;
    quotas::cases(&make).await;
    budgets::cases(&make).await;
    headroom::cases(&make).await;
    rests::cases(&make).await;
    endpoint::cases(&make).await;
    conversation::cases(&make).await;
    guards::cases(&make).await;
}

/// Runs the cases in which something waits, each on a new store. They go by the runtime's clock: where it
/// cannot be paused they take a minute and a half.
pub async fn waiting_suite<S: Store>(make: impl Fn() -> S) {
    waiting::cases(&make).await;
}

/// A pool over a new store, and the world that it serves.
struct Bench<S: Store> {
    world: World,
    pool: Pool<S>,
}

impl<S: Store> Bench<S> {
    fn new(make: &impl Fn() -> S, world: World) -> Self {
        let clock = Arc::clone(&world.clock);
        let pool = Pool::new(make(), clock);
        Self { world, pool }
    }

    /// The same, on the runtime's clock.
    fn waiting(make: &impl Fn() -> S, world: World) -> Self {
        let pool = Pool::new(make(), Arc::new(crate::testing::RuntimeClock::default()));
        Self { world, pool }
    }

    async fn lease(&self) -> Lease<S> {
        self.lease_for(self.world.pick()).await
    }

    async fn lease_for(&self, pick: Pick<'_>) -> Lease<S> {
        self.pool.pick(pick).await.expect("a credential is usable")
    }

    async fn none(&self) -> NoneUsable {
        self.none_for(self.world.pick()).await
    }

    async fn none_for(&self, pick: Pick<'_>) -> NoneUsable {
        self.pool.pick(pick).await.expect_err("no credential is usable")
    }

    /// Makes so many calls, one after another, and says whom they went to.
    async fn calls(&self, count: usize) -> String {
        let mut names = String::new();
        for _ in 0..count {
            let lease = self.lease().await;
            names.push_str(lease.credential().name());
            lease.settle(Settled::new(Outcome::Succeeded));
        }
        names
    }

    fn step(&self, seconds: u64) {
        self.world.clock.step(Duration::from_secs(seconds));
    }

    fn after(&self, seconds: u64) -> snapshot::Timestamp {
        self.world.clock.now() + Duration::from_secs(seconds)
    }

    fn report(&self, name: &str, rest: Rest) {
        self.pool.report(&provider_name(), &credential(name), None, rest);
    }
}

fn name_of<S: Store>(lease: &Lease<S>) -> &str {
    lease.credential().name()
}

fn stated(seconds: u64) -> Rest {
    Rest {
        reason: RestReason::QuotaExhausted,
        end: RestEnd::Stated(Duration::from_secs(seconds)),
    }
}

fn guessed(reason: RestReason) -> Rest {
    Rest {
        reason,
        end: RestEnd::Guessed,
    }
}

fn refused(rest: Rest) -> Settled {
    Settled {
        rest: Some((RestScope::Credential, rest)),
        ..Settled::new(Outcome::CredentialFault)
    }
}

fn refuse<S: Store>(lease: Lease<S>, reason: RestReason) -> Blame {
    lease.settle(refused(guessed(reason)))
}

/// A success that used so many tokens.
fn used(tokens: u64) -> Settled {
    Settled {
        usage: Some(TokenCounts {
            input: tokens / 2,
            output: tokens - tokens / 2,
            ..TokenCounts::default()
        }),
        ..Settled::new(Outcome::Succeeded)
    }
}

fn succeed<S: Store>(lease: Lease<S>) {
    lease.settle(Settled::new(Outcome::Succeeded));
}

fn names(names: &str) -> Vec<CredentialName> {
    names.chars().map(|name| credential(&name.to_string())).collect()
}
