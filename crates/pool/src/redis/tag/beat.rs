//! Saying that this process lives, and learning what it must tell again.

use std::collections::HashSet;

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
    pub(super) async fn beat(&self, urgency: Urgency) -> Result<String, Away> {
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
        let epoch = reply.text(0).to_owned();
        let version = reply.text(7).to_owned();
        let now = context.now();
        let mut state = self.state();
        state.beaten = (reply.number(6) == 0).then(Instant::now);
        let lost = state.epoch.as_deref() != Some(&*epoch);
        if lost || reply.number(1) == 1 {
            let known_before = state.epoch.take().or(state.former.take());
            let emptied = known_before.is_some_and(|before| before != epoch);
            state.epoch = Some(epoch.clone());
            self.tell_again(&mut state, lost, emptied);
        }
        let news = version != rests;
        state.rests.clone_from(&version);
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
    fn tell_again(&self, state: &mut super::State, lost: bool, emptied: bool) {
        // A batch that was sent to the lost state cannot be applied any more.
        if lost && let Some(batch) = state.batch.take() {
            for record in batch.records.into_iter().rev() {
                state.queue.push_front(record);
            }
        }
        // What is used is told as a whole, with that which is still to be said.
        if emptied {
            state.queue.iter_mut().for_each(Record::uncharge);
        }
        let ending: HashSet<u64> = state
            .batch
            .iter()
            .flat_map(|batch| batch.records.iter().filter_map(Record::ends))
            .collect();
        let leases: Vec<Record> = state
            .open
            .iter()
            .filter(|(lease, _)| !ending.contains(lease))
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
                if let Some(definition) = state.definitions.get(&used.account).cloned() {
                    state.queue.push_front(Record::restore(used, &definition));
                }
            }
            if let Subject::Provider(provider) = &self.subject {
                for told in self.context.local.rests(now, provider) {
                    state.queue.extend(again(&told, now));
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

/// Tells of a rest that the store has forgotten. One whose end was guessed is left to the next refusal: told by each
/// process, it would climb the ladder once for each.
fn again(told: &ToldRest, now: Timestamp) -> Option<Record> {
    let rest = Rest {
        reason: told.rest.reason,
        end: RestEnd::For(told.rest.until.since(now)),
    };
    let mut record = Record::report(told.credential.name(), told.model.as_deref(), rest, "");
    record.made(now);
    (!told.rest.guessed && told.rest.until > now).then_some(record)
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
