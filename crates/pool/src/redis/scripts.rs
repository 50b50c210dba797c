//! The scripts, each put together from the parts that it needs.

use std::sync::LazyLock;

use super::link::Script;

macro_rules! part {
    ($name:literal) => {
        include_str!(concat!("scripts/", $name, ".lua"))
    };
}

/// Lets a caller in.
pub(super) static ADMIT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "admit",
        &[
            part!("usage_fast"),
            part!("admit_fast"),
            part!("head"),
            part!("ring"),
            part!("usage"),
            part!("admit"),
        ],
    )
});

/// Picks a credential.
pub(super) static PICK: LazyLock<Script> = LazyLock::new(|| {
    account_script(
        "pick",
        &[
            part!("usage_fast"),
            part!("pick_fast"),
            part!("head"),
            part!("ring"),
        ],
        &[part!("pick")],
    )
});

/// Lets callers in and picks for them, many at once, where all is usual.
pub(super) static ENTER: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "enter",
        &[part!("enter_one"), part!("usage_fast"), part!("enter")],
    )
});

/// Fills a lane.
pub(super) static FILL: LazyLock<Script> =
    LazyLock::new(|| account_script("fill", &HEAD, &[part!("forget"), part!("fill")]));

/// Applies what a process has to say.
pub(super) static APPLY: LazyLock<Script> = LazyLock::new(|| {
    account_script(
        "apply",
        &[
            part!("apply_usual"),
            part!("head"),
            part!("ring"),
            part!("apply_fast"),
        ],
        &[part!("scope_changes"), part!("apply")],
    )
});

/// Says that a process lives.
pub(super) static BEAT: LazyLock<Script> =
    LazyLock::new(|| account_script("beat", &HEAD, &[part!("forget"), part!("beat")]));

/// Looks accounts up.
pub(super) static LOOK: LazyLock<Script> =
    LazyLock::new(|| Script::new("look", &[part!("head"), part!("look")]));

/// Says that a process lives, and counts those that do.
pub(super) static ROLL: LazyLock<Script> = LazyLock::new(|| Script::new("roll", &[part!("roll")]));

/// All of them.
pub(super) fn all() -> Vec<&'static Script> {
    vec![&ENTER, &ADMIT, &PICK, &FILL, &APPLY, &BEAT, &LOOK, &ROLL]
}

/// What all scripts about accounts begin with.
const HEAD: [&str; 2] = [part!("head"), part!("ring")];

fn account_script(name: &'static str, first: &[&str], last: &[&str]) -> Script {
    let shared = [
        part!("scope"),
        part!("usage"),
        part!("lane"),
        part!("tag"),
        part!("account"),
        part!("circuit"),
    ];
    Script::new(name, &[first, &shared, last].concat())
}
