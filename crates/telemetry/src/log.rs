//! Logs, on standard error, written by a thread of their own.
//!
//! A reader that stalls must not stall the process: lines wait in a bounded queue, and are dropped and counted
//! when it is full.

use std::{
    io::{self, Write},
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tracing_subscriber::{
    Layer,
    filter::Targets,
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// Lines that may wait for a slow reader.
const QUEUE: usize = 8 * 1024;

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// What is logged: a level, or several `target=level` divided by commas (`info,gateway::flow=debug`).
#[derive(Clone, Debug)]
pub struct Filter(Targets);

/// The text is no filter.
#[derive(Debug, thiserror::Error)]
#[error("expected a level or a list of target=level, found {0:?}")]
pub struct InvalidFilter(String);

/// Keeps the log going; writes what is still queued when dropped.
#[derive(Debug)]
pub struct Log {
    lines: SyncSender<Message>,
    thread: Option<JoinHandle<()>>,
}

/// Logging was already set up in this process, or its thread cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Somebody else installed a logger.
    #[error("a logger is already installed")]
    AlreadyInstalled,
    /// The system gave no thread.
    #[error("the log's thread cannot be started")]
    Thread(#[source] io::Error),
}

enum Message {
    Line(Vec<u8>),
    End,
}

impl FromStr for Filter {
    type Err = InvalidFilter;

    fn from_str(text: &str) -> Result<Self, InvalidFilter> {
        Targets::from_str(text)
            .map(Self)
            .map_err(|_| InvalidFilter(text.to_owned()))
    }
}

/// Sends the process's log to standard error until the result is dropped.
pub fn install(format: Format, filter: &Filter) -> Result<Log, LogError> {
    let (log, queue) = Log::start(io::stderr()).map_err(LogError::Thread)?;
    let subscriber = tracing_subscriber::registry().with(layer(format, filter, queue));
    subscriber.try_init().map_err(|_| LogError::AlreadyInstalled)?;
    log_panics();
    Ok(log)
}

fn layer<S>(format: Format, Filter(targets): &Filter, queue: Queue) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let lines = fmt::layer().with_writer(queue).with_ansi(false);
    match format {
        Format::Text => lines.with_filter(targets.clone()).boxed(),
        Format::Json => lines
            .json()
            .flatten_event(true)
            .with_filter(targets.clone())
            .boxed(),
    }
}

/// Says where a panic was. A message made at run time is left out: it may quote what a client sent.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload().downcast_ref::<&'static str>().copied();
        tracing::error!(place, message, "a task panicked");
    }));
}

impl Log {
    fn start(out: impl Write + Send + 'static) -> io::Result<(Self, Queue)> {
        let (lines, waiting) = sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let queue = Queue {
            lines: lines.clone(),
            dropped: Arc::clone(&dropped),
        };
        let thread = std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write(out, &waiting, &dropped))?;
        Ok((
            Self {
                lines,
                thread: Some(thread),
            },
            queue,
        ))
    }
}

impl Drop for Log {
    #[expect(
        clippy::disallowed_methods,
        reason = "the process ends here, and nobody is served any more"
    )]
    fn drop(&mut self) {
        // A reader that has stopped must not keep the process: what is not read by then is lost.
        let until = Instant::now() + FAREWELL;
        let mut told = false;
        while let Some(thread) = &self.thread {
            told = told || !matches!(self.lines.try_send(Message::End), Err(TrySendError::Full(_)));
            if thread.is_finished() || Instant::now() >= until {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// How long the last lines may take to leave.
const FAREWELL: Duration = Duration::from_secs(2);

fn write(mut out: impl Write, waiting: &Receiver<Message>, dropped: &AtomicU64) {
    while let Ok(Message::Line(line)) = waiting.recv() {
        // Nobody is left to be told that the log cannot be written.
        let _ = out.write_all(&line);
        let lost = dropped.swap(0, Relaxed);
        if lost > 0 {
            let _ = writeln!(
                out,
                "{lost} log lines were dropped because nobody read them in time"
            );
        }
    }
    let _ = out.flush();
}

#[derive(Clone)]
struct Queue {
    lines: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = &'a Queue;

    fn make_writer(&'a self) -> &'a Queue {
        self
    }
}

impl Write for &Queue {
    /// One call is one line: the formatter writes whole events.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Err(TrySendError::Full(_)) = self.lines.try_send(Message::Line(line.to_vec())) {
            self.dropped.fetch_add(1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
