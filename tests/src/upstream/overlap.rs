//! How many requests there were at the same time.

use std::collections::BTreeMap;

use super::Seen;

/// The most requests of each credential at one moment, without those whose caller left.
///
/// A request begins when its head is there and is over just before its last bytes go out: who has read them may begin
/// the next one at once.
pub(super) fn most_at_once(seen: &[Seen]) -> BTreeMap<String, usize> {
    let mut events: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for seen in seen.iter().filter(|seen| !seen.gone) {
        let events = events.entry(seen.credential()).or_default();
        events.push((seen.at, true));
        events.extend(seen.finished.map(|finished| (finished, false)));
    }
    events
        .into_iter()
        .map(|(credential, mut events)| {
            // At the same moment an end comes before a beginning.
            events.sort_unstable();
            let (mut open, mut most) = (0_usize, 0);
            for (_, begins) in events {
                open = if begins { open + 1 } else { open.saturating_sub(1) };
                most = most.max(open);
            }
            (credential.to_owned(), most)
        })
        .collect()
}
