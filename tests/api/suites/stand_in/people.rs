//! Accounts, and what they may do.

use cluster::ApiServer;

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
