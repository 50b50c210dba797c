//! What is left in the server.

use std::time::Duration;

use snapshot::{RestReason, RestScope, SecretVersion, Strategy};

use super::fleet::{Fleet, GENEROUS, per_minute};
use crate::{
    Headroom, ObjectId, Outcome, Pick, Rest, RestEnd, Settled, TokenCounts,
    testing::{World, credential, narrow, provider_name, requests, tokens, with_quota},
};

#[tokio::test]
async fn every_key_expires() {
    for strategy in [Strategy::RoundRobin, Strategy::MostHeadroom] {
        let mut limited = with_quota("a", &[requests("day", 86_400, 100), tokens("hour", 3_600, 1_000)]);
        limited.limits = per_minute(4);
        limited.limits.tokens_per_minute = Some(1_000);
        let members = [limited, narrow("b", 1), narrow("c", 0)];
        let mut world = World::new(strategy, &members);
        world.limits = per_minute(1_000);
        world.budgets = vec![tokens("day", 86_400, 100_000)];
        let fleet = Fleet::start(world, 2, GENEROUS).await;
        let outcomes = [
            Outcome::Succeeded,
            Outcome::CredentialFault,
            Outcome::UpstreamFault,
            Outcome::Cancelled,
        ];
        for turn in 0..24_u64 {
            let replica = &fleet.replicas[usize::try_from(turn % 2).expect("small")];
            let pick = Pick {
                affinity: Some(turn % 3),
                ..fleet.world.pick()
            };
            let entered = replica.pool.enter(fleet.world.admit(), pick).await;
            let (admission, lease) = entered.expect("there is room");
            let also = replica.pool.pick(fleet.world.pick()).await;
            let Ok(lease) = lease else {
                replica.pool.clear_rest(&provider_name(), &credential("a"));
                replica.pool.clear_rest(&provider_name(), &credential("b"));
                continue;
            };
            let rest = Rest {
                reason: RestReason::Unauthorized,
                end: RestEnd::Guessed,
            };
            let outcome = outcomes[usize::try_from(turn % 4).expect("small")];
            lease.settle(Settled {
                outcome,
                usage: Some(TokenCounts {
                    input: 5,
                    ..TokenCounts::default()
                }),
                rest: (outcome == Outcome::CredentialFault).then_some((RestScope::Credential, rest)),
                headroom: Some(Headroom {
                    used: 1_000,
                    resets_in: Duration::from_secs(60),
                }),
            });
            drop(also);
            admission.settle(5);
        }
        let pool = &fleet.a().pool;
        let rest = Rest {
            reason: RestReason::Failing,
            end: RestEnd::Guessed,
        };
        pool.report(&provider_name(), &credential("reported"), None, rest);
        pool.report(&provider_name(), &credential("model"), Some("model"), rest);
        pool.clear_rest(&provider_name(), &credential("cleared"));
        pool.reset_quota(&provider_name(), &credential("reset"));
        pool.secret_changed(
            &provider_name(),
            &credential("renewed"),
            &SecretVersion("1".into()),
        );
        pool.reset_budgets(&fleet.world.client);
        pool.remember(&provider_name(), ObjectId::new("object"), &credential("a"));
        fleet.is_quiet().await;
        // A process's own leases expire from its next sign of life on.
        fleet.none_left("keys that never expire", Fleet::immortals).await;
        let found = fleet
            .server
            .cli(&["EVAL", "return #redis.call('KEYS', '*')", "0"]);
        let found: u32 = found.parse().expect("a number");
        assert!(found > 15, "{found} keys: there was something to look at");
    }
}
