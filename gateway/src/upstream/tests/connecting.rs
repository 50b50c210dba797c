use std::net::{IpAddr, Ipv4Addr};

use super::*;

const CLUSTER: AddressPolicy = AddressPolicy::Cluster { allow_private: false };

#[tokio::test]
async fn forbidden_addresses_are_not_connected_to() {
    let table = [
        ("127.0.0.1", CLUSTER),
        ("::1", CLUSTER),
        ("::ffff:127.0.0.1", CLUSTER),
        ("10.0.0.1", CLUSTER),
        ("169.254.169.254", AddressPolicy::Standalone),
        ("::ffff:169.254.169.254", AddressPolicy::Standalone),
        ("fe80::1", AddressPolicy::Standalone),
        ("0.0.0.0", AddressPolicy::Standalone),
        ("::", AddressPolicy::Standalone),
        ("224.0.0.1", AddressPolicy::Standalone),
    ];
    for (host, policy) in table {
        let mut key = key(Scheme::Http, host, 1);
        key.service = host != "10.0.0.1";
        let upstream = Upstream::new(&key, "host:1", policy, Names::System).unwrap();
        let error = upstream.ask(post("")).await.unwrap_err();
        assert!(
            matches!(error, SendError::ForbiddenAddress { .. }),
            "{host}: {error:?}"
        );
        assert!(!error.sent());
    }
}

#[tokio::test]
async fn the_address_counts_and_not_the_name() {
    let address = server(|_, _| async {}).await;
    let key = key(Scheme::Http, "innocent.example", address.port());
    let loopback = Names::Fixed(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    let error = upstream_with(&key, CLUSTER, loopback)
        .ask(post(""))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the upstream's address 127.0.0.1 is loopback and may not be connected to"
    );
}

#[tokio::test]
async fn all_addresses_are_tried_and_forbidden_ones_left_out() {
    let address = server(|_, mut stream| async move {
        request(&mut stream).await;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        tokio::io::AsyncWriteExt::write_all(&mut stream, answer)
            .await
            .unwrap();
    })
    .await;
    let key = key(Scheme::Http, "many.example", address.port());
    // Link-local, two where nobody listens, and the server.
    let names = ["169.254.1.1", "::1", "127.0.0.2", "127.0.0.1"].map(|address| address.parse().unwrap());
    let upstream = upstream_with(&key, AddressPolicy::Standalone, Names::Fixed(names.to_vec()));
    assert_eq!(text(upstream.ask(post("")).await.unwrap()).await, "ok");
}

#[tokio::test]
async fn a_name_without_addresses_is_a_dns_failure() {
    let key = key(Scheme::Http, "nothing.example", 80);
    let upstream = upstream_with(&key, AddressPolicy::Standalone, Names::Fixed(vec![]));
    let error = upstream.ask(post("")).await.unwrap_err();
    assert!(matches!(error, SendError::Dns(_)), "{error:?}");
    // A label longer than 63 characters never reaches a name server.
    let key = self::key(Scheme::Http, &format!("{}.invalid", "x".repeat(70)), 80);
    let error = upstream_with(&key, AddressPolicy::Standalone, Names::System)
        .ask(post(""))
        .await;
    let error = error.unwrap_err();
    assert!(matches!(error, SendError::Dns(_)), "{error:?}");
    assert!(!error.sent());
}

#[tokio::test]
async fn a_refused_connection_says_so() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let error = upstream(closed).ask(post("")).await.unwrap_err();
    assert!(matches!(error, SendError::Connect(_)), "{error:?}");
    assert!(!error.sent());
}

#[tokio::test]
async fn a_connection_that_takes_too_long_is_given_up() {
    // Takes the connection and never answers the TLS handshake.
    let address = server(|_, mut stream| async move {
        request(&mut stream).await;
    })
    .await;
    let mut key = key(Scheme::Https, "127.0.0.1", address.port());
    key.connect = Duration::from_millis(50);
    let upstream = upstream_with(&key, AddressPolicy::Standalone, Names::System);
    let error = upstream.ask(post("")).await.unwrap_err();
    assert!(matches!(error, SendError::ConnectTimeout { .. }), "{error:?}");
    assert!(!error.sent());
}

fn provider(url: (Scheme, &str, u16, &str), ca: Option<&str>) -> Provider {
    Provider {
        name: snapshot::ProviderName::new("default", "p").unwrap(),
        dialect: dialect::Dialect::OpenAi,
        apis: Vec::new(),
        endpoint: snapshot::Endpoint {
            scheme: url.0,
            host: url.1.into(),
            port: url.2,
            path: url.3.into(),
            service: false,
        },
        auth: snapshot::Auth::Bearer,
        headers: Vec::new(),
        tls: Tls {
            ca: ca.map(Into::into),
            server_name: None,
        },
        models: Vec::new(),
        consumers: snapshot::Consumers::Same,
        timeouts: snapshot::Timeouts::default(),
        concurrency: None,
        breaker: snapshot::Breaker::default(),
        error_rules: Vec::new(),
        selection: snapshot::Selection::default(),
        azure: None,
    }
}

#[test]
fn a_client_is_shared_while_it_is_held_and_its_settings_are_equal() {
    let upstreams = Upstreams::new(AddressPolicy::Standalone);
    let client = |provider: &Provider| upstreams.client(provider).unwrap();
    let first = provider((Scheme::Https, "api.example", 443, "/v1"), None);
    let held = client(&first);
    assert!(Arc::ptr_eq(&held, &client(&first)));
    let other_path = provider((Scheme::Https, "api.example", 443, "/v2"), None);
    assert!(
        Arc::ptr_eq(&held, &client(&other_path)),
        "a path is no matter of connections"
    );
    let mut slower = first.clone();
    slower.timeouts.connect = Duration::from_secs(9);
    let mut renamed = first.clone();
    renamed.tls.server_name = Some("other.example".into());
    let mut service = first.clone();
    service.endpoint.service = true;
    let clear = provider((Scheme::Http, "api.example", 443, "/v1"), None);
    let port = provider((Scheme::Https, "api.example", 8443, "/v1"), None);
    for changed in [slower, renamed, service, clear, port] {
        assert!(!Arc::ptr_eq(&held, &client(&changed)), "{changed:?}");
    }
    let address = Arc::as_ptr(&held);
    drop(held);
    let held = client(&other_path);
    assert_eq!(
        upstreams.clients.lock().unwrap().len(),
        1,
        "what nobody holds is forgotten"
    );
    drop((address, held));
}

#[test]
fn unusable_settings_are_refused() {
    let upstreams = Upstreams::new(AddressPolicy::Standalone);
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for ca in ["", "not PEM", broken] {
        let provider = provider((Scheme::Https, "api.example", 443, ""), Some(ca));
        assert!(
            matches!(upstreams.client(&provider), Err(UpstreamError::Trust(_))),
            "{ca:?}"
        );
    }
    for host in ["", "a b", "a/b"] {
        let provider = provider((Scheme::Https, host, 443, ""), None);
        assert!(upstreams.client(&provider).is_err(), "{host:?}");
    }
}
