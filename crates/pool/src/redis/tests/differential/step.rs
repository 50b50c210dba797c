//! What may happen.

use std::time::Duration;

use proptest::prelude::*;

use super::setting::MODELS;
use crate::{Rest, Settled, testing::any};

/// One step. Numbers say who or which of those that there are; `by` which process takes it.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A pick, with an admission of a caller where one is named.
    Pick {
        by: usize,
        caller: Option<usize>,
        wanted: Wanted,
    },
    Settle {
        which: usize,
        settled: Settled,
    },
    /// An admission ends; `None` when cancelled.
    Leave {
        which: usize,
        tokens: Option<u64>,
    },
    Commit(usize),
    Report {
        by: usize,
        credential: usize,
        model: Option<usize>,
        rest: Rest,
    },
    Clear(usize, usize),
    ResetQuota(usize, usize),
    ResetBudgets(usize, usize),
    SecretChanged(usize, usize, u32),
    Remember(usize, u8),
    Recall(usize, u8),
    Wait(Duration),
    /// A pick of one that is not there, which makes all lanes known.
    Nobody,
}

/// What is asked of a pick.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub(super) model: usize,
    pub(super) tried: Vec<usize>,
    pub(super) pinned: Option<usize>,
    pub(super) object: Option<u8>,
    pub(super) affinity: Option<u64>,
    pub(super) call_tokens: u64,
    pub(super) attempt_tokens: u64,
    pub(super) patience: Duration,
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let tried = prop_oneof![
        3 => Just(Vec::new()),
        1 => prop::collection::vec(0..8usize, 1..3),
        1 => prop::collection::vec(0..8usize, 2..20),
    ];
    let patience = prop_oneof![Just(0), 0..60u64].prop_map(Duration::from_secs);
    (
        0..MODELS.len(),
        tried,
        prop_oneof![
            8 => Just((None, None)),
            1 => (0..8usize).prop_map(|pinned| (Some(pinned), None)),
            1 => (0..8u8).prop_map(|object| (None, Some(object))),
            1 => (0..8usize, 0..8u8).prop_map(|(pinned, object)| (Some(pinned), Some(object))),
        ],
        prop::option::weighted(0.3, 0..3u64),
        (0..20u64, 0..20u64),
        patience,
    )
        .prop_map(
            |(model, tried, (pinned, object), affinity, (call_tokens, attempt_tokens), patience)| Wanted {
                model,
                tried,
                pinned,
                object,
                affinity,
                call_tokens,
                attempt_tokens,
                patience,
            },
        )
}

fn wait() -> impl Strategy<Value = Duration> {
    prop_oneof![
        10 => (0..1000u64).prop_map(Duration::from_millis),
        6 => (0..40_000_000u64).prop_map(Duration::from_micros),
        4 => (1..70u64).prop_map(Duration::from_secs),
        1 => (700..4000u64).prop_map(Duration::from_secs),
        1 => (1..20u64).prop_map(|hours| Duration::from_secs(hours * 3600)),
        1 => (1..4u64).prop_map(|days| Duration::from_secs(days * 24 * 3600)),
    ]
}

pub(super) fn any_step() -> impl Strategy<Value = Step> {
    let by = || 0..2usize;
    let credential = || 0..8usize;
    prop_oneof![
        20 => (by(), prop::option::of(0..2usize), wanted())
            .prop_map(|(by, caller, wanted)| Step::Pick { by, caller, wanted }),
        12 => (any::<usize>(), any::settled()).prop_map(|(which, settled)| Step::Settle { which, settled }),
        5 => (any::<usize>(), prop::option::weighted(0.8, 0..20u64))
            .prop_map(|(which, tokens)| Step::Leave { which, tokens }),
        2 => any::<usize>().prop_map(Step::Commit),
        2 => (by(), credential(), prop::option::of(0..MODELS.len()), any::rest())
            .prop_map(|(by, credential, model, rest)| Step::Report { by, credential, model, rest }),
        1 => (by(), credential()).prop_map(|(by, who)| Step::Clear(by, who)),
        1 => (by(), credential()).prop_map(|(by, who)| Step::ResetQuota(by, who)),
        1 => (by(), 0..2usize).prop_map(|(by, who)| Step::ResetBudgets(by, who)),
        1 => (by(), credential(), 0..4u32).prop_map(|(by, who, version)| Step::SecretChanged(by, who, version)),
        1 => (by(), 0..8u8).prop_map(|(by, object)| Step::Remember(by, object)),
        1 => (by(), 0..8u8).prop_map(|(by, object)| Step::Recall(by, object)),
        10 => wait().prop_map(Step::Wait),
    ]
}
