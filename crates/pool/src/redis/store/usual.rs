//! Admissions and picks as they usually are: asked for with those of others, or at once. What is not usual goes on in
//! [`super::exchange`], in futures of their own, so that the usual ones stay small.

use std::{sync::Arc, time::Duration};

use snapshot::{Strategy, Timestamp};
use tokio::time::timeout;

use super::{Redis, answer::Chosen, breaker, calls::Entry, pending::Admitted, together};
use crate::{
    Admit, Denied, Pick, Picked, Reserves, Shortage,
    redis::{
        encode::{follows, held},
        hold::{Hold, Seat, SharedSeat},
        link::{Away, Why},
        record::Record,
        tag::{
            Subject, Tag,
            asking::{self, Answer, Asker, LimitedCaller, Want},
        },
    },
    store::memory::Taken,
};

/// The tags of a call, and the states of the store that they are registered with.
pub(super) struct Known {
    pub(super) entry: Entry,
    pub(super) of_client: Arc<str>,
    pub(super) provider: Arc<Tag>,
    pub(super) of_provider: Arc<str>,
}

impl Redis {
    pub(super) async fn enter_shared(
        &self,
        now: Timestamp,
        admit: &Admit<'_>,
        pick: &Pick<'_>,
        reserves: Reserves,
        patience: Duration,
    ) -> Result<(Seat, Result<Picked<Hold>, Shortage>), Denied> {
        let Some(entry) = self.entry(admit) else {
            let seat = self.admitted(now, self.seat_without_limits(now, admit, reserves));
            let picked = self.pick_shared(now, pick, reserves, patience).await;
            return Ok((seat.keep(), picked));
        };
        if !self.context.link.is_up() {
            return Box::pin(self.enter_away(now, admit, pick, reserves, patience)).await;
        }
        if self.context.link.is_cluster() {
            // The caller's and the Provider's state are apart: a pick would be made for one who is denied.
            let seat = Box::pin(self.admit_shared(now, admit, reserves)).await?;
            let seat = self.admitted(now, seat);
            let picked = Box::pin(self.pick_shared(now, pick, reserves, patience)).await;
            return Ok((seat.keep(), picked));
        }
        let provider = self.tags.get(Subject::Provider(pick.provider.name.clone()));
        // Both tags must be known before their answers can be asked for in one write.
        let (Ok(of_client), Ok(of_provider)) = (self.epoch(&entry.tag).await, self.epoch(&provider).await)
        else {
            return Box::pin(self.enter_away(now, admit, pick, reserves, patience)).await;
        };
        let caller = LimitedCaller {
            tag: Arc::clone(&entry.tag),
            epoch: Arc::clone(&of_client),
            limits: Arc::clone(&entry.limits),
            hold: held(admit.limits, admit.budgets, reserves.call),
        };
        match self
            .ask_together(pick, reserves, &provider, &of_provider, Some(caller))
            .await
        {
            Answer::Given(given) => {
                let given = given.claim();
                let seat = self.seat_shared(now, admit, reserves, &entry, given.seat);
                let seat = self.admitted(now, seat);
                let picked = match self.take_given(now, pick, reserves, &provider, given) {
                    Some(picked) => Ok(picked),
                    None => Box::pin(self.pick_away(now, pick, reserves, patience)).await,
                };
                Ok((seat.keep(), picked))
            }
            Answer::Apart => {
                let known = Known {
                    entry,
                    of_client,
                    provider,
                    of_provider,
                };
                Box::pin(self.enter_apart(now, admit, pick, reserves, patience, known)).await
            }
            Answer::Away => Box::pin(self.enter_away(now, admit, pick, reserves, patience)).await,
        }
    }

    pub(super) async fn pick_shared(
        &self,
        now: Timestamp,
        pick: &Pick<'_>,
        reserves: Reserves,
        patience: Duration,
    ) -> Result<Picked<Hold>, Shortage> {
        let tag = self.tags.get(Subject::Provider(pick.provider.name.clone()));
        if !self.context.link.is_up() {
            return Box::pin(self.pick_away(now, pick, reserves, patience)).await;
        }
        let Ok(epoch) = self.epoch(&tag).await else {
            return Box::pin(self.pick_away(now, pick, reserves, patience)).await;
        };
        match self.ask_together(pick, reserves, &tag, &epoch, None).await {
            Answer::Given(given) => match self.take_given(now, pick, reserves, &tag, given.claim()) {
                Some(picked) => Ok(picked),
                None => Box::pin(self.pick_away(now, pick, reserves, patience)).await,
            },
            Answer::Apart => Box::pin(self.pick_apart(now, pick, reserves, patience, tag, epoch)).await,
            Answer::Away => Box::pin(self.pick_away(now, pick, reserves, patience)).await,
        }
    }

    /// Asks together with others, where what is asked for is usual.
    async fn ask_together(
        &self,
        pick: &Pick<'_>,
        reserves: Reserves,
        tag: &Arc<Tag>,
        epoch: &Arc<str>,
        caller: Option<LimitedCaller>,
    ) -> Answer {
        let Some(lane) = pick.lanes.first() else {
            return Answer::Apart;
        };
        let is_usual = pick.tried.is_empty()
            && pick.pinned.is_none()
            && pick.object.is_none()
            && pick.affinity.is_none()
            && lane.strategy() != Strategy::MostHeadroom
            && tag.asking.is_open();
        if !is_usual {
            return Answer::Apart;
        }
        tag.know(pick.lanes);
        let want = Want {
            epoch: Arc::clone(epoch),
            lane: Arc::clone(lane),
            concurrency: pick.provider.concurrency,
            // What no member counts needs not keep calls apart.
            hold: if lane.text().counts_tokens() {
                reserves.attempt
            } else {
                0
            },
        };
        let asker = Asker { want, caller };
        if let Some(_others_wait) = tag.asking.alone() {
            return together::ask_at_once(&self.context, tag, asker).await;
        }
        let answer = tag.asking.join(asker);
        // Nobody answers once the deadline is over, or the store is let go.
        timeout(self.context.link.deadline(), answer)
            .await
            .map_or(Answer::Away, |answer| answer.unwrap_or(Answer::Away))
    }

    /// Takes what was given together; `None` where this process does not know the member.
    fn take_given(
        &self,
        now: Timestamp,
        pick: &Pick<'_>,
        reserves: Reserves,
        tag: &Arc<Tag>,
        given: asking::Taken,
    ) -> Option<Picked<Hold>> {
        let chosen = given.position.map(|position| Chosen {
            place: (0, position),
            sequence: given.sequence,
            taken: Taken::default(),
        });
        let picked = chosen.and_then(|chosen| self.take(now, pick, reserves, tag, given.lease, &chosen));
        if picked.is_none() {
            // Nobody else will give it back.
            tag.say(Record::cancel(given.lease, pick.model));
        }
        picked
    }

    /// The state of the store that this process is registered with at a tag, as long as somebody may wait for it.
    pub(super) async fn epoch(&self, tag: &Tag) -> Result<Arc<str>, Away> {
        // Nearly always it is known, and then a timer is not worth its while.
        if let Some(known) = tag.known_epoch() {
            return Ok(known);
        }
        let deadline = self.context.link.deadline();
        Box::pin(timeout(deadline, tag.epoch()))
            .await
            .unwrap_or(Err(Away::NotRun(Why::Slow)))
    }

    pub(super) fn take(
        &self,
        now: Timestamp,
        pick: &Pick<'_>,
        reserves: Reserves,
        tag: &Arc<Tag>,
        lease: u64,
        chosen: &Chosen,
    ) -> Option<Picked<Hold>> {
        let (lane, position) = chosen.place;
        let lane = pick.lanes.get(lane)?;
        let member = lane.members().get(position)?;
        let definition = lane.text().definitions.get(position)?.clone();
        let account = Arc::clone(lane.text().accounts.get(position)?);
        let hold = held(&member.limits, &member.quota, reserves.attempt);
        tag.opened(lease, Arc::clone(&account), hold);
        tag.define(&account, &definition, &lane.text().calendars);
        let local = self.local().adopt(
            now,
            pick,
            lane,
            &member.credential,
            reserves.attempt,
            chosen.taken,
        )?;
        let (open_for, failures) = breaker(pick);
        Some(Picked {
            credential: member.credential.clone(),
            probe: chosen.is_probe(),
            hold: Hold {
                local,
                tag: Arc::clone(tag),
                lease,
                account,
                model: pick.model.into(),
                sequence: chosen.sequence,
                definition,
                is_led: follows(lane.strategy()) > 0,
                open_for,
                failures,
            },
        })
    }

    pub(super) fn seat_shared(
        &self,
        now: Timestamp,
        admit: &Admit<'_>,
        reserves: Reserves,
        entry: &Entry,
        lease: u64,
    ) -> Seat {
        let hold = held(admit.limits, admit.budgets, reserves.call);
        entry.tag.opened(lease, "".into(), hold);
        Seat {
            local: self.local().adopt_seat(now, admit, reserves.call),
            shared: Some(SharedSeat {
                tag: Arc::clone(&entry.tag),
                lease,
                definition: Arc::clone(&entry.limits.definition),
            }),
        }
    }

    pub(super) fn seat_without_limits(&self, now: Timestamp, admit: &Admit<'_>, reserves: Reserves) -> Seat {
        Seat {
            local: self.local().adopt_seat(now, admit, reserves.call),
            shared: None,
        }
    }

    pub(super) fn admitted(&self, now: Timestamp, seat: Seat) -> Admitted<'_> {
        Admitted {
            store: self,
            now,
            seat: Some(seat),
        }
    }
}
