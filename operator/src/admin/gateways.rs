//! The gateways of the installation.

use proto::admin::v1;
use snapshot::Timestamp;

use super::state::moment;
use crate::{gateways::Gateway, published::Published};

/// The gateways as this replica sees them, sorted by name.
pub(super) fn list(
    published: &Published,
    mut gateways: Vec<Gateway>,
    now: Timestamp,
) -> v1::ListGatewaysResponse {
    gateways.sort_by(|a, b| a.node.cmp(&b.node));
    let version = published.contents.versions().snapshot.to_string();
    let told = |gateway: Gateway| {
        let serves = gateway.acked.snapshot.to_string();
        let silence = u64::try_from(gateway.last_seen.elapsed().as_micros()).unwrap_or(u64::MAX);
        v1::Gateway {
            node: gateway.node,
            connected: gateway.is_connected,
            current: serves == version,
            version: serves,
            refusal: gateway.refusal.unwrap_or_default(),
            last_seen: Some(moment(Timestamp::from_micros(
                now.as_micros().saturating_sub(silence),
            ))),
        }
    };
    v1::ListGatewaysResponse {
        gateways: gateways.into_iter().map(told).collect(),
        version,
    }
}
