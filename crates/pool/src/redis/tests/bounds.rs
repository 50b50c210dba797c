//! Numbers that no call has.

use snapshot::Strategy;

use super::fleet::{Fleet, GENEROUS, heard, used};
use crate::testing::{World, tokens, with_quota};

#[tokio::test]
async fn an_absurd_number_of_tokens_breaks_nothing() {
    let mut limited = with_quota("a", &[tokens("day", 86_400, 1 << 50)]);
    limited.limits.tokens_per_minute = Some(1 << 50);
    let fleet = Fleet::start(World::new(Strategy::RoundRobin, &[limited]), 1, GENEROUS).await;
    for lease in fleet.a().leases(&fleet.world, 4).await {
        lease.settle(used(u64::MAX));
    }
    fleet.a().lease(&fleet.world).await.settle(used(900));
    heard(fleet.a()).await;
    // A call is believed to use 2^40 tokens at most.
    let most = 4 * (1_u64 << 40) + 900;
    assert_eq!(fleet.a().windows(&fleet.world).await, [(5, most)], "exactly");
    fleet.is_quiet().await;
}
