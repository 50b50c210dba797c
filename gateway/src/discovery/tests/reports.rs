use std::{sync::Arc, time::Duration};

use pool::{Rest, RestEnd};
use proto::discovery::v1::{Report, ReportKind};
use snapshot::{RestReason, RestScope};

use super::{
    gateway::Gateway,
    operator::{Authority, Heard, Operator},
    some,
};
use crate::live::LiveCredential;

fn credential(gateway: &Gateway) -> Arc<LiveCredential> {
    let live = gateway.app.live();
    live.credential(&"default/one".parse().unwrap())
        .unwrap()
        .1
        .clone()
}

fn rest(reason: RestReason, end: RestEnd) -> Rest {
    Rest { reason, end }
}

fn reports(heard: &[Heard]) -> Vec<Report> {
    let reports = heard.iter().filter_map(|heard| match heard {
        Heard::Report(report) => Some(report.clone()),
        _ => None,
    });
    reports.collect()
}

#[tokio::test]
async fn operators_hear_what_upstreams_say_of_credentials_once() {
    let authority = Authority::new();
    let first = some(&[("one", "key-of-one")]);
    let a = Operator::start(&authority, Some(first.clone())).await;
    let gateway = Gateway::start(&authority, &[&a]);
    a.acked(&first).await;
    let one = credential(&gateway);
    let unauthorized = rest(RestReason::Unauthorized, RestEnd::Guessed);
    for _ in 0..100 {
        gateway.app.rests(&one, RestScope::Credential, &unauthorized);
    }
    gateway
        .app
        .rests(&one, RestScope::CredentialAndModel, &unauthorized);
    let limited = rest(RestReason::RateLimited, RestEnd::Stated(Duration::from_secs(60)));
    gateway.app.rests(&one, RestScope::Credential, &limited);
    a.hears("two reports", |heard| reports(heard).len() >= 2).await;
    let told = reports(&a.heard());
    let kinds: Vec<_> = told.iter().map(Report::kind).collect();
    assert_eq!(kinds, [ReportKind::Unauthorized, ReportKind::RateLimited]);
    let version = one.credential.secret_version.0.to_string();
    assert!(
        told.iter().all(|report| report.credential == "default/one"),
        "{told:?}"
    );
    assert!(
        told.iter().all(|report| report.secret_version == version),
        "{told:?}"
    );
    assert!(told[0].until.is_none() && told[1].until.is_some(), "{told:?}");

    // Whoever comes later hears what still holds.
    let b = Operator::start(&authority, Some(first.clone())).await;
    gateway.replicas.lock().unwrap().insert(b.address);
    b.hears("both reports", |heard| reports(heard) == told).await;

    gateway.app.accepts(&one);
    gateway.app.accepts(&one);
    for operator in [&a, &b] {
        operator
            .hears("a recovery", |heard| reports(heard).len() == 3)
            .await;
        assert_eq!(reports(&operator.heard())[2].kind(), ReportKind::Recovered);
    }

    // A new value is none that was reported.
    gateway.app.rests(&one, RestScope::Credential, &unauthorized);
    let second = some(&[("one", "another-key")]);
    a.publish(&second);
    a.acked(&second).await;
    let c = Operator::start(&authority, Some(second.clone())).await;
    gateway.replicas.lock().unwrap().insert(c.address);
    let known = |heard: &[Heard]| heard.iter().any(|heard| matches!(heard, Heard::Subscribe { .. }));
    c.hears("a subscription", known).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(reports(&c.heard()).is_empty(), "{:?}", c.heard());
}
