//! How far objects have come.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use resources::Kind;

use super::{super::fleet::REMEMBERED, World, brief, gateway};

fn programmed(world: &World) -> (String, String) {
    let status = world.of_credential();
    let condition = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == "Programmed")
        .expect("it is always told");
    let summary = status.distribution.expect("it is always told").summary;
    (format!("{}/{}", condition.status, condition.reason), summary)
}

#[test]
fn programmed_means_that_every_gateway_has_this_version() {
    let mut world = World::new();
    let expect = |world: &World, condition: &str, summary: &str, why: &str| {
        assert_eq!(
            programmed(world),
            (condition.to_owned(), summary.to_owned()),
            "{why}"
        );
    };
    expect(&world, "Unknown/NoGateways", "0/0", "nobody is there");
    world.gateways(2, 1);
    expect(&world, "False/Distributing", "2/3", "one has not answered yet");
    world.gateways(3, 0);
    expect(&world, "True/Delivered", "3/3", "all have it");

    world.secret("sk-second", "11");
    expect(&world, "False/Distributing", "0/3", "all have the key before");
    assert_eq!(
        world
            .of_credential()
            .observed_secret
            .and_then(|secret| secret.resource_version)
            .as_deref(),
        Some("11"),
        "and it says about which Secret it speaks"
    );
    let before = world.gateways.clone();
    world.gateways(3, 0);
    let rotated = world.gateways.clone();
    world.gateways = [&rotated[..2], &before[..1]].concat();
    expect(&world, "False/Distributing", "2/3", "one is behind");
    world.gateways[2].refusal = Some("Credential n/c: field 99 is not known".to_owned());
    expect(&world, "False/Refused", "2/3", "and says why");
    assert!(
        brief(&world.status(Kind::Credential, "c")).contains("Reconciling=True/Refused"),
        "it is not done"
    );
    world.gateways = rotated;
    expect(&world, "True/Delivered", "3/3", "all have the new key");

    world.credential(r#""apiKey""#, r#""weight": 5, "apiKey""#);
    expect(
        &world,
        "False/Distributing",
        "0/3",
        "the object changed, and the key did not",
    );
    world.gateways(3, 0);
    world.credential(r#""key": "k""#, r#""key": "gone""#);
    expect(
        &world,
        "False/NotServed",
        "0/3",
        "it must not be served, and all still do",
    );
    world.gateways(2, 1);
    expect(&world, "False/NotServed", "3/3", "none does");
}

#[test]
fn a_gateway_that_is_gone_counts_for_ten_minutes() {
    let mut world = World::new();
    world.gateways(2, 0);
    world.gateways[1].is_connected = false;
    assert_eq!(programmed(&world).1, "2/2");
    let long_ago = Instant::now().checked_sub(REMEMBERED + Duration::from_secs(1));
    // A machine that was started a moment ago has no such time.
    if let Some(long_ago) = long_ago {
        world.gateways[1].last_seen = long_ago;
        assert_eq!(programmed(&world).1, "1/1");
    }
}

#[test]
fn the_secret_of_a_header_is_part_of_its_provider() {
    let mut world = World::new();
    let provider = super::PROVIDER.replace(
        r#""models""#,
        r#""headers": [{"name": "X-Team", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}], "models""#,
    );
    let provider = resources::Object::Provider(super::read(&provider));
    world.objects.insert(super::name("p"), provider);
    world.gateways(1, 0);
    let former = Arc::clone(&world.gateways[0].acked);
    let at = |world: &World| brief(&world.status(Kind::Provider, "p"));
    assert_eq!(at(&world), "Programmed=True/Delivered Ready=True/Usable");
    world.secret("another-value", "11");
    assert!(
        at(&world).starts_with("Programmed=False/Distributing"),
        "{}",
        at(&world)
    );
    world.gateways(1, 0);
    assert_eq!(at(&world), "Programmed=True/Delivered Ready=True/Usable");
    world.gateways.push(gateway(1, former));
    assert!(
        at(&world).starts_with("Programmed=False/Distributing"),
        "{}",
        at(&world)
    );
}
