//! Who the API server, its administrator and its tokens are: keys and certificates made on the spot.

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use serde_json::json;

/// The group that may do everything.
const ADMINISTRATORS: &str = "system:masters";

/// Writes the files that the API server reads into `folder`, and returns the administrator's kubeconfig for `port`.
pub(crate) fn write(folder: &Path, port: u16) -> String {
    let write = |name: &str, content: &str| {
        fs::write(folder.join(name), content).expect("the folder is writable");
    };
    let authority = authority();
    write("ca.crt", &authority.pem());

    let (certificate, key) = certificate(&authority, |params| {
        let names = ["kubernetes.default.svc", "localhost", "127.0.0.1"];
        params.subject_alt_names = CertificateParams::new(names.map(str::to_owned))
            .expect("the names fit a certificate")
            .subject_alt_names;
        params
            .distinguished_name
            .push(DnType::CommonName, "kube-apiserver");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    write("apiserver.crt", &certificate);
    write("apiserver.key", &key);

    let tokens = key_pair();
    write("tokens.pub", &tokens.public_key_pem());
    write("tokens.key", &tokens.serialize_pem());

    let (certificate, key) = self::certificate(&authority, |params| {
        params.distinguished_name.push(DnType::CommonName, "admin");
        params
            .distinguished_name
            .push(DnType::OrganizationName, ADMINISTRATORS);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "tests", "cluster": {
            "server": format!("https://127.0.0.1:{port}"),
            "certificate-authority-data": STANDARD.encode(authority.pem()),
        }}],
        "users": [{"name": "admin", "user": {
            "client-certificate-data": STANDARD.encode(certificate),
            "client-key-data": STANDARD.encode(key),
        }}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "admin"}}],
        "current-context": "tests",
    })
    .to_string()
}

fn key_pair() -> KeyPair {
    KeyPair::generate().expect("a key can be made")
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "Authority of the tests");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, key_pair()).expect("a certificate can be made")
}

/// A certificate and its key, both as PEM.
fn certificate(
    authority: &CertifiedIssuer<'static, KeyPair>,
    describe: impl FnOnce(&mut CertificateParams),
) -> (String, String) {
    let mut params = CertificateParams::default();
    describe(&mut params);
    let key = key_pair();
    let certificate = params
        .signed_by(&key, authority)
        .expect("a certificate can be signed");
    (certificate.pem(), key.serialize_pem())
}
