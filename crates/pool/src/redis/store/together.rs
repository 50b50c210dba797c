//! Admissions and picks that are asked for together: while one question is on its way, those who come meanwhile wait
//! for the next. Who finds nobody asking does so at once.
//!
//! Only what is usual is answered so; all else is asked for alone, as [`super::exchange`] does.

use std::{pin::pin, slice, sync::Arc, time::Duration};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::{
    task::yield_now,
    time::{Instant, sleep_until},
};

use super::{exchange::complain, pending::Asked};
use crate::redis::{
    args::Args,
    encode::calendar_args,
    link::{Away, Invocation, Urgency, Why},
    reply::Reply,
    scripts::ENTER,
    tag::{
        Context, Sending, Tag,
        asking::{Answer, Asker, Given, LimitedCaller, Taken, Waiting},
    },
};

/// Calls that are asked for in one go at most: some tens of microseconds of the server's time.
const TOGETHER: usize = 64;
/// Questions on their way at most.
const QUESTIONS: usize = 4;
/// When a question takes longer than this, the next one does not wait for its answer.
const OVERTAKE: Duration = Duration::from_millis(5);

/// Asks for all who wait at a tag, for as long as it is polled.
pub(super) async fn serve(context: Arc<Context>, tag: Arc<Tag>) {
    let mut questions = FuturesUnordered::new();
    let mut last = Instant::now();
    let mut is_busy = false;
    loop {
        tag.asking.set_crowded(is_busy || !questions.is_empty());
        let not_before = (!questions.is_empty()).then(|| last + OVERTAKE);
        let asking = &tag.asking;
        let mut may_ask = pin!(async move {
            if let Some(moment) = not_before {
                sleep_until(moment).await;
            }
            asking.joined(OVERTAKE).await;
        });
        tokio::select! {
            biased;
            Some(()) = questions.next(), if !questions.is_empty() => continue,
            () = &mut may_ask, if questions.len() < QUESTIONS => {}
        }
        if is_busy {
            // Others are about to ask, and then go along.
            yield_now().await;
        }
        let waiting = tag.asking.take(TOGETHER);
        is_busy = waiting.len() > 1;
        if !waiting.is_empty() {
            questions.push(ask(&context, &tag, waiting));
            last = Instant::now();
        }
    }
}

/// Asks for one who did not have to wait.
pub(super) async fn ask_at_once(context: &Context, tag: &Arc<Tag>, asker: Asker) -> Answer {
    let first = context.take_leases(2);
    let mut pick = Asked::new(tag, first, asker.want.lane.model());
    let mut seat = asker
        .caller
        .as_ref()
        .map(|caller| Asked::new(&caller.tag, first + 1, ""));
    let reply = put(context, tag, slice::from_ref(&asker), first)
        .await
        .inspect_err(complain);
    let is_known = reply.as_ref().map_or_else(Away::has_not_run, |_| true);
    pick.known = is_known;
    if let Some(seat) = &mut seat {
        seat.known = is_known;
    }
    drop((pick, seat));
    match reply {
        Ok(reply) => given(tag, vec![asker], first, &reply)
            .pop()
            .unwrap_or(Answer::Apart),
        Err(_) => Answer::Away,
    }
}

/// Calls of one caller that were taken together.
struct Group<'a> {
    caller: Option<&'a LimitedCaller>,
    calls: u64,
}

async fn ask(context: &Context, tag: &Arc<Tag>, waiting: Vec<Waiting>) {
    let (askers, answers): (Vec<_>, Vec<_>) = waiting
        .into_iter()
        .map(|waiting| (waiting.asker, waiting.answer))
        .unzip();
    // Their leases, and then their seats.
    let first = context.take_leases(2 * askers.len() as u64);
    let given = match put(context, tag, &askers, first).await.inspect_err(complain) {
        Ok(reply) => given(tag, askers, first, &reply),
        Err(away) => {
            if !away.has_not_run() {
                give_up(tag, &askers, first);
            }
            askers.iter().map(|_| Answer::Away).collect()
        }
    };
    for (answer, given) in answers.into_iter().zip(given) {
        // Who has left gives it back, or was given nothing.
        let _ = answer.send(given);
    }
}

async fn put(context: &Context, tag: &Arc<Tag>, askers: &[Asker], first: u64) -> Result<Reply, Away> {
    let groups = groups(askers);
    let Some(question) = question(context, tag, askers, &groups, first) else {
        return Err(Away::NotRun(Why::Starting));
    };
    // In one write: what there is to say of those concerned goes before.
    let sendings: Vec<Sending<'_>> = if context.link.is_cluster() {
        Vec::new()
    } else {
        let callers = groups.iter().filter_map(|group| group.caller);
        let said = callers.filter_map(|caller| caller.tag.send_pressing());
        // Where calls of the Provider are bounded, one that has ended makes room.
        let is_bounded = askers.iter().any(|asker| asker.want.concurrency.is_some());
        said.chain(if is_bounded {
            tag.send()
        } else {
            tag.send_pressing()
        })
        .collect()
    };
    let reply = if sendings.is_empty() {
        context.link.run(&question, Urgency::Awaited).await
    } else {
        let all: Vec<&Invocation> = sendings.iter().map(Sending::call).chain([&question]).collect();
        let mut replies = Box::pin(context.link.run_all(&all, Urgency::Awaited))
            .await
            .into_iter();
        for sending in sendings {
            // An error leaves it to be said again.
            let _ = sending.answered(replies.next().unwrap_or(Err(Away::NotRun(Why::Starting))));
        }
        replies.next().unwrap_or(Err(Away::NotRun(Why::Starting)))
    };
    reply.and_then(Reply::new)
}

fn groups(askers: &[Asker]) -> Vec<Group<'_>> {
    askers
        .chunk_by(Asker::is_with)
        .map(|chunk| Group {
            caller: chunk.first().and_then(|asker| asker.caller.as_ref()),
            calls: chunk.len() as u64,
        })
        .collect()
}

fn question(
    context: &Context,
    tag: &Tag,
    askers: &[Asker],
    groups: &[Group<'_>],
    first: u64,
) -> Option<Invocation> {
    let want = &askers.first()?.want;
    let text = want.lane.text();
    let mut keys = vec![tag.key()];
    let mut calendars: Vec<_> = text.calendars.iter().collect();
    for group in groups {
        // A caller without limits has no state: its place among the keys is empty.
        keys.push(group.caller.map_or(tag.key(), |caller| caller.tag.key()));
        for calendar in group.caller.iter().flat_map(|caller| &caller.limits.calendars) {
            if !calendars.contains(&calendar) {
                calendars.push(calendar);
            }
        }
    }
    let mut args = Args::with_capacity(16 + 4 * groups.len(), 256 + 32 * groups.len())
        .all(&context.clock())
        .text(&want.epoch)
        .text(&context.owner)
        .number(first)
        .number(askers.len() as u64)
        .text(&text.id)
        .text(want.lane.model())
        .optional(want.concurrency.map(u64::from))
        .number(want.hold)
        .all(&calendar_args(calendars.into_iter(), context.now()));
    for group in groups {
        args = args.number(group.calls);
        args = match group.caller {
            Some(caller) => args
                .text(&caller.epoch)
                .text(&caller.limits.definition)
                .number(caller.hold),
            None => args.text("").text("").text(""),
        };
    }
    Some(ENTER.on(&keys).arg(args))
}

/// What each of them was given.
fn given(tag: &Arc<Tag>, askers: Vec<Asker>, first: u64, reply: &Reply) -> Vec<Answer> {
    let word = reply.text(0);
    if word == "unknown"
        && let Some(asker) = askers.first()
    {
        tag.lost(&asker.want.epoch);
    }
    if word != "ok" {
        tag.asking.ask_apart();
        return askers.iter().map(|_| Answer::Apart).collect();
    }
    let seats = first + askers.len() as u64;
    let mut sequence = reply.number(1);
    let mut names = reply.text(2).split(',');
    let answers = (0..).zip(askers).map(|(place, asker)| {
        let account = names.next().unwrap_or_default();
        if account.is_empty() {
            return Answer::Apart;
        }
        let taken = Taken {
            position: asker.want.lane.position_of(account),
            lease: first + place,
            sequence,
            seat: seats + place,
        };
        sequence += 1;
        Answer::Given(Given::new(taken, tag, asker.want, asker.caller))
    });
    answers.collect()
}

fn give_up(tag: &Tag, askers: &[Asker], first: u64) {
    let seats = first + askers.len() as u64;
    for (place, asker) in (0..).zip(askers) {
        tag.give_up(first + place, asker.want.lane.model());
        if let Some(caller) = &asker.caller {
            caller.tag.give_up(seats + place, "");
        }
    }
}
