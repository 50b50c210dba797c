//! Addresses.

use serde_json::{Value, json};
use snapshot::AzureStyle;

use super::{CLUSTER, World, merged, message, provider, reason};
use crate::{Kind, Place, Reason};

const PRIVATE_CLUSTER: Place = Place::Cluster { allow_private: true };

#[test]
fn urls_are_taken_apart_as_people_paste_them() {
    let azure = json!({"style": "V1"});
    let deployments = json!({"style": "Deployments", "apiVersion": "2024-10-21"});
    let cases = [
        (
            "https://api.example.com/v1",
            Value::Null,
            "https://api.example.com/v1",
        ),
        (
            "https://api.example.com/v1/",
            Value::Null,
            "https://api.example.com/v1",
        ),
        (
            "https://API.example.com/v1//",
            Value::Null,
            "https://api.example.com/v1",
        ),
        (
            " https://api.example.com ",
            Value::Null,
            "https://api.example.com",
        ),
        (
            "https://api.example.com:443/v1",
            Value::Null,
            "https://api.example.com/v1",
        ),
        (
            "https://api.example.com:8443/a/b",
            Value::Null,
            "https://api.example.com:8443/a/b",
        ),
        (
            "http://localhost:11434/v1",
            Value::Null,
            "http://localhost:11434/v1",
        ),
        ("http://[::1]:8000/v1", Value::Null, "http://[::1]:8000/v1"),
        (
            "https://r.openai.azure.com",
            azure.clone(),
            "https://r.openai.azure.com/openai/v1",
        ),
        (
            "https://r.openai.azure.com/",
            azure.clone(),
            "https://r.openai.azure.com/openai/v1",
        ),
        (
            "https://r.openai.azure.com/openai",
            azure.clone(),
            "https://r.openai.azure.com/openai/v1",
        ),
        (
            "https://r.openai.azure.com/openai/v1/",
            azure.clone(),
            "https://r.openai.azure.com/openai/v1",
        ),
        (
            "https://proxy.example.com/team/openai/v1",
            azure.clone(),
            "https://proxy.example.com/team/openai/v1",
        ),
        (
            "https://proxy.example.com/openai-team",
            azure,
            "https://proxy.example.com/openai-team/openai/v1",
        ),
        (
            "https://r.openai.azure.com",
            deployments.clone(),
            "https://r.openai.azure.com/openai",
        ),
        (
            "https://r.openai.azure.com/openai/deployments/gpt-4o/chat/completions?api-version=2025-01-01",
            deployments,
            "https://r.openai.azure.com/openai",
        ),
    ];
    for (url, azure, expected) in cases {
        let mut fields = json!({"url": url});
        if !azure.is_null() {
            fields = merged(fields, json!({"azure": azure}));
        }
        let compiled = World::default().provider("up", fields).compile();
        assert_eq!(provider(&compiled).endpoint.to_string(), expected, "{url}");
    }
}

#[test]
fn an_azure_url_brings_its_api_version() {
    let url = "https://r.openai.azure.com/openai/deployments/gpt/chat/completions?a=b&api-version=2025-01-01";
    let fields = json!({"url": url, "azure": {"style": "Deployments"}});
    let compiled = World::default().provider("up", fields).compile();
    let azure = provider(&compiled).azure.clone().expect("it is Azure");
    assert_eq!(azure.style, AzureStyle::Deployments);
    assert_eq!(azure.api_version.as_deref(), Some("2025-01-01"));
}

#[test]
fn a_service_has_the_address_that_a_cluster_gives_it() {
    let cases = [
        (
            json!({"name": "vllm", "port": 8000}),
            "OpenAI",
            "http://vllm.default.svc:8000/v1",
        ),
        (
            json!({"name": "vllm", "port": 80, "path": "/a/"}),
            "OpenAI",
            "http://vllm.default.svc/a",
        ),
        (
            json!({"name": "vllm", "port": 80, "path": ""}),
            "OpenAI",
            "http://vllm.default.svc",
        ),
        (
            json!({"name": "claude", "port": 443, "scheme": "HTTPS"}),
            "Anthropic",
            "https://claude.default.svc",
        ),
    ];
    for (service, dialect, expected) in cases {
        let world = World::default().provider("up", json!({"service": service, "dialect": dialect}));
        let compiled = world.compile_in(CLUSTER);
        assert_eq!(provider(&compiled).endpoint.to_string(), expected);
        assert!(provider(&compiled).endpoint.service);
    }
}

#[test]
fn addresses_are_allowed_by_place() {
    use Reason::{AddressForbidden as No, Resolved as Yes};
    // Standalone, cluster, cluster with private addresses.
    let cases = [
        ("https://api.example.com/v1", Yes, Yes, Yes),
        ("http://api.example.com/v1", Yes, No, Yes),
        ("http://localhost:8000/v1", Yes, No, No),
        ("https://a.localhost/v1", Yes, No, No),
        ("http://127.0.0.1:8000/v1", Yes, No, No),
        ("http://[::1]/v1", Yes, No, No),
        ("http://[::ffff:127.0.0.1]/v1", Yes, No, No),
        ("http://10.1.2.3/v1", Yes, No, Yes),
        ("https://192.168.0.1/v1", Yes, No, Yes),
        ("https://100.64.0.1/v1", Yes, No, Yes),
        ("https://[fd00::1]/v1", Yes, No, Yes),
        ("https://8.8.8.8/v1", Yes, Yes, Yes),
        ("http://8.8.8.8/v1", No, No, Yes),
        ("https://169.254.169.254/v1", No, No, No),
        ("https://0.0.0.0/v1", No, No, No),
        ("https://[::]/v1", No, No, No),
        ("https://[fe80::1]/v1", No, No, No),
        ("https://224.0.0.1/v1", No, No, No),
        ("https://255.255.255.255/v1", No, No, No),
    ];
    for (url, standalone, cluster, private) in cases {
        let world = World::default().provider("up", json!({"url": url}));
        for (place, expected) in [
            (Place::Standalone, standalone),
            (CLUSTER, cluster),
            (PRIVATE_CLUSTER, private),
        ] {
            assert_eq!(
                reason(&world.compile_in(place), Kind::Provider, "up"),
                expected,
                "{url} in {place:?}"
            );
        }
    }
}

#[test]
fn bad_urls_are_refused_without_being_repeated() {
    for url in [
        "api.example.com",
        "ftp://canary.example.com",
        "https://",
        "https:///canary",
        "https://canary@api.example.com/v1",
        "https://api.example.com:0/canary",
        "https://api.example.com:99999/canary",
        "https://api.example.com:/canary",
        "https://api.example.com/v1?key=canary",
        "https://api example.com/canary",
        "",
    ] {
        let compiled = World::default().provider("up", json!({"url": url})).compile();
        assert_eq!(
            reason(&compiled, Kind::Provider, "up"),
            Reason::InvalidSpec,
            "{url}"
        );
        assert!(!message(&compiled).contains("canary"), "{}", message(&compiled));
        assert!(compiled.snapshot.providers.is_empty());
    }
}
