//! Admissions and picks where something is not usual: what is asked of the store in one write, and what becomes of the
//! answers.

use std::{sync::Arc, time::Duration};

use redis::Value;
use snapshot::Timestamp;
use tokio::time::timeout;

use super::{
    Redis,
    answer::{self, PickAnswer},
    pending::Asked,
    usual::Known,
};
use crate::{
    Admit, Denied, Pick, Picked, Reserves, Shortage,
    redis::{
        hold::{Hold, Seat},
        link::{Away, Invocation, Urgency, Why},
        reply::Reply,
        tag::{Sending, Tag},
    },
};

/// How often a call is repeated that found a lane missing, or too much to look at.
const TRIES: usize = 12;

impl Redis {
    /// Lets a caller in and picks for it where something is not usual.
    pub(super) async fn enter_apart(
        &self,
        now: Timestamp,
        admit: &Admit<'_>,
        pick: &Pick<'_>,
        reserves: Reserves,
        patience: Duration,
        known: Known,
    ) -> Result<(Seat, Result<Picked<Hold>, Shortage>), Denied> {
        let Known {
            entry,
            of_client,
            provider,
            of_provider,
        } = known;
        let seat_lease = self.context.next_lease();
        let mut seat_asked = Asked::new(&entry.tag, seat_lease, "");
        let mut pick_asked = Asked::new(&provider, self.context.next_lease(), pick.model);
        let seats = format!("{}:o:{}", entry.tag.key(), self.context.owner);
        let admission = self.admission_call(now, &entry, &of_client, seat_lease, reserves);
        let seat = Some((&*seats, seat_lease));
        let wanted = self.pick_call(
            now,
            pick,
            &provider,
            &of_provider,
            pick_asked.lease,
            reserves,
            patience,
            seat,
        );
        let [admitted, picked] = self.exchange(&[&entry.tag, &provider], [admission, wanted]).await;
        let seat = match admitted {
            Ok(reply) => {
                seat_asked.known = true;
                match reply.text(0) {
                    "ok" => self.admitted(now, self.seat_shared(now, admit, reserves, &entry, seat_lease)),
                    "no" => {
                        pick_asked.known = true;
                        return Err(answer::denied(&reply));
                    }
                    _ => {
                        // The caller's state was lost. All is asked again, one after the other.
                        entry.tag.lost(&of_client);
                        drop(pick_asked);
                        let seat = self.admitted(now, self.admit_shared(now, admit, reserves).await?);
                        let picked = self.pick_shared(now, pick, reserves, patience).await;
                        return Ok((seat.keep(), picked));
                    }
                }
            }
            Err(away) => {
                seat_asked.known = away.has_not_run();
                pick_asked.known = picked.is_err_and(|away| away.has_not_run());
                drop((seat_asked, pick_asked));
                return self.enter_away(now, admit, pick, reserves, patience).await;
            }
        };
        let result = self
            .conclude(
                now,
                pick,
                reserves,
                patience,
                &provider,
                of_provider,
                &mut pick_asked,
                picked,
            )
            .await;
        Ok((seat.keep(), result))
    }

    pub(super) async fn admit_shared(
        &self,
        now: Timestamp,
        admit: &Admit<'_>,
        reserves: Reserves,
    ) -> Result<Seat, Denied> {
        let Some(entry) = self.entry(admit) else {
            return Ok(self.seat_without_limits(now, admit, reserves));
        };
        for _ in 0..TRIES {
            if !self.context.link.is_up() {
                break;
            }
            let Ok(epoch) = self.epoch(&entry.tag).await else {
                break;
            };
            let lease = self.context.next_lease();
            let mut asked = Asked::new(&entry.tag, lease, "");
            let call = self.admission_call(now, &entry, &epoch, lease, reserves);
            let [reply] = self.ask_one(&entry.tag, call).await;
            let reply = match reply {
                Ok(reply) => reply,
                Err(away) => {
                    asked.known = away.has_not_run();
                    break;
                }
            };
            asked.known = true;
            match reply.text(0) {
                "ok" => return Ok(self.seat_shared(now, admit, reserves, &entry, lease)),
                "no" => return Err(answer::denied(&reply)),
                _ => entry.tag.lost(&epoch),
            }
        }
        self.admit_away(now, admit, reserves).await
    }

    /// Picks where something is not usual.
    pub(super) async fn pick_apart(
        &self,
        now: Timestamp,
        pick: &Pick<'_>,
        reserves: Reserves,
        patience: Duration,
        tag: Arc<Tag>,
        epoch: Arc<str>,
    ) -> Result<Picked<Hold>, Shortage> {
        let mut asked = Asked::new(&tag, self.context.next_lease(), pick.model);
        let call = self.pick_call(now, pick, &tag, &epoch, asked.lease, reserves, patience, None);
        let [reply] = self.ask_one(&tag, call).await;
        self.conclude(now, pick, reserves, patience, &tag, epoch, &mut asked, reply)
            .await
    }

    /// Understands the answer to a pick, and asks again where that is what it says.
    #[expect(clippy::too_many_arguments, reason = "a call and its answer")]
    async fn conclude(
        &self,
        now: Timestamp,
        pick: &Pick<'_>,
        reserves: Reserves,
        patience: Duration,
        tag: &Arc<Tag>,
        mut epoch: Arc<str>,
        asked: &mut Asked<'_>,
        mut reply: Result<Reply, Away>,
    ) -> Result<Picked<Hold>, Shortage> {
        for _ in 0..TRIES {
            let answer = match &reply {
                Ok(reply) => answer::picked(reply, now),
                Err(away) => {
                    // One that may have been made is given up.
                    asked.known = away.has_not_run();
                    break;
                }
            };
            let mut filling = Vec::new();
            match answer {
                PickAnswer::Picked(found) => {
                    let picked = found
                        .among(pick.lanes)
                        .and_then(|chosen| self.take(now, pick, reserves, tag, asked.lease, &chosen));
                    let Some(picked) = picked else {
                        break;
                    };
                    asked.known = true;
                    return Ok(picked);
                }
                PickAnswer::None(shortage) => {
                    asked.known = true;
                    return Err(shortage);
                }
                PickAnswer::Fill(lanes) => {
                    for lane in lanes.iter().filter_map(|index| pick.lanes.get(*index)) {
                        filling.extend(self.fill_calls(now, &epoch, tag, lane));
                    }
                }
                PickAnswer::Again => {}
                // It was given up: what this process waits for has come too late.
                PickAnswer::Gone => break,
                PickAnswer::Unknown => {
                    tag.lost(&epoch);
                    match self.epoch(tag).await {
                        Ok(known) => epoch = known,
                        Err(_) => break,
                    }
                    self.tell_first(tag).await;
                }
            }
            filling.push(self.pick_call(now, pick, tag, &epoch, asked.lease, reserves, patience, None));
            let mut replies = self.context.link.run_all(&filling, Urgency::Awaited).await;
            reply = replies
                .pop()
                .unwrap_or_else(|| Err(away_now()))
                .and_then(Reply::new);
        }
        self.pick_away(now, pick, reserves, patience).await
    }

    async fn ask_one(&self, tag: &Arc<Tag>, call: Invocation) -> [Result<Reply, Away>; 1] {
        self.exchange(&[tag], [call]).await
    }

    /// One write: what there is to say to the tags, then the calls. In a cluster the order would not hold, and
    /// what there is to say goes its own way.
    pub(super) async fn exchange<const N: usize>(
        &self,
        tags: &[&Arc<Tag>; N],
        calls: [Invocation; N],
    ) -> [Result<Reply, Away>; N] {
        let link = &self.context.link;
        let sendings: Vec<Sending<'_>> = if link.is_cluster() {
            Vec::new()
        } else {
            tags.iter().filter_map(|tag| tag.send()).collect()
        };
        let mut replies = if sendings.is_empty() && N == 1 {
            let mut all = Vec::with_capacity(1);
            for call in &calls {
                all.push(link.run(call, Urgency::Awaited).await);
            }
            all
        } else {
            let all: Vec<&Invocation> = sendings.iter().map(Sending::call).chain(&calls).collect();
            link.run_all(&all, Urgency::Awaited).await
        }
        .into_iter();
        for sending in sendings {
            // An error leaves it to be said again.
            let _ = sending.answered(replies.next().unwrap_or_else(|| Err(away_now())));
        }
        std::array::from_fn(|_| {
            let reply: Result<Value, Away> = replies.next().unwrap_or_else(|| Err(away_now()));
            reply.and_then(Reply::new).inspect_err(complain)
        })
    }

    /// Tells a store that has lost its state what it must know before it is asked: what rests is not to be picked.
    async fn tell_first(&self, tag: &Tag) {
        if let Some(sending) = tag.send() {
            // An error, or an answer that is late, leaves it to be said again.
            let _ = timeout(self.context.link.deadline(), sending.alone()).await;
        }
    }
}

/// A script that fails is a bug, or the work of somebody else on the same keys.
pub(super) fn complain(away: &Away) {
    if let Away::Refused { code, detail } = away {
        tracing::error!(code, detail, "a script of the store failed");
    }
}

fn away_now() -> Away {
    Away::NotRun(Why::Starting)
}
