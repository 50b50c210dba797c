//! Authorities as they are kept in a Secret, and as they are published.

use std::{collections::BTreeMap, error::Error};

use k8s_openapi::{ByteString, api::core::v1::Secret};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use snapshot::Timestamp;

use super::{
    Lives,
    certificate::{Authority, CertificateError, validity},
    decide::{Standing, Step},
};

/// The one that signs.
const CURRENT: Slot = Slot {
    certificate: "ca.crt",
    key: "ca.key",
};
/// The one that will.
const NEXT: Slot = Slot {
    certificate: "next.crt",
    key: "next.key",
};
/// The certificates of those that signed. Their keys are gone.
const OLD: &str = "old.crt";

/// Since when gateways can know the next one: RFC 3339.
const PUBLISHED_AT: &str = "roundhouse.dev/next-published-at";

/// Where one authority is kept.
struct Slot {
    certificate: &'static str,
    key: &'static str,
}

type Values = BTreeMap<String, ByteString>;

/// What a Secret holds of authorities.
pub(super) struct Material {
    /// The one that signs.
    pub(super) current: Option<Authority>,
    next: Option<(Authority, Option<Timestamp>)>,
    old: Vec<Timestamp>,
    /// The certificates of all, as gateways are to know them.
    pub(super) published: String,
}

impl Material {
    /// Reads a Secret. What cannot be used is as if it were not there.
    pub(super) fn read(secret: &Secret) -> Self {
        static EMPTY: Values = Values::new();
        let values = secret.data.as_ref().unwrap_or(&EMPTY);
        let next = NEXT.read(values).map(|next| (next, published_at(secret)));
        let current = CURRENT.read(values);
        let old = certificates(values.get(OLD));
        let mut published = String::new();
        for certificate in [CURRENT.certificate, NEXT.certificate, OLD] {
            let text = values
                .get(certificate)
                .map(|text| String::from_utf8_lossy(&text.0));
            if let Some(text) = text.filter(|text| !text.trim().is_empty()) {
                published.push_str(text.trim());
                published.push('\n');
            }
        }
        Self {
            current,
            next,
            old: old.iter().map(|(_, until)| *until).collect(),
            published,
        }
    }

    /// What there is, to decide by. `known` is what gateways can know.
    pub(super) fn standing(&self, known: Option<&str>) -> Standing {
        Standing {
            current: self.current.as_ref().map(Authority::validity),
            next: self
                .next
                .as_ref()
                .map(|(next, published)| (next.validity(), *published)),
            is_published: known == Some(&*self.published),
            old: self.old.clone(),
        }
    }
}

/// Changes a Secret by a step.
pub(super) fn apply(
    secret: &mut Secret,
    step: Step,
    lives: &Lives,
    now: Timestamp,
) -> Result<(), CertificateError> {
    let annotations = secret.metadata.annotations.get_or_insert_default();
    if step != Step::Tidy {
        annotations.remove(PUBLISHED_AT);
    }
    if step == Step::Note {
        annotations.insert(PUBLISHED_AT.to_owned(), now.to_string());
    }
    let values = secret.data.get_or_insert_default();
    match step {
        Step::Begin => {
            // What is there is over or unusable.
            NEXT.clear(values);
            CURRENT.write(values, Authority::make(now, lives.authority)?);
        }
        Step::Prepare => NEXT.write(values, Authority::make(now, lives.authority)?),
        Step::Promote => {
            let former = values
                .remove(CURRENT.certificate)
                .map(|it| it.0)
                .unwrap_or_default();
            let old = values.entry(OLD.to_owned()).or_default();
            old.0 = [&*former, b"\n", &*old.0].concat();
            for (from, to) in [(NEXT.certificate, CURRENT.certificate), (NEXT.key, CURRENT.key)] {
                if let Some(value) = values.remove(from) {
                    values.insert(to.to_owned(), value);
                }
            }
        }
        Step::Note | Step::Tidy | Step::Publish | Step::Rest => (),
    }
    tidy(values, now);
    Ok(())
}

impl Slot {
    fn read(&self, values: &Values) -> Option<Authority> {
        let certificate = values.get(self.certificate)?;
        let key = values.get(self.key)?;
        match Authority::read(&certificate.0, &key.0) {
            Ok(authority) => Some(authority),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn Error,
                    certificate = self.certificate,
                    "the Secret of discovery's authority holds what cannot be used"
                );
                None
            }
        }
    }

    fn write(&self, values: &mut Values, made: super::certificate::Made) {
        values.insert(
            self.certificate.to_owned(),
            ByteString(made.certificate.into_bytes()),
        );
        values.insert(self.key.to_owned(), ByteString(made.key.expose().to_vec()));
    }

    fn clear(&self, values: &mut Values) {
        values.remove(self.certificate);
        values.remove(self.key);
    }
}

/// Leaves out the certificates that are over.
fn tidy(values: &mut Values, now: Timestamp) {
    let mut kept = String::new();
    for (text, until) in certificates(values.get(OLD)) {
        if now < until {
            kept.push_str(&text);
        }
    }
    if kept.is_empty() {
        values.remove(OLD);
    } else {
        values.insert(OLD.to_owned(), ByteString(kept.into_bytes()));
    }
}

/// The certificates of a text, each with its end.
fn certificates(text: Option<&ByteString>) -> Vec<(String, Timestamp)> {
    const END: &str = "-----END CERTIFICATE-----";
    let text = text
        .map(|text| String::from_utf8_lossy(&text.0))
        .unwrap_or_default();
    let mut found = Vec::new();
    for one in text.split_inclusive(END) {
        let until = CertificateDer::from_pem_slice(one.as_bytes())
            .ok()
            .and_then(|certificate| validity(&certificate).ok());
        if let Some(validity) = until {
            found.push((format!("{}\n", one.trim()), validity.until));
        }
    }
    found
}

fn published_at(secret: &Secret) -> Option<Timestamp> {
    let text = secret.metadata.annotations.as_ref()?.get(PUBLISHED_AT)?;
    let moment: jiff::Timestamp = text.parse().ok()?;
    let micros = u64::try_from(moment.as_microsecond()).ok()?;
    Some(Timestamp::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::decide::decide;
    use super::*;

    const HOUR: Duration = Duration::from_secs(60 * 60);

    /// Takes every step that is to be taken at a moment; gateways can know what is published at once.
    fn settle(secret: &mut Secret, known: &mut String, now: Timestamp) -> Vec<Step> {
        let lives = Lives::default();
        let mut steps = Vec::new();
        loop {
            let material = Material::read(secret);
            let step = decide(&material.standing(Some(known)), &lives, now);
            match step {
                Step::Rest => return steps,
                Step::Publish => *known = material.published,
                _ => apply(secret, step, &lives, now).unwrap(),
            }
            steps.push(step);
            assert!(steps.len() < 10, "{steps:?}");
        }
    }

    fn signs(secret: &Secret) -> CertificateDer<'static> {
        let current = Material::read(secret).current.expect("one signs");
        current.certificate().clone()
    }

    #[test]
    fn a_successor_is_published_for_an_hour_before_it_signs_and_the_former_stays_until_its_end() {
        let (mut secret, mut known) = (Secret::default(), String::new());
        let start = Timestamp::EPOCH + HOUR * 24 * 20_000;
        let life = Lives::default().authority;
        assert_eq!(
            settle(&mut secret, &mut known, start),
            [Step::Begin, Step::Publish]
        );
        let first = signs(&secret);
        assert_eq!(settle(&mut secret, &mut known, start + life / 2), []);

        let due = start + life * 2 / 3;
        assert_eq!(
            settle(&mut secret, &mut known, due),
            [Step::Prepare, Step::Publish, Step::Note]
        );
        assert_eq!(signs(&secret), first, "gateways do not know the other yet");
        assert_eq!(known.matches("BEGIN CERTIFICATE").count(), 2);
        let almost = HOUR * 99 / 100;
        assert_eq!(settle(&mut secret, &mut known, due + almost), []);

        assert_eq!(
            settle(&mut secret, &mut known, due + HOUR),
            [Step::Promote, Step::Publish]
        );
        let second = signs(&secret);
        assert_ne!(first, second);
        assert_eq!(known.matches("BEGIN CERTIFICATE").count(), 2, "the former stays");
        let values = secret.data.clone().unwrap();
        assert_eq!(
            values.keys().collect::<Vec<_>>(),
            ["ca.crt", "ca.key", "old.crt"],
            "the former can sign no more"
        );

        assert_eq!(
            settle(&mut secret, &mut known, start + life),
            [Step::Tidy, Step::Publish]
        );
        assert_eq!(known.matches("BEGIN CERTIFICATE").count(), 1);
        assert_eq!(signs(&secret), second);
    }

    #[test]
    fn what_cannot_be_used_is_made_anew() {
        let (mut secret, mut known) = (Secret::default(), String::new());
        let start = Timestamp::EPOCH + HOUR * 24 * 20_000;
        settle(&mut secret, &mut known, start);
        let first = signs(&secret);
        let values = secret.data.as_mut().unwrap();
        values.insert("ca.key".to_owned(), ByteString(b"no key".to_vec()));
        assert_eq!(
            settle(&mut secret, &mut known, start),
            [Step::Begin, Step::Publish]
        );
        assert_ne!(signs(&secret), first);
        assert_eq!(known.matches("BEGIN CERTIFICATE").count(), 1);
    }
}
