//! The signals that ask a process to end.

use std::io;

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

/// One message per SIGTERM or SIGINT. More than two at once say nothing new and are dropped.
pub fn signals() -> io::Result<mpsc::Receiver<()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (sender, receiver) = mpsc::channel(2);
    #[expect(
        clippy::disallowed_methods,
        reason = "it listens for as long as the process lives"
    )]
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => (),
                _ = interrupt.recv() => (),
            }
            let _ = sender.try_send(());
        }
    });
    Ok(receiver)
}
