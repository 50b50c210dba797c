//! Certificates and keys: made and read.

use std::time::Duration;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, date_time_ymd,
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use snapshot::{Secret, Timestamp};
use x509_parser::parse_x509_certificate;

use super::decide::Validity;

/// Certificates are valid a little before they are made: not all clocks agree.
pub(super) const BACKDATED: Duration = Duration::from_secs(5 * 60);

/// Why a certificate cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// What is said to be a certificate is none.
    #[error("the text is no certificate")]
    Text,
    /// The key is of another certificate.
    #[error("the key does not belong to the certificate")]
    Mismatch,
    /// It cannot be made or read.
    #[error("the certificate or its key cannot be used")]
    Unusable(#[source] rcgen::Error),
    /// The TLS library does not take it.
    #[error("the certificate cannot be served")]
    Served(#[source] rustls::Error),
}

/// A certificate that signs others, with its key. Has no `Debug`: it holds the key.
pub(super) struct Authority {
    certificate: CertificateDer<'static>,
    validity: Validity,
    issuer: Issuer<'static, KeyPair>,
}

/// An authority as it is kept.
pub(super) struct Made {
    /// Its certificate.
    pub(super) certificate: String,
    /// Its key.
    pub(super) key: Secret,
}

impl Authority {
    /// Makes one, with an elliptic key (P-256).
    pub(super) fn make(now: Timestamp, life: Duration) -> Result<Made, CertificateError> {
        let key = KeyPair::generate().map_err(CertificateError::Unusable)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        // Each has a name of its own, so that people can tell them apart.
        params
            .distinguished_name
            .push(DnType::CommonName, format!("Roundhouse discovery {now}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        lasts(&mut params, now, life);
        let certificate = params.self_signed(&key).map_err(CertificateError::Unusable)?;
        Ok(Made {
            certificate: certificate.pem(),
            key: Secret::new(key.serialize_pem()),
        })
    }

    /// Reads one as it is kept.
    pub(super) fn read(certificate: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let certificate = CertificateDer::from_pem_slice(certificate).map_err(|_| CertificateError::Text)?;
        let validity = validity(&certificate)?;
        let key = std::str::from_utf8(key)
            .map_err(|_| CertificateError::Mismatch)
            .and_then(|key| KeyPair::from_pem(key).map_err(CertificateError::Unusable))?;
        let (_, parsed) = parse_x509_certificate(&certificate).map_err(|_| CertificateError::Text)?;
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(CertificateError::Mismatch);
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(CertificateError::Unusable)?;
        Ok(Self {
            validity,
            issuer,
            certificate: certificate.into_owned(),
        })
    }

    /// Its certificate.
    pub(super) const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// From when to when it may sign.
    pub(super) const fn validity(&self) -> Validity {
        self.validity
    }

    /// Signs what `params` describe, for at most as long as it lasts itself.
    pub(super) fn sign(
        &self,
        mut params: CertificateParams,
        key: &KeyPair,
        now: Timestamp,
        life: Duration,
    ) -> Result<(Certificate, Validity), CertificateError> {
        let left = self.validity.until.since(now);
        let validity = lasts(&mut params, now, life.min(left));
        params.use_authority_key_identifier_extension = true;
        let certificate = params
            .signed_by(key, &self.issuer)
            .map_err(CertificateError::Unusable)?;
        Ok((certificate, validity))
    }
}

/// From when to when a certificate is valid.
pub(super) fn validity(certificate: &CertificateDer<'_>) -> Result<Validity, CertificateError> {
    let (_, parsed) = parse_x509_certificate(certificate).map_err(|_| CertificateError::Text)?;
    let moment =
        |seconds: i64| Timestamp::EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    let validity = parsed.validity();
    Ok(Validity {
        from: moment(validity.not_before.timestamp()),
        until: moment(validity.not_after.timestamp()),
    })
}

fn lasts(params: &mut CertificateParams, now: Timestamp, life: Duration) -> Validity {
    let epoch = date_time_ymd(1970, 1, 1);
    let now = Duration::from_secs(now.as_secs());
    let from = now.saturating_sub(BACKDATED);
    params.not_before = epoch + from;
    params.not_after = epoch + now + life;
    Validity {
        from: Timestamp::EPOCH + from,
        until: Timestamp::EPOCH + now + life,
    }
}
