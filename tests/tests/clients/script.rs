//! Runs a suite that is written in another language.

use std::{path::PathBuf, process::Stdio, time::Duration};

use harness::{CLIENT_KEY, repository, tool_cache};
use tokio::{process::Command, time::timeout};

/// Who interprets a script.
#[derive(Clone, Copy)]
pub(crate) enum Language {
    Python,
    Node,
}

/// Where the tools of the Node.js lock file are.
pub(crate) fn node_tools() -> PathBuf {
    tool_cache("node", "node/package-lock.json")
}

/// Runs a script against `base_url` and fails with its output when a check of it fails.
pub(crate) async fn run(language: Language, script: &str, base_url: &str, key: &str, checks: &[&str]) {
    let folder = repository().join("tests/clients");
    let (program, script) = match language {
        Language::Python => (
            tool_cache("python", "python/requirements.txt").join("bin/python"),
            folder.join("python").join(script),
        ),
        Language::Node => (PathBuf::from("node"), folder.join("node").join(script)),
    };
    let mut command = Command::new(program);
    command
        .arg(&script)
        .args(checks)
        .env("ROUNDHOUSE_BASE_URL", base_url)
        .env("ROUNDHOUSE_KEY", key)
        .env("ROUNDHOUSE_NODE", node_tools())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env_remove("OPENAI_API_KEY")
        .env_remove("OPENAI_BASE_URL")
        .env_remove("ANTHROPIC_API_KEY")
        .env_remove("ANTHROPIC_BASE_URL")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let done = timeout(Duration::from_secs(180), command.output())
        .await
        .expect("the suite ends within three minutes")
        .expect("the interpreter starts");
    assert!(
        done.status.success(),
        "{}:\n{}{}",
        script.display(),
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
}

/// Runs a script against a gateway.
pub(crate) async fn run_through(gateway: &harness::Gateway, language: Language, script: &str) {
    let url = format!("http://{}", gateway.address());
    run(language, script, &url, CLIENT_KEY, &[]).await;
}
