//! Picks.

use std::{sync::Arc, time::Duration};

use snapshot::{Breaker, CredentialName, Timestamp};

use super::{
    account::{Obstacle, Probes, SOON},
    order::Parking,
    shortage::{EMPTY, UNKNOWN_OBJECT, full, one_shortage, worse},
    state::State,
};
use crate::{Lane, Member, NoneUsable, Pick, Picked, Shortage, breaker::Gate, quota::share, score};

/// A lease's place in the tables.
#[derive(Debug)]
pub struct Hold {
    pub(super) lane: Arc<Lane>,
    pub(super) credential: u32,
    pub(super) upstream: u32,
    /// Orders it among picks, refusals and clearings.
    pub(super) sequence: u64,
    /// Tokens held on the credential.
    pub(super) reserved: u64,
    /// Whether its tokens count against a limit per minute.
    pub(super) counts_tokens: bool,
    pub(super) probes: Probes,
    pub(super) probes_endpoint: bool,
    pub(super) breaker: Breaker,
}

/// A member that can be used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'a> {
    lane: &'a Arc<Lane>,
    order: u32,
    member: u32,
    credential: u32,
    probes: Probes,
}

/// What else comes with a place that the store which replicas share has given.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Taken {
    /// The rests that the call probes.
    pub(crate) probes: Probes,
    /// Whether it probes the endpoint.
    pub(crate) probes_endpoint: bool,
}

impl<'a> Found<'a> {
    fn member(&self) -> &'a Member {
        &self.lane.members()[self.member as usize]
    }
}

impl State {
    pub(super) fn pick(
        &mut self,
        now: Timestamp,
        pick: &Pick<'_>,
        reserve: u64,
        patience: Duration,
    ) -> Result<Picked<Hold>, Shortage> {
        self.sweep(now);
        let upstream = self.upstream(&pick.provider.name, now);
        self.know(pick, now);
        let gate = self.upstreams[upstream].circuit.gate(now);
        if let Gate::Open(until) = gate {
            return Err(Shortage {
                reason: NoneUsable::BreakerOpen { until },
                releasable: false,
            });
        }
        if pick
            .provider
            .concurrency
            .map(|most| share(u64::from(most), self.sharers))
            .is_some_and(|most| u64::from(self.upstreams[upstream].in_flight) >= most)
        {
            return Err(full(now + SOON));
        }
        let affinity = pick.affinity.map(|hash| self.key((upstream, hash)));
        let found = self.find(now, pick, affinity, patience)?;
        let probes_endpoint = gate == Gate::HalfOpen;
        let hold = self.take(now, pick, reserve, found, upstream, probes_endpoint);
        Ok(Picked {
            credential: found.member().credential.clone(),
            probe: found.probes != Probes::default() || probes_endpoint,
            hold,
        })
    }

    /// Takes the place that the store which replicas share has given; `None` when the lane has no such
    /// member.
    pub(super) fn adopt(
        &mut self,
        now: Timestamp,
        pick: &Pick<'_>,
        lane: &Arc<Lane>,
        credential: &CredentialName,
        reserve: u64,
        taken: Taken,
    ) -> Option<Hold> {
        self.sweep(now);
        let member = u32::try_from(lane.position(credential)?).ok()?;
        let upstream = self.upstream(&pick.provider.name, now);
        self.know(pick, now);
        let order = self.order(lane, now);
        let found = Found {
            lane,
            order,
            member,
            credential: self.orders[order].credential(member),
            probes: taken.probes,
        };
        let quota = &mut self.credentials[found.credential].usage.quota;
        quota.list(&found.member().quota, now);
        Some(self.take(now, pick, reserve, found, upstream, taken.probes_endpoint))
    }

    /// Knows all tiers from the first pick on: how many credentials an endpoint has does not depend on which
    /// of them were in turn.
    fn know(&mut self, pick: &Pick<'_>, now: Timestamp) {
        for lane in pick.lanes {
            if self.orders.number(&lane.id()).is_none() {
                self.order(lane, now);
            }
        }
    }

    fn find<'a>(
        &mut self,
        now: Timestamp,
        pick: &Pick<'a>,
        affinity: Option<u64>,
        patience: Duration,
    ) -> Result<Found<'a>, Shortage> {
        if let Some(object) = pick.object {
            let holder = self.objects.get(object.0, now).cloned();
            let listed = |name: &CredentialName| pick.lanes.iter().any(|lane| lane.position(name).is_some());
            let Some(holder) = holder.filter(listed) else {
                return Err(UNKNOWN_OBJECT);
            };
            let Some((lane, member)) = locate(pick, &holder) else {
                return Err(EMPTY);
            };
            return self
                .usable(now, lane, member)
                .map_err(|obstacle| one_shortage(obstacle, now));
        }
        if let Some(pinned) = pick.pinned {
            let Some((lane, member)) = locate(pick, pinned) else {
                return Err(EMPTY);
            };
            return self
                .usable(now, lane, member)
                .map_err(|obstacle| one_shortage(obstacle, now));
        }
        if let Some(key) = affinity
            && let Some(remembered) = self.affinity.get(key, now)
            && let Some((lane, member)) = locate(pick, remembered)
        {
            match self.usable(now, lane, member) {
                Ok(found) => return Ok(found),
                // Its place in the conversation's cache is worth the wait.
                Err(Obstacle::Full) if !patience.is_zero() => return Err(full(now + SOON)),
                Err(Obstacle::Windowed { until }) if until <= now + patience => {
                    return Err(Shortage {
                        reason: NoneUsable::Full { soonest: until },
                        releasable: false,
                    });
                }
                Err(_) => {}
            }
        }
        let mut shortage = EMPTY;
        for lane in pick.lanes {
            match self.first_usable(now, lane, pick) {
                Ok(found) => return Ok(found),
                Err(found) => shortage = worse(shortage, found),
            }
        }
        Err(shortage)
    }

    /// The first usable member of a lane. What is met unusable is parked on the way.
    fn first_usable<'a>(
        &mut self,
        now: Timestamp,
        lane: &'a Arc<Lane>,
        pick: &Pick<'_>,
    ) -> Result<Found<'a>, Shortage> {
        let order = self.order(lane, now);
        let tried = tried(lane, pick);
        loop {
            while let Some(member) = self.orders[order].due(now) {
                let credential = self.orders[order].credential(member);
                let leads = self.credentials[credential].leads(now);
                let order = &mut self.orders[order];
                let lead = leads.of(order.led_by());
                order.unpark(member, lead);
                order.set_lead(member, lead);
            }
            let Some(member) = self.orders[order].head(&tried) else {
                let shortage = self.shortage(now, lane, order, &tried);
                // Looking for the reason looks at parked members, and may find one that is usable after all.
                if self.orders[order].head(&tried).is_some() {
                    continue;
                }
                return Err(shortage);
            };
            #[cfg(test)]
            {
                self.looks += 1;
            }
            if let Ok(found) = self.usable_in(now, lane, order, member) {
                return Ok(found);
            }
        }
    }

    /// Looks at one member, and parks it if it cannot be used.
    pub(super) fn usable<'a>(
        &mut self,
        now: Timestamp,
        lane: &'a Arc<Lane>,
        member: u32,
    ) -> Result<Found<'a>, Obstacle> {
        let order = self.order(lane, now);
        self.usable_in(now, lane, order, member)
    }

    /// The same where the lane's order is known.
    pub(super) fn usable_in<'a>(
        &mut self,
        now: Timestamp,
        lane: &'a Arc<Lane>,
        order: u32,
        member: u32,
    ) -> Result<Found<'a>, Obstacle> {
        let credential = self.orders[order].credential(member);
        let listed = &lane.members()[member as usize];
        let account = &mut self.credentials[credential];
        match account.obstacle(&listed.limits, &listed.quota, lane.model(), self.sharers, now) {
            Ok(probes) => {
                if self.orders[order].parking(member).is_some() {
                    let lead = account.leads(now).of(self.orders[order].led_by());
                    self.orders[order].unpark(member, lead);
                }
                Ok(Found {
                    lane,
                    order,
                    member,
                    credential,
                    probes,
                })
            }
            Err(obstacle) => {
                let parking = match obstacle {
                    Obstacle::Resting { until, .. } => Parking::Resting(until),
                    Obstacle::Windowed { until } => Parking::Windowed(until),
                    Obstacle::Full => {
                        account.parked_full = true;
                        Parking::Full
                    }
                };
                if self.orders[order].parking(member) != Some(parking) {
                    self.orders[order].park(member, parking);
                }
                Err(obstacle)
            }
        }
    }

    fn take(
        &mut self,
        now: Timestamp,
        pick: &Pick<'_>,
        reserve: u64,
        found: Found<'_>,
        upstream: u32,
        probes_endpoint: bool,
    ) -> Hold {
        let member = found.member();
        let sequence = self.next_sequence();
        let account = &mut self.credentials[found.credential];
        account.used_at = now;
        let reserved = account.usage.to_hold(&member.limits, reserve);
        account.usage.take(&member.limits, reserved, now);
        if found.probes.whole {
            account.whole.probe(sequence, now);
        }
        if found.probes.model
            && let Some(scope) = account.known_model(found.lane.model())
        {
            scope.probe(sequence, now);
        }
        let change = score::change(found.lane.strategy(), member.weight);
        let lead = account.leads(now).of(change.led_by);
        self.orders[found.order].advance(found.member, change, lead);
        self.follow_leads(found.credential, now);

        let endpoint = &mut self.upstreams[upstream];
        endpoint.in_flight += 1;
        if probes_endpoint {
            endpoint.circuit.probe(sequence, now);
        }
        if let Some(hash) = pick.affinity {
            let key = self.key((upstream, hash));
            let ttl = pick.provider.selection.affinity.ttl;
            self.affinity.set(key, member.credential.clone(), now, ttl);
        }
        Hold {
            lane: Arc::clone(found.lane),
            credential: found.credential,
            upstream,
            sequence,
            reserved,
            counts_tokens: member.limits.tokens_per_minute.is_some(),
            probes: found.probes,
            probes_endpoint,
            breaker: pick.provider.breaker,
        }
    }
}

/// The best lane that has a credential, unless it was tried.
fn locate<'a>(pick: &Pick<'a>, credential: &CredentialName) -> Option<(&'a Arc<Lane>, u32)> {
    if pick.tried.contains(credential) {
        return None;
    }
    pick.lanes.iter().find_map(|lane| {
        let member = lane.position(credential)?;
        Some((lane, u32::try_from(member).ok()?))
    })
}

/// The members of a lane that were tried, each once.
fn tried(lane: &Lane, pick: &Pick<'_>) -> Vec<u32> {
    let mut members: Vec<u32> = pick
        .tried
        .iter()
        .filter_map(|credential| u32::try_from(lane.position(credential)?).ok())
        .collect();
    members.sort_unstable();
    members.dedup();
    members
}
