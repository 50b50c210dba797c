//! What is known of one credential and one caller.

use std::{sync::Arc, time::Duration};

use snapshot::{CallLimits, ProviderName, QuotaWindow, RestReason, SecretVersion, Timestamp};

use super::mirror::Used;
use crate::{
    Headroom, Limit, Rest,
    quota::{self, Closed, Quota, share},
    rest::{Scope, Standing, Undo},
    score::{Lead, LedBy},
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
    pub(super) quota: Quota,
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
    /// Whose it is, as far as known.
    pub(super) provider: Option<ProviderName>,
    pub(super) usage: Usage,
    /// What the upstream last said of its quota: used parts per million, and until when that holds.
    headroom: Option<(u32, Timestamp)>,
    pub(super) whole: Scope,
    /// Rests for single models; few at a time.
    pub(super) models: Vec<(Arc<str>, Scope)>,
    cleared: u64,
    /// The version of its secret that was last heard of.
    secret: Option<SecretVersion>,
    /// The lanes that it is a member of, and as which.
    pub(super) lanes: Vec<(u32, u32)>,
    /// How many of these have scores that something leads.
    pub(super) led_lanes: u32,
    /// Whether it may be parked as full in one of them.
    pub(super) parked_full: bool,
    pub(super) used_at: Timestamp,
}

/// One caller.
#[derive(Debug, Default)]
pub(super) struct Client {
    pub(super) usage: Usage,
    /// Admissions that refer to it.
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
pub(crate) struct Probes {
    /// That of the whole credential.
    pub(crate) whole: bool,
    /// That for the model.
    pub(crate) model: bool,
}

/// What may lead the scores of one credential.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Leads {
    calls_in_flight: Lead,
    used_quota: Lead,
}

/// Models of one credential that are remembered at most. Beyond it the first goes: it is tried too early.
const MODELS: usize = 256;

impl Usage {
    /// The limit of a caller that is reached, of several that which lasts longest. Each limit is divided
    /// among so many `sharers`.
    pub(super) fn reached_with_budgets(
        &mut self,
        limits: &CallLimits,
        sharers: u32,
        now: Timestamp,
    ) -> Option<Reached> {
        let reached = self.reached(limits, sharers, now);
        let Some(closed) = self.quota.closed(self.reserved, sharers, now) else {
            return reached;
        };
        let budget = Reached {
            limit: Limit::Budget,
            until: closed.until(),
        };
        Some(
            reached
                .filter(|known| known.until >= budget.until)
                .unwrap_or(budget),
        )
    }

    /// The limit that is reached, budgets and quotas apart; of several that which lasts longest.
    pub(super) fn reached(&mut self, limits: &CallLimits, sharers: u32, now: Timestamp) -> Option<Reached> {
        let mut longest: Option<Reached> = None;
        let mut reach = |limit, until: Option<Timestamp>| {
            let lasts = until.unwrap_or(Timestamp::EPOCH);
            if longest.is_none_or(|known| lasts > known.until.unwrap_or(Timestamp::EPOCH)) {
                longest = Some(Reached { limit, until });
            }
        };
        let shared = |limit: u32| share(u64::from(limit), sharers);
        if limits
            .concurrency
            .is_some_and(|most| u64::from(self.in_flight) >= shared(most))
        {
            reach(Limit::Concurrency, None);
        }
        if let Some(most) = limits.requests_per_minute.map(shared)
            && self.requests.used(now) >= most
        {
            reach(
                Limit::RequestsPerMinute,
                Some(window_end(&mut self.requests, most, now)),
            );
        }
        if let Some(most) = limits.tokens_per_minute.map(|limit| share(limit, sharers)) {
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
        self.quota.begin(now);
        if limits.requests_per_minute.is_some() {
            self.requests.add(now, 1);
        }
    }

    /// Whether nothing is lost when it is forgotten.
    pub(super) fn is_idle(&mut self, now: Timestamp) -> bool {
        self.in_flight == 0 && self.quota.is_idle(now)
    }

    /// Gives the place back.
    pub(super) fn give_back(&mut self, reserved: u64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.reserved = self.reserved.saturating_sub(reserved);
    }

    /// What was used, for a shared store that has lost it.
    pub(super) fn used(&mut self, account: &str, now: Timestamp) -> Used {
        let tallies = self.quota.tallies(now);
        Used {
            account: account.into(),
            windows: tallies.map(|(name, tally)| (name.into(), tally)).collect(),
            requests: self.requests.buckets(now).collect(),
            tokens: self.tokens.buckets(now).collect(),
        }
    }

    /// Counts what a call has used; per minute only where that is limited.
    pub(super) fn add_tokens(&mut self, tokens: u64, per_minute: bool, now: Timestamp) {
        self.quota.add_tokens(tokens, now);
        if per_minute {
            self.tokens.add(now, tokens);
        }
    }

    /// What has to be held of a call that is likely to use so many tokens.
    pub(super) fn to_hold(&self, limits: &CallLimits, tokens: u64) -> u64 {
        let counts = limits.tokens_per_minute.is_some() || self.quota.limits_tokens();
        if counts { tokens } else { 0 }
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
            headroom: None,
            whole: Scope::default(),
            models: Vec::new(),
            cleared: 0,
            secret: None,
            lanes: Vec::new(),
            led_lanes: 0,
            parked_full: false,
            used_at: now,
        }
    }

    /// Whether a call for `model` may use it now. Each limit is divided among so many `sharers`.
    pub(super) fn obstacle(
        &mut self,
        limits: &CallLimits,
        quota: &[QuotaWindow],
        model: &str,
        sharers: u32,
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
        self.usage.quota.list(quota, now);
        let closed = self.usage.quota.closed(self.usage.reserved, sharers, now);
        if let Some(Closed::Until(end)) = closed
            && resting.is_none_or(|(known, _)| end > known)
        {
            resting = Some((end, RestReason::QuotaExhausted));
        }
        let reached = self.usage.reached(limits, sharers, now);
        let windowed = reached.and_then(|reached| reached.until);
        match (resting, windowed) {
            (Some((until, reason)), _) => Err(Obstacle::Resting {
                until: windowed.map_or(until, |window| until.max(window)),
                reason,
            }),
            (None, Some(until)) => Err(Obstacle::Windowed { until }),
            (None, None) if reached.is_some() || closed.is_some() => Err(Obstacle::Full),
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
            self.models
                .push((model.into(), self.whole.for_model(self.cleared)));
            self.models.len() - 1
        });
        &mut self.models[position].1
    }

    /// Merges in a refusal of the whole credential or for one model, see [`Scope::refuse`]. The account's
    /// quota windows know when a quota comes back about which nothing else was said.
    pub(super) fn refuse(
        &mut self,
        model: Option<&str>,
        lease: u64,
        sequence: u64,
        now: Timestamp,
        rest: Rest,
    ) -> Option<Undo> {
        if let Some(model) = model {
            return self.model_mut(model, now).refuse(lease, sequence, now, rest);
        }
        let rest = self.usage.quota.dated(rest, now);
        self.whole.refuse(lease, sequence, now, rest)
    }

    pub(super) fn scopes(&mut self) -> impl Iterator<Item = &mut Scope> {
        let models = self.models.iter_mut().map(|(_, scope)| scope);
        std::iter::once(&mut self.whole).chain(models)
    }

    pub(super) fn clear(&mut self, sequence: u64) {
        self.cleared = sequence;
        self.scopes().for_each(|scope| scope.clear(sequence));
    }

    /// Takes in what the upstream says of its quota.
    pub(super) fn observe(&mut self, headroom: Headroom, now: Timestamp) {
        let used = headroom.used.min(quota::MILLION);
        self.headroom = Some((used, now + headroom.resets_in));
    }

    /// Begins its quota windows anew and ends its rests for lack of quota.
    pub(super) fn reset_quota(&mut self) {
        self.usage.quota.reset();
        self.headroom = None;
        self.scopes().for_each(Scope::quota_reset);
    }

    /// Ends the rests that came from its former secret. Returns whether this version is new.
    pub(super) fn secret_changed(&mut self, version: &SecretVersion, sequence: u64) -> bool {
        if self.secret.as_ref() == Some(version) {
            return false;
        }
        self.secret = Some(version.clone());
        self.scopes().for_each(|scope| scope.secret_changed(sequence));
        true
    }

    /// What may lead its scores.
    pub(super) fn leads(&mut self, now: Timestamp) -> Leads {
        let mut used_quota = self.usage.quota.lead(now);
        if let Some((used, until)) = self.headroom.filter(|(_, until)| *until > now) {
            used_quota = used_quota.with(used, until);
        }
        let calls_in_flight = Lead {
            value: self.usage.in_flight,
            fades: None,
        };
        Leads {
            calls_in_flight,
            used_quota,
        }
    }

    /// Whether nothing is lost when it is forgotten.
    pub(super) fn is_idle(&mut self, now: Timestamp) -> bool {
        self.usage.is_idle(now)
            && self.lanes.is_empty()
            && self.headroom.is_none_or(|(_, until)| until <= now)
            && self.scopes().all(|scope| scope.is_idle(now))
    }
}

impl Leads {
    /// The lead in a lane that is led by this.
    pub(super) fn of(self, led_by: LedBy) -> Lead {
        match led_by {
            LedBy::Nothing => Lead::default(),
            LedBy::CallsInFlight => self.calls_in_flight,
            LedBy::UsedQuota => self.used_quota,
        }
    }
}
