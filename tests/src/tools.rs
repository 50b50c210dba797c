//! Waiting, and finding things on disk.

use std::{
    env, fs,
    future::Future,
    path::{Path, PathBuf},
    process::Child,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest, Sha256};

/// Asks again and again until `question` has an answer; fails after `within`, saying what was awaited.
pub async fn eventually<T, F>(what: &str, within: Duration, mut question: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let started = Instant::now();
    loop {
        if let Some(answer) = question().await {
            return answer;
        }
        assert!(started.elapsed() < within, "{what}: not within {within:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this package lies in the repository")
        .to_owned()
}

/// The folder in which `tests/clients/setup.sh` put the tools of `name` (`python` or `node`): a cache outside the
/// clone, keyed by the lock file, so that another version of the lock file is another folder.
pub fn tool_cache(name: &str, lock_file: &str) -> PathBuf {
    let lock = repository().join("tests/clients").join(lock_file);
    let bytes = fs::read(&lock).unwrap_or_else(|error| panic_with(&format!("{}: {error}", lock.display())));
    let digest = Sha256::digest(&bytes);
    let digest: Vec<String> = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let digest = digest.concat();
    let cache = env::var_os("ROUNDHOUSE_CACHE").map_or_else(
        || {
            PathBuf::from(env::var_os("HOME").expect("HOME or ROUNDHOUSE_CACHE is set"))
                .join(".cache/roundhouse")
        },
        PathBuf::from,
    );
    let folder = cache.join(format!("{name}-{digest}"));
    assert!(
        folder.join(".complete").exists(),
        "{} is missing: run tests/clients/setup.sh first",
        folder.display()
    );
    folder
}

/// Stops a test with a message.
#[expect(clippy::panic, reason = "a harness reports by panicking")]
pub(crate) fn panic_with(message: &str) -> ! {
    panic!("{message}")
}

/// Signals a process that has not been waited for.
pub(crate) fn signal(process: &Child, signal: Signal) {
    let id = i32::try_from(process.id()).expect("a process id fits");
    let id = Pid::from_raw(id).expect("a process id is not zero");
    kill_process(id, signal).expect("the process is there to be signalled");
}

/// When the test failed, prints how the log of `what` ends.
pub(crate) fn print_log(what: &str, log: &str) {
    if thread::panicking() {
        let tail: Vec<&str> = log.lines().rev().take(60).collect();
        let text: Vec<&str> = tail.into_iter().rev().collect();
        #[expect(clippy::print_stderr, reason = "this is what explains a failed test")]
        {
            eprintln!("--- the log of {what} ends with ---\n{}\n---", text.join("\n"));
        }
    }
}
