//! Secrets that are not what they should be.

use cluster::said;
use harness::{Reply, When};

use crate::trial::pool_of_two;

/// The largest Secret that an API server takes holds 1 MiB.
const LARGEST: usize = 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_with_odd_contents_are_told_and_harm_no_other() {
    let system = pool_of_two("secrets", 1).await;
    let client = system.gateway(0).client();
    let large = "x".repeat(LARGEST - "api-key".len());
    let put = |data: &str| {
        system.apply_yaml(&format!(
            "{{apiVersion: v1, kind: Secret, metadata: {{name: a-key}}, data: null, {data}}}"
        ));
    };
    for (data, reason) in [
        (
            "stringData: {other: sk-a-0123456789abcdef}".to_owned(),
            "KeyMissing",
        ),
        ("stringData: {api-key: ''}".to_owned(), "EmptyKey"),
        // 0xff 0xfe
        ("data: {api-key: //4=}".to_owned(), "InvalidKey"),
        (format!("stringData: {{api-key: {large}}}"), "InvalidKey"),
    ] {
        system.kubectl(&["delete", "secret", "a-key", "--ignore-not-found"]);
        put(&data);
        system
            .until_condition("credentials/a", "ResolvedRefs", &format!("False/{reason}"))
            .await;
        let credential = system.object("credentials/b").await;
        assert!(said(&credential, "Ready").starts_with("True"), "{credential:#}");
        client.chat("m").await.expect(200);
    }

    // A trailing newline is what editors and `echo` leave there.
    system.kubectl(&["delete", "secret", "a-key"]);
    put("stringData: {api-key: \"sk-a3-0123456789abcdef\\n\"}");
    system
        .until_condition("credentials/a", "ResolvedRefs", "True")
        .await;
    system.wait_for("credential/a", "Programmed");
    system
        .upstream()
        .on(When::credential("b"), Reply::rate_limited("60"));
    client.chat("m").await.expect(200);
    assert_eq!(
        system.upstream().last().header("authorization"),
        "Bearer sk-a3-0123456789abcdef"
    );
}
