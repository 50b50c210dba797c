//! TLS.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use redis::Value;

use super::{Seen, added, down, open, settings, up};
use crate::redis::{
    link::{Link, LinkError, Why},
    testing::{Folder, Server},
};

/// Certificates of an authority of their own.
struct Certificates(Folder);

impl Certificates {
    fn new() -> Self {
        let mut authority = CertificateParams::default();
        // OpenSSL takes a certificate with its issuer's name for its own issuer.
        authority
            .distinguished_name
            .push(DnType::CommonName, "authority of a test");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(authority, key).expect("an authority");
        let key = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::new(["127.0.0.1".to_owned()])
            .expect("a valid name")
            .signed_by(&key, &authority)
            .expect("a certificate");
        let folder = Folder::new();
        folder.write("ca.pem", authority.pem());
        folder.write("cert.pem", certificate.pem());
        folder.write("key.pem", key.serialize_pem());
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        let path = self.0.path().join(name);
        path.to_str().expect("a path in UTF-8").to_owned()
    }

    /// A server that shows them.
    async fn server(&self, before: &[&str], after: &[&str]) -> Server {
        let (certificate, key, ca) = (self.path("cert.pem"), self.path("key.pem"), self.path("ca.pem"));
        let tls = [
            "--tls-port",
            "PORT",
            "--tls-cert-file",
            &certificate,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &ca,
            "--tls-auth-clients",
            "no",
        ];
        Server::start(&[before, &tls, after].concat()).await
    }

    fn cli(&self, server: &Server, args: &[&str]) -> String {
        let ca = self.path("ca.pem");
        server.cli(&[&["--tls", "--cacert", &ca], args].concat())
    }
}

#[tokio::test]
async fn a_private_authority_is_trusted_when_it_is_given() {
    let certificates = Certificates::new();
    let server = certificates.server(&[], &[]).await;
    let ca = certificates.path("ca.pem");
    let url = format!("rediss://127.0.0.1:{}", server.port());
    let (link, _) = open(settings(&format!("{url}?ca-file={ca}")));
    up(&link).await;
    assert_eq!(added(&link, "n").await, Ok(Value::Int(1)), "it is served");

    let (public, _) = open(settings(&url));
    down(&public, Why::Untrusted).await;
    let (plain, _) = open(settings(&format!("redis://127.0.0.1:{}", server.port())));
    down(&plain, Why::Unreachable).await;
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_trusted() {
    let certificates = Certificates::new();
    let server = certificates.server(&[], &[]).await;
    let ca = certificates.path("ca.pem");
    let url = format!("rediss://localhost:{}?ca-file={}", server.port(), ca);
    let (link, _) = open(settings(&url));
    down(&link, Why::Untrusted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_and_what_they_name_are_reached_by_tls() {
    let certificates = Certificates::new();
    let master = certificates.server(&[], &[]).await;
    let monitor = format!("sentinel monitor main 127.0.0.1 {} 1\n", master.port());
    let folder = Folder::new();
    let file = folder.write("sentinel.conf", monitor);
    let file = file.to_str().expect("a path in UTF-8");
    let after = ["--tls-replication", "yes", "--sentinel"];
    let sentinel = certificates.server(&[file], &after).await;
    let place = format!(
        "127.0.0.1:{}/main?ca-file={}",
        sentinel.port(),
        certificates.path("ca.pem")
    );
    let (link, _) = open(settings(&format!("rediss-sentinel://{place}")));
    up(&link).await;
    assert_eq!(added(&link, "n").await, Ok(Value::Int(1)), "it is served");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_of_a_cluster_are_reached_by_tls() {
    let certificates = Certificates::new();
    let server = certificates
        .server(&["--cluster-enabled", "yes", "--tls-cluster", "yes"], &[])
        .await;
    let slots: Vec<String> = (0..16384).map(|slot| slot.to_string()).collect();
    let mut add = vec!["CLUSTER", "ADDSLOTS"];
    add.extend(slots.iter().map(String::as_str));
    assert_eq!(certificates.cli(&server, &add), "OK", "one has all slots");
    let place = format!(
        "127.0.0.1:{}?ca-file={}",
        server.port(),
        certificates.path("ca.pem")
    );
    let (link, _) = open(settings(&format!("rediss-cluster://{place}")));
    up(&link).await;
    assert_eq!(added(&link, "n").await, Ok(Value::Int(1)), "it is served");
}

#[tokio::test]
async fn certificates_that_cannot_be_used_are_refused_at_the_start() {
    let folder = Folder::new();
    let open = |name: &str| {
        let path = folder.path().join(name);
        let settings = settings(&format!("rediss://h?ca-file={}", path.display()));
        Link::open(settings, std::sync::Arc::new(Seen::default())).map(|_| ())
    };
    assert!(
        matches!(open("none.pem"), Err(LinkError::CaFile { .. })),
        "there is no such file"
    );
    for text in [
        "",
        "no certificate",
        "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n",
    ] {
        folder.write("ca.pem", text);
        let refused = open("ca.pem");
        assert!(
            matches!(refused, Err(LinkError::CaCertificates(_))),
            "{text:?}: {refused:?}"
        );
    }
}
