//! What is known of one credential and one caller.

use std::{sync::Arc, time::Duration};

use snapshot::{CallLimits, RestReason, Timestamp};

use crate::{
    Limit, Totals,
    rest::{Scope, Standing},
    window::Window,
};

/// How soon it pays to look again when calls under way have to end first.
pub(super) const SOON: Duration = Duration::from_secs(1);

/// What is used of a set of limits.
#[derive(Debug, Default)]
pub(super) struct Usage {
    pub(super) in_flight: u32,
    pub(super) reserved: u64,
    requests: Window,
    tokens: Window,
    pub(super) totals: Totals,
}

/// A limit that is reached, and when that ends; `None` when calls under way have to end first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reached {
    pub(super) limit: Limit,
    pub(super) until: Option<Timestamp>,
}

/// One credential.
#[derive(Debug)]
pub(super) struct Credential {
    pub(super) provider: Option<u32>,
    pub(super) usage: Usage,
    pub(super) whole: Scope,
    /// Rests for single models; few at a time.
    pub(super) models: Vec<(Arc<str>, Scope)>,
    cleared: u64,
    /// The lanes that it is a member of, and as which.
    pub(super) lanes: Vec<(u32, u32)>,
    /// How many of these look at its calls in flight.
    pub(super) busy_lanes: u32,
    /// Whether it may be parked as full in one of them.
    pub(super) parked_full: bool,
    pub(super) used_at: Timestamp,
}

/// One caller.
#[derive(Debug, Default)]
pub(super) struct Client {
    pub(super) usage: Usage,
    /// Admissions and leases that refer to it.
    pub(super) held: u32,
    pub(super) used_at: Timestamp,
}

/// What stands between a call and a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    Resting { until: Timestamp, reason: RestReason },
    Windowed { until: Timestamp },
    Full,
}

/// Which rests a call would probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Probes {
    pub(super) whole: bool,
    pub(super) model: bool,
}

/// Models of one credential that are remembered at most. Beyond it the first goes: it is tried too early.
const MODELS: usize = 256;

impl Usage {
    /// The first limit that is reached, that which lasts longest.
    pub(super) fn reached(&mut self, limits: &CallLimits, now: Timestamp) -> Option<Reached> {
        let mut longest: Option<Reached> = None;
        let mut reach = |limit, until: Option<Timestamp>| {
            let lasts = until.unwrap_or(Timestamp::EPOCH);
            if longest.is_none_or(|known| lasts > known.until.unwrap_or(Timestamp::EPOCH)) {
                longest = Some(Reached { limit, until });
            }
        };
        if limits.concurrency.is_some_and(|most| self.in_flight >= most) {
            reach(Limit::Concurrency, None);
        }
        if let Some(most) = limits.requests_per_minute.map(u64::from)
            && self.requests.used(now) >= most
        {
            reach(
                Limit::RequestsPerMinute,
                Some(window_end(&mut self.requests, most, now)),
            );
        }
        if let Some(most) = limits.tokens_per_minute {
            let used = self.tokens.used(now);
            if used >= most {
                reach(
                    Limit::TokensPerMinute,
                    Some(window_end(&mut self.tokens, most, now)),
                );
            } else if used.saturating_add(self.reserved) >= most {
                reach(Limit::TokensPerMinute, None);
            }
        }
        longest
    }

    /// Takes a place for a call that is likely to use so many tokens.
    pub(super) fn take(&mut self, limits: &CallLimits, reserve: u64, now: Timestamp) {
        self.in_flight = self.in_flight.saturating_add(1);
        self.reserved = self.reserved.saturating_add(reserve);
        self.totals.requests += 1;
        if limits.requests_per_minute.is_some() {
            self.requests.add(now, 1);
        }
    }

    /// Gives the place back.
    pub(super) fn give_back(&mut self, reserved: u64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.reserved = self.reserved.saturating_sub(reserved);
    }

    pub(super) fn add_tokens(&mut self, tokens: u64, now: Timestamp) {
        self.tokens.add(now, tokens);
    }
}

/// A limit of zero has no end; a minute from now is as good as any other answer.
fn window_end(window: &mut Window, limit: u64, now: Timestamp) -> Timestamp {
    window
        .room_at(limit, now)
        .unwrap_or(now + Duration::from_secs(60))
}

impl Credential {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            provider: None,
            usage: Usage::default(),
            whole: Scope::default(),
            models: Vec::new(),
            cleared: 0,
            lanes: Vec::new(),
            busy_lanes: 0,
            parked_full: false,
            used_at: now,
        }
    }

    /// Whether a call for `model` may use it now.
    pub(super) fn obstacle(
        &mut self,
        limits: &CallLimits,
        model: &str,
        now: Timestamp,
    ) -> Result<Probes, Obstacle> {
        let whole = self.whole.standing(now);
        let for_model = self
            .model(model)
            .map_or(Standing::Open, |scope| scope.standing(now));
        let mut resting: Option<(Timestamp, RestReason)> = None;
        for standing in [whole, for_model] {
            if let Standing::Closed(until, reason) = standing
                && resting.is_none_or(|(known, _)| until > known)
            {
                resting = Some((until, reason));
            }
        }
        let reached = self.usage.reached(limits, now);
        let windowed = reached.and_then(|reached| reached.until);
        match (resting, reached) {
            (Some((until, reason)), _) => Err(Obstacle::Resting {
                until: windowed.map_or(until, |window| until.max(window)),
                reason,
            }),
            (None, Some(_)) => Err(windowed.map_or(Obstacle::Full, |until| Obstacle::Windowed { until })),
            (None, None) => Ok(Probes {
                whole: matches!(whole, Standing::HalfOpen(_)),
                model: matches!(for_model, Standing::HalfOpen(_)),
            }),
        }
    }

    pub(super) fn model(&self, model: &str) -> Option<&Scope> {
        let found = self.models.iter().find(|(name, _)| **name == *model);
        found.map(|(_, scope)| scope)
    }

    pub(super) fn known_model(&mut self, model: &str) -> Option<&mut Scope> {
        let found = self.models.iter_mut().find(|(name, _)| **name == *model);
        found.map(|(_, scope)| scope)
    }

    /// The scope of one model, made when missing.
    pub(super) fn model_mut(&mut self, model: &str, now: Timestamp) -> &mut Scope {
        let position = self.models.iter().position(|(name, _)| **name == *model);
        let position = position.unwrap_or_else(|| {
            if self.models.len() >= MODELS {
                self.models.retain(|(_, scope)| !scope.is_idle(now));
            }
            if self.models.len() >= MODELS {
                self.models.remove(0);
            }
            self.models.push((model.into(), Scope::cleared_at(self.cleared)));
            self.models.len() - 1
        });
        &mut self.models[position].1
    }

    pub(super) fn scopes(&mut self) -> impl Iterator<Item = &mut Scope> {
        let models = self.models.iter_mut().map(|(_, scope)| scope);
        std::iter::once(&mut self.whole).chain(models)
    }

    pub(super) fn clear(&mut self, sequence: u64) {
        self.cleared = sequence;
        self.scopes().for_each(|scope| scope.clear(sequence));
    }

    /// Whether nothing is lost when it is forgotten.
    pub(super) fn is_idle(&mut self, now: Timestamp) -> bool {
        self.usage.in_flight == 0 && self.lanes.is_empty() && self.scopes().all(|scope| scope.is_idle(now))
    }
}
