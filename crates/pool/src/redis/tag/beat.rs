//! Saying that this process lives, and learning what it must tell again.

use std::{collections::HashSet, sync::Arc};

use redis::Value;
use snapshot::Timestamp;
use tokio::time::Instant;

use super::{Subject, Tag};
use crate::{
    Rest, RestEnd,
    redis::{
        encode::{credential, read_scope},
        link::{Away, Urgency},
        record::Record,
        reply::{Reply, text},
        scripts::BEAT,
    },
    rest::Told,
    store::memory::ToldRest,
};

impl Tag {
    /// Says that this process lives. Returns the state of the store that it is registered with.
    pub(super) async fn beat(&self, urgency: Urgency) -> Result<Arc<str>, Away> {
        let context = &self.context;
        let rests = self.state().rests.clone();
        let number = context.next_lease();
        let call = BEAT
            .on(&[self.key()])
            .arg(context.clock())
            .arg(&context.owner)
            .arg(format!("{}.{number}", context.owner))
            .arg(&rests);
        let reply = Reply::new(context.link.run(&call, urgency).await?)?;
        let epoch: Arc<str> = reply.text(0).into();
        let version = reply.text(7).to_owned();
        let now = context.now();
        let mut state = self.state();
        state.beaten = (reply.number(6) == 0).then(Instant::now);
        state.signed = Some(Instant::now());
        if state.batch.is_none() {
            // The store remembers batches of a tag that was let go here meanwhile.
            state.batches = state.batches.max(reply.number(4));
        }
        let mut emptied = false;
        if state.epoch.as_deref() != Some(&*epoch) || reply.number(1) == 1 {
            let known_before = state.epoch.take().or(state.former.take());
            emptied = known_before.is_some_and(|before| before != epoch);
            state.epoch = Some(epoch.clone());
            self.tell_again(&mut state, emptied);
        }
        // An emptied store knows of no rests until it is told.
        let news = version != rests && !emptied;
        state.rests = if emptied { String::new() } else { version };
        drop(state);
        self.wake.notify_one();
        if news && let Subject::Provider(provider) = &self.subject {
            let theirs = Timestamp::from_micros(reply.number(5));
            let told: Vec<ToldRest> = reply
                .lists(8)
                .flat_map(|list| told_rests(provider.namespace(), list, now, theirs))
                .collect();
            context.local.set_rests(now, provider, &told);
        }
        Ok(epoch)
    }

    /// Puts what the store must hear again before all else.
    fn tell_again(&self, state: &mut super::State, emptied: bool) {
        state.is_pressing = true;
        // A batch that was sent to the lost state cannot be applied any more.
        if emptied && let Some(batch) = state.batch.take() {
            for record in batch.records.into_iter().rev() {
                state.queue.push_front(record);
            }
        }
        // What is used is told as a whole, with that which is still to be said.
        if emptied {
            state.queue.iter_mut().for_each(Record::uncharge);
        }
        // What the batch under way ends, and what is to be counted when it is told, is left to that.
        let said = state.batch.iter().flat_map(|batch| &batch.records);
        let ending = said.clone().filter_map(Record::ends);
        let counted = said.chain(&state.queue).filter_map(Record::begins);
        let left: HashSet<u64> = ending.chain(counted).collect();
        let leases: Vec<Record> = state
            .open
            .iter()
            .filter(|(lease, _)| !left.contains(lease))
            .map(|(lease, open)| Record::adopt(*lease, &open.account, open.hold, false, ""))
            .collect();
        for record in leases {
            state.queue.push_front(record);
        }
        if emptied {
            let now = self.context.now();
            let used = match &self.subject {
                Subject::Provider(provider) => self.context.local.used_of(now, provider),
                Subject::Client(client) => self.context.local.used_by(now, client).into_iter().collect(),
            };
            for used in &used {
                let definition = state.definition(&used.account);
                if !definition.is_empty() {
                    state.queue.push_front(Record::restore(used, &definition));
                }
            }
            if let Subject::Provider(provider) = &self.subject {
                for ToldRest {
                    credential,
                    model,
                    rest,
                } in self.context.local.rests(now, provider)
                {
                    let told = Rest {
                        reason: rest.reason,
                        end: RestEnd::For(rest.until.since(now)),
                    };
                    state
                        .queue
                        .push_front(Record::report(credential.name(), model.as_deref(), told, ""));
                }
            }
        }
    }

    /// The leases that this process holds, or has given up and not forgotten.
    pub(super) fn known_leases(&self) -> HashSet<u64> {
        let state = self.state();
        let given_up = state.given_up.iter().map(|(lease, _)| *lease);
        state.open.keys().copied().chain(given_up).collect()
    }
}

fn told_rests(namespace: &str, list: &[Value], now: Timestamp, theirs: Timestamp) -> Vec<ToldRest> {
    let Some(credential) = list.first().and_then(|name| credential(namespace, text(name))) else {
        return Vec::new();
    };
    let scopes = list.get(1..).unwrap_or_default().chunks_exact(2);
    scopes
        .filter_map(|pair| {
            let (field, scope) = (text(pair.first()?), text(pair.get(1)?));
            let (reason, until, guessed) = read_scope(scope)?;
            Some(ToldRest {
                credential: credential.clone(),
                model: field.strip_prefix("m:").map(Into::into),
                rest: Told {
                    reason,
                    until: now + until.since(theirs),
                    guessed,
                },
            })
        })
        .collect()
}
