//! Logs, health, metrics and the admin endpoints, the same for both processes.
//!
//! It must never learn what is measured or served: metrics come with a registry, and each process merges its
//! own routes. Start reading at [`admin`].

pub mod admin;
mod health;
pub mod log;

pub use health::{Health, State};

/// Registers the metrics of the process itself: `process_cpu_seconds_total`, `process_open_fds`,
/// `process_resident_memory_bytes`, `process_start_time_seconds` and their like.
pub fn register_process_metrics(registry: &prometheus::Registry) -> prometheus::Result<()> {
    registry.register(Box::new(
        prometheus::process_collector::ProcessCollector::for_self(),
    ))
}
