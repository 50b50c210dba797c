//! Who may do what. Each list is whole: what is not in it is refused.

use std::collections::BTreeSet;

use cluster::{ApiServer, Chart};
use k8s_openapi::api::{
    authentication::v1::{TokenReview, TokenReviewSpec},
    core::v1::Secret,
};
use kube::{
    Api,
    api::{ListParams, PostParams},
};

/// In the namespace of the release.
const OWN: &str = "\
configmaps [] [] [create]
configmaps [] [r-discovery-ca] [get update]
leases.coordination.k8s.io [] [] [create]
leases.coordination.k8s.io [] [r-operator] [get update]
secrets [] [] [create]
secrets [] [r-digest-key] [get]
secrets [] [r-discovery-ca] [get update]
";

/// In every namespace.
const CLUSTER: &str = "\
subjectaccessreviews.authorization.k8s.io [] [] [create]
tokenreviews.authentication.k8s.io [] [] [create]
";

/// In a namespace that is watched, whatever the values.
const WATCHED: &str = "\
clientkeys.roundhouse.dev/status [] [] [patch]
configmaps [] [] [get list watch]
credentials.roundhouse.dev/status [] [] [patch]
events.events.k8s.io [] [] [create patch]
modelroutes.roundhouse.dev [] [] [get list watch]
modelroutes.roundhouse.dev/status [] [] [patch]
providers.roundhouse.dev [] [] [get list watch]
providers.roundhouse.dev/status [] [] [patch]
";

/// What changes with the values.
const READ: &str = "\
clientkeys.roundhouse.dev [] [] [get list watch]
credentials.roundhouse.dev [] [] [get list watch]
secrets [] [] [get list watch]
";
const MINT: &str = "\
clientkeys.roundhouse.dev [] [] [get list watch]
credentials.roundhouse.dev [] [] [get list watch]
secrets [] [] [get list watch create update delete]
";
const CHANGE: &str = "\
clientkeys.roundhouse.dev [] [] [get list watch create patch delete]
credentials.roundhouse.dev [] [] [get list watch create patch delete]
secrets [] [] [get list watch create]
";
const MINT_AND_CHANGE: &str = "\
clientkeys.roundhouse.dev [] [] [get list watch create patch delete]
credentials.roundhouse.dev [] [] [get list watch create patch delete]
secrets [] [] [get list watch create update delete]
";

#[test]
fn the_operator_has_the_rights_that_its_values_need() {
    let server = ApiServer::shared();
    for namespace in ["rights-own", "rights-a", "rights-b", "rights-other"] {
        server.namespace(namespace);
    }
    let account = Account::new(server, "rights-own", "r-operator");
    for (mint, routes, changes) in [
        (false, "Disabled", READ),
        (false, "ReadOnly", READ),
        (true, "Disabled", MINT),
        (true, "ReadOnly", MINT),
        (false, "ReadWrite", CHANGE),
        (true, "ReadWrite", MINT_AND_CHANGE),
    ] {
        let values = format!("{{clientKeys: {{mint: {mint}}}, gateway: {{adminRoutes: {routes}}}}}");
        let chart = Chart::new("r", "rights-own").with(&values);
        let check = |chart: &Chart, rights: &[(&str, &[&str])]| {
            server.kubectl(&["delete", "role,rolebinding", "--all", "--namespace=rights-own"]);
            chart.install_accounts(server);
            for (namespace, parts) in rights {
                account.must_have(namespace, parts, &values);
            }
        };
        let watching = chart.clone().with("watchNamespaces: [rights-a, rights-b]");
        check(
            &watching,
            &[
                ("rights-own", &[OWN, CLUSTER]),
                ("rights-a", &[WATCHED, changes, CLUSTER]),
                ("rights-b", &[WATCHED, changes, CLUSTER]),
                ("rights-other", &[CLUSTER]),
            ],
        );
        // Watching its own namespace, it has both. Other namespaces keep what they had; a release would take it.
        check(&chart, &[("rights-own", &[OWN, WATCHED, changes, CLUSTER])]);
    }
}

#[test]
fn the_gateway_has_no_rights() {
    let server = ApiServer::shared();
    for namespace in ["rightless", "rightless-watched"] {
        server.namespace(namespace);
    }
    let chart = Chart::new("r", "rightless").with(
        "{watchNamespaces: [rightless, rightless-watched], clientKeys: {mint: true}, gateway: {adminRoutes: ReadWrite}}",
    );
    chart.install_accounts(server);
    let account = Account::new(server, "rightless", "r-gateway");
    for namespace in ["rightless", "rightless-watched", "default"] {
        account.must_have(namespace, &[], "gateway");
    }
}

#[test]
fn two_releases_of_one_name_do_not_meet() {
    let server = ApiServer::shared();
    for namespace in ["meeting-one", "meeting-two", "meeting-watched"] {
        server.namespace(namespace);
    }
    for namespace in ["meeting-one", "meeting-two"] {
        Chart::new("same", namespace)
            .with("watchNamespaces: [meeting-watched]")
            .install_accounts(server);
    }
    for namespace in ["meeting-one", "meeting-two"] {
        let account = Account::new(server, namespace, "same-operator");
        account.must_have("meeting-watched", &[WATCHED, READ, CLUSTER], namespace);
    }
}

#[tokio::test]
async fn an_operator_knows_its_gateway_by_the_token_for_operators() {
    let server = ApiServer::shared();
    server.namespace("rights-tokens");
    Chart::new("r", "rights-tokens").install_accounts(server);
    let operator = server.client_of("rights-tokens", "r-operator").await;
    let reviews: Api<TokenReview> = Api::all(operator.clone());
    for (audiences, known) in [(&["roundhouse-discovery"][..], true), (&[], false)] {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: Some(server.token("rights-tokens", "r-gateway", audiences)),
                audiences: Some(vec!["roundhouse-discovery".to_owned()]),
            },
            ..TokenReview::default()
        };
        let reviewed = reviews.create(&PostParams::default(), &review).await;
        let status = reviewed
            .expect("it may review")
            .status
            .expect("the server answers");
        assert_eq!(
            status.authenticated == Some(true),
            known,
            "{audiences:?}: {:?}",
            status.error
        );
        let user = status.user.and_then(|user| user.username);
        let gateway = "system:serviceaccount:rights-tokens:r-gateway".to_owned();
        assert_eq!(user, known.then_some(gateway));
    }

    let gateway = server.client_of("rights-tokens", "r-gateway").await;
    let count = async |client| {
        let secrets: Api<Secret> = Api::namespaced(client, "rights-tokens");
        secrets
            .list(&ListParams::default())
            .await
            .map(|list| list.items.len())
    };
    assert_eq!(count(operator).await.expect("it may"), 0);
    let refused = count(gateway).await.expect_err("it may not").to_string();
    assert!(refused.contains("forbidden"), "{refused}");
}

/// A `ServiceAccount` that asks what it may do.
struct Account {
    server: &'static ApiServer,
    user: String,
    /// What everybody may do everywhere.
    everybody: BTreeSet<String>,
}

impl Account {
    fn new(server: &'static ApiServer, namespace: &str, name: &str) -> Self {
        Self {
            server,
            user: format!("system:serviceaccount:{namespace}:{name}"),
            everybody: listed(server, "system:serviceaccount:nowhere:nobody", "default"),
        }
    }

    /// Fails when it may do more or less than the lists say, and what everybody may.
    fn must_have(&self, namespace: &str, lists: &[&str], what: &str) {
        let mut found = listed(self.server, &self.user, namespace);
        found.retain(|right| !self.everybody.contains(right));
        let expected = lists.concat();
        let expected: BTreeSet<String> = merged(expected.lines());
        assert_eq!(found, expected, "{} in {namespace} with {what}", self.user);
    }
}

/// What `user` may do in `namespace`: a line for each, as kubectl lists it with single spaces.
fn listed(server: &ApiServer, user: &str, namespace: &str) -> BTreeSet<String> {
    let list = server.kubectl(&[
        "auth",
        "can-i",
        "--list",
        "--no-headers",
        "--as",
        user,
        "--namespace",
        namespace,
    ]);
    let lines: Vec<String> = list
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    merged(lines.iter().map(String::as_str))
}

/// Lines with sorted verbs, and one line for a resource that several lists name.
fn merged<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let mut rights = std::collections::BTreeMap::<String, BTreeSet<String>>::new();
    for line in lines {
        let (of, verbs) = line.rsplit_once('[').expect("verbs are last");
        let verbs = verbs.trim_end_matches(']').split(' ').map(str::to_owned);
        rights.entry(of.to_owned()).or_default().extend(verbs);
    }
    rights
        .into_iter()
        .map(|(of, verbs)| format!("{of}[{}]", verbs.into_iter().collect::<Vec<_>>().join(" ")))
        .collect()
}
