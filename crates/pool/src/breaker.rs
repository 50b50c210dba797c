//! The breaker of an endpoint: consecutive failures open it, one probe closes it.

use std::time::Duration;

use snapshot::{Breaker, Timestamp};

use crate::rest::PROBE_LOCK;

/// The breaker of one Provider's endpoint. Sequence numbers are those of [`crate::rest::Scope`].
#[derive(Clone, Debug, Default)]
pub struct Circuit {
    state: State,
    failures: u32,
    /// When the state last changed: outcomes of calls that began before are no evidence.
    changed: u64,
}

/// Whether calls may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// They may.
    Closed,
    /// One may, to find out.
    HalfOpen,
    /// None may until then.
    Open(Timestamp),
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Closed,
    Open {
        until: Timestamp,
    },
    Probing {
        lease: u64,
        locked_until: Timestamp,
    },
}

impl Circuit {
    /// Whether calls may pass at `now`.
    pub fn gate(&self, now: Timestamp) -> Gate {
        match self.state {
            State::Closed => Gate::Closed,
            State::Open { until }
            | State::Probing {
                locked_until: until, ..
            } => {
                if until > now {
                    Gate::Open(until)
                } else {
                    Gate::HalfOpen
                }
            }
        }
    }

    /// Takes the half-open place for the call `lease`.
    pub fn probe(&mut self, lease: u64, now: Timestamp) {
        self.state = State::Probing {
            lease,
            locked_until: now + PROBE_LOCK,
        };
    }

    /// The endpoint answered the call `lease`.
    pub fn answered(&mut self, lease: u64, sequence: u64) {
        if lease < self.changed {
            return;
        }
        self.failures = 0;
        if !matches!(self.state, State::Closed) {
            self.state = State::Closed;
            self.changed = sequence;
        }
    }

    /// The endpoint failed the call `lease`.
    pub fn failed(&mut self, lease: u64, sequence: u64, now: Timestamp, breaker: &Breaker) {
        if lease < self.changed {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let enough = breaker.consecutive_failures > 0 && self.failures >= breaker.consecutive_failures;
        if enough || !matches!(self.state, State::Closed) {
            self.open(sequence, now, breaker.open_for);
        }
    }

    /// The call `lease` ended without a verdict. If it was the probe, the next call may be.
    pub fn undecided(&mut self, lease: u64, now: Timestamp) {
        if matches!(self.state, State::Probing { lease: probe, .. } if probe == lease) {
            self.state = State::Open { until: now };
        }
    }

    /// Opens for so long.
    pub fn open(&mut self, sequence: u64, now: Timestamp, open_for: Duration) {
        self.state = State::Open {
            until: now + open_for,
        };
        self.failures = 0;
        self.changed = sequence;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use snapshot::{Breaker, Timestamp};

    use super::{Circuit, Gate};
    use crate::rest::PROBE_LOCK;

    const BREAKER: Breaker = Breaker {
        consecutive_failures: 2,
        open_for: Duration::from_secs(30),
    };
    const START: Timestamp = Timestamp::from_micros(1_000_000_000);

    fn opened() -> Circuit {
        let mut circuit = Circuit::default();
        circuit.failed(1, 10, START, &BREAKER);
        circuit.failed(2, 11, START, &BREAKER);
        circuit
    }

    #[test]
    fn only_failures_in_a_row_open_it() {
        let mut circuit = Circuit::default();
        for lease in 0..10 {
            circuit.failed(2 * lease, 100, START, &BREAKER);
            circuit.answered(2 * lease + 1, 100);
        }
        assert_eq!(
            circuit.gate(START),
            Gate::Closed,
            "each failure was followed by an answer"
        );
        assert_eq!(
            opened().gate(START),
            Gate::Open(START + BREAKER.open_for),
            "two in a row open it"
        );
    }

    #[test]
    fn a_probe_is_exclusive_and_decides() {
        let half = START + BREAKER.open_for;
        let mut circuit = opened();
        assert_eq!(circuit.gate(half), Gate::HalfOpen, "time is up");
        circuit.probe(20, half);
        assert_eq!(circuit.gate(half), Gate::Open(half + PROBE_LOCK), "one at a time");

        let mut good = circuit.clone();
        good.answered(20, 21);
        assert_eq!(good.gate(half), Gate::Closed, "an answer closes it");

        let mut bad = circuit.clone();
        bad.failed(20, 21, half, &BREAKER);
        assert_eq!(
            bad.gate(half),
            Gate::Open(half + BREAKER.open_for),
            "one failure opens it again"
        );

        let mut cancelled = circuit.clone();
        cancelled.undecided(20, half);
        assert_eq!(cancelled.gate(half), Gate::HalfOpen, "the next call may probe");

        assert_eq!(
            circuit.gate(half + PROBE_LOCK),
            Gate::HalfOpen,
            "a lost probe frees its place"
        );
    }

    #[test]
    fn calls_from_before_the_change_are_no_evidence() {
        let mut circuit = opened();
        circuit.answered(3, 12);
        assert_eq!(
            circuit.gate(START),
            Gate::Open(START + BREAKER.open_for),
            "call 3 began before it opened"
        );
        let half = START + BREAKER.open_for;
        circuit.probe(20, half);
        circuit.answered(20, 21);
        circuit.failed(4, 22, half, &BREAKER);
        circuit.failed(5, 23, half, &BREAKER);
        assert_eq!(
            circuit.gate(half),
            Gate::Closed,
            "calls 4 and 5 began before it closed"
        );
    }

    #[test]
    fn zero_failures_never_open_it() {
        let never = Breaker {
            consecutive_failures: 0,
            ..BREAKER
        };
        let mut circuit = Circuit::default();
        for lease in 0..100 {
            circuit.failed(lease, lease, START, &never);
        }
        assert_eq!(circuit.gate(START), Gate::Closed, "zero turns the breaker off");
    }
}
