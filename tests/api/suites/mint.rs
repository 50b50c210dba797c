//! Client keys that are minted, with the Secrets of a real API server.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use k8s_openapi::api::core::v1::Secret as KubeSecret;
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use operator::mint::{Decision, run, settle};
use pool::{Clock, ManualClock, SystemClock};
use resources::{ConditionType, Reason, kinds::ClientKey};
use serde_json::json;
use snapshot::{AcceptedKey, Timestamp};
use tokio::sync::watch;

use crate::stand_in::{Told, World, until};

const HOUR: Duration = Duration::from_secs(3600);

/// 2026-01-01, and as long as the test says.
fn clock() -> ManualClock {
    ManualClock::new(Timestamp::from_micros(1_767_225_600_000_000))
}

/// The keys that gateways accept, and why not where they accept none.
async fn accepted(world: &World) -> Result<Vec<AcceptedKey>, Reason> {
    let published = world.publish().await;
    if let Some(client) = published.contents.snapshot().clients.values().next() {
        return Ok(client.keys.clone());
    }
    let conditions = &published.conditions[0];
    let bad = conditions.conditions.iter().find(|condition| !condition.status);
    Err(bad.expect("something is wrong with it").reason)
}

#[tokio::test]
async fn the_leader_mints_what_is_missing_and_what_was_deleted() {
    let world = World::new("mint-missing").await;
    let told = Told::listen();
    let (leads, leading) = watch::channel(false);
    let minting = run(
        world.client.clone(),
        world.publications(),
        leading,
        Arc::new(SystemClock::default()),
    );
    let story = async {
        let object: ClientKey = world.make("tool", &json!({"target": {"name": "tool-key"}})).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(world.value("tool-key", "api-key").await, None, "nobody leads");
        leads.send_replace(true);
        let first = until("a key is minted", async || {
            world.value("tool-key", "api-key").await
        })
        .await;
        assert!(
            first.starts_with("rh-") && first.len() == 46,
            "{} characters",
            first.len()
        );
        let secret = world.api::<KubeSecret>().get_metadata("tool-key").await.unwrap();
        assert_eq!(secret.owner_references()[0].uid, object.uid().unwrap());
        assert_eq!(secret.annotations()["roundhouse.dev/client-key"], "tool");
        assert!(secret.annotations().contains_key("roundhouse.dev/issued-at"));
        assert_eq!(accepted(&world).await.map(|keys| keys.len()), Ok(1));

        world
            .api::<KubeSecret>()
            .delete("tool-key", &DeleteParams::default())
            .await
            .unwrap();
        let second = until("another is minted", async || {
            world.value("tool-key", "api-key").await
        })
        .await;
        assert_ne!(second, first, "what was deleted does not come back");
        (first, second)
    };
    let (first, second) = tokio::select! {
        () = minting => panic!("minting ended"),
        _ = world.follow() => unreachable!(),
        keys = story => keys,
    };
    let told = told.text();
    assert!(told.contains("a client key was minted"), "{told}");
    for key in [first, second] {
        assert!(!told.contains(&key), "a key was logged");
        assert!(!told.contains(&key[3..20]), "a part of a key was logged");
    }
}

#[tokio::test]
async fn a_secret_of_somebody_else_is_never_written() {
    let world = World::new("mint-exists").await;
    world
        .secret("theirs", "api-key", "sk-of-an-upstream-that-is-long-enough")
        .await;
    world
        .make::<ClientKey>("tool", &json!({"target": {"name": "theirs"}}))
        .await;
    let before = world.api::<KubeSecret>().get_metadata("theirs").await.unwrap();
    let settled = settle(&world.client, &world.name("tool"), &clock()).await;
    assert_eq!(settled.unwrap(), Decision::Refuse);
    let after = world.api::<KubeSecret>().get_metadata("theirs").await.unwrap();
    assert_eq!(after.resource_version(), before.resource_version());
    assert_eq!(
        accepted(&world).await,
        Err(Reason::SecretExists),
        "nor is its value a client key"
    );
    let published = world.publish().await;
    let wrong = published.conditions[0]
        .get(ConditionType::Accepted)
        .expect("it is told");
    assert!(
        !wrong.status && wrong.message.contains("theirs"),
        "{}",
        wrong.message
    );
}

#[tokio::test]
async fn a_key_is_replaced_and_the_one_before_ends_in_time() {
    let world = World::new("mint-rotates").await;
    let spec = json!({"target": {"name": "s"}, "rotation": {"every": "24h", "overlap": "2h"}});
    world.make::<ClientKey>("tool", &spec).await;
    let (clock, name) = (clock(), world.name("tool"));
    let issued = clock.now();
    let wait = |after: Duration| Decision::Wait {
        until: Some(issued + after),
    };
    assert_eq!(
        settle(&world.client, &name, &clock).await.unwrap(),
        wait(24 * HOUR)
    );
    let first = world.value("s", "api-key").await.expect("it is minted");

    clock.step(24 * HOUR);
    assert_eq!(
        settle(&world.client, &name, &clock).await.unwrap(),
        wait(26 * HOUR)
    );
    let second = world.value("s", "api-key").await.expect("another is minted");
    assert_ne!(second, first);
    assert_eq!(world.value("s", "api-key-previous").await.as_ref(), Some(&first));
    let ends: Vec<_> = accepted(&world)
        .await
        .unwrap()
        .iter()
        .map(|key| key.valid_until)
        .collect();
    assert_eq!(ends, [None, Some(issued + 26 * HOUR)], "gateways know the end");

    clock.step(2 * HOUR);
    assert_eq!(
        settle(&world.client, &name, &clock).await.unwrap(),
        wait(48 * HOUR)
    );
    assert_eq!(world.value("s", "api-key-previous").await, None);
    assert_eq!(world.value("s", "api-key").await, Some(second));
    let secret = world.api::<KubeSecret>().get_metadata("s").await.unwrap();
    assert!(
        !secret
            .annotations()
            .contains_key("roundhouse.dev/previous-valid-until")
    );
}

#[tokio::test]
async fn of_many_that_believe_they_lead_one_mints() {
    let world = World::new("mint-race").await;
    let spec = json!({"target": {"name": "s"}, "rotation": {"every": "24h", "overlap": "2h"}});
    world.make::<ClientKey>("tool", &spec).await;
    let (clock, name) = (clock(), world.name("tool"));
    let told = Told::listen();
    let all = || join_all((0..8).map(|_| settle(&world.client, &name, &clock)));
    for settled in all().await {
        settled.expect("whoever loses sees what the other made");
    }
    let first = world.value("s", "api-key").await.expect("it is minted");
    clock.step(24 * HOUR);
    for settled in all().await {
        settled.expect("whoever loses sees what the other wrote");
    }
    let second = world.value("s", "api-key").await.expect("another is minted");
    assert_ne!(second, first);
    // Had two of them written, whoever read the key in between would have one that nobody knows.
    assert_eq!(told.times("a client key was minted"), 1);
    assert_eq!(told.times("a client key was replaced by a new one"), 1);
    assert_eq!(world.value("s", "api-key-previous").await, Some(first));
    for settled in all().await {
        settled.expect("nothing is to be done");
    }
    assert_eq!(world.value("s", "api-key").await, Some(second));
}

#[tokio::test]
async fn deleting_a_client_key_ends_its_key_unless_it_shall_stay() {
    let world = World::new("mint-again").await;
    // Nobody collects garbage here, so the Secret of what was deleted is always there.
    let clock = clock();
    let again = async |name: &str, spec: &serde_json::Value| {
        world.make::<ClientKey>(name, spec).await;
        settle(&world.client, &world.name(name), &clock)
            .await
            .expect("it is minted");
        let first = world.value(name, "api-key").await.expect("it is minted");
        let api = world.api::<ClientKey>();
        api.delete(name, &DeleteParams::default()).await.unwrap();
        settle(&world.client, &world.name(name), &clock)
            .await
            .expect("nothing is to be done");
        world.make::<ClientKey>(name, spec).await;
        let served = accepted(&world).await;
        settle(&world.client, &world.name(name), &clock)
            .await
            .expect("it is settled");
        let second = world.value(name, "api-key").await.expect("there is one");
        api.delete(name, &DeleteParams::default()).await.unwrap();
        (served.map(|keys| keys.len()), first == second)
    };
    let owned = json!({"target": {"name": "owned"}});
    assert_eq!(again("owned", &owned).await, (Err(Reason::SecretMissing), false));
    let orphan = json!({"target": {"name": "orphan", "creationPolicy": "Orphan"}});
    assert_eq!(again("orphan", &orphan).await, (Ok(1), true));
}

#[tokio::test]
async fn what_becomes_of_a_secret_can_be_changed() {
    let world = World::new("mint-policy").await;
    world
        .make::<ClientKey>("tool", &json!({"target": {"name": "s"}}))
        .await;
    let (clock, name) = (clock(), world.name("tool"));
    settle(&world.client, &name, &clock).await.unwrap();
    let key = world.value("s", "api-key").await;
    for (policy, owners) in [("Orphan", 0), ("Owner", 1)] {
        let patch = Patch::Merge(json!({"spec": {"target": {"creationPolicy": policy}}}));
        let api = world.api::<ClientKey>();
        api.patch("tool", &PatchParams::default(), &patch).await.unwrap();
        settle(&world.client, &name, &clock).await.unwrap();
        let secret = world.api::<KubeSecret>().get_metadata("s").await.unwrap();
        assert_eq!(secret.owner_references().len(), owners, "{policy}");
    }
    assert_eq!(world.value("s", "api-key").await, key);
}
