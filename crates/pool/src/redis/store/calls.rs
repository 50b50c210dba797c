//! What is asked of the store, as its scripts take it.

use std::{sync::Arc, time::Duration};

use snapshot::{Calendar, CallLimits, Timestamp};

use super::Redis;
use crate::{
    Admit, Lane, Pick, Reserves,
    redis::{
        args::Args,
        encode::{calendar_args, follows, micros, stride},
        link::Invocation,
        scripts::{ADMIT, FILL, PICK},
        tag::{Subject, Tag, asking::Limits},
    },
};

/// An admission that was asked for.
pub(super) struct Entry {
    pub(super) tag: Arc<Tag>,
    pub(super) limits: Arc<Limits>,
}

/// Members of a lane that are written in one call at most.
const FILLED_AT_ONCE: usize = 500;
/// Members that one call looks at, at most: some milliseconds of the server's time.
const LOOKS: u64 = 256;

impl Redis {
    /// The admission of a caller that has limits.
    pub(super) fn entry(&self, admit: &Admit<'_>) -> Option<Entry> {
        if *admit.limits == CallLimits::default() && admit.budgets.is_empty() {
            return None;
        }
        let tag = self.tags.get(Subject::Client(admit.client.clone()));
        let limits = tag.limits(admit.limits, admit.budgets);
        Some(Entry { tag, limits })
    }

    pub(super) fn admission_call(
        &self,
        now: Timestamp,
        entry: &Entry,
        epoch: &str,
        lease: u64,
        reserves: Reserves,
    ) -> Invocation {
        ADMIT
            .on(&[entry.tag.key()])
            .arg(self.context.clock())
            .arg(epoch)
            .arg(&self.context.owner)
            .arg(lease)
            .arg(reserves.call)
            .arg(&*entry.limits.definition)
            .arg(calendar_args(entry.limits.calendars.iter(), now))
    }

    #[expect(clippy::too_many_arguments, reason = "what a pick depends on")]
    pub(super) fn pick_call(
        &self,
        now: Timestamp,
        pick: &Pick<'_>,
        tag: &Tag,
        epoch: &str,
        lease: u64,
        reserves: Reserves,
        patience: Duration,
        seat: Option<(&str, u64)>,
    ) -> Invocation {
        let pinned = pick.pinned.map(|pinned| {
            let lane = pick.lanes.iter().position(|lane| lane.position(pinned).is_some());
            let lane = lane.filter(|_| !pick.tried.contains(pinned));
            (pinned.name(), lane.map(|lane| lane as u64 + 1))
        });
        tag.know(pick.lanes);
        let call = match seat {
            Some((seats, _)) => PICK.on(&[tag.key(), seats]),
            None => PICK.on(&[tag.key()]),
        };
        let mut args = Args::with_capacity(32, 256)
            .all(&self.context.clock())
            .text(epoch)
            .text(&self.context.owner)
            .number(lease)
            .optional(seat.map(|(_, lease)| lease))
            .text(pick.model)
            .optional(pick.provider.concurrency.map(u64::from));
        args = match (pick.object, pick.affinity) {
            (Some(object), _) => args.text(&format!("b:{:032x}", object.0)),
            (None, Some(hash)) => args.text(&format!("h:{hash:016x}")),
            (None, None) => args.text(""),
        };
        args = args
            .number(micros(pick.provider.selection.affinity.ttl))
            .number(micros(patience))
            .number(reserves.attempt)
            .text(pinned.map_or("", |(name, _)| name))
            .optional(pinned.and_then(|(_, lane)| lane))
            .number(LOOKS)
            .all(&Self::lane_calendars(now, pick))
            .number(pick.lanes.len() as u64);
        for lane in pick.lanes {
            let tried = tried(lane, pick);
            args = args.text(&lane.text().id).number(tried.len() as u64);
            for name in tried {
                args = args.text(name);
            }
        }
        call.arg(args)
    }

    pub(super) fn lane_calendars(now: Timestamp, pick: &Pick<'_>) -> Args {
        let mut calendars: Vec<&(String, Calendar)> = Vec::new();
        for calendar in pick.lanes.iter().flat_map(|lane| &lane.text().calendars) {
            if !calendars.contains(&calendar) {
                calendars.push(calendar);
            }
        }
        calendar_args(calendars.into_iter(), now)
    }

    pub(super) fn fill_calls(&self, now: Timestamp, epoch: &str, tag: &Tag, lane: &Lane) -> Vec<Invocation> {
        let text = lane.text();
        let members: Vec<_> = lane.members().iter().zip(&text.definitions).collect();
        members
            .chunks(FILLED_AT_ONCE)
            .map(|members| {
                let mut args = self
                    .context
                    .clock()
                    .text(epoch)
                    .text(&text.id)
                    .number(follows(lane.strategy()))
                    .number(stride(lane.strategy()))
                    .number(lane.members().len() as u64)
                    .number(u64::from(text.is_plain()))
                    .text(lane.model())
                    .all(&calendar_args(text.calendars.iter(), now));
                for (member, definition) in members {
                    args = args.text(member.credential.name()).text(definition);
                }
                FILL.on(&[tag.key()]).arg(args)
            })
            .collect()
    }
}

/// The names of a lane's members that were tried, each once.
fn tried<'a>(lane: &'a Lane, pick: &'a Pick<'_>) -> Vec<&'a str> {
    let members = pick.tried.iter().filter(|name| lane.position(name).is_some());
    let mut names: Vec<&str> = members.map(|name| name.name()).collect();
    names.sort_unstable();
    names.dedup();
    names
}
