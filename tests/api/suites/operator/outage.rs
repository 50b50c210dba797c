//! An API server that does not answer, refuses connections, forgets, or has objects that are not understood.

use std::time::Duration;

use cluster::{ApiServer, OperatorLaunch};

use super::{CANARY, PROVIDER, credential, secret};

/// How often the log says that the API server went, and that it came back.
fn outages(log: &str) -> (usize, usize) {
    (
        log.matches("the API server does not answer").count(),
        log.matches("the API server answers again").count(),
    )
}

#[tokio::test]
async fn what_was_read_last_stays_while_the_api_server_is_away() {
    let namespace = "away";
    let mut server = ApiServer::start_defined();
    server.namespace(namespace);
    server.apply(
        namespace,
        &[PROVIDER, &secret("one", CANARY), &credential("one")].concat(),
    );
    // One that led would end.
    server.hold_lease(namespace);
    let operator = OperatorLaunch::new(&server, namespace).ready().await;
    let published = operator.snapshot().await;
    assert!(published.contains("away/one"), "{published}");

    // A black hole: connections stand, and nothing comes.
    server.pause();
    harness::eventually("the outage is noticed", Duration::from_secs(90), || async {
        (outages(&operator.log()).0 == 1).then_some(())
    })
    .await;
    let (status, text) = operator.readiness().await;
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("kubernetes does not answer"), "{text}");
    assert_eq!(operator.snapshot().await, published);
    server.resume();
    operator.logged("the API server answers again").await;
    server.apply(namespace, &credential("two"));
    operator
        .says("Credential away/two ResolvedRefs=False/SecretMissing")
        .await;

    // Nobody listens. Another operator is started meanwhile.
    let other = OperatorLaunch::new(&server, namespace);
    let published = operator.snapshot().await;
    server.kill();
    let other = other.start().await;
    other.logged("the API server does not answer").await;
    harness::eventually("the outage is noticed", Duration::from_secs(60), || async {
        (outages(&operator.log()).0 == 2).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(operator.snapshot().await, published);
    assert_eq!(
        (other.readiness().await.0, other.snapshot().await.as_str()),
        (503, "None\n")
    );
    server.revive();
    server.apply(namespace, &secret("two", CANARY));
    operator
        .says("Credential away/two ResolvedRefs=True/Resolved")
        .await;
    other.until_ready().await;
    other.says("Credential away/two ResolvedRefs=True/Resolved").await;
    for operator in [&operator, &other] {
        operator.logged("the API server answers again").await;
    }
    // One that starts has moments in which it refuses everybody or asks to come again later: another outage or two.
    let is_told = |log: &str, outages_at_least: usize| {
        let (gone, back) = outages(log);
        gone == back && (outages_at_least..outages_at_least + 3).contains(&gone)
    };
    harness::eventually("the return is told", Duration::from_secs(60), || async {
        (is_told(&operator.log(), 2) && is_told(&other.log(), 1)).then_some(())
    })
    .await;
    server.kubectl(&["delete", "credential", "two", "--namespace", namespace]);

    one_bad_object(&server, namespace, &operator).await;
    much_is_missing(server, namespace, operator).await;
}

#[tokio::test]
async fn a_leader_in_a_black_hole_ends_and_a_standby_goes_on_and_takes_over() {
    let namespace = "black-hole";
    let server = ApiServer::start_defined();
    server.namespace(namespace);
    let mut leader = OperatorLaunch::new(&server, namespace).ready().await;
    leads(&leader).await;
    let standby = OperatorLaunch::new(&server, namespace).ready().await;
    server.apply(
        namespace,
        &[PROVIDER, &secret("one", CANARY), &credential("one")].concat(),
    );
    standby.says("Credential black-hole/one ResolvedRefs=True").await;
    let published = standby.snapshot().await;

    server.pause();
    assert_eq!(leader.ended().await.code(), Some(1));
    let log = leader.log();
    assert!(log.contains("the Lease could not be renewed in time"), "{log}");
    let (status, text) = standby.readiness().await;
    assert_eq!(status, 200, "{text}");
    assert_eq!(standby.snapshot().await, published);
    assert!(!is_leader(&standby).await, "nobody leads whom nobody hears");

    server.resume();
    leads(&standby).await;
    server.apply(namespace, &credential("two"));
    server.until(
        &[
            "get",
            "credential",
            "two",
            "--namespace",
            namespace,
            "--output=jsonpath={.status.conditions}",
        ],
        |conditions| conditions.contains("SecretMissing"),
    );
}

async fn is_leader(operator: &cluster::Operator) -> bool {
    operator.metrics().await.sum("roundhouse_operator_leader", &[]) > 0.5
}

async fn leads(operator: &cluster::Operator) {
    harness::eventually("it leads", Duration::from_secs(90), || async {
        is_leader(operator).await.then_some(())
    })
    .await;
}

/// An object of a later version, which this one does not understand.
async fn one_bad_object(server: &ApiServer, namespace: &str, operator: &cluster::Operator) {
    let schema = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/dialect/enum";
    let loosen = format!(r#"[{{"op":"remove","path":"{schema}"}}]"#);
    server.kubectl(&[
        "patch",
        "crd",
        "providers.roundhouse.dev",
        "--type=json",
        "--patch",
        &loosen,
    ]);
    let bad = "
apiVersion: roundhouse.dev/v1alpha1
kind: Provider
metadata: {name: bad}
spec: {dialect: Martian, url: 'https://api.example.com/v1'}
";
    harness::eventually("the schema is looser", Duration::from_secs(60), || async {
        let file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
        std::fs::write(file.path(), bad).expect("the file is writable");
        let path = file.path().to_str().expect("the path is text");
        let applied = server.try_kubectl(&["apply", "--namespace", namespace, "-f", path]);
        applied.success.then_some(())
    })
    .await;
    operator
        .says("Provider away/bad Accepted=False/InvalidSpec")
        .await;
    operator.says("Credential away/one ResolvedRefs=True").await;
    server.apply(
        namespace,
        &[secret("three", CANARY), credential("three")].concat(),
    );
    operator.says("Credential away/three ResolvedRefs=True").await;
    server.kubectl(&["delete", "provider", "bad", "--namespace", namespace]);
    operator
        .until_conditions("the bad one is gone", |conditions| {
            !conditions.contains("away/bad")
        })
        .await;
}

/// Deletions that nobody saw: while the operator stood still, the API server forgot the history.
async fn much_is_missing(mut server: ApiServer, namespace: &str, operator: cluster::Operator) {
    let many: String = (0..12)
        .map(|number| credential(&format!("gone-{number}")))
        .collect();
    server.apply(namespace, &many);
    operator
        .until_conditions("all are seen", |conditions| {
            conditions.matches("away/gone-").count() == 24
        })
        .await;
    operator.pause();
    // Its watches end here, so that nothing of what follows waits for it in them.
    server.kill();
    server.revive();
    let names: Vec<String> = (0..12).map(|number| format!("gone-{number}")).collect();
    let mut arguments = vec!["delete", "credential", "--namespace", namespace];
    arguments.extend(names.iter().map(String::as_str));
    server.kubectl(&arguments);
    server.kill();
    server.revive();
    operator.resume();
    operator.logged("much is missing in a listing").await;
    operator
        .until_conditions("a second listing is believed", |conditions| {
            !conditions.contains("gone-") && conditions.contains("away/one ResolvedRefs=True")
        })
        .await;
}
