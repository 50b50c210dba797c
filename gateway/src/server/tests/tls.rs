//! Encrypted listeners.

use std::{fs, path::Path};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use rustls_pki_types::CertificateDer;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::*;
use crate::server::TlsError;

/// Writes a new certificate for `localhost` and gives it.
fn issue(folder: &Path) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.join("tls.key"), signing_key.serialize_pem()).unwrap();
    fs::write(folder.join("tls.crt"), cert.pem()).unwrap();
    cert.der().clone()
}

fn load(folder: &Path) -> Result<Tls, TlsError> {
    Tls::load(folder.join("tls.crt"), folder.join("tls.key"))
}

async fn handshake(
    server: &Server,
    trusted: &CertificateDer<'static>,
    protocol: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, connect(server).await)
        .await
}

#[tokio::test]
async fn both_protocols_are_offered_and_the_peer_is_known_to_be_encrypted() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = issue(folder.path());
    let server = start_with(
        ServerSettings::default(),
        Some(Arc::new(load(folder.path()).unwrap())),
    );

    let mut stream = handshake(&server, &certificate, b"http/1.1").await.unwrap();
    stream
        .write_all(b"GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    soon("the answer", stream.read_to_string(&mut answer))
        .await
        .unwrap();
    assert!(answer.ends_with("tls=true"), "{answer}");

    let stream = handshake(&server, &certificate, b"h2").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
}

#[tokio::test]
async fn changed_files_are_served_and_unusable_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let first = issue(folder.path());
    let tls = Arc::new(load(folder.path()).unwrap());
    let server = start_with(ServerSettings::default(), Some(tls.clone()));
    tokio::spawn(async move { tls.follow(Duration::from_millis(20)).await });
    handshake(&server, &first, b"http/1.1").await.unwrap();

    let second = issue(folder.path());
    let reloaded = async {
        while handshake(&server, &second, b"http/1.1").await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    soon("the new certificate", reloaded).await;

    fs::write(folder.path().join("tls.crt"), "nonsense").unwrap();
    sleep(Duration::from_millis(100)).await;
    handshake(&server, &second, b"http/1.1")
        .await
        .expect("the last usable certificate stays");
}

#[tokio::test]
async fn a_silent_handshake_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    issue(folder.path());
    let server = start_with(hasty(), Some(Arc::new(load(folder.path()).unwrap())));
    assert_eq!(exchange(&server, "").await, "");
}

#[test]
fn files_that_cannot_be_served_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = load(folder.path()).unwrap_err();
    assert!(error.to_string().contains("tls.crt"), "{error}");
    issue(folder.path());
    let key = fs::read(folder.path().join("tls.key")).unwrap();
    issue(folder.path());
    fs::write(folder.path().join("tls.key"), key).unwrap();
    assert!(
        matches!(load(folder.path()), Err(TlsError::Refused { .. })),
        "a key of another certificate"
    );
    fs::write(folder.path().join("tls.key"), "nonsense").unwrap();
    assert!(matches!(load(folder.path()), Err(TlsError::Key { .. })));
}
