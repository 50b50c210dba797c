//! Caller + plan → a place within the caller's limits, and the first lease with it in one trip.

use std::time::Duration;

use dialect::FailureKind;
use http::StatusCode;
use pool::{Admit, Denied, Limit, NoneUsable};

use super::{authenticate::Caller, peek::Call, route::Plan};
use crate::{
    failure::Failure,
    store::{Admission, Lease, Pool},
};

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
    let retry_after = retry_after.max(Duration::from_secs(1));
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
        Limit::Budget => {
            return Failure::caller(
                FailureKind::Quota,
                StatusCode::TOO_MANY_REQUESTS,
                "insufficient_quota",
                "this key has used up one of its budgets",
            )
            .retry_after(retry_after);
        }
        // Nothing is used up: the caller may try again, and nobody has to be told of a limit.
        Limit::StoreAway => {
            return Failure::overloaded(
                "limits_unavailable",
                "the limits of this key cannot be checked at the moment; try again",
            )
            .retry_after(retry_after);
        }
    };
    Failure::rate_limited(code, message, retry_after)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dialect::Dialect;
    use http::header;
    use pool::{Denied, Limit};

    use super::denied;

    #[test]
    fn each_limit_has_its_status_and_code_and_says_when_to_come_back() {
        let cases = [
            (Limit::Concurrency, 429, "concurrency_limit_exceeded"),
            (Limit::RequestsPerMinute, 429, "rate_limit_exceeded"),
            (Limit::TokensPerMinute, 429, "rate_limit_exceeded"),
            (Limit::Budget, 429, "insufficient_quota"),
            (Limit::StoreAway, 503, "limits_unavailable"),
        ];
        for (limit, status, code) in cases {
            let failure = denied(Denied {
                limit,
                retry_after: Duration::from_millis(1500),
            });
            assert_eq!(
                (failure.status.as_u16(), &*failure.code),
                (status, code),
                "{limit:?}"
            );
            let answer = failure.response(Dialect::OpenAi, "req_1");
            assert_eq!(answer.headers()[header::RETRY_AFTER], "2", "{limit:?}");
        }
    }
}
