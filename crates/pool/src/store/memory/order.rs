//! The order of one lane's members: who is next, and who is parked until when.

use std::collections::BTreeSet;

use snapshot::Timestamp;

use crate::score::{Change, Lead, LedBy, Score, returning};

/// One lane. Members that were met unusable are parked apart, so that the head is usable as far as known
/// and finding it does not depend on how many are not.
#[derive(Debug, Default)]
pub(super) struct Order {
    ready: BTreeSet<(Score, u32)>,
    resting: BTreeSet<(Timestamp, u32)>,
    windowed: BTreeSet<(Timestamp, u32)>,
    /// Ready members by the moment when their lead may fall by itself.
    fading: BTreeSet<(Timestamp, u32)>,
    full: usize,
    members: Vec<Place>,
    /// The virtual time of the last pick, which stands in for the lane's minimum when nobody is ready.
    clock: u64,
    led_by: LedBy,
    pub(super) used_at: Timestamp,
}

/// A member's number in the credentials' table, its virtual time and where it is.
#[derive(Debug)]
struct Place {
    credential: u32,
    time: u64,
    spot: Spot,
    fades: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spot {
    Ready(Score),
    Parked(Parking),
}

/// Why and until when a member is parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parking {
    /// Resting until then.
    Resting(Timestamp),
    /// Out of its per-minute window until then.
    Windowed(Timestamp),
    /// Full until a release.
    Full,
}

impl Order {
    /// All members ready at time zero. They are given as credential and lead.
    pub(super) fn new(led_by: LedBy, now: Timestamp, members: impl Iterator<Item = (u32, Lead)>) -> Self {
        let mut order = Self {
            led_by,
            used_at: now,
            ..Self::default()
        };
        for (member, (credential, lead)) in (0..).zip(members) {
            order.members.push(Place {
                credential,
                time: 0,
                spot: Spot::Ready(Score::default()),
                fades: None,
            });
            order.link(member, lead, 0);
        }
        order
    }

    pub(super) fn credentials(&self) -> impl Iterator<Item = u32> {
        self.members.iter().map(|place| place.credential)
    }

    pub(super) fn credential(&self, member: u32) -> u32 {
        self.place(member).credential
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// The first ready member that is not among `skip`.
    pub(super) fn head(&self, skip: &[u32]) -> Option<u32> {
        self.ready
            .iter()
            .map(|(_, member)| *member)
            .find(|member| !skip.contains(member))
    }

    /// Takes a member out of turn.
    pub(super) fn park(&mut self, member: u32, parking: Parking) {
        self.unlink(member);
        match parking {
            Parking::Resting(until) => {
                self.resting.insert((until, member));
            }
            Parking::Windowed(until) => {
                self.windowed.insert((until, member));
            }
            Parking::Full => self.full += 1,
        }
        self.place_mut(member).spot = Spot::Parked(parking);
    }

    pub(super) fn parking(&self, member: u32) -> Option<Parking> {
        match self.place(member).spot {
            Spot::Ready(_) => None,
            Spot::Parked(parking) => Some(parking),
        }
    }

    /// Puts a parked member back in turn.
    pub(super) fn unpark(&mut self, member: u32, lead: Lead) {
        if self.parking(member).is_some() {
            self.unlink(member);
            let time = returning(self.place(member).time, self.minimum());
            self.link(member, lead, time);
        }
    }

    /// Charges a pick to a member and puts it back in turn.
    pub(super) fn advance(&mut self, member: u32, change: Change, lead: Lead) {
        self.unlink(member);
        let time = match self.place(member).spot {
            Spot::Ready(score) => score.time,
            Spot::Parked(_) => returning(self.place(member).time, self.minimum()),
        };
        self.clock = self.clock.max(time);
        let time = time.saturating_add(change.time);
        self.link(member, lead, time);
    }

    /// Follows a change of a member's lead.
    pub(super) fn set_lead(&mut self, member: u32, lead: Lead) {
        let place = self.place(member);
        if let Spot::Ready(score) = place.spot
            && (score.lead, place.fades) != (lead.value, lead.fades)
        {
            self.unlink(member);
            self.link(member, lead, score.time);
        }
    }

    pub(super) fn led_by(&self) -> LedBy {
        self.led_by
    }

    /// A member whose parking has ended, or whose lead may have fallen, by `now`.
    pub(super) fn due(&self, now: Timestamp) -> Option<u32> {
        [&self.resting, &self.windowed, &self.fading]
            .into_iter()
            .filter_map(|parked| parked.first())
            .find(|(until, _)| *until <= now)
            .map(|(_, member)| *member)
    }

    /// The member that rests for the shortest.
    pub(super) fn first_resting(&self) -> Option<(Timestamp, u32)> {
        self.resting.first().copied()
    }

    /// Members that are out of their window, the first to return first.
    pub(super) fn windowed(&self) -> impl Iterator<Item = (Timestamp, u32)> {
        self.windowed.iter().copied()
    }

    pub(super) fn full(&self) -> usize {
        self.full
    }

    fn minimum(&self) -> u64 {
        self.ready.first().map_or(self.clock, |(score, _)| score.time)
    }

    fn link(&mut self, member: u32, lead: Lead, time: u64) {
        let score = Score {
            lead: lead.value,
            time,
        };
        self.ready.insert((score, member));
        if let Some(fades) = lead.fades {
            self.fading.insert((fades, member));
        }
        let place = self.place_mut(member);
        place.time = time;
        place.spot = Spot::Ready(score);
        place.fades = lead.fades;
    }

    fn unlink(&mut self, member: u32) {
        match self.place(member).spot {
            Spot::Ready(score) => {
                self.ready.remove(&(score, member));
                if let Some(fades) = self.place_mut(member).fades.take() {
                    self.fading.remove(&(fades, member));
                }
            }
            Spot::Parked(Parking::Resting(until)) => {
                self.resting.remove(&(until, member));
            }
            Spot::Parked(Parking::Windowed(until)) => {
                self.windowed.remove(&(until, member));
            }
            Spot::Parked(Parking::Full) => self.full = self.full.saturating_sub(1),
        }
    }

    fn place(&self, member: u32) -> &Place {
        &self.members[member as usize]
    }

    fn place_mut(&mut self, member: u32) -> &mut Place {
        &mut self.members[member as usize]
    }
}
