//! What a process has to say about a tag. The script `apply` reads these.

mod usual;

use std::{fmt::Write, sync::Arc};

use snapshot::{RestScope, SecretVersion, Timestamp};

use super::{
    args::Args,
    encode::{micros, rest_args},
};
use crate::{Outcome, Rest, Settled, store::memory::Used};

/// One thing to say.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// When it was made; the epoch for one that says what is so now.
    at: Timestamp,
    what: What,
    /// The lease that it ends.
    ends: Option<u64>,
    /// The lease that it begins.
    begins: Option<u64>,
    /// Whether its last field says what the account may use, so that use is counted.
    charges: bool,
}

/// What is said. The ends of calls, which are most of it, are written when they are sent.
#[derive(Clone, Debug)]
enum What {
    /// Its kind, the number of its fields, and these.
    Fields(Args),
    /// An attempt ended and neither rests nor blames anybody.
    End {
        lease: u64,
        account: Arc<str>,
        model: Arc<str>,
        sequence: u64,
        outcome: u64,
        tokens: Option<u64>,
        definition: Arc<str>,
        /// Whether scores of its lane follow calls in flight, or use.
        is_led: bool,
    },
    /// A caller's call ended.
    Leave {
        lease: u64,
        tokens: Option<u64>,
        definition: Arc<str>,
    },
}

/// What an attempt's end says beside its outcome.
pub(super) struct Attempt<'a> {
    /// The lease.
    pub(super) lease: u64,
    /// The credential's name in its namespace.
    pub(super) account: &'a Arc<str>,
    /// The upstream's model.
    pub(super) model: &'a Arc<str>,
    /// The sequence number of its pick.
    pub(super) sequence: u64,
    /// How long the endpoint's breaker opens, in microseconds.
    pub(super) open_for: u64,
    /// How many failures open it.
    pub(super) failures: u64,
    /// What the credential may use.
    pub(super) definition: &'a Arc<str>,
    /// Whether scores of its lane follow calls in flight, or use.
    pub(super) is_led: bool,
}

impl Record {
    /// An attempt ended.
    pub(super) fn settle(attempt: &Attempt<'_>, settled: &Settled) -> Self {
        let outcome = match settled.outcome {
            Outcome::Succeeded => 0,
            Outcome::CallerFault => 1,
            Outcome::CredentialFault => 2,
            Outcome::UpstreamFault => 3,
            Outcome::Cancelled => 4,
        };
        let tokens = settled.usage.map(|usage| usage.total());
        let told = settled.headroom;
        let blames = matches!(settled.outcome, Outcome::CredentialFault | Outcome::UpstreamFault);
        if !blames && settled.rest.is_none() && told.is_none() {
            return Self {
                ends: Some(attempt.lease),
                charges: true,
                ..Self::of(What::End {
                    lease: attempt.lease,
                    account: Arc::clone(attempt.account),
                    model: Arc::clone(attempt.model),
                    sequence: attempt.sequence,
                    outcome,
                    tokens,
                    definition: Arc::clone(attempt.definition),
                    is_led: attempt.is_led,
                })
            };
        }
        let fields = Args::default()
            .number(attempt.lease)
            .text(attempt.account)
            .text(attempt.model)
            .number(attempt.sequence)
            .number(outcome)
            .optional(tokens)
            .all(&rest_args(settled.rest.as_ref()))
            .number(attempt.open_for)
            .number(attempt.failures)
            .optional(told.map(|told| u64::from(told.used)))
            .optional(told.map(|told| micros(told.resets_in)))
            .text(attempt.definition);
        Self {
            ends: Some(attempt.lease),
            charges: true,
            ..Self::new("S", &fields)
        }
    }

    /// An attempt delivers.
    pub(super) fn commit(lease: u64, account: &str, model: &str) -> Self {
        Self::new("K", &Args::default().number(lease).text(account).text(model))
    }

    /// A call gave up before it knew what it had got.
    pub(super) fn cancel(lease: u64, model: &str) -> Self {
        Self::new("C", &Args::default().number(lease).text(model))
    }

    /// A call that was given up long ago cannot come any more.
    pub(super) fn forget(lease: u64) -> Self {
        Self::new("D", &Args::default().number(lease))
    }

    /// A lease was taken without the store, or the store has lost it. `counted` is for the former.
    pub(super) fn adopt(lease: u64, account: &str, hold: u64, counted: bool, definition: &str) -> Self {
        let fields = Args::default()
            .number(lease)
            .text(account)
            .number(hold)
            .number(u64::from(counted))
            .text(definition);
        Self {
            begins: Some(lease),
            charges: true,
            ..Self::new("A", &fields)
        }
    }

    /// A caller's call ended.
    pub(super) fn leave(lease: u64, tokens: Option<u64>, definition: &Arc<str>) -> Self {
        Self {
            ends: Some(lease),
            charges: true,
            ..Self::of(What::Leave {
                lease,
                tokens,
                definition: Arc::clone(definition),
            })
        }
    }

    /// A credential is to rest.
    pub(super) fn report(account: &str, model: Option<&str>, rest: Rest, definition: &str) -> Self {
        let scope = match model {
            Some(_) => RestScope::CredentialAndModel,
            None => RestScope::Credential,
        };
        let fields = Args::default()
            .text(account)
            .text(model.unwrap_or_default())
            .all(&rest_args(Some(&(scope, rest))))
            .text(definition);
        Self::new("R", &fields)
    }

    /// All rests of a credential end.
    pub(super) fn clear(account: &str) -> Self {
        Self::new("L", &Args::default().text(account))
    }

    /// The quota of a credential is whole again.
    pub(super) fn reset_quota(account: &str) -> Self {
        Self::new("Q", &Args::default().text(account))
    }

    /// The budgets of the caller begin anew.
    pub(super) fn reset_budgets() -> Self {
        Self::new("B", &Args::default())
    }

    /// A credential has this secret.
    pub(super) fn secret(account: &str, version: &SecretVersion) -> Self {
        Self::new("V", &Args::default().text(account).text(&version.0))
    }

    /// What this process has used of an account, for a store that has lost it.
    pub(super) fn restore(used: &Used, definition: &str) -> Self {
        let buckets = |buckets: &[(u64, u64)]| {
            let texts = buckets
                .iter()
                .map(|(second, amount)| format!("{second}:{amount}"));
            texts.collect::<Vec<_>>().join(",")
        };
        let mut windows = String::new();
        for (name, tally) in &used.windows {
            let start = tally.start.as_micros();
            // Writing into memory cannot fail.
            let _ = write!(windows, "{name},{start},{},{};", tally.requests, tally.tokens);
        }
        let fields = Args::default()
            .text(&used.account)
            .text(&buckets(&used.requests))
            .text(&buckets(&used.tokens))
            .text(&windows)
            .text(definition);
        Self::new("Z", &fields)
    }

    /// Notes when it was made.
    pub(super) fn made(&mut self, at: Timestamp) {
        self.at = at;
    }

    /// How long ago it was made, in microseconds; one that says what is so now has no age.
    fn age(&self, now: Timestamp) -> u64 {
        match self.at {
            Timestamp::EPOCH => 0,
            at => micros(now.since(at)),
        }
    }

    /// Adds what the script reads of records that are sent together.
    pub(super) fn write_all(records: &[Self], now: Timestamp, args: Args) -> Args {
        usual::write(records, now, args).unwrap_or_else(|args| {
            records
                .iter()
                .fold(args, |args, record| record.write(args.number(record.age(now))))
        })
    }

    /// Adds what the script reads.
    fn write(&self, args: Args) -> Args {
        match &self.what {
            What::Fields(fields) => args.all(fields),
            What::End {
                lease,
                account,
                model,
                sequence,
                outcome,
                tokens,
                definition,
                is_led: _,
            } => args
                .text("E")
                .number(7)
                .number(*lease)
                .text(account)
                .text(model)
                .number(*sequence)
                .number(*outcome)
                .optional(*tokens)
                .text(definition),
            What::Leave {
                lease,
                tokens,
                definition,
            } => args
                .text("G")
                .number(3)
                .number(*lease)
                .optional(*tokens)
                .text(definition),
        }
    }

    /// Whether the next admission or pick may come before it.
    pub(super) fn can_wait(&self) -> bool {
        usual::can_wait(self)
    }

    /// The lease that it ends.
    pub(super) fn ends(&self) -> Option<u64> {
        self.ends
    }

    /// The lease that it begins.
    pub(super) fn begins(&self) -> Option<u64> {
        self.begins
    }

    /// Lets the store know of it without counting what was used.
    pub(super) fn uncharge(&mut self) {
        if !self.charges {
            return;
        }
        match &mut self.what {
            What::Fields(fields) => fields.clear_last(),
            What::End { definition, .. } | What::Leave { definition, .. } => *definition = "".into(),
        }
    }

    fn new(kind: &str, fields: &Args) -> Self {
        let fields = Args::default().text(kind).number(fields.len() as u64).all(fields);
        Self::of(What::Fields(fields))
    }

    fn of(what: What) -> Self {
        Self {
            at: Timestamp::EPOCH,
            what,
            ends: None,
            begins: None,
            charges: false,
        }
    }
}
