//! Another server takes over that had not heard of the last changes.

use redis::Value;

use super::fleet::{Fleet, GENEROUS, PREFIX, Replica, succeed, texts, world};
use crate::redis::link::Urgency;

/// A copy of all keys.
struct Copy(Vec<(String, Value, String)>);

impl Copy {
    async fn of(replica: &Replica) -> Self {
        let mut keys = redis::cmd("KEYS");
        keys.arg(format!("{PREFIX}:*"));
        let keys = texts(&run(replica, &keys).await);
        let mut copy = Vec::new();
        for key in keys {
            let value = run(replica, redis::cmd("DUMP").arg(&key)).await;
            let left = match run(replica, redis::cmd("PTTL").arg(&key)).await {
                Value::Int(left) if left > 0 => left,
                _ => 0,
            };
            copy.push((key, value, left.to_string()));
        }
        Self(copy)
    }

    /// Puts it in the place of what there is.
    async fn take_over(self, replica: &Replica) {
        let mut all = redis::pipe();
        all.atomic();
        run(replica, &redis::cmd("FLUSHALL")).await;
        for (key, value, left) in self.0 {
            let Value::BulkString(value) = value else {
                continue;
            };
            let mut restore = redis::cmd("RESTORE");
            restore.arg(key).arg(left).arg(value);
            run(replica, &restore).await;
        }
    }
}

async fn run(replica: &Replica, command: &redis::Cmd) -> Value {
    let answer = replica.link.command("test", command, Urgency::Background).await;
    answer.expect("the server answers")
}

#[tokio::test]
async fn a_stale_copy_is_set_right() {
    let fleet = Fleet::start(world("abc"), 2, GENEROUS).await;
    let mut ended = fleet.a().leases(&fleet.world, 2).await;
    ended.extend(fleet.b().leases(&fleet.world, 1).await);
    let mut kept = fleet.a().leases(&fleet.world, 1).await;
    let stale = Copy::of(fleet.a()).await;
    succeed(ended);
    kept.extend(fleet.a().leases(&fleet.world, 2).await);
    kept.extend(fleet.b().leases(&fleet.world, 2).await);
    fleet.settles_at(5, "five are under way").await;
    stale.take_over(fleet.a()).await;
    fleet
        .settles_at(5, "too many are given back and missing ones are told")
        .await;
    let per_member: Vec<u32> = fleet.world.lanes[0]
        .members()
        .iter()
        .map(|member| {
            let held = kept
                .iter()
                .filter(|lease| *lease.credential() == member.credential);
            u32::try_from(held.count()).expect("a few")
        })
        .collect();
    super::fleet::eventually("each where it is", async || {
        fleet.b().in_flight(&fleet.world).await == per_member
    })
    .await;
    succeed(kept);
    fleet.is_quiet().await;
}
