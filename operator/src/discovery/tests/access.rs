//! Who is let in.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Value, json};
use tonic::Code;
use tracing::{Dispatch, subscriber::set_default};
use tracing_subscriber::fmt::MakeWriter;

use super::{Gateway, World, contents};
use crate::identity::tests::accepted;

/// What was logged.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut page = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        page.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Page {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Page {
    /// Each reason was told once, and no secret at all.
    fn must_be_discreet(&self, canaries: &[&str]) {
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let log = String::from_utf8(log).expect("it is text");
        for reason in ["no_token", "token_not_accepted", "other_account"] {
            let lines = log
                .lines()
                .filter(|line| line.contains("WARN") && line.contains(&format!("reason=\"{reason}\"")));
            assert_eq!(lines.count(), 1, "{reason}");
        }
        // What h2 and hyper say at this level is the client's as well, which writes its own header fields.
        let ours = log.lines().filter(|line| line.contains(" operator::")).count();
        assert!(ours >= 4, "{ours}");
        for canary in canaries {
            let leaks: Vec<_> = log
                .lines()
                .filter(|line| line.contains(canary) && !line.contains("h2::") && !line.contains("hyper"))
                .collect();
            assert!(leaks.is_empty(), "{leaks:?}");
        }
    }
}

#[tokio::test]
async fn whoever_is_no_gateway_is_refused_and_that_is_logged_once() {
    const CANARY: &str = "canary-token-0123456789";
    let page = Page::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(page.clone())
        .finish();
    // While there is only one subscriber, what another thread logs first is off for all.
    let _second = Dispatch::new(tracing_subscriber::registry());
    let _logging = set_default(subscriber);

    let world = World::new().await;
    world.publish(&contents(&[("a", "canary-key-0123456789")]));
    let other_audience = {
        let mut status = accepted("here:it-gateway", "pod-1");
        status["audiences"] = json!(["https://kubernetes.default.svc"]);
        status
    };
    let person = {
        let mut status = accepted("here:it-gateway", "pod-1");
        status["user"]["username"] = json!("here:it-gateway");
        status
    };
    let bearer = |case: &str| Some(format!("Bearer {CANARY}-{case}"));
    let good = accepted("here:it-gateway", "pod-1");
    let cases: [(&str, Option<String>, Value, Code, &str); 7] = [
        ("no token", None, good.clone(), Code::Unauthenticated, "no_token"),
        (
            "not a bearer",
            Some(format!("Basic {CANARY}")),
            good.clone(),
            Code::Unauthenticated,
            "no_token",
        ),
        (
            "refused",
            bearer("refused"),
            json!({"error": "expired"}),
            Code::Unauthenticated,
            "token_not_accepted",
        ),
        (
            "another audience",
            bearer("audience"),
            other_audience,
            Code::Unauthenticated,
            "token_not_accepted",
        ),
        (
            "another account",
            bearer("account"),
            accepted("here:default", "pod-1"),
            Code::PermissionDenied,
            "other_account",
        ),
        (
            "another namespace",
            bearer("namespace"),
            accepted("elsewhere:it-gateway", "pod-1"),
            Code::PermissionDenied,
            "other_account",
        ),
        (
            "a person",
            bearer("person"),
            person,
            Code::PermissionDenied,
            "other_account",
        ),
    ];
    for (what, authorization, status, code, reason) in cases {
        world.reviews.says(status);
        let metric = format!("roundhouse_operator_refusals_total{{reason=\"{reason}\"}}");
        let before = world.metric(&metric);
        for _ in 0..3 {
            let refused = Gateway::open(&world, authorization.as_deref()).await.err();
            assert_eq!(refused.map(|status| status.code()), Some(code), "{what}");
        }
        assert_eq!(world.metric(&metric), before + 3, "{what}");
    }
    assert!(world.gateways.list().is_empty());

    world.reviews.says(good);
    let mut gateway = Gateway::subscribe(&world, None).await;
    let served = gateway.next().await;
    gateway.ack(&served).await;
    world
        .until("it is let in", |list| !list[0].acked.objects.is_empty())
        .await;

    page.must_be_discreet(&[CANARY, "canary-key"]);
}
