//! Ends of calls that ask for nothing but to be counted, as nearly all do, in few words.

use snapshot::Timestamp;

use super::{Record, What};
use crate::redis::args::Args;

/// What all records of a batch are.
#[derive(Clone, Copy)]
enum Kind<'a> {
    /// Ends of attempts on credentials without limits.
    Attempts,
    /// Ends of calls of a caller that may use this, in which there are no windows.
    Calls(&'a str),
}

/// Adds records, where all are usual and of one kind; gives back what it was given where they are not.
pub(super) fn write(records: &[Record], now: Timestamp, args: Args) -> Result<Args, Args> {
    let Some(kind) = kind(records) else {
        return Err(args);
    };
    let args = args.number(0);
    let count = records.len() as u64;
    let mut args = match kind {
        Kind::Attempts => args.text("F").number(2 * count),
        Kind::Calls(definition) => args.text("H").number(1 + 3 * count).text(definition),
    };
    for record in records {
        let age = record.age(now);
        match &record.what {
            What::End {
                lease,
                account,
                model,
                sequence,
                outcome,
                ..
            } => {
                args = args.number(*lease).pieces(|rest| {
                    rest.number(*sequence);
                    rest.number(*outcome);
                    rest.number(age);
                    rest.text(account);
                    rest.text("|");
                    rest.text(model);
                });
            }
            What::Leave { lease, tokens, .. } => {
                args = args.number(*lease).optional(*tokens).number(age);
            }
            What::Fields(_) => {}
        }
    }
    Ok(args)
}

/// Whether the next admission or pick may come before it: it changes neither what is used, nor whose turn it is, nor
/// how many calls a caller or credential still has room for.
pub(super) fn can_wait(record: &Record) -> bool {
    match &record.what {
        What::End { .. } => Kind::Attempts.has(record),
        // Nothing but requests per minute.
        What::Leave { definition, .. } => definition.starts_with("1||") && definition.ends_with("||"),
        What::Fields(_) => false,
    }
}

fn kind(records: &[Record]) -> Option<Kind<'_>> {
    let kind = match &records.first()?.what {
        What::End { .. } => Kind::Attempts,
        What::Leave { definition, .. } => Kind::Calls(definition),
        What::Fields(_) => return None,
    };
    records.iter().all(|record| kind.has(record)).then_some(kind)
}

impl Kind<'_> {
    fn has(self, record: &Record) -> bool {
        match (self, &record.what) {
            // Of a credential without limits a definition says its weight at most.
            (
                Self::Attempts,
                What::End {
                    definition, is_led, ..
                },
            ) => !is_led && (definition.is_empty() || definition.ends_with("||||")),
            // Windows come last.
            (Self::Calls(known), What::Leave { definition, .. }) => {
                **definition == *known && known.ends_with('|')
            }
            _ => false,
        }
    }
}
