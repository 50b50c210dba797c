//! What is sent is what arrives.

use std::fmt::Debug;

use http::{HeaderName, HeaderValue};
use proptest::prelude::*;
use prost::Message;
use proto::{Contents, Reported, Versions, discovery::v1};
use snapshot::{Header, HeaderSource, RestReason, Secret, SecretVersion, Timestamp};

use crate::any;

/// By way of bytes.
fn sent<T, M>(object: &T) -> T
where
    T: TryFrom<M, Error: Debug>,
    M: Message + Default + for<'a> From<&'a T>,
{
    M::decode(&*M::from(object).encode_to_vec())
        .unwrap()
        .try_into()
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_object_arrives_as_it_was_sent(contents in any::contents()) {
        let snapshot = contents.snapshot();
        for provider in snapshot.providers.values() {
            prop_assert_eq!(&sent::<_, v1::Provider>(&**provider), &**provider);
        }
        for credential in snapshot.credentials.values() {
            prop_assert_eq!(&sent::<_, v1::Credential>(&**credential), &**credential);
        }
        for route in snapshot.routes.values() {
            prop_assert_eq!(&sent::<_, v1::Route>(&**route), &**route);
        }
        for client in snapshot.clients.values() {
            prop_assert_eq!(&sent::<_, v1::Client>(&**client), &**client);
        }
    }

    #[test]
    fn what_a_gateway_has_arrives_as_it_was_told(contents in any::contents()) {
        let told = contents.versions().subscribe("gateway-0");
        let told = v1::Subscribe::decode(&*told.encode_to_vec()).unwrap();
        prop_assert_eq!(&Versions::try_from(told).unwrap(), &**contents.versions());
    }

    #[test]
    fn equal_objects_have_equal_versions(contents in any::contents()) {
        // On another process nothing is shared.
        let sent = |message: v1::StreamResponse| v1::StreamResponse::decode(&*message.encode_to_vec()).unwrap();
        let mut follower = proto::Follower::new(None);
        let copy = proto::chunks(&contents, 1000).map(sent).find_map(|message| follower.accept(message).unwrap()).unwrap();
        let again = Contents::new(copy.snapshot().clone(), copy.keyring().clone(), Secret::new("one installation"));
        let first = Contents::new(contents.snapshot().clone(), contents.keyring().clone(), Secret::new("one installation"));
        prop_assert_eq!(again.versions(), first.versions());
    }
}

#[test]
fn reports_arrive_as_they_were_sent() {
    let reasons = [
        None,
        Some(RestReason::RateLimited),
        Some(RestReason::QuotaExhausted),
        Some(RestReason::Unauthorized),
        Some(RestReason::AccountBlocked),
        Some(RestReason::ModelUnavailable),
        Some(RestReason::Failing),
    ];
    for rests in reasons {
        let reported = Reported {
            credential: "default/first".parse().unwrap(),
            secret_version: SecretVersion("v1".into()),
            rests,
            until: rests.map(|_| Timestamp::from_micros(1_800_000_000_000_001)),
        };
        assert_eq!(sent::<_, v1::Report>(&reported), reported);
    }
}

#[test]
fn a_literal_header_stays_unprintable() {
    let header = Header {
        name: HeaderName::from_static("x-key"),
        source: HeaderSource::Literal(HeaderValue::from_static("canary-0123")),
    };
    let printed = format!("{:?}", sent::<_, v1::Header>(&header));
    assert!(!printed.contains("canary"), "{printed}");
}
