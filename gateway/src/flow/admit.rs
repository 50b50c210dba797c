//! Caller + plan → a place within the caller's limits, and the first lease with it in one trip.

use std::time::Duration;

use pool::{Admission, Admit, Denied, Lease, Limit, NoneUsable, Pool};

use super::{authenticate::Caller, peek::Call, route::Plan};
use crate::failure::Failure;

/// Admits the caller and picks a credential for the first hop.
pub(super) async fn admit(
    pool: &Pool,
    caller: &Caller,
    call: &Call,
    plan: &Plan,
) -> Result<(Admission, Result<Lease, NoneUsable>), Failure> {
    let client = &caller.client;
    let model = call.model.as_deref().unwrap_or("");
    let admit = Admit {
        client: &client.name,
        limits: &client.limits,
        budgets: &client.budgets,
        when_store_is_away: client.when_store_is_away,
        model,
    };
    // A plan is never empty; without a first hop there would be nothing to admit for.
    let first = plan.hops.first().ok_or_else(Failure::internal)?;
    pool.enter(admit, first.pick(&[])).await.map_err(denied)
}

fn denied(Denied { limit, retry_after }: Denied) -> Failure {
    let (code, message) = match limit {
        Limit::Concurrency => (
            "concurrency_limit_exceeded",
            "this key has as many calls under way as it may",
        ),
        Limit::RequestsPerMinute => (
            "rate_limit_exceeded",
            "this key has made as many requests in a minute as it may",
        ),
        Limit::TokensPerMinute => (
            "rate_limit_exceeded",
            "this key has used as many tokens in a minute as it may",
        ),
        Limit::Budget => ("insufficient_quota", "this key has used up one of its budgets"),
        Limit::StoreAway => (
            "limits_unavailable",
            "the limits of this key cannot be checked at the moment",
        ),
    };
    Failure::rate_limited(code, message, retry_after.max(Duration::from_secs(1)))
}
