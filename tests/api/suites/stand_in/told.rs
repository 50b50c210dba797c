//! What this thread logs.

use std::{cell::RefCell, io, sync::Once};

use tracing::Level;

thread_local! {
    static LINES: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Everything that this thread logs from its making on, at the level `trace`.
///
/// One subscriber serves all threads: with one for each, what a thread without any logs first is never told to others.
pub(crate) struct Told(());

impl Told {
    pub(crate) fn listen() -> Self {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(|| {
            tracing_subscriber::fmt()
                .with_max_level(Level::TRACE)
                .with_ansi(false)
                .with_writer(|| Lines)
                .init();
        });
        LINES.set(Some(Vec::new()));
        Self(())
    }

    /// What was logged.
    #[expect(clippy::unused_self, reason = "only who listens can tell")]
    pub(crate) fn text(&self) -> String {
        LINES.with_borrow(|lines| String::from_utf8_lossy(lines.as_deref().unwrap_or_default()).into_owned())
    }

    /// How often something was logged.
    pub(crate) fn times(&self, text: &str) -> usize {
        self.text().matches(text).count()
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        LINES.set(None);
    }
}

struct Lines;

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.iter_mut().for_each(|lines| lines.extend_from_slice(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
