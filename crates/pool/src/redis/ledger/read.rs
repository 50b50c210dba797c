//! Reading counts, in pages.

use std::{collections::HashMap, ops::RangeInclusive};

use snapshot::Timestamp;

use super::{
    DAYS_KEPT, LedgerError, Scripts, SharedLedger, keys,
    packed::Packed,
    reply::Reply,
    script::{READ, ROSTER, SERVER_CLOCK},
};
use crate::usage::{Day, Dimension, Report, Row};

/// Which state of the store an answer is of. What was read of one version fits together.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    epoch: String,
    folds: String,
}

/// Hashes that one script reads from. Most are of days on which an owner did not live, and cost nothing.
const HASHES: usize = 32;

/// What part of a page is read from each of them.
const PART: usize = 4;

/// How often reading begins anew because an owner was taken over meanwhile, which some scripts do.
const ATTEMPTS: usize = 8;

/// What all processes used.
pub(super) async fn usage<S: Scripts>(
    shared: &SharedLedger<S>,
    days: &RangeInclusive<Day>,
    dimension: Option<Dimension>,
) -> Result<Report, LedgerError> {
    for _ in 0..ATTEMPTS {
        if let Some(rows) = read_rows(shared, days, dimension).await? {
            return Ok(Report::new(rows));
        }
    }
    Err(LedgerError::Unsteady)
}

/// What went of `owner` into the base of a day, by field; `None` when the store was emptied.
pub(super) async fn grave<S: Scripts>(
    shared: &SharedLedger<S>,
    epoch: &str,
    owner: &str,
    day: Day,
) -> Result<Option<HashMap<String, Packed>>, LedgerError> {
    let mut pages = Pages::new(&[(day, shared.keys.grave(owner, day))], None);
    let mut fields = HashMap::new();
    while !pages.is_done() {
        if pages.next(shared, &mut fields).await?.epoch != epoch {
            return Ok(None);
        }
    }
    Ok(Some(
        fields
            .into_iter()
            .map(|((_, field), packed)| (field, packed))
            .collect(),
    ))
}

/// The rows, unless the base changed while they were read.
async fn read_rows<S: Scripts>(
    shared: &SharedLedger<S>,
    days: &RangeInclusive<Day>,
    dimension: Option<Dimension>,
) -> Result<Option<Vec<Row>>, LedgerError> {
    let keys = [shared.keys.store(), shared.keys.owners()];
    let answer = shared.scripts.run(&ROSTER, &keys, &[SERVER_CLOCK.into()]).await?;
    let mut roster = Reply::new(answer)?;
    let version = version(&mut roster)?;
    let now = Timestamp::from_micros(roster.number()?.saturating_mul(1000));
    let mut list = roster.list()?;
    let mut owners = Vec::new();
    while !list.is_empty() {
        owners.push(list.text()?);
    }

    // A process whose clock is ahead may be in tomorrow.
    let newest = Day::of(now).plus(1).min(*days.end());
    let oldest = Day::of(now).minus(DAYS_KEPT).max(*days.start());
    let mut hashes = Vec::new();
    for day in oldest.through(newest) {
        hashes.push((day, shared.keys.base(day)));
        hashes.extend(owners.iter().map(|owner| (day, shared.keys.own(owner, day))));
    }
    let mut sums: HashMap<(Day, String), Packed> = HashMap::new();
    for hashes in hashes.chunks(HASHES) {
        let mut pages = Pages::new(hashes, dimension);
        let mut fields = HashMap::new();
        while !pages.is_done() {
            if pages.next(shared, &mut fields).await? != version {
                return Ok(None);
            }
        }
        for ((hash, field), packed) in fields {
            let (day, _) = hashes[hash];
            sums.entry((day, field)).or_default().add(&packed);
        }
    }
    let rows = sums.iter().filter_map(|((day, field), packed)| {
        let (dimension, name) = keys::parse_field(field)?;
        Some(Row {
            day: *day,
            dimension,
            name: name.into(),
            tally: packed.tally(),
        })
    });
    Ok(Some(rows.collect()))
}

fn version(reply: &mut Reply) -> Result<Version, LedgerError> {
    Ok(Version {
        epoch: reply.text()?,
        folds: reply.text()?,
    })
}

/// Hashes that are read side by side.
struct Pages {
    /// What is left: the number of a hash, its key, where it goes on.
    left: Vec<(usize, Vec<u8>, String)>,
    pattern: String,
}

/// Numbers by hash and field: a page may hold a field that another one held, and the later says more.
type Fields = HashMap<(usize, String), Packed>;

impl Pages {
    fn new(hashes: &[(Day, Vec<u8>)], dimension: Option<Dimension>) -> Self {
        let left = hashes.iter().enumerate();
        Self {
            left: left
                .map(|(number, (_, key))| (number, key.clone(), "0".to_owned()))
                .collect(),
            pattern: keys::pattern(dimension),
        }
    }

    const fn is_done(&self) -> bool {
        self.left.is_empty()
    }

    /// Reads the next page of each.
    async fn next<S: Scripts>(
        &mut self,
        shared: &SharedLedger<S>,
        fields: &mut Fields,
    ) -> Result<Version, LedgerError> {
        let mut keys = vec![shared.keys.store()];
        let mut args: Vec<Vec<u8>> = vec![
            SERVER_CLOCK.into(),
            self.pattern.clone().into(),
            (shared.page / PART).max(1).to_string().into(),
        ];
        for (_, key, cursor) in &self.left {
            keys.push(key.clone());
            args.push(cursor.clone().into());
        }
        let mut reply = Reply::new(shared.scripts.run(&READ, &keys, &args).await?)?;
        let version = version(&mut reply)?;
        for (number, _, cursor) in &mut self.left {
            let mut page = reply.list()?;
            *cursor = page.text()?;
            let mut pairs = page.list()?;
            while !pairs.is_empty() {
                let (field, numbers) = (pairs.text()?, pairs.text()?);
                // Others are no counts.
                if keys::parse_field(&field).is_some() {
                    let packed = Packed::parse(&numbers).ok_or(LedgerError::Unexpected)?;
                    fields.insert((*number, field), packed);
                }
            }
        }
        self.left.retain(|(_, _, cursor)| cursor != "0");
        Ok(version)
    }
}
