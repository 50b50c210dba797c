//! What is asked of the store, as its scripts take it.

use std::{sync::Arc, time::Duration};

use snapshot::{Calendar, CallLimits, CredentialName, Timestamp};

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
        let conversation = pick.affinity.map(|hash| format!("h:{hash:016x}"));
        args = args
            .text(&conversation.unwrap_or_default())
            .number(micros(pick.provider.selection.affinity.ttl))
            .number(micros(patience))
            .number(reserves.attempt);
        args = match (pick.object, pick.pinned) {
            (Some(object), _) => args.text(&format!("b:{:032x}", object.0)).text(""),
            (None, Some(pinned)) => args.text(pinned.name()).optional(lane_of(pick, pinned)),
            (None, None) => args.text("").text(""),
        };
        args = args
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

/// The lane of a credential, counted from one, unless it was tried.
fn lane_of(pick: &Pick<'_>, credential: &CredentialName) -> Option<u64> {
    let lane = pick
        .lanes
        .iter()
        .position(|lane| lane.position(credential).is_some())?;
    (!pick.tried.contains(credential)).then_some(lane as u64 + 1)
}

/// The names of a lane's members that were tried, each once.
fn tried<'a>(lane: &'a Lane, pick: &'a Pick<'_>) -> Vec<&'a str> {
    let members = pick.tried.iter().filter(|name| lane.position(name).is_some());
    let mut names: Vec<&str> = members.map(|name| name.name()).collect();
    names.sort_unstable();
    names.dedup();
    names
}
