//! What of Credentials is told in metrics.

use std::sync::Arc;

use prometheus::{Encoder as _, Registry, TextEncoder};
use snapshot::{CredentialName, RestReason};
use tokio::time::Instant;

use super::{super::gauges::Gauges, Board, Rates, Reading, World, at, name};

/// What is scraped, without comments.
fn scraped(registry: &Registry) -> Vec<String> {
    let mut text = Vec::new();
    let encoded = TextEncoder::new().encode(&registry.gather(), &mut text);
    encoded.expect("metrics are text");
    let text = String::from_utf8(text).expect("metrics are text");
    let values = text.lines().filter(|line| !line.starts_with('#'));
    values
        .map(|line| line.replace("roundhouse_credential_", ""))
        .collect()
}

fn show(world: &World, gauges: &Gauges) {
    let wanted = world.wanted(&world.published(), &Board::new(Rates::default(), Instant::now()));
    gauges.show(Some(&wanted));
}

#[test]
fn credentials_are_told_as_they_are_and_no_longer_than_they_are_there() {
    let registry = Registry::new();
    let gauges = Gauges::new(&registry).expect("the registry is new");
    assert_eq!(scraped(&registry), [""; 0]);
    let mut world = World::new();
    let quota = r#""quota": {"windows": [{"name": "day", "duration": "24h", "requests": 8}, {"name": "week", "duration": "168h"}]}, "apiKey""#;
    world.credential(r#""apiKey""#, quota);
    show(&world, &gauges);
    assert_eq!(scraped(&registry), [r#"ready{credential="c",namespace="n"} 1"#]);

    world.measure(&[
        (None, RestReason::RateLimited, at(60)),
        (Some("m"), RestReason::ModelUnavailable, at(60)),
        (Some("o"), RestReason::ModelUnavailable, at(60)),
    ]);
    let Reading::Known(measured) = &mut world.reading else {
        panic!("it was measured");
    };
    let states = &mut Arc::get_mut(measured).expect("nobody else has it").credentials;
    let state = states.get_mut(&CredentialName::from(name("c")));
    let window = |name: &str| pool::WindowState {
        name: name.into(),
        requests: 2,
        tokens: 0,
        resets_at: at(60),
    };
    state.expect("it was measured").windows = vec![window("day"), window("week")];
    show(&world, &gauges);
    let expected = [
        r#"ready{credential="c",namespace="n"} 0"#,
        r#"resting{credential="c",namespace="n",reason="ModelUnavailable"} 1"#,
        r#"resting{credential="c",namespace="n",reason="RateLimited"} 1"#,
        r#"window_used_ratio{credential="c",namespace="n",window="day"} 0.25"#,
    ];
    assert_eq!(scraped(&registry), expected);

    gauges.show(None);
    assert_eq!(scraped(&registry), [""; 0], "by no replica that does not lead");
}
