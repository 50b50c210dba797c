use std::sync::{Mutex, PoisonError};

use super::*;

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is on the page after the given work was logged.
fn logged(format: Format, filter: &str, work: impl FnOnce()) -> String {
    let page = Page::default();
    let (log, queue) = Log::start(page.clone()).unwrap();
    let subscriber = tracing_subscriber::registry().with(layer(format, &filter.parse().unwrap(), queue));
    tracing::subscriber::with_default(subscriber, work);
    drop(log);
    let page = page.0.lock().unwrap();
    String::from_utf8(page.clone()).unwrap()
}

#[test]
fn lines_are_filtered_and_all_are_written_at_the_end() {
    let page = logged(Format::Text, "warn,quiet=off,loud=debug", || {
        tracing::info!("not this");
        tracing::warn!(target: "quiet", "nor this");
        tracing::debug!(target: "loud", "this");
        tracing::warn!(answer = 42, "and this");
    });
    assert_eq!(page.lines().count(), 2, "{page}");
    assert!(
        page.contains("DEBUG loud: this") && page.contains("and this answer=42"),
        "{page}"
    );
}

#[test]
fn json_lines_have_their_fields_at_the_top() {
    let page = logged(Format::Json, "info", || tracing::info!(answer = 42, "said"));
    let line: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&page).unwrap();
    assert_eq!(line["message"], "said");
    assert_eq!(line["answer"], 42);
    assert_eq!(line["level"], "INFO");
}

#[test]
fn a_filter_that_is_none_is_refused() {
    assert!("info,gateway=debug".parse::<Filter>().is_ok());
    assert!("gateway=loud".parse::<Filter>().is_err());
}
