//! Admission.

use snapshot::Timestamp;

use super::{account::SOON, state::State};
use crate::{Admit, Denied};

/// An admission's place in the tables.
#[derive(Debug)]
pub struct Seat {
    pub(super) client: u32,
    /// Tokens held of the caller's limit.
    pub(super) reserved: u64,
    /// Whether its tokens count against a limit per minute.
    pub(super) counts_tokens: bool,
}

impl State {
    pub(super) fn admit(&mut self, now: Timestamp, admit: &Admit<'_>, reserve: u64) -> Result<Seat, Denied> {
        self.sweep(now);
        let client = self.client(admit.client, now);
        let usage = &mut self.clients[client].usage;
        usage.quota.list(admit.budgets, now);
        if let Some(reached) = usage.reached_with_budgets(admit.limits, self.sharers, now) {
            return Err(Denied {
                limit: reached.limit,
                retry_after: reached.until.map_or(SOON, |until| until.since(now)),
            });
        }
        Ok(self.seat(now, client, admit, reserve))
    }

    /// Lets a caller in that the store which replicas share has let in.
    pub(super) fn adopt_seat(&mut self, now: Timestamp, admit: &Admit<'_>, reserve: u64) -> Seat {
        self.sweep(now);
        let client = self.client(admit.client, now);
        self.clients[client].usage.quota.list(admit.budgets, now);
        self.seat(now, client, admit, reserve)
    }

    fn seat(&mut self, now: Timestamp, client: u32, admit: &Admit<'_>, reserve: u64) -> Seat {
        let account = &mut self.clients[client];
        let reserved = account.usage.to_hold(admit.limits, reserve);
        account.usage.take(admit.limits, reserved, now);
        account.held += 1;
        Seat {
            client,
            reserved,
            counts_tokens: admit.limits.tokens_per_minute.is_some(),
        }
    }
}
