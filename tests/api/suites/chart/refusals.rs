//! Values that cannot be meant are refused, with words that say where and why.

use cluster::Chart;

#[test]
fn what_the_schema_does_not_know_is_refused_where_it_is() {
    for (values, complaint) in [
        (
            "gateways: {replicas: 2}",
            "additional properties 'gateways' not allowed",
        ),
        (
            "gateway: {replica: 2}",
            "at '/gateway': additional properties 'replica' not allowed",
        ),
        (
            "gateway: {replicas: 0}",
            "at '/gateway/replicas': minimum: got 0, want 1",
        ),
        (
            "gateway: {replicas: two}",
            "at '/gateway/replicas': got string, want integer",
        ),
        (
            "gateway: {adminRoutes: readwrite}",
            "at '/gateway/adminRoutes': value must be one of 'Disabled', 'ReadOnly', 'ReadWrite'",
        ),
        (
            "gateway: {image: {name: x}}",
            "at '/gateway/image': additional properties 'name' not allowed",
        ),
        (
            "gateway: {image: {digest: 'sha256:12'}}",
            "at '/gateway/image/digest'",
        ),
        (
            "gateway: {resources: {limit: {}}}",
            "at '/gateway/resources': additional properties 'limit' not allowed",
        ),
        (
            "gateway: {podLabels: {a: 1}}",
            "at '/gateway/podLabels/a': got number, want string",
        ),
        (
            "operator: {tolerations: [{keys: a}]}",
            "at '/operator/tolerations/0': additional properties 'keys' not allowed",
        ),
        (
            "operator: {affinity: {nodes: {}}}",
            "at '/operator/affinity': additional properties 'nodes' not allowed",
        ),
        ("gateway: {maxBodyMemory: 256MB}", "at '/gateway/maxBodyMemory'"),
        (
            "clientKeys: {mint: 'yes'}",
            "at '/clientKeys/mint': got string, want boolean",
        ),
        (
            "secretPolicy: Labeled",
            "at '/secretPolicy': value must be one of 'Any', 'Labelled'",
        ),
        (
            "watchNamespaces: team-a",
            "at '/watchNamespaces': got string, want array",
        ),
        (
            "watchNamespaces: [Team]",
            "at '/watchNamespaces/0': 'Team' does not match pattern",
        ),
        (
            "watchNamespaces: [a, a]",
            "at '/watchNamespaces': items at 0 and 1 are equal",
        ),
        (
            "redis: {mode: embedded}",
            "at '/redis/mode': value must be one of 'Embedded', 'External', 'None'",
        ),
        ("redis: {url: 'http://redis'}", "at '/redis/url'"),
        (
            "redis: {embedded: {maxMemory: 1Gi}}",
            "at '/redis/embedded/maxMemory'",
        ),
    ] {
        must_be_refused(values, complaint);
    }
}

#[test]
fn values_that_do_not_go_together_are_refused_with_the_reason() {
    for (values, complaint) in [
        (
            "redis: {mode: None}",
            "set gateway.replicas to 1, or redis.acceptPerReplicaLimits to true",
        ),
        (
            "redis: {acceptPerReplicaLimits: true}",
            "redis.acceptPerReplicaLimits is only for redis.mode None",
        ),
        ("redis: {mode: External}", "redis.mode External needs redis.url"),
        (
            "redis: {url: 'redis://r'}",
            "redis.url is only for redis.mode External",
        ),
        (
            "redis: {mode: External, url: 'redis://me:hunter2@r'}",
            "redis.url must not hold a password",
        ),
        (
            "{gateway: {replicas: 1}, redis: {mode: None, existingSecret: {name: s}}}",
            "redis.existingSecret is not for redis.mode None",
        ),
        (
            "redis: {caSecret: {name: s}}",
            "redis.caSecret needs redis.mode External and TLS",
        ),
        (
            "redis: {mode: External, url: 'redis://r', caSecret: {name: s}}",
            "redis.caSecret needs redis.mode External and TLS",
        ),
        (
            "redis: {mode: External, url: 'rediss://r?ca-file=/x', caSecret: {name: s}}",
            "leave out either ?ca-file= or redis.caSecret",
        ),
        (
            "redis: {embedded: {image: {tag: ''}}}",
            "redis.embedded.image needs a tag or a digest",
        ),
        (
            "gateway: {drain: {minSeconds: 20, maxSeconds: 10}}",
            "gateway.drain.maxSeconds must be at least gateway.drain.minSeconds",
        ),
    ] {
        must_be_refused(values, complaint);
    }
}

#[test]
fn a_release_needs_a_name_that_services_can_have() {
    let longest = "a".repeat(44);
    let longer = "a".repeat(45);
    for (name, accepted) in [
        ("a", true),
        ("null", true),
        (longest.as_str(), true),
        (longer.as_str(), false),
        ("2nd", false),
        ("with.dots", false),
    ] {
        let rendered = Chart::new(name, "named").try_render();
        assert_eq!(rendered.success, accepted, "{name}: {}", rendered.error);
        assert!(
            accepted || rendered.error.contains("Services are named after it"),
            "{name}: {}",
            rendered.error
        );
    }
}

fn must_be_refused(values: &str, complaint: &str) {
    let refused = Chart::new("r", "refused").with(values).try_render();
    assert!(!refused.success, "{values} is accepted");
    assert!(refused.error.contains(complaint), "{values}: {}", refused.error);
    assert!(!refused.error.contains("hunter2"), "{values}: {}", refused.error);
}
