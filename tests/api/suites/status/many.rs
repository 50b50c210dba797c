//! Many objects, and replicas that both write.

use std::{collections::BTreeMap, fmt::Write as _, sync::Mutex, time::Duration};

use kube::{Api, api::ListParams};
use resources::kinds::Credential;
use tokio::time::{Instant, sleep};

use super::world::{PATIENCE, World};

const COUNT: usize = 1000;

async fn all_are(world: &World, condition: &str) -> bool {
    let api: Api<Credential> = Api::namespaced(world.client.clone(), world.namespace);
    let list = api
        .list(&ListParams::default())
        .await
        .expect("it works as always");
    let is_so = |credential: &Credential| {
        let conditions = credential.status.iter().flat_map(|status| &status.conditions);
        conditions
            .into_iter()
            .any(|it| it.type_ == condition && it.status == "True")
    };
    list.items.len() == COUNT && list.items.iter().all(is_so)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_credentials_are_told_in_few_writes_and_then_none() {
    let mut world = World::new("status-many", 3).await;
    let mut objects = String::from(
        r#"
{apiVersion: v1, kind: Secret, metadata: {name: keys}, stringData: {first: sk-first-0123456789}}
---
{apiVersion: roundhouse.dev/v1alpha1, kind: Provider, metadata: {name: openai}, spec: {dialect: OpenAI, url: "https://api.example.com/v1"}}
"#,
    );
    for at in 0..COUNT {
        let _ = write!(
            objects,
            "---\n{{apiVersion: roundhouse.dev/v1alpha1, kind: Credential, metadata: {{name: c{at}}}, \
             spec: {{providerRef: {{name: openai}}, apiKey: {{secretRef: {{name: keys, key: first}}}}}}}}\n"
        );
    }
    world.replica(None);
    let counts = world.count().await;
    world.apply(&objects);
    let applied = Instant::now();
    while !all_are(&world, "Ready").await || !all_are(&world, "Programmed").await {
        assert!(applied.elapsed() < PATIENCE, "all are ready in time");
        sleep(Duration::from_millis(500)).await;
    }
    println!("all are ready after {:?}", applied.elapsed());
    // Numbers of gateways follow.
    sleep(Duration::from_secs(5)).await;
    let (per_object, total) = most(&counts);
    println!("{total} writes, at most {per_object} of an object");
    assert!(per_object <= 3, "{per_object} writes of one object");

    sleep(Duration::from_secs(10)).await;
    assert_eq!(most(&counts).1, total, "nothing happens, and nothing is written");
    // Another believes that it leads too, and finds all as it should be.
    world.replica(None);
    sleep(Duration::from_secs(8)).await;
    assert_eq!(most(&counts).1, total, "another leads, and nothing is written");

    // Both write what a change asks for, and agree on it.
    let version = world.rotate();
    let changed = Instant::now();
    while !all_observe(&world, &version).await || !all_are(&world, "Programmed").await {
        assert!(changed.elapsed() < PATIENCE, "all are told in time");
        sleep(Duration::from_millis(500)).await;
    }
    sleep(Duration::from_secs(5)).await;
    let (_, settled) = most(&counts);
    println!("{} more writes by two replicas", settled - total);
    assert!(settled - total <= 4 * COUNT, "{} writes", settled - total);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(most(&counts).1, settled, "they do not fight");
}

/// The most writes of one object, and of all.
fn most(counts: &Mutex<BTreeMap<String, usize>>) -> (usize, usize) {
    let counts = counts.lock().expect("nobody panicked");
    (counts.values().copied().max().unwrap_or(0), counts.values().sum())
}

async fn all_observe(world: &World, version: &str) -> bool {
    let api: Api<Credential> = Api::namespaced(world.client.clone(), world.namespace);
    let list = api
        .list(&ListParams::default())
        .await
        .expect("the server answers");
    let observed = |credential: &Credential| {
        let secret = credential.status.as_ref()?.observed_secret.as_ref()?;
        secret.resource_version.clone()
    };
    list.items
        .iter()
        .all(|credential| observed(credential).as_deref() == Some(version))
}
