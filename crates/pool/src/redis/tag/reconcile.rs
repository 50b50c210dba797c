//! Comparing what the store believes that this process holds with what it does hold.
//!
//! They differ after a failover to a server that had not heard of the last changes.

use std::collections::HashSet;

use tokio::time::Instant;

use super::Tag;
use crate::redis::{
    link::{Away, Urgency},
    record::Record,
    reply::text,
};

impl Tag {
    pub(super) fn reconciling_is_due(&self) -> bool {
        let state = self.state();
        state.epoch.is_some() && state.reconciled.elapsed() > self.context.pace.reconciling
    }

    /// Gives back what the store has too many of, and tells it what it lacks. Leases that came since the last
    /// time are left alone: they may be on their way.
    pub(super) async fn reconcile(&self) -> Result<(), Away> {
        let horizon = {
            let mut state = self.state();
            state.reconciled = Instant::now();
            let latest = self.context.leases.load(std::sync::atomic::Ordering::Relaxed);
            std::mem::replace(&mut state.horizon, latest)
        };
        let mut command = redis::cmd("HKEYS");
        command.arg(format!("{}:o:{}", self.key(), self.context.owner));
        let theirs = self
            .context
            .link
            .command("hkeys", &command, Urgency::Background)
            .await?;
        let redis::Value::Array(theirs) = theirs else {
            return Ok(());
        };
        let theirs: HashSet<u64> = theirs
            .iter()
            .filter_map(|lease| text(lease).parse().ok())
            .collect();
        let ours = self.known_leases();
        let mut state = self.state();
        for lease in theirs.difference(&ours).filter(|lease| **lease <= horizon) {
            state.given_up.push_back((*lease, Instant::now()));
            state.push(Record::cancel(*lease, ""));
        }
        let ending: HashSet<u64> = state
            .batch
            .iter()
            .flat_map(|batch| &batch.records)
            .chain(&state.queue)
            .filter_map(Record::ends)
            .collect();
        let missing: Vec<Record> = state
            .open
            .iter()
            .filter(|(lease, _)| **lease <= horizon && !theirs.contains(lease) && !ending.contains(lease))
            .map(|(lease, open)| Record::adopt(*lease, &open.account, open.hold, false, ""))
            .collect();
        state.is_pressing |= !missing.is_empty();
        state.queue.extend(missing);
        drop(state);
        self.wake.notify_one();
        Ok(())
    }
}
