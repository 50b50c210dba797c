//! The parts of the process, from its start to its end.
//!
//! Nothing here ends by itself: the end of a part that was not asked to end is the end of the process. SIGTERM:
//! unready → parts that have something to finish do → end. A second signal ends at once.

use std::{process::ExitCode, time::Duration};

use telemetry::Health;
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// How long parts may take to finish.
const GRACE: Duration = Duration::from_secs(10);

/// What runs in this process. Dropping it ends all of it.
#[derive(Debug, Default)]
pub struct Parts {
    running: JoinSet<Ended>,
    finishing: JoinSet<Ended>,
    shutdown: CancellationToken,
}

/// How the process came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was asked to end.
    Asked,
    /// A second signal ended it before everything was finished.
    Interrupted,
    /// A part ended by itself.
    Failed,
}

#[derive(Debug)]
struct Ended {
    part: &'static str,
    result: anyhow::Result<()>,
}

impl Parts {
    /// Adds a part that runs until the end of the process.
    pub fn add(
        &mut self,
        part: &'static str,
        run: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        self.running.spawn(async move {
            Ended {
                part,
                result: run.await,
            }
        });
    }

    /// Adds a part that has something to finish: it ends by itself once the token that it is given is cancelled.
    pub fn add_finishing<F>(&mut self, part: &'static str, run: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let run = run(self.shutdown.clone());
        self.finishing.spawn(async move {
            Ended {
                part,
                result: run.await,
            }
        });
    }

    /// Waits until the process is asked to end or a part ends by itself, and ends the others.
    pub async fn run(mut self, mut signals: mpsc::Receiver<()>, health: &Health) -> End {
        let end = tokio::select! {
            Some(()) = signals.recv() => {
                tracing::info!("ending; a second signal ends at once");
                End::Asked
            }
            Some(ended) = self.running.join_next() => failed(ended),
            Some(ended) = self.finishing.join_next() => failed(ended),
        };
        health.draining();
        self.shutdown.cancel();
        tokio::select! {
            Some(()) = signals.recv() => {
                tracing::warn!("interrupted by a second signal");
                End::Interrupted
            }
            () = self.finish() => end,
        }
    }

    async fn finish(&mut self) {
        let all = async {
            while let Some(ended) = self.finishing.join_next().await {
                if let Ok(Ended {
                    part,
                    result: Err(error),
                }) = ended
                {
                    tracing::warn!(part, error = format!("{error:#}"), "a part did not finish");
                }
            }
        };
        if timeout(GRACE, all).await.is_err() {
            tracing::warn!("some parts did not finish in time");
        }
    }
}

impl From<End> for ExitCode {
    fn from(end: End) -> Self {
        match end {
            End::Asked => Self::SUCCESS,
            End::Interrupted | End::Failed => Self::FAILURE,
        }
    }
}

fn failed(ended: Result<Ended, JoinError>) -> End {
    match ended {
        Ok(Ended { part, result: Ok(()) }) => tracing::error!(part, "a part ended by itself"),
        Ok(Ended {
            part,
            result: Err(error),
        }) => {
            tracing::error!(part, error = format!("{error:#}"), "a part failed");
        }
        // Where it was is in the log already.
        Err(_) => tracing::error!("a part panicked"),
    }
    End::Failed
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_part_that_ends_ends_the_process_and_the_others_finish() {
        let mut parts = Parts::default();
        let (told, mut finished) = mpsc::channel(1);
        parts.add("for ever", pending());
        parts.add("short", async {
            sleep(Duration::from_secs(1)).await;
            Ok(())
        });
        parts.add_finishing("lease", move |shutdown| async move {
            shutdown.cancelled().await;
            told.send(()).await?;
            Ok(())
        });
        let health = Health::new();
        health.ready();
        let (_signals, receiver) = mpsc::channel(1);
        assert_eq!(parts.run(receiver, &health).await, End::Failed);
        assert_eq!(finished.recv().await, Some(()));
        assert!(!health.state().ready);
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_ends_it_well_and_a_second_one_at_once() {
        for (signals, expected) in [(1, End::Asked), (2, End::Interrupted)] {
            let mut parts = Parts::default();
            // One that never finishes is not waited for either.
            parts.add_finishing("stuck", |_| pending());
            let (sender, receiver) = mpsc::channel(2);
            for _ in 0..signals {
                sender.send(()).await.unwrap();
            }
            assert_eq!(parts.run(receiver, &Health::new()).await, expected);
        }
    }

    #[tokio::test]
    async fn a_panic_ends_the_process() {
        let mut parts = Parts::default();
        parts.add("panicking", async { panic!("a bug") });
        let (_signals, receiver) = mpsc::channel(1);
        assert_eq!(parts.run(receiver, &Health::new()).await, End::Failed);
    }
}
