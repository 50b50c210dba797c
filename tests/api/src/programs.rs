//! Where the programs are that `hack/kube-tools.sh` built, or that `KUBEBUILDER_ASSETS` names, and what they say.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::LazyLock,
};

use crate::process::stop;

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| ask("where"));

/// What a program said.
#[derive(Debug)]
pub struct Output {
    /// Whether it exited with 0.
    pub success: bool,
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub error: String,
}

impl Output {
    /// Runs `command`, without an input, until it ends.
    pub(crate) fn of(command: &mut Command) -> Self {
        let done = command.stdin(Stdio::null()).output();
        let done = done.unwrap_or_else(|error| stop(&format!("{command:?} does not start: {error}")));
        Self {
            success: done.status.success(),
            output: String::from_utf8_lossy(&done.stdout).into_owned(),
            error: String::from_utf8_lossy(&done.stderr).into_owned(),
        }
    }
}

/// A program of that folder.
pub(crate) fn built(name: &str) -> PathBuf {
    let path = FOLDER.join(name);
    assert!(
        path.exists(),
        "{} is missing: run hack/kube-tools.sh first",
        path.display()
    );
    path
}

/// Helm. A folder that somebody else filled seldom has it; it is built then.
pub(crate) fn helm() -> &'static Path {
    static HELM: LazyLock<PathBuf> = LazyLock::new(|| ask("helm"));
    &HELM
}

fn ask(what: &str) -> PathBuf {
    let script = harness::repository().join("hack/kube-tools.sh");
    let done = Output::of(Command::new(&script).arg(what));
    assert!(done.success, "{}: {}", script.display(), done.error);
    PathBuf::from(done.output.trim_end())
}

/// etcd: of that folder where it has one, else the one that is installed.
pub(crate) fn etcd() -> PathBuf {
    let path = FOLDER.join("etcd");
    if path.exists() { path } else { "etcd".into() }
}
