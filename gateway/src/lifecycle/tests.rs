#![expect(
    clippy::disallowed_methods,
    reason = "what a test starts ends with its runtime"
)]

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use super::*;

const SETTINGS: DrainSettings = DrainSettings {
    min: Duration::from_secs(10),
    max: Duration::from_secs(600),
    grace: Duration::from_secs(5),
};

/// How a run ended, after how long, in which phase, whether it was flushed, and whether health said so.
#[derive(Debug, PartialEq)]
struct Run {
    end: End,
    after: Duration,
    phase: Phase,
    flushed: bool,
    ready: bool,
}

/// Runs with signals at the given seconds; `serving` gets the drain.
async fn run_with<S: Future<Output = ()>>(signals: &[u64], serving: impl FnOnce(Drain) -> S) -> Run {
    let (control, drain) = Drain::new();
    let (sender, receiver) = mpsc::channel(2);
    let moments = signals.to_vec();
    let start = Instant::now();
    tokio::spawn(async move {
        for moment in moments {
            sleep_until(start + Duration::from_secs(moment)).await;
            let _ = sender.send(()).await;
        }
        std::future::pending::<()>().await;
    });
    let health = Health::new();
    health.ready();
    let flushed = Arc::new(AtomicBool::new(false));
    let mark = flushed.clone();
    let serving = serving(drain.clone());
    let end = run(serving, control, SETTINGS, &health, receiver, || async move {
        mark.store(true, Relaxed);
    })
    .await;
    Run {
        end,
        after: start.elapsed(),
        phase: drain.phase(),
        flushed: flushed.load(Relaxed),
        ready: health.state().ready,
    }
}

#[tokio::test(start_paused = true)]
async fn without_calls_the_process_ends_after_the_least_drain() {
    let run = run_with(&[1], |drain| drain.reached(Phase::Closing)).await;
    let expected = Run {
        end: End::Drained,
        after: Duration::from_secs(11),
        phase: Phase::Closing,
        flushed: true,
        ready: false,
    };
    assert_eq!(run, expected);
}

#[tokio::test(start_paused = true)]
async fn streams_are_asked_to_end_at_the_longest_drain() {
    let run = run_with(&[1], |drain| drain.reached(Phase::Ending)).await;
    assert_eq!(
        (run.end, run.phase, run.after),
        (End::Drained, Phase::Ending, Duration::from_secs(601))
    );
}

#[tokio::test(start_paused = true)]
async fn what_does_not_end_is_cut_after_its_grace_and_the_rest_flushed() {
    let run = run_with(&[1], |_| std::future::pending()).await;
    assert_eq!(
        (run.end, run.flushed, run.after),
        (End::Cut, true, Duration::from_secs(606))
    );
}

#[tokio::test(start_paused = true)]
async fn a_second_signal_ends_at_once() {
    for second in [2, 30, 603] {
        let run = run_with(&[1, second], |_| std::future::pending()).await;
        assert_eq!(
            (run.end, run.flushed, run.after),
            (End::Interrupted, false, Duration::from_secs(second))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_by_itself_is_a_failure() {
    let run = run_with(&[], |_| sleep(Duration::from_secs(3))).await;
    assert_eq!((run.end, run.flushed), (End::Failed, true));
    let run = run_with(&[1], |_| sleep(Duration::from_secs(3))).await;
    assert_eq!(
        (run.end, run.flushed),
        (End::Failed, true),
        "also while everything should still be served"
    );
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_hangs_is_given_up() {
    let (control, _drain) = Drain::new();
    let (_sender, receiver) = mpsc::channel(1);
    let start = Instant::now();
    let end = run(
        async {},
        control,
        SETTINGS,
        &Health::new(),
        receiver,
        std::future::pending,
    )
    .await;
    assert_eq!((end, start.elapsed()), (End::Failed, SETTINGS.grace));
}

#[tokio::test]
async fn phases_only_move_forward() {
    let (control, mut drain) = Drain::new();
    assert_eq!(drain.phase(), Phase::Serving);
    control.enter(Phase::Closing);
    assert_eq!(drain.changed().await, Phase::Closing);
    control.enter(Phase::Draining);
    assert_eq!(drain.phase(), Phase::Closing);
    drain.clone().reached(Phase::Draining).await;
}
