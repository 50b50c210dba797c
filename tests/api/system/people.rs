//! Who calls operators, and how.

use cluster::{ApiServer, System};
use tonic::{
    Request,
    transport::{Certificate, Channel, ClientTlsConfig},
};

/// Makes a `ServiceAccount` that may do so much, as kubectl takes verbs, with credentials and client keys of its
/// namespace.
pub(crate) fn may(server: &ApiServer, namespace: &str, account: &str, verbs: &str) {
    let at = format!("--namespace={namespace}");
    server.kubectl(&["create", "serviceaccount", account, &at]);
    let verbs = format!("--verb={verbs}");
    let resources = "--resource=credentials.roundhouse.dev,clientkeys.roundhouse.dev";
    server.kubectl(&["create", "role", account, &at, &verbs, resources]);
    let role = format!("--role={account}");
    let subject = format!("--serviceaccount={namespace}:{account}");
    server.kubectl(&["create", "rolebinding", account, &at, &role, &subject]);
}

/// A way to the first operator of a system, whose certificate is checked as gateways check it.
pub(crate) async fn channel(system: &System) -> Channel {
    let authority = system.kubectl(&[
        "get",
        "configmap",
        "roundhouse-discovery-ca",
        r"--output=jsonpath={.data.ca\.crt}",
    ]);
    let name = format!("roundhouse-operator-discovery.{}.svc", system.namespace());
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(authority))
        .domain_name(name);
    Channel::from_shared(format!("https://{}", system.operator(0).grpc()))
        .expect("the address is one")
        .tls_config(tls)
        .expect("the certificates can be read")
        .connect()
        .await
        .expect("the operator's certificate is good")
}

/// A request of whoever has this token; the empty one is of nobody.
pub(crate) fn by<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if !token.is_empty() {
        let value = format!("Bearer {token}").parse().expect("a token fits a header");
        request.metadata_mut().insert("authorization", value);
    }
    request
}

/// What the API server refused to the operators of a system, as their log tells it: the accounts are those of the chart,
/// so nothing may be missing.
pub(crate) fn refused_by_kubernetes(system: &System) -> Vec<String> {
    let logs = system.logs();
    let is_refusal = |line: &&str| line.contains("forbidden") || line.contains("\"status\":403");
    logs.lines().filter(is_refusal).map(str::to_owned).collect()
}
