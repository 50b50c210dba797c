//! Where the programs are that `hack/kube-tools.sh` built, or that `KUBEBUILDER_ASSETS` names.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    sync::LazyLock,
};

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let script = harness::repository().join("hack/kube-tools.sh");
    let done = Command::new(&script)
        .arg("where")
        .stdin(Stdio::null())
        .output()
        .expect("the script starts");
    assert!(
        done.status.success(),
        "{}: {}",
        script.display(),
        String::from_utf8_lossy(&done.stderr)
    );
    PathBuf::from(String::from_utf8_lossy(&done.stdout).trim_end())
});

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

/// etcd: of that folder where it has one, else the one that is installed.
pub(crate) fn etcd() -> PathBuf {
    let path = FOLDER.join("etcd");
    if path.exists() { path } else { "etcd".into() }
}
