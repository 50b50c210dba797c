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
        &[part!("head"), part!("ring"), part!("usage"), part!("admit")],
    )
});

/// Picks a credential.
pub(super) static PICK: LazyLock<Script> = LazyLock::new(|| account_script("pick", &[part!("pick")]));

/// Fills a lane.
pub(super) static FILL: LazyLock<Script> = LazyLock::new(|| account_script("fill", &[part!("fill")]));

/// Applies what a process has to say.
pub(super) static APPLY: LazyLock<Script> =
    LazyLock::new(|| account_script("apply", &[part!("scope_changes"), part!("apply")]));

/// Says that a process lives.
pub(super) static BEAT: LazyLock<Script> = LazyLock::new(|| account_script("beat", &[part!("beat")]));

/// Looks accounts up.
pub(super) static LOOK: LazyLock<Script> =
    LazyLock::new(|| Script::new("look", &[part!("head"), part!("look")]));

/// All of them.
pub(super) fn all() -> Vec<&'static Script> {
    vec![&ADMIT, &PICK, &FILL, &APPLY, &BEAT, &LOOK]
}

fn account_script(name: &'static str, parts: &[&str]) -> Script {
    let mut all = vec![
        part!("head"),
        part!("scope"),
        part!("ring"),
        part!("usage"),
        part!("lane"),
        part!("tag"),
        part!("account"),
        part!("circuit"),
    ];
    all.extend(parts);
    Script::new(name, &all)
}
