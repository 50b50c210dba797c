//! Counting within the periods of windows: quotas of credentials and budgets of callers.

use snapshot::{Bounds, Period, QuotaWindow, RestReason, Timestamp};

use crate::{Rest, RestEnd, WindowState, score::Lead};

/// What was used of one window since its period began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// When the period began.
    pub start: Timestamp,
    /// Requests that began in it.
    pub requests: u64,
    /// Tokens settled in it.
    pub tokens: u64,
}

/// The windows of one account, and what is used of each.
#[derive(Clone, Debug, Default)]
pub struct Quota {
    windows: Vec<Counted>,
    /// How many of these the account has at present. Those behind were left out by the last that named
    /// them: a call that began before a change still names the former ones.
    listed: usize,
}

/// A limit of a window that is reached. What lasts longer is greater; calls under way end soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Closed {
    /// Until calls under way end with fewer tokens than are held for them.
    UnderWay,
    /// Until the period ends.
    Until(Timestamp),
}

#[derive(Clone, Debug)]
struct Counted {
    window: QuotaWindow,
    /// The period that the counts are of; `None` before a rolling one begins.
    period: Option<Bounds>,
    requests: u64,
    tokens: u64,
}

/// Windows that are kept at most, present and former ones together.
const KEPT: usize = 16;
/// One, in parts per million.
pub const MILLION: u32 = 1_000_000;

/// The bounds of the period at `now` and what was used in it; `None` when no period has begun, which the
/// next request does. What was used in a period before does not count.
pub fn present(period: &Period, known: Option<Tally>, now: Timestamp) -> Option<(Bounds, Tally)> {
    match period {
        Period::Rolling(length) => {
            let known = known?;
            let end = known.start + *length;
            let bounds = Bounds {
                start: known.start,
                end,
            };
            (end > now).then_some((bounds, known))
        }
        Period::Calendar(calendar) => {
            let bounds = calendar.bounds(now);
            let known = known.filter(|known| known.start == bounds.start);
            let fresh = Tally {
                start: bounds.start,
                ..Tally::default()
            };
            Some((bounds, known.unwrap_or(fresh)))
        }
    }
}

/// Gives a rest for lack of quota, whose end nobody knows, the first end among the present periods: the
/// account has quota again then.
pub fn dated(rest: Rest, ends: impl Iterator<Item = Timestamp>, now: Timestamp) -> Rest {
    if rest.reason != RestReason::QuotaExhausted || rest.end != RestEnd::Guessed {
        return rest;
    }
    ends.min().map_or(rest, |end| Rest {
        end: RestEnd::Stated(end.since(now)),
        ..rest
    })
}

/// How much of `limit` is used, in parts per million; what is beyond the limit does not show.
pub fn used_ppm(used: u64, limit: u64) -> u32 {
    if used >= limit {
        return MILLION;
    }
    let ppm = u128::from(used) * u128::from(MILLION) / u128::from(limit);
    u32::try_from(ppm).unwrap_or(MILLION)
}

/// One process's part of a limit that `sharers` processes share without knowing of each other.
pub fn share(limit: u64, sharers: u32) -> u64 {
    let part = limit / u64::from(sharers.max(1));
    part.max(limit.min(1))
}

impl Quota {
    /// Takes over the account's windows. Counts stay with the window of their name.
    pub fn list(&mut self, windows: &[QuotaWindow], now: Timestamp) {
        let known = self.windows[..self.listed].iter().map(|counted| &counted.window);
        if known.eq(windows) {
            return;
        }
        for (place, window) in windows.iter().enumerate() {
            let found = self
                .windows
                .iter()
                .position(|counted| counted.window.name == window.name);
            let mut counted = match found {
                Some(found) => self.windows.remove(found),
                None => Counted::new(window.clone()),
            };
            counted.redefine(window, now);
            self.windows.insert(place.min(self.windows.len()), counted);
        }
        self.listed = windows.len().min(self.windows.len());
        self.windows.truncate(KEPT.max(self.listed));
    }

    /// Whether another request must wait. Each limit is divided among so many `sharers`. Of several closed
    /// windows, that which lasts longest counts.
    pub fn closed(&mut self, reserved: u64, sharers: u32, now: Timestamp) -> Option<Closed> {
        let mut longest: Option<Closed> = None;
        for counted in self.present(now) {
            longest = longest.max(counted.closed(reserved, sharers, now));
        }
        longest
    }

    /// Counts a request, which begins the periods that have not begun.
    pub fn begin(&mut self, now: Timestamp) {
        for counted in self.present(now) {
            if let Period::Rolling(length) = counted.window.period {
                counted.period.get_or_insert(Bounds {
                    start: now,
                    end: now + length,
                });
            }
            counted.requests = counted.requests.saturating_add(1);
        }
    }

    /// Counts tokens in the periods that there are.
    pub fn add_tokens(&mut self, tokens: u64, now: Timestamp) {
        for counted in self.present(now) {
            if counted.period.is_some() {
                counted.tokens = counted.tokens.saturating_add(tokens);
            }
        }
    }

    /// Whether tokens must be held for calls under way.
    pub fn limits_tokens(&self) -> bool {
        let mut listed = self.windows[..self.listed].iter();
        listed.any(|counted| counted.window.tokens.is_some())
    }

    /// The highest used part of a limit, and when the first of the parts that count comes to its end.
    pub fn lead(&mut self, now: Timestamp) -> Lead {
        let mut lead = Lead::default();
        for counted in self.present(now) {
            if let Some(period) = counted.period {
                lead = lead.with(counted.used(), period.end);
            }
        }
        lead
    }

    /// Gives a rest for lack of quota an end, see [`dated`].
    pub fn dated(&mut self, rest: Rest, now: Timestamp) -> Rest {
        let periods = self.present(now).iter().filter_map(|counted| counted.period);
        dated(rest, periods.map(|period| period.end), now)
    }

    /// Forgets what was used.
    pub fn reset(&mut self) {
        self.windows.truncate(self.listed);
        for counted in &mut self.windows {
            counted.forget();
        }
    }

    /// Whether nothing is lost when it is forgotten.
    pub fn is_idle(&mut self, now: Timestamp) -> bool {
        self.present(now)
            .iter()
            .all(|counted| counted.requests == 0 && counted.tokens == 0)
    }

    /// What was used of the windows whose period has begun, by name.
    pub fn tallies(&mut self, now: Timestamp) -> impl Iterator<Item = (&str, Tally)> {
        let counted = self.present(now).iter();
        counted.filter_map(|counted| Some((&*counted.window.name, counted.tally()?)))
    }

    /// What is used of the account's windows whose period has begun.
    pub fn states(&self, now: Timestamp) -> Vec<WindowState> {
        let listed = self.windows[..self.listed].iter();
        listed
            .filter_map(|counted| state(&counted.window, counted.tally(), now))
            .collect()
    }

    /// The same for windows that are given.
    pub fn states_of(&self, windows: &[QuotaWindow], now: Timestamp) -> Vec<WindowState> {
        let tally = |window: &QuotaWindow| {
            let mut known = self.windows.iter();
            known.find(|counted| counted.window.name == window.name)?.tally()
        };
        windows
            .iter()
            .filter_map(|window| state(window, tally(window), now))
            .collect()
    }

    /// The account's windows, whose counts are those of the present period.
    fn present(&mut self, now: Timestamp) -> &mut [Counted] {
        let listed = &mut self.windows[..self.listed];
        for counted in &mut *listed {
            if counted.period.is_none_or(|period| period.end <= now) {
                counted.turn(now);
            }
        }
        listed
    }
}

impl Counted {
    fn new(window: QuotaWindow) -> Self {
        Self {
            window,
            period: None,
            requests: 0,
            tokens: 0,
        }
    }

    fn tally(&self) -> Option<Tally> {
        self.period.map(|period| Tally {
            start: period.start,
            requests: self.requests,
            tokens: self.tokens,
        })
    }

    fn redefine(&mut self, window: &QuotaWindow, now: Timestamp) {
        self.window.clone_from(window);
        self.turn(now);
    }

    /// Finds the present period.
    fn turn(&mut self, now: Timestamp) {
        match present(&self.window.period, self.tally(), now) {
            Some((bounds, tally)) => {
                self.period = Some(bounds);
                self.requests = tally.requests;
                self.tokens = tally.tokens;
            }
            None => self.forget(),
        }
    }

    fn forget(&mut self) {
        self.period = None;
        self.requests = 0;
        self.tokens = 0;
    }

    fn closed(&self, reserved: u64, sharers: u32, now: Timestamp) -> Option<Closed> {
        let limit = |limit: Option<u64>| limit.map(|limit| share(limit, sharers));
        let used_up = limit(self.window.requests).is_some_and(|most| self.requests >= most)
            || limit(self.window.tokens).is_some_and(|most| self.tokens >= most);
        if used_up {
            return Some(Closed::Until(self.end(now)));
        }
        let expected = self.tokens.saturating_add(reserved);
        let under_way = limit(self.window.tokens).is_some_and(|most| expected >= most);
        under_way.then_some(Closed::UnderWay)
    }

    /// When the period ends. A limit of zero is reached before it begins; then as if it began now.
    fn end(&self, now: Timestamp) -> Timestamp {
        match (self.period, &self.window.period) {
            (Some(period), _) => period.end,
            (None, Period::Rolling(length)) => now + *length,
            (None, Period::Calendar(calendar)) => calendar.bounds(now).end,
        }
    }

    /// The higher of the used parts of its limits, in parts per million.
    fn used(&self) -> u32 {
        let requests = self.window.requests.map(|most| used_ppm(self.requests, most));
        let tokens = self.window.tokens.map(|most| used_ppm(self.tokens, most));
        requests.max(tokens).unwrap_or(0)
    }
}

impl Closed {
    /// When it ends; `None` when calls under way have to end first.
    pub const fn until(self) -> Option<Timestamp> {
        match self {
            Self::Until(end) => Some(end),
            Self::UnderWay => None,
        }
    }
}

fn state(window: &QuotaWindow, known: Option<Tally>, now: Timestamp) -> Option<WindowState> {
    let (bounds, tally) = present(&window.period, known, now)?;
    Some(WindowState {
        name: window.name.clone(),
        requests: tally.requests,
        tokens: tally.tokens,
        resets_at: bounds.end,
    })
}

#[cfg(test)]
mod tests;
