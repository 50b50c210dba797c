//! What this replica presents.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::{crypto::ring, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use snapshot::Timestamp;

use super::{
    certificate::{Authority, BACKDATED, CertificateError},
    decide::Validity,
};

/// A certificate and its key, as TLS presents them.
pub type Presented = Arc<CertifiedKey>;

/// The names that a certificate is for.
#[derive(Clone, Debug)]
pub struct Names {
    /// DNS names, the first of which is shown to people.
    pub dns: Vec<String>,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
}

/// A certificate of this replica. It is never written down.
pub(super) struct Leaf {
    presented: Presented,
    validity: Validity,
    signed_by: CertificateDer<'static>,
}

impl Names {
    /// Those of an operator's Services: the one for people, and the headless one that names every replica.
    pub fn of_operator(release: &str, namespace: &str, cluster_domain: &str) -> Self {
        let operator = format!("{release}-operator");
        let discovery = format!("{release}-operator-discovery");
        let mut dns = Vec::new();
        for service in [&discovery, &operator, &format!("*.{discovery}")] {
            dns.push(format!("{service}.{namespace}.svc"));
            dns.push(format!("{service}.{namespace}.svc.{cluster_domain}"));
        }
        for service in [&discovery, &operator] {
            dns.push(format!("{service}.{namespace}"));
            dns.push(service.clone());
        }
        dns.push("localhost".to_owned());
        Self {
            dns,
            addresses: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        }
    }
}

impl Leaf {
    /// Makes one with a key of its own.
    pub(super) fn signed_by(
        authority: &Authority,
        names: &Names,
        now: Timestamp,
        life: Duration,
    ) -> Result<Self, CertificateError> {
        let key = KeyPair::generate().map_err(CertificateError::Unusable)?;
        let mut params = CertificateParams::new(names.dns.clone()).map_err(CertificateError::Unusable)?;
        params
            .subject_alt_names
            .extend(names.addresses.iter().copied().map(SanType::IpAddress));
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "Roundhouse operator");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let (certificate, validity) = authority.sign(params, &key, now, life)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let chain = vec![certificate.der().clone()];
        let presented = CertifiedKey::from_der(chain, key, &ring::default_provider())
            .map_err(CertificateError::Served)?;
        Ok(Self {
            presented: Arc::new(presented),
            validity,
            signed_by: authority.certificate().clone(),
        })
    }

    /// Whether it can stay: signed by this authority, and not half over.
    pub(super) fn is_good(&self, authority: &Authority, now: Timestamp) -> bool {
        let made = self.validity.from + BACKDATED;
        let half = self.validity.until.since(made) / 2;
        self.signed_by == *authority.certificate() && now < made + half
    }

    /// As TLS presents it.
    pub(super) fn presented(&self) -> Presented {
        Arc::clone(&self.presented)
    }

    /// From when to when it is valid.
    pub(super) const fn validity(&self) -> Validity {
        self.validity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn authority(now: Timestamp, life: Duration) -> Authority {
        let made = Authority::make(now, life).unwrap();
        Authority::read(made.certificate.as_bytes(), made.key.expose()).unwrap()
    }

    #[test]
    fn a_certificate_stays_for_half_its_life_and_ends_with_its_authority() {
        let now = Timestamp::EPOCH + DAY * 20_000;
        let names = Names::of_operator("it", "here", "cluster.local");
        let authority = authority(now, DAY * 365);
        assert_eq!(authority.validity().until, now + DAY * 365);
        let leaf = Leaf::signed_by(&authority, &names, now, DAY).unwrap();
        assert_eq!(leaf.validity().until, now + DAY);
        assert!(leaf.is_good(&authority, now + DAY * 100 / 201));
        assert!(!leaf.is_good(&authority, now + DAY / 2));
        assert!(
            !leaf.is_good(&self::authority(now, DAY), now),
            "another authority"
        );

        let late = now + DAY * 364 + DAY / 2;
        let last = Leaf::signed_by(&authority, &names, late, DAY).unwrap();
        assert_eq!(last.validity().until, authority.validity().until);
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let now = Timestamp::EPOCH + DAY * 20_000;
        let (one, other) = (
            Authority::make(now, DAY).unwrap(),
            Authority::make(now, DAY).unwrap(),
        );
        let read = |certificate: &str, key: &[u8]| Authority::read(certificate.as_bytes(), key).map(drop);
        assert!(read(&one.certificate, one.key.expose()).is_ok());
        assert!(matches!(
            read(&one.certificate, other.key.expose()),
            Err(CertificateError::Mismatch)
        ));
        assert!(matches!(
            read("nothing", one.key.expose()),
            Err(CertificateError::Text)
        ));
        assert!(read(&one.certificate, b"nothing").is_err());
    }
}
