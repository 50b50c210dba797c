//! The key of the installation is one, whatever becomes of its Secret.

use std::time::Duration;

use cluster::{ApiServer, Chart};
use k8s_openapi::{ByteString, api::core::v1::Secret as KubeSecret};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use operator::{digest_key::Keeper, watch::Contact};
use serde_json::json;
use snapshot::Secret;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::stand_in::until;

const NAMESPACE: &str = "digest-key";
const NAME: &str = "roundhouse-digest-key";

#[tokio::test]
async fn a_key_that_is_gone_is_put_back_and_one_that_was_replaced_is_used() {
    let server = ApiServer::shared();
    server.namespace(NAMESPACE);
    Chart::new("roundhouse", NAMESPACE).install_accounts(server);
    let client = server.client_of(NAMESPACE, "roundhouse-operator").await;
    let secrets: Api<KubeSecret> = Api::namespaced(server.client().await, NAMESPACE);
    let contact = Contact::default();
    let (elects, leads) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let mut replicas = Vec::new();
    for _ in 0..2 {
        let keeper = Keeper::new(client.clone(), NAMESPACE, "roundhouse", &contact);
        let (keys, key) = watch::channel(keeper.obtain().await.expect("a key"));
        let leads = leads.clone();
        tasks.spawn(async move { keeper.keep(keys, leads, Duration::from_millis(100)).await });
        replicas.push(key);
    }
    let own = replicas[0].borrow().clone();
    assert_eq!(own, *replicas[1].borrow(), "the second one finds it");

    secrets
        .delete(NAME, &DeleteParams::default())
        .await
        .expect("it is there");
    sleep(Duration::from_millis(500)).await;
    let found = secrets.get_opt(NAME).await.expect("it can be asked for");
    assert!(found.is_none(), "nobody leads");
    elects.send_replace(true);
    let back = until("it is put back", async || {
        secrets.get_opt(NAME).await.expect("it can be asked for")
    })
    .await;
    assert_eq!(
        back.data.expect("data")["digest-key"],
        ByteString(own.expose().to_vec())
    );

    let other = "0123456789abcdef0123456789abcdef";
    for (value, used) in [("short", own), (other, Secret::new(other))] {
        let patch = Patch::Merge(json!({"stringData": {"digest-key": value}}));
        let patched = secrets.patch(NAME, &PatchParams::default(), &patch).await;
        patched.expect("it can be changed");
        sleep(Duration::from_millis(500)).await;
        for key in &mut replicas {
            let is_used = timeout(Duration::from_secs(60), key.wait_for(|key| *key == used)).await;
            assert!(is_used.is_ok(), "of {value}");
        }
    }
}
