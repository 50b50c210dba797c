//! Providers, routes and client keys.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use resources::{Identity, Kind, Object, kinds::LastHandled};
use snapshot::RestReason;

use super::{PROVIDER, Status, World, at, brief, name, read};

const ROUTE: &str = r#"{"metadata": {"name": "r", "namespace": "n", "generation": 1},
    "spec": {"models": ["m"], "targets": [{"providerRef": {"name": "p"}}, {"providerRef": {"name": "q"}}]}}"#;
const CLIENT: &str = r#"{"metadata": {"name": "k", "namespace": "n", "generation": 1},
    "spec": {"secretRef": {"name": "client", "key": "k"}, "expiresAt": "2027-01-15T08:01:00Z"}}"#;

#[test]
fn a_provider_counts_its_credentials() {
    let mut world = World::new();
    let of = |world: &World| match world.status(Kind::Provider, "p") {
        Status::Provider(status) => {
            let summary = status.credentials.clone().expect("it is always told").summary;
            (summary, brief(&Status::Provider(status)))
        }
        other => panic!("{other:?}"),
    };
    let expect = |world: &World, summary: &str, conditions: &str| {
        assert_eq!(of(world), (summary.to_owned(), conditions.to_owned()));
    };
    expect(&world, "1/1", "Ready=True/Usable");
    world.measure(&[(None, RestReason::RateLimited, at(60))]);
    expect(&world, "1/1", "Ready=True/Usable");
    world.measure(&[(None, RestReason::Unauthorized, at(60))]);
    expect(&world, "0/1", "Ready=False/NoReadyCredential");
    let credential = Identity {
        kind: Kind::Credential,
        name: name("c"),
    };
    world.objects.remove(&credential);
    expect(&world, "0/0", "Ready=False/NoCredentials");
    let open = PROVIDER.replace(r#""models""#, r#""auth": {"type": "None"}, "models""#);
    world.objects.insert(name("p"), Object::Provider(read(&open)));
    expect(&world, "0/0", "Ready=True/Usable");
}

#[test]
fn a_route_is_ready_when_a_target_is() {
    let mut world = World::new();
    world.objects.insert(name("r"), Object::ModelRoute(read(ROUTE)));
    let of = |world: &World| match world.status(Kind::ModelRoute, "r") {
        Status::ModelRoute(status) => (status.resolved_targets, brief(&Status::ModelRoute(status))),
        other => panic!("{other:?}"),
    };
    let missing = "Ready=True/Usable ResolvedRefs=False/ProviderNotFound";
    assert_eq!(of(&world), (Some(1), missing.to_owned()), "the other one is used");
    let second = PROVIDER.replace(r#""name": "p""#, r#""name": "q""#);
    world.objects.insert(name("q"), Object::Provider(read(&second)));
    assert_eq!(of(&world), (Some(2), "Ready=True/Usable".to_owned()));
    world.measure(&[(None, RestReason::Unauthorized, at(60))]);
    assert_eq!(of(&world), (Some(2), "Ready=False/NoReadyTarget".to_owned()));
}

#[test]
fn a_client_key_tells_of_its_key_and_its_end() {
    let mut world = World::new();
    world.objects.insert(name("k"), Object::ClientKey(read(CLIENT)));
    let values = [("k".to_owned(), b"a-key-of-24-characters!!".to_vec())];
    let values = resources::SecretValues::from_cluster(values, &ObjectMeta::default());
    world
        .objects
        .insert(name("client"), Object::Secret(values.into()));
    let of = |world: &World| match world.status(Kind::ClientKey, "k") {
        Status::ClientKey(status) => status,
        other => panic!("{other:?}"),
    };
    let conditions = |world: &World| brief(&Status::ClientKey(of(world)));
    let status = of(&world);
    assert_eq!(conditions(&world), "Ready=True/Usable");
    assert_eq!(status.secret_name.as_deref(), Some("client"));
    assert_eq!(status.expires_at.as_deref(), Some("2027-01-15T08:01:00Z"));
    assert_eq!(status.key_prefix, None, "nothing of a key that was brought");

    world.now = at(60);
    assert_eq!(conditions(&world), "Ready=False/Expired");
    let minted = r#"{"metadata": {"name": "k", "namespace": "n", "uid": "1", "generation": 1},
        "spec": {"target": {"name": "client"}, "rotation": {"every": "24h", "overlap": "1h"}}}"#;
    world.objects.insert(name("k"), Object::ClientKey(read(minted)));
    assert_eq!(
        conditions(&world),
        "Accepted=False/SecretExists Ready=False/SecretExists Stalled=True/SecretExists",
        "a Secret that is somebody else's"
    );
    let notes = r#"{"annotations": {"roundhouse.dev/client-key": "k", "roundhouse.dev/issued-at": "2027-01-14T08:01:30Z"},
        "ownerReferences": [{"apiVersion": "roundhouse.dev/v1alpha1", "kind": "ClientKey", "name": "k", "uid": "1"}]}"#;
    let notes: ObjectMeta = serde_json::from_str(notes).expect("metadata");
    let key = format!("rh-{}", "x".repeat(43));
    let values = resources::SecretValues::from_cluster([("api-key".to_owned(), key.into_bytes())], &notes);
    world
        .objects
        .insert(name("client"), Object::Secret(values.into()));
    assert_eq!(conditions(&world), "Ready=True/Usable");
    assert_eq!(of(&world).key_prefix.as_deref(), Some("rh-xxx"));
    assert_eq!(
        of(&world).next_rotation_time.as_deref(),
        Some("2027-01-15T08:01:30Z")
    );
}

#[test]
fn what_a_client_key_asked_for_is_remembered() {
    let mut world = World::new();
    world.objects.insert(name("k"), Object::ClientKey(read(CLIENT)));
    let of = |world: &World| match world.status(Kind::ClientKey, "k") {
        Status::ClientKey(status) => status.last_handled.and_then(|handled| handled.reset_quota),
        other => panic!("{other:?}"),
    };
    assert_eq!(of(&world), None);
    let key = Identity {
        kind: Kind::ClientKey,
        name: name("k"),
    };
    let noon = LastHandled {
        clear_rest: None,
        reset_quota: Some("noon".to_owned()),
    };
    world.handled.insert(key, noon);
    assert_eq!(of(&world).as_deref(), Some("noon"));
    // By another replica, which reads it in the status.
    world.handled.clear();
    let told = CLIENT.replace(
        r#""spec""#,
        r#""status": {"lastHandled": {"resetQuota": "noon"}}, "spec""#,
    );
    world.objects.insert(name("k"), Object::ClientKey(read(&told)));
    assert_eq!(of(&world).as_deref(), Some("noon"));
}
