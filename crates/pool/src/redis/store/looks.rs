//! Looking up the state that all replicas see, for people.

use std::{collections::HashMap, sync::Arc};

use redis::Value;
use snapshot::{ClientName, CredentialName, Period, ProviderName, QuotaWindow, Timestamp};

use super::Redis;
use crate::{
    ClientState, CredentialState, Member, Resting, Store as _, WindowState,
    redis::{
        encode::read_scope,
        link::{Away, Urgency},
        reply::{Reply, text},
        scripts::LOOK,
        tag::Subject,
    },
};

/// The fields of an account.
struct Fields<'a>(HashMap<&'a str, &'a str>);

/// Accounts that are looked up in one call at most.
const TOGETHER: usize = 200;

impl Redis {
    pub(super) async fn look_up_shared(
        &self,
        now: Timestamp,
        provider: &ProviderName,
        members: &[Member],
    ) -> Result<Vec<CredentialState>, Away> {
        let subject = Subject::Provider(provider.clone());
        let mut states = Vec::with_capacity(members.len());
        for members in members.chunks(TOGETHER) {
            let mut call = LOOK.on(&[self.key(&subject)]).arg(self.context.clock());
            for member in members {
                call = call.arg(member.credential.name());
            }
            self.hear(&subject).await;
            let reply = Reply::new(self.context.link.run(&call, Urgency::Background).await?)?;
            let theirs = Timestamp::from_micros(reply.number(0));
            for (member, fields) in members.iter().zip(reply.lists(1)) {
                states.push(credential(
                    &member.credential,
                    &member.quota,
                    &Fields::new(fields),
                    now,
                    theirs,
                ));
            }
        }
        Ok(states)
    }

    pub(super) async fn look_up_clients_shared(
        &self,
        now: Timestamp,
        clients: &[(&ClientName, &[QuotaWindow])],
    ) -> Result<Vec<ClientState>, Away> {
        // Callers without limits have no place in the store: only their calls of this process are known.
        let local = self.local().look_up_clients(now, clients).await;
        let mut states = Vec::with_capacity(clients.len());
        let mut replies = Vec::with_capacity(clients.len());
        for clients in clients.chunks(TOGETHER) {
            replies.extend(self.looks(clients).await);
        }
        for (((client, budgets), local), reply) in clients.iter().zip(local).zip(replies) {
            let reply = reply?;
            let theirs = Timestamp::from_micros(reply.number(0));
            let fields = Fields::new(reply.lists(1).next().unwrap_or_default());
            states.push(ClientState {
                name: (*client).clone(),
                in_flight: fields.in_flight().max(local.in_flight),
                reserved_tokens: fields.number("v").max(local.reserved_tokens),
                budgets: windows(budgets, &fields, now, theirs),
            });
        }
        Ok(states)
    }
}

impl Redis {
    /// Looks up callers, one answer for each.
    async fn looks(&self, clients: &[(&ClientName, &[QuotaWindow])]) -> Vec<Result<Reply, Away>> {
        let mut calls = Vec::with_capacity(clients.len());
        for (client, budgets) in clients {
            let subject = Subject::Client((*client).clone());
            self.hear(&subject).await;
            let mut call = LOOK.on(&[self.key(&subject)]).arg(self.context.clock());
            for field in ["", "n", "v"] {
                call = call.arg(field);
            }
            for window in *budgets {
                call = call.arg(format!("q:{}", window.name));
            }
            calls.push(call);
        }
        let replies = self.context.link.run_all(&calls, Urgency::Background).await;
        replies
            .into_iter()
            .map(|reply| reply.and_then(Reply::new))
            .collect()
    }

    /// Lets the store hear what this process has to say, so that it is seen.
    async fn hear(&self, subject: &Subject) {
        if let Some(tag) = self.tags.known(subject)
            && let Some(sending) = tag.send()
        {
            // An error leaves it to be said again.
            let _ = sending.alone().await;
        }
    }

    fn key(&self, subject: &Subject) -> String {
        subject.key(&self.context.prefix)
    }
}

impl<'a> Fields<'a> {
    fn new(list: &'a [Value]) -> Self {
        let pairs = list.chunks_exact(2);
        Self(
            pairs
                .filter_map(|pair| Some((text(pair.first()?), text(pair.get(1)?))))
                .collect(),
        )
    }

    fn in_flight(&self) -> u32 {
        u32::try_from(self.number("n")).unwrap_or(u32::MAX)
    }

    fn number(&self, field: &str) -> u64 {
        self.0.get(field).and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

fn credential(
    name: &CredentialName,
    quota: &[QuotaWindow],
    fields: &Fields<'_>,
    now: Timestamp,
    theirs: Timestamp,
) -> CredentialState {
    let mut rests: Vec<Resting> = fields
        .0
        .iter()
        .filter_map(|(field, scope)| {
            let model = match *field {
                "w" => None,
                field => Some(field.strip_prefix("m:")?.into()),
            };
            let (reason, until, guessed) = read_scope(scope)?;
            (guessed || until > theirs).then(|| Resting {
                model,
                reason,
                until: shifted(until, now, theirs),
            })
        })
        .collect();
    rests.sort_by(|a, b| a.model.cmp(&b.model));
    CredentialState {
        name: name.clone(),
        in_flight: fields.in_flight(),
        reserved_tokens: fields.number("v"),
        rests,
        windows: windows(quota, fields, now, theirs),
    }
}

/// The present periods of windows. One that has not begun is left out.
fn windows(
    windows: &[QuotaWindow],
    fields: &Fields<'_>,
    now: Timestamp,
    theirs: Timestamp,
) -> Vec<WindowState> {
    let state = |window: &QuotaWindow| {
        let field = format!("q:{}", window.name);
        let mut parts = fields
            .0
            .get(&*field)
            .unwrap_or(&"")
            .split('|')
            .map(str::parse::<u64>);
        let mut next = || parts.next().and_then(Result::ok);
        let known = next().map(|start| {
            (
                Timestamp::from_micros(start),
                next().unwrap_or(0),
                next().unwrap_or(0),
            )
        });
        let (ends, used) = match &window.period {
            Period::Rolling(length) => {
                let (start, requests, tokens) = known.filter(|(start, ..)| *start + *length > theirs)?;
                (start + *length, (requests, tokens))
            }
            Period::Calendar(calendar) => {
                let bounds = calendar.bounds(theirs);
                let used = known.filter(|(start, ..)| *start == bounds.start);
                (
                    bounds.end,
                    used.map_or((0, 0), |(_, requests, tokens)| (requests, tokens)),
                )
            }
        };
        Some(WindowState {
            name: Arc::clone(&window.name),
            requests: used.0,
            tokens: used.1,
            resets_at: match window.period {
                Period::Rolling(_) => shifted(ends, now, theirs),
                // Midnight is midnight, whatever a clock shows.
                Period::Calendar(_) => ends,
            },
        })
    };
    windows.iter().filter_map(state).collect()
}

/// A time of the store by the clock of this process.
fn shifted(time: Timestamp, now: Timestamp, theirs: Timestamp) -> Timestamp {
    if time >= theirs {
        now + time.since(theirs)
    } else {
        Timestamp::from_micros(
            now.as_micros()
                .saturating_sub(theirs.since(time).as_micros().try_into().unwrap_or(u64::MAX)),
        )
    }
}
