//! Who was refused and why, told once in a while: whoever tries again and again does not fill the log.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prometheus::{IntCounterVec, Opts, Registry};
use tokio::time::Instant;

/// How long a refusal is not told again.
const QUIET: Duration = Duration::from_secs(60);

/// Refusals that are remembered at most. Beyond it further ones are counted and not told.
const REMEMBERED_MAX: usize = 1_024;

/// Tells each refusal of a peer once a minute. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Refusals {
    told: Arc<Mutex<HashMap<(IpAddr, &'static str), Instant>>>,
    /// Connections and calls that were refused, by reason.
    total: IntCounterVec,
}

impl Refusals {
    /// Fails when its metric is registered already.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let options = Opts::new(
            "roundhouse_operator_refusals_total",
            "Connections and calls that were refused, by reason.",
        );
        let total = IntCounterVec::new(options, &["reason"])?;
        registry.register(Box::new(total.clone()))?;
        Ok(Self {
            told: Arc::default(),
            total,
        })
    }

    /// Counts a refusal, and logs it unless this peer's last one for this reason was logged within a minute. `reason`
    /// is of a closed set; `detail` holds nothing that the peer should not have said, least of all a token.
    pub fn tell(&self, peer: SocketAddr, reason: &'static str, detail: &dyn fmt::Display) {
        self.total.with_label_values(&[reason]).inc();
        if self.is_news(peer.ip().to_canonical(), reason) {
            tracing::warn!(%peer, reason, %detail, "refused");
        }
    }

    fn is_news(&self, peer: IpAddr, reason: &'static str) -> bool {
        let now = Instant::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= REMEMBERED_MAX {
            told.retain(|_, at| now.duration_since(*at) < QUIET);
        }
        let is_full = told.len() >= REMEMBERED_MAX;
        match told.get_mut(&(peer, reason)) {
            Some(at) if now.duration_since(*at) < QUIET => false,
            Some(at) => {
                *at = now;
                true
            }
            None if is_full => false,
            None => {
                told.insert((peer, reason), now);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_told_once_per_peer_and_reason_within_a_minute() {
        let refusals = Refusals::new(&Registry::new()).unwrap();
        let peer: IpAddr = [10, 0, 0, 7].into();
        assert!(refusals.is_news(peer, "token"));
        assert!(!refusals.is_news(peer, "token"));
        assert!(refusals.is_news(peer, "plaintext"));
        assert!(refusals.is_news([10, 0, 0, 8].into(), "token"));
        advance(QUIET).await;
        assert!(refusals.is_news(peer, "token"));

        for last in 0..REMEMBERED_MAX {
            let last = u16::try_from(last).unwrap().to_be_bytes();
            refusals.is_news([10, 1, last[0], last[1]].into(), "token");
        }
        assert!(!refusals.is_news([10, 2, 0, 0].into(), "token"), "too many");
        advance(QUIET).await;
        assert!(refusals.is_news([10, 2, 0, 0].into(), "token"));
    }
}
