//! Who the API server, its administrator and its tokens are: keys and certificates made on the spot.

use std::{fs, path::Path};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    SigningKey as _,
};
use serde_json::{Value, json};

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

/// A token of a `ServiceAccount` with another end, signed with the key of the API server whose `folder` this is.
pub(crate) fn token_ending(folder: &Path, token: &str, end: i64) -> String {
    let key = fs::read_to_string(folder.join("tokens.key")).expect("the key is there");
    let key = KeyPair::from_pem(&key).expect("the key is one");
    let mut parts = token.split('.');
    let mut part = || parts.next().expect("a token has three parts");
    let (head, claims) = (part(), part());
    let claims = URL_SAFE_NO_PAD.decode(claims).expect("claims are base64");
    let mut claims: Value = serde_json::from_slice(&claims).expect("claims are JSON");
    let begin = end - 3600;
    for (claim, moment) in [("exp", end), ("iat", begin), ("nbf", begin)] {
        claims[claim] = moment.into();
    }
    let said = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = key.sign(said.as_bytes()).expect("a key signs");
    format!("{said}.{}", URL_SAFE_NO_PAD.encode(fixed(&signature)))
}

/// A signature of ECDSA on P-256 as tokens have it, both numbers in 32 bytes, from the form that certificates have.
fn fixed(der: &[u8]) -> Vec<u8> {
    // SEQUENCE, its length, INTEGER, its length, the number, and the other one.
    let (first, rest) = der[4..].split_at(der[3].into());
    let numbers = [first, &rest[2..]];
    let padded = numbers.map(|number| {
        let number = &number[number.len().saturating_sub(32)..];
        [&vec![0; 32 - number.len()], number].concat()
    });
    padded.concat()
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
