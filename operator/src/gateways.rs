//! Gateways as this replica sees them: who is connected, what each serves, what it reports.

use std::{sync::Arc, time::Instant};

use proto::Versions;

/// A gateway.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Its name: that of its pod.
    pub node: String,
    /// Whether it has a stream to this replica.
    pub is_connected: bool,
    /// What it acknowledged last on a stream to this replica; empty before the first.
    pub acked: Arc<Versions>,
    /// Why it refused a later version.
    pub refusal: Option<String>,
    /// When it was last heard.
    pub last_seen: Instant,
}
