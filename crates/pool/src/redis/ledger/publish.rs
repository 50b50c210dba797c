//! Sharing what one process counted.

use std::{collections::HashMap, sync::Arc, time::Duration};

use ::redis::Value;
use snapshot::Timestamp;

use super::{
    DAYS_KEPT, DEAD_AFTER, Incarnation, LedgerError, Scripts, SharedLedger,
    fold::{Folded, GRAVE_SECONDS, Wish, fold},
    keys,
    packed::Packed,
    read,
    reply::Reply,
    script::{FLUSH, SERVER_CLOCK},
};
use crate::usage::{Changes, Day, Ledger};

/// Writes what a [`Ledger`] counted to a [`SharedLedger`], and takes over what the dead left there.
///
/// A beat that is dropped before its end is like one whose answers were lost.
#[derive(Debug)]
pub struct Publisher<S> {
    shared: Arc<SharedLedger<S>>,
    ledger: Arc<Ledger>,
    incarnation: Incarnation,
    /// How often it was fenced. Part of its name.
    life: u32,
    standing: Standing,
    /// The store that it knows; empty before the first answer.
    epoch: String,
    /// The last flush of this life that was sent.
    sent: u64,
    /// The last one that was applied for sure.
    acknowledged: u64,
    acknowledged_at: Option<Timestamp>,
    /// What is on the way, to be written again if no answer comes.
    pending: Option<Changes>,
    /// What went into the base of this store from earlier lives, by day and field.
    taken_over: HashMap<Day, HashMap<String, Packed>>,
}

/// What a beat did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beat {
    /// Names whose numbers were written.
    pub written: usize,
    /// Whether an owner that died was taken over wholly.
    pub folded: bool,
    /// Whether this process was taken for dead since the last beat, and began anew.
    pub risen: bool,
    /// Whether the store lost what it had, and got everything again that is in memory.
    pub restored: bool,
}

/// What the store knows of this owner, as far as this owner knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Nothing: the next flush registers it.
    New,
    /// That it lives.
    Registered,
    /// That it is dead: what was taken over is yet to be found out.
    Fenced,
}

/// What became of a flush.
#[derive(Debug)]
enum Flushed {
    /// It was written, with so many names.
    Applied {
        names: usize,
        dead: String,
    },
    /// The store is not the one before, if one was known.
    Emptied {
        known: bool,
    },
    Unknown,
    Fenced,
    Renumber {
        last: u64,
    },
}

/// What became of all flushes of a beat.
#[derive(Debug)]
struct Told {
    /// Whether all is written that had changed at its start.
    all: bool,
    /// An owner that is dead, or nothing.
    dead: String,
}

/// Flushes of one beat at most. What is left comes with the next one.
const FLUSHES: usize = 64;

/// Steps of one beat to take over another's numbers.
const STEPS_FOR_ANOTHER: usize = 8;

/// Steps to take over the numbers of this process, for a day each or more.
const STEPS_FOR_SELF: usize = 10_000;

/// Refusals of one beat at most: each of them ends what caused it.
const REFUSALS: usize = 8;

impl<S: Scripts> Publisher<S> {
    /// Shares what `ledger` counts, as `incarnation`.
    pub fn new(shared: Arc<SharedLedger<S>>, ledger: Arc<Ledger>, incarnation: Incarnation) -> Self {
        Self {
            shared,
            ledger,
            incarnation,
            life: 0,
            standing: Standing::New,
            epoch: String::new(),
            sent: 0,
            acknowledged: 0,
            acknowledged_at: None,
            pending: None,
            taken_over: HashMap::new(),
        }
    }

    /// Writes what changed, says that this process lives, and does a step of taking over one that does not.
    ///
    /// To be called every two seconds. After an error what was not written is written by the next beat. Late
    /// beats lose nothing.
    pub async fn beat(&mut self, now: Timestamp) -> Result<Beat, LedgerError> {
        let mut beat = Beat::default();
        let told = self.tell(now, &mut beat).await?;
        if !told.dead.is_empty() {
            let steps = STEPS_FOR_ANOTHER;
            let folded = fold(&self.shared, &self.epoch, &told.dead, Wish::Heir, steps).await?;
            beat.folded = folded == Folded::Done;
        }
        Ok(beat)
    }

    /// Writes the last numbers and moves them to the base. What is still open becomes estimates. After an error
    /// the others do the rest when this process is dead to them.
    pub async fn goodbye(mut self, now: Timestamp) -> Result<(), LedgerError> {
        for _ in 0..REFUSALS {
            if !self.tell(now, &mut Beat::default()).await?.all {
                continue;
            }
            let owner = self.owner();
            match fold(&self.shared, &self.epoch, &owner, Wish::Leaver, STEPS_FOR_SELF).await? {
                Folded::Done => return Ok(()),
                Folded::Emptied => self.begin_anew(),
                Folded::Partly | Folded::Alive => break,
            }
        }
        Err(LedgerError::Unsteady)
    }

    /// Writes what changed and forgets what is over.
    async fn tell(&mut self, now: Timestamp, beat: &mut Beat) -> Result<Told, LedgerError> {
        if let Some(lost) = self.pending.take() {
            self.ledger.untake(&lost);
        }
        let mut refusals = 0;
        let mut flushes = 0;
        // Not until nothing is left: under load there is always something.
        let mut left = self.ledger.changed();
        loop {
            if self.standing == Standing::Fenced {
                self.rise(beat).await?;
                left = self.ledger.changed();
            }
            match self.flush(now).await? {
                Flushed::Applied { names, dead } => {
                    flushes += 1;
                    beat.written += names;
                    left = left.saturating_sub(names);
                    if left == 0 || flushes == FLUSHES {
                        self.forget_before(Day::of(now));
                        return Ok(Told { all: left == 0, dead });
                    }
                    continue;
                }
                Flushed::Emptied { known } => {
                    beat.restored |= known;
                    self.begin_anew();
                }
                Flushed::Unknown => {
                    beat.restored = true;
                    self.register_again(now);
                }
                Flushed::Fenced => self.standing = Standing::Fenced,
                Flushed::Renumber { last } => {
                    beat.restored = true;
                    self.acknowledged = last;
                    self.sent = self.sent.max(last);
                    self.ledger.untake_all();
                }
            }
            left = self.ledger.changed();
            refusals += 1;
            if refusals == REFUSALS {
                return Err(LedgerError::Unsteady);
            }
        }
    }

    /// Writes what changed of one day, as much as one script takes; if nothing did, that this process lives.
    async fn flush(&mut self, now: Timestamp) -> Result<Flushed, LedgerError> {
        self.sent += 1;
        self.pending = self.ledger.take_changes(self.shared.page);
        let (keys, args) = self.message(now);
        let answer = self.shared.scripts.run(&FLUSH, &keys, &args).await;
        let flushed = answer
            .map_err(LedgerError::from)
            .and_then(|answer| self.understand(answer));
        let pending = self.pending.take();
        match flushed {
            Ok(Flushed::Applied { dead, .. }) => {
                self.standing = Standing::Registered;
                self.acknowledged = self.sent;
                self.acknowledged_at = Some(now);
                let names = pending.map_or(0, |changes| changes.cells.len());
                Ok(Flushed::Applied { names, dead })
            }
            otherwise => {
                if let Some(lost) = pending {
                    self.ledger.untake(&lost);
                }
                otherwise
            }
        }
    }

    /// The keys and the arguments of the flush script.
    fn message(&self, now: Timestamp) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let owner = self.owner();
        let day = self
            .pending
            .as_ref()
            .map_or_else(|| Day::of(now), |changes| changes.day);
        let names = &self.shared.keys;
        let keys = vec![
            names.store(),
            names.owners(),
            names.life(&owner),
            names.own(&owner, day),
        ];
        let register = if self.standing == Standing::New { "1" } else { "0" };
        let mut args: Vec<Vec<u8>> = vec![
            SERVER_CLOCK.into(),
            owner.clone().into(),
            self.sent.to_string().into(),
            self.acknowledged.to_string().into(),
            self.epoch.clone().into(),
            format!("{owner}.{}", self.sent).into(),
            register.into(),
            day.to_string().into(),
            DEAD_AFTER.to_string().into(),
            (u64::from(DAYS_KEPT) * 24 * 3600).to_string().into(),
        ];
        let taken_over = self.taken_over.get(&day);
        for change in self.pending.iter().flat_map(|changes| &changes.cells) {
            let field = keys::field(change.dimension, &change.name);
            let mut packed = Packed::from(&change.tally);
            if let Some(known) = taken_over.and_then(|day| day.get(&field)) {
                packed = packed.less(known);
            }
            args.push(field.into());
            args.push(packed.to_string().into());
        }
        (keys, args)
    }

    fn understand(&mut self, answer: Value) -> Result<Flushed, LedgerError> {
        let mut reply = Reply::new(answer)?;
        let status = reply.text()?;
        let known = std::mem::replace(&mut self.epoch, reply.text()?);
        Ok(match status.as_str() {
            "applied" => Flushed::Applied {
                names: 0,
                dead: reply.text()?,
            },
            "emptied" => Flushed::Emptied {
                known: !known.is_empty(),
            },
            "unknown" => Flushed::Unknown,
            "fenced" => Flushed::Fenced,
            "renumber" => Flushed::Renumber {
                last: reply.number()?,
            },
            _ => return Err(LedgerError::Unexpected),
        })
    }

    /// Finds out what went into the base, and goes on with what is beyond it under a new name.
    async fn rise(&mut self, beat: &mut Beat) -> Result<(), LedgerError> {
        let owner = self.owner();
        match fold(&self.shared, &self.epoch, &owner, Wish::Heir, STEPS_FOR_SELF).await? {
            Folded::Done => {}
            Folded::Partly => return Err(LedgerError::Unsteady),
            Folded::Alive => {
                // An older copy of the store took over, from before the fence.
                self.standing = Standing::Registered;
                return Ok(());
            }
            Folded::Emptied => {
                beat.restored = true;
                self.begin_anew();
                return Ok(());
            }
        }
        let mut graves = Vec::new();
        for day in self.ledger.days() {
            let Some(grave) = read::grave(&self.shared, &self.epoch, &owner, day).await? else {
                beat.restored = true;
                self.begin_anew();
                return Ok(());
            };
            graves.push((day, grave));
        }
        for (day, grave) in graves {
            let taken_over = self.taken_over.entry(day).or_default();
            for (field, packed) in grave {
                taken_over.entry(field).or_default().add(&packed.folded());
            }
        }
        beat.risen = true;
        self.begin_life();
        Ok(())
    }

    /// Everything that the store had is gone: what is in memory is what there is.
    fn begin_anew(&mut self) {
        self.taken_over.clear();
        self.register();
    }

    /// The same store has forgotten this owner.
    fn register_again(&mut self, now: Timestamp) {
        let silence = self.acknowledged_at.map_or(Duration::ZERO, |at| now.since(at));
        if silence < Duration::from_secs(GRAVE_SECONDS / 2) {
            self.register();
            return;
        }
        // It was dead for so long that its grave is gone too. What is in memory has not changed much in the
        // meantime, so that is what was taken over.
        for row in self.ledger.usage(&Day::ALL, None).rows {
            let taken_over = self.taken_over.entry(row.day).or_default();
            let field = keys::field(row.dimension, &row.name);
            taken_over.insert(field, Packed::from(&row.tally).folded());
        }
        self.begin_life();
    }

    fn begin_life(&mut self) {
        self.life += 1;
        self.sent = 0;
        self.register();
    }

    fn register(&mut self) {
        self.standing = Standing::New;
        self.acknowledged = 0;
        self.ledger.untake_all();
    }

    fn forget_before(&mut self, today: Day) {
        self.ledger.forget_before(today);
        let days = self.ledger.days();
        self.taken_over.retain(|day, _| days.contains(day));
    }

    fn owner(&self) -> String {
        format!("{}-{}", self.incarnation, self.life)
    }
}
