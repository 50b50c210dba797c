//! TLS.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use redis::Value;

use super::{Seen, added, down, open, settings, up};
use crate::redis::{
    link::{Link, LinkError, Why},
    testing::{Folder, Server},
};

/// A server with a certificate of its own authority, and the folder with that of the authority.
async fn server() -> (Server, Folder) {
    let folder = Folder::new();
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(authority, key).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new(["127.0.0.1".to_owned()])
        .expect("a valid name")
        .signed_by(&key, &authority)
        .expect("a certificate");
    let ca = folder.write("ca.pem", authority.pem());
    let files = [
        folder.write("cert.pem", certificate.pem()),
        folder.write("key.pem", key.serialize_pem()),
        ca,
    ];
    let [certificate, key, ca] = files.map(|path| path.to_str().expect("a path in UTF-8").to_owned());
    let server = Server::start(&[
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
    ])
    .await;
    (server, folder)
}

#[tokio::test]
async fn a_private_authority_is_trusted_when_it_is_given() {
    let (server, folder) = server().await;
    let ca = folder.path().join("ca.pem");
    let url = format!("rediss://127.0.0.1:{}", server.port());
    let (link, _) = open(settings(&format!("{url}?ca-file={}", ca.display())));
    up(&link).await;
    assert_eq!(added(&link, "n").await, Ok(Value::Int(1)), "it is served");

    let (public, _) = open(settings(&url));
    down(&public, Why::Untrusted).await;
    let (plain, _) = open(settings(&format!("redis://127.0.0.1:{}", server.port())));
    down(&plain, Why::Unreachable).await;
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_trusted() {
    let (server, folder) = server().await;
    let ca = folder.path().join("ca.pem");
    let url = format!("rediss://localhost:{}?ca-file={}", server.port(), ca.display());
    let (link, _) = open(settings(&url));
    down(&link, Why::Untrusted).await;
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
