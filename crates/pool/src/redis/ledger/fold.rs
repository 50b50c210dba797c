//! Taking over the numbers of an owner.

use super::{
    DAYS_KEPT, DEAD_AFTER, LedgerError, Scripts, SharedLedger,
    reply::Reply,
    script::{FOLD, SERVER_CLOCK},
};
use crate::usage::{Day, Dimension};

/// How far it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Folded {
    /// All is taken over.
    Done,
    /// Some of it is left for later.
    Partly,
    /// The owner is alive.
    Alive,
    /// This is not the store that it was.
    Emptied,
}

/// Whose wish it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Another's, or that of an owner that is fenced: the owner has to be dead.
    Heir,
    /// The owner's own, who leaves.
    Leaver,
}

/// How long it is known what was taken over, in seconds: an owner may have been paused for that long.
pub(super) const GRAVE_SECONDS: u64 = 2 * 24 * 3600;

/// Takes over what `owner` counted, in at most so many steps.
pub(super) async fn fold<S: Scripts>(
    shared: &SharedLedger<S>,
    epoch: &str,
    owner: &str,
    wish: Wish,
    steps: usize,
) -> Result<Folded, LedgerError> {
    let mut day = None;
    for _ in 0..steps {
        let mut reply = step(shared, epoch, owner, wish, day).await?;
        match reply.text()?.as_str() {
            "more" => day = Some(reply.text()?.parse().map_err(|_| LedgerError::Unexpected)?),
            "done" => return Ok(Folded::Done),
            "alive" => return Ok(Folded::Alive),
            "emptied" => return Ok(Folded::Emptied),
            _ => return Err(LedgerError::Unexpected),
        }
    }
    Ok(Folded::Partly)
}

async fn step<S: Scripts>(
    shared: &SharedLedger<S>,
    epoch: &str,
    owner: &str,
    wish: Wish,
    day: Option<Day>,
) -> Result<Reply, LedgerError> {
    let mut keys = vec![shared.keys.store(), shared.keys.owners(), shared.keys.life(owner)];
    if let Some(day) = day {
        keys.extend([
            shared.keys.own(owner, day),
            shared.keys.base(day),
            shared.keys.grave(owner, day),
        ]);
    }
    let leaves = if wish == Wish::Leaver { "1" } else { "0" };
    let mut args: Vec<Vec<u8>> = vec![
        SERVER_CLOCK.into(),
        owner.into(),
        epoch.into(),
        DEAD_AFTER.to_string().into(),
        leaves.into(),
        GRAVE_SECONDS.to_string().into(),
        (u64::from(DAYS_KEPT) * 24 * 3600).to_string().into(),
        day.map(|day| day.to_string()).unwrap_or_default().into(),
        shared.page.to_string().into(),
    ];
    for dimension in Dimension::ALL {
        args.push(dimension.as_str().into());
        args.push(dimension.most_names().to_string().into());
    }
    Reply::new(shared.scripts.run(&FOLD, &keys, &args).await?)
}
