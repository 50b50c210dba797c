//! Accounts, what they may do, and their tokens.

use cluster::ApiServer;
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{
    Api, Client, Config,
    api::PostParams,
    config::{AuthInfo, KubeConfigOptions, Kubeconfig},
};

/// Makes a `ServiceAccount` that may do so much in its namespace: `(verbs, resources)`, as kubectl takes them.
pub(crate) fn may(namespace: &str, account: &str, rules: &[(&str, &str)]) {
    let server = ApiServer::shared();
    let at = format!("--namespace={namespace}");
    server.kubectl(&["create", "serviceaccount", account, &at]);
    for (index, (verbs, resources)) in rules.iter().enumerate() {
        let role = format!("{account}-{index}");
        let verbs = format!("--verb={verbs}");
        let resources = format!("--resource={resources}");
        server.kubectl(&["create", "role", &role, &at, &verbs, &resources]);
        let role = format!("--role={role}");
        let binding = format!("{account}-{index}");
        let subject = format!("--serviceaccount={namespace}:{account}");
        server.kubectl(&["create", "rolebinding", &binding, &at, &role, &subject]);
    }
}

/// A token of a `ServiceAccount`: for this audience, or for the API server.
pub(crate) async fn token(client: &Client, namespace: &str, account: &str, audience: Option<&str>) -> String {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: audience.map(str::to_owned).into_iter().collect(),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let made = accounts
        .create_token_request(account, &PostParams::default(), &request)
        .await;
    made.expect("a token can be made")
        .status
        .expect("it is made")
        .token
}

/// A client that is this account and may do what it may.
pub(crate) async fn client_of(namespace: &str, account: &str) -> Client {
    let server = ApiServer::shared();
    let token = token(&server.client().await, namespace, account, None).await;
    let mut kubeconfig = Kubeconfig::read_from(server.kubeconfig()).expect("the file is a kubeconfig");
    for user in &mut kubeconfig.auth_infos {
        user.auth_info = Some(AuthInfo {
            token: Some(token.clone().into()),
            ..AuthInfo::default()
        });
    }
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    Client::try_from(config.expect("the kubeconfig is complete")).expect("a client can be made")
}
