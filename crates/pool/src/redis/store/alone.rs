//! What this process decides by itself while the store is away, and tells it later.

use std::{sync::Arc, time::Duration};

use snapshot::{Timestamp, WhenStoreIsAway};

use super::{Redis, breaker};
use crate::{
    Admit, Denied, Limit, Pick, Picked, Reserves, Shortage, Store,
    redis::{
        encode::{follows, held},
        hold::{Hold, Seat, SharedSeat},
        tag::Subject,
    },
};

impl Redis {
    /// Lets a caller in by what this process knows.
    pub(super) async fn admit_away(
        &self,
        now: Timestamp,
        admit: &Admit<'_>,
        reserves: Reserves,
    ) -> Result<Seat, Denied> {
        let Some(entry) = self.entry(admit) else {
            return Ok(self.seat_without_limits(now, admit, reserves));
        };
        if admit.when_store_is_away == WhenStoreIsAway::Refuse {
            return Err(Denied {
                limit: Limit::StoreAway,
                retry_after: Duration::from_secs(1),
            });
        }
        let local = self.local().admit(now, admit, reserves).await?;
        let lease = self.context.next_lease();
        let hold = held(admit.limits, admit.budgets, reserves.call);
        entry
            .tag
            .opened_away(lease, "".into(), hold, &entry.limits.definition);
        Ok(Seat {
            local,
            shared: Some(SharedSeat {
                tag: entry.tag,
                lease,
                definition: Arc::clone(&entry.limits.definition),
            }),
        })
    }

    /// Picks by what this process knows.
    pub(super) async fn pick_away(
        &self,
        now: Timestamp,
        pick: &Pick<'_>,
        reserves: Reserves,
        patience: Duration,
    ) -> Result<Picked<Hold>, Shortage> {
        let picked = self.local().pick(now, pick, reserves, patience).await?;
        let tag = self.tags.get(Subject::Provider(pick.provider.name.clone()));
        // What is used now is told as a whole later, should the store come back empty.
        tag.know(pick.lanes);
        let account: Arc<str> = picked.credential.name().into();
        let (definition, is_led, hold) = pick
            .lanes
            .iter()
            .find_map(|lane| {
                let position = lane.position(&picked.credential)?;
                let member = lane.members().get(position)?;
                let definition = lane.text().definitions.get(position)?;
                tag.define(&account, definition, &lane.text().calendars);
                let hold = held(&member.limits, &member.quota, reserves.attempt);
                Some((Arc::clone(definition), follows(lane.strategy()) > 0, hold))
            })
            .unwrap_or_else(|| ("".into(), false, 0));
        let lease = self.context.next_lease();
        tag.opened_away(lease, Arc::clone(&account), hold, &definition);
        let (open_for, failures) = breaker(pick);
        Ok(Picked {
            credential: picked.credential,
            probe: picked.probe,
            hold: Hold {
                local: picked.hold,
                tag,
                lease,
                account,
                model: pick.model.into(),
                sequence: 0,
                definition,
                is_led,
                open_for,
                failures,
            },
        })
    }

    pub(super) async fn enter_away(
        &self,
        now: Timestamp,
        admit: &Admit<'_>,
        pick: &Pick<'_>,
        reserves: Reserves,
        patience: Duration,
    ) -> Result<(Seat, Result<Picked<Hold>, Shortage>), Denied> {
        let seat = self.admit_away(now, admit, reserves).await?;
        Ok((seat, self.pick_away(now, pick, reserves, patience).await))
    }
}
