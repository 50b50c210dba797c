//! What is written, and when, and what is news.

use std::{collections::HashMap, sync::Arc, time::Duration};

use pool::{CredentialState, WindowState};
use resources::{Condition, ConditionType, Identity, Kind, ObjectConditions, Reason, kinds::UsageStatus};
use snapshot::{CredentialName, RestReason};
use tokio::time::Instant;

use super::{
    super::{board::Failed, transition},
    Board, Measured, Rates, Reading, Status, World, at, name,
};
use crate::{events::Note, published::Published};

/// A board that writes at once what it is asked for, as time passes.
struct Desk {
    board: Board,
    now: Instant,
    start: Instant,
    version: u64,
    written: Vec<(u128, Identity)>,
    notes: Vec<Note>,
}

impl Desk {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            board: Board::new(Rates::default(), now),
            now,
            start: now,
            version: 100,
            written: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Looks at the world as often as the operator does, for so long, and writes what is due.
    fn pass(&mut self, world: &World, time: Duration) {
        self.pass_with(world, &world.published(), time);
    }

    fn pass_with(&mut self, world: &World, published: &Published, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let wanted = world.wanted(published, &self.board);
            self.board.update(wanted.into_iter(), self.now);
            while let Some(write) = self.board.next(self.now) {
                self.version += 1;
                self.board.done(&write, Ok(self.version), self.now);
                let millis = (self.now - self.start).as_millis();
                let told = write.told.as_deref();
                self.notes
                    .extend(transition::notes(&write.identity, None, told, &write.status));
                self.written.push((millis, write.identity));
            }
            self.now += Duration::from_millis(50);
        }
    }

    fn count(&self, of: &str) -> usize {
        self.written
            .iter()
            .filter(|(_, identity)| identity.name.name() == of)
            .count()
    }

    fn reasons(&mut self) -> Vec<String> {
        let mut notes = std::mem::take(&mut self.notes);
        // Objects are written in any order, and what happened to each in its own.
        notes.sort_by(|a, b| a.identity.name.cmp(&b.identity.name));
        notes
            .into_iter()
            .map(|note| format!("{} {}", note.identity.name.name(), note.reason))
            .collect()
    }
}

#[test]
fn what_is_so_already_is_not_written() {
    let mut world = World::new();
    world.gateways(2, 0);
    let mut desk = Desk::new();
    desk.pass(&world, Duration::from_secs(2));
    assert_eq!((desk.count("c"), desk.count("p")), (1, 1));
    for minute in 1..10 {
        world.now = at(minute * 60);
        desk.pass(&world, Duration::from_secs(60));
    }
    assert_eq!(desk.written.len(), 2, "{:?}", desk.written);
    assert!(desk.reasons().is_empty(), "that all is well is no news");

    // Another replica sees what was told and takes over.
    world.tell();
    let mut other = Desk::new();
    other.pass(&world, Duration::from_secs(60));
    assert_eq!(other.count("c"), 0);
}

#[test]
fn changes_in_a_row_are_told_together() {
    let mut world = World::new();
    let mut desk = Desk::new();
    world.credential(r#""key": "k""#, r#""key": "gone""#);
    desk.pass(&world, Duration::from_millis(50));
    world.credential(r#""apiKey""#, r#""weight": 2, "apiKey""#);
    desk.pass(&world, Duration::from_millis(50));
    for acked in 0..=3 {
        world.gateways(acked, 3 - acked);
        desk.pass(&world, Duration::from_millis(50));
    }
    desk.pass(&world, Duration::from_secs(5));
    assert_eq!(desk.count("c"), 1, "{:?}", desk.written);
}

#[test]
fn what_never_settles_is_told_all_the_same_and_not_too_often() {
    let mut world = World::new();
    let mut desk = Desk::new();
    desk.pass(&world, Duration::from_secs(2));
    for second in 0..300 {
        world.now = at(second);
        if second % 2 == 0 {
            world.measure(&[(None, RestReason::RateLimited, at(second + 60))]);
        } else {
            world.measure(&[]);
        }
        desk.pass(&world, Duration::from_secs(1));
    }
    let count = desk.count("c");
    assert!((40..=75).contains(&count), "{count} writes in five minutes");
}

#[test]
fn use_is_told_rarely_and_with_whatever_else_is_told() {
    let mut world = World::new();
    let credential = CredentialName::from(name("c"));
    let mut desk = Desk::new();
    let used = |world: &mut World, requests: u64| {
        let usage = UsageStatus {
            requests,
            ..UsageStatus::default()
        };
        world.reading = Reading::Known(Arc::new(Measured {
            began: Instant::now(),
            credentials: HashMap::new(),
            usage: Arc::new(HashMap::from([(credential.as_str().into(), usage)])),
        }));
    };
    used(&mut world, 1000);
    desk.pass(&world, Duration::from_secs(2));
    used(&mut world, 1005);
    desk.pass(&world, Duration::from_secs(600));
    assert_eq!(desk.count("c"), 1, "half a hundredth is no news");
    used(&mut world, 1100);
    desk.pass(&world, Duration::from_secs(2));
    assert_eq!(desk.count("c"), 2, "it was told long ago");
    used(&mut world, 2000);
    desk.pass(&world, Duration::from_secs(290));
    assert_eq!(desk.count("c"), 2, "five minutes have not passed");
    world.secret("sk-second", "11");
    desk.pass(&world, Duration::from_secs(2));
    assert_eq!(desk.count("c"), 3, "a transition waits for nothing");
    desk.pass(&world, Duration::from_secs(600));
    assert_eq!(desk.count("c"), 3, "and carried the numbers with it");
}

#[test]
fn a_failed_write_waits_longer_each_time_and_stops_no_other() {
    let world = World::new();
    let mut board = Board::new(Rates::default(), Instant::now());
    let start = Instant::now();
    let published = world.published();
    let mut tries = Vec::new();
    let mut others = 0;
    for step in 0..2400 {
        let now = start + Duration::from_millis(50) * step;
        board.update(world.wanted(&published, &board).into_iter(), now);
        while let Some(write) = board.next(now) {
            let fails = write.identity.kind == Kind::Credential;
            if fails {
                tries.push((now - start).as_secs());
                board.done(&write, Err(Failed::Again), now);
            } else {
                others += 1;
                board.done(&write, Ok(200), now);
            }
        }
    }
    assert_eq!(others, 1, "the Provider");
    assert!(tries.len() > 5 && tries.len() < 16, "{tries:?}");
    let last: Vec<u64> = tries.iter().rev().take(2).copied().collect();
    assert!(last[0] - last[1] >= 29, "{tries:?}");
}

#[test]
fn windows_are_told_by_what_is_nearer_its_end() {
    let mut world = World::new();
    let quota = r#""quota": {"windows": [{"name": "day", "calendar": {"unit": "Day", "time": "00:00", "timeZone": "UTC"},
        "requests": 100, "tokens": 1000}, {"name": "five", "duration": "5h"}]}, "apiKey""#;
    world.credential(r#""apiKey""#, quota);
    let credential = CredentialName::from(name("c"));
    let window = |name: &str, requests, tokens| WindowState {
        name: name.into(),
        requests,
        tokens,
        resets_at: at(3600),
    };
    let told = |world: &mut World, windows: Vec<WindowState>| {
        let state = CredentialState {
            name: credential.clone(),
            in_flight: 0,
            reserved_tokens: 0,
            rests: Vec::new(),
            windows,
        };
        world.reading = Reading::Known(Arc::new(Measured {
            began: Instant::now(),
            credentials: HashMap::from([(credential.clone(), state)]),
            usage: Arc::default(),
        }));
        let status = world.of_credential();
        let windows: Vec<_> = status
            .windows
            .iter()
            .map(|it| format!("{} {} {}/{:?}", it.name, it.unit, it.used, it.limit))
            .collect();
        (windows, super::brief(&Status::Credential(status)))
    };
    let (windows, conditions) = told(&mut world, vec![window("day", 10, 900), window("five", 7, 70)]);
    assert_eq!(windows, ["day Tokens 900/Some(1000)", "five Requests 7/None"]);
    assert_eq!(conditions, "Ready=True/Usable");
    let (windows, conditions) = told(&mut world, vec![window("day", 100, 900)]);
    assert_eq!(windows, ["day Requests 100/Some(100)"]);
    assert_eq!(
        conditions,
        "CoolingDown=True/QuotaExhausted QuotaExhausted=True/QuotaExhausted Ready=True/QuotaExhausted"
    );
}

#[test]
fn an_object_that_cannot_be_read_is_told_so_once() {
    let world = World::new();
    let mut desk = Desk::new();
    let mut published = world.published();
    let identity = Identity {
        kind: Kind::Credential,
        name: name("strange"),
    };
    let strange = ObjectConditions {
        identity: identity.clone(),
        conditions: vec![Condition {
            kind: ConditionType::Accepted,
            status: false,
            reason: Reason::InvalidSpec,
            message: "spec.weight: expected a number".to_owned(),
        }],
    };
    published.conditions = [&published.conditions[..], &[strange]].concat().into();
    desk.pass_with(&world, &published, Duration::from_secs(60));
    assert_eq!(desk.count("strange"), 1);
    assert_eq!(desk.reasons(), ["strange InvalidSpec"]);
}

#[test]
fn each_thing_that_happens_is_news_once() {
    let mut world = World::new();
    let mut desk = Desk::new();
    let pause = Duration::from_secs(2);
    world.credential(r#""key": "k""#, r#""key": "gone""#);
    desk.pass(&world, pause);
    assert_eq!(desk.reasons(), ["c KeyMissing", "p NoReadyCredential"]);
    world.credential(r#""apiKey""#, r#""weight": 2, "apiKey""#);
    desk.pass(&world, pause);
    assert_eq!(desk.reasons(), ["c Resolved", "c Usable", "p Usable"]);
    world.measure(&[(None, RestReason::RateLimited, at(60))]);
    desk.pass(&world, pause);
    assert_eq!(desk.reasons(), ["c CoolingDown", "c RateLimited"]);
    world.now = at(61);
    world.measure(&[]);
    desk.pass(&world, pause);
    assert_eq!(desk.reasons(), ["c Usable", "c NotResting"]);
    world.gateways(2, 1);
    desk.pass(&world, Duration::from_secs(10));
    world.gateways(3, 0);
    desk.pass(&world, Duration::from_secs(10));
    assert!(desk.reasons().is_empty(), "gateways come and go");
    assert!(desk.count("c") > 4);
}
