//! What a kubelet puts into a gateway's pod.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use harness::eventually;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::PATIENCE;
use crate::{ApiServer, operator::RELEASE};

/// How often it is looked whether the certificates have changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The volumes of one gateway: its token, the operator's certificates, and the cache, which outlives its process.
#[derive(Debug)]
pub(super) struct Volume {
    folder: TempDir,
    namespace: String,
    pod: String,
    mounting: JoinHandle<()>,
}

impl Volume {
    /// Mounts token and certificates for a pod that is there; the certificates from when the operator has made them, and
    /// again when it changes them.
    pub(super) async fn mount(server: &ApiServer, client: Client, namespace: &str, pod: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let maps: Api<ConfigMap> = Api::namespaced(client, namespace);
        let certificates = eventually("the operator has made its certificates", PATIENCE, || {
            certificates(&maps)
        })
        .await;
        replace(&folder.path().join("ca.crt"), &certificates);
        let volume = Self {
            mounting: tokio::spawn(keep(maps, folder.path().join("ca.crt"), certificates)),
            folder,
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
        };
        volume.renew_token(server);
        volume
    }

    /// Puts a new token in the place of the one that is there.
    pub(super) fn renew_token(&self, server: &ApiServer) {
        let account = format!("{RELEASE}-gateway");
        let token = server.kubectl(&[
            "create",
            "token",
            &account,
            "--namespace",
            &self.namespace,
            "--audience=roundhouse-discovery",
            "--bound-object-kind=Pod",
            "--bound-object-name",
            &self.pod,
        ]);
        let token = token.trim_end();
        replace(&self.folder.path().join("token"), token);
    }

    /// The token that is there.
    pub(super) fn token(&self) -> String {
        fs::read_to_string(self.folder.path().join("token")).expect("the token is there")
    }

    /// The flags that say where all this is.
    pub(super) fn arguments(&self) -> Vec<String> {
        let flag = |flag: &str, name: &str| format!("--{flag}={}", self.folder.path().join(name).display());
        vec![
            flag("discovery-ca-file", "ca.crt"),
            flag("discovery-token-file", "token"),
            flag("cache-dir", "cache"),
        ]
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        self.mounting.abort();
    }
}

async fn keep(maps: Api<ConfigMap>, path: PathBuf, mut mounted: String) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if let Some(found) = certificates(&maps).await
            && found != mounted
        {
            replace(&path, &found);
            mounted = found;
        }
    }
}

async fn certificates(maps: &Api<ConfigMap>) -> Option<String> {
    let map = maps.get(&format!("{RELEASE}-discovery-ca")).await.ok()?;
    map.data?.get("ca.crt").cloned()
}

/// Replaces a file at once.
fn replace(path: &Path, text: &str) {
    let draft = path.with_extension("draft");
    fs::write(&draft, text).expect("the folder is writable");
    fs::rename(&draft, path).expect("the folder is writable");
}
