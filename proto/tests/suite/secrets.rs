//! Nothing that prints shows a secret.

use std::{collections::BTreeSet, fmt::Debug, sync::Arc};

use http::{HeaderName, HeaderValue};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};
use proto::{Contents, DESCRIPTORS, admin::v1 as admin, discovery::v1 as discovery};
use snapshot::{Header, HeaderSource, Keyring, Secret, Snapshot};

use crate::any;

const CANARY: &str = "canary-0123456789";

fn is_redacted(field: &FieldDescriptor) -> bool {
    let options = field.options();
    options
        .get_field_by_name("debug_redact")
        .is_some_and(|value| *value == Value::Bool(true))
}

fn descriptors() -> DescriptorPool {
    DescriptorPool::decode(DESCRIPTORS).unwrap()
}

fn ours() -> impl Iterator<Item = MessageDescriptor> {
    let pool = descriptors();
    let messages: Vec<_> = pool
        .all_messages()
        .filter(|it| it.full_name().starts_with("roundhouse."))
        .collect();
    messages.into_iter()
}

/// A message with the canary in every field that is a secret.
fn filled(descriptor: &MessageDescriptor, oneof_case: usize) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields().filter(|field| !field.is_map()) {
        if let Some(oneof) = field.containing_oneof()
            && oneof.fields().nth(oneof_case % oneof.fields().len()).as_ref() != Some(&field)
        {
            continue;
        }
        let value = match field.kind() {
            Kind::Message(inner) => Value::Message(filled(&inner, oneof_case)),
            Kind::String if is_redacted(&field) => Value::String(CANARY.to_owned()),
            Kind::Bytes if is_redacted(&field) => Value::Bytes(CANARY.as_bytes().to_vec().into()),
            _ => continue,
        };
        message.set_field(
            &field,
            if field.is_list() {
                Value::List(vec![value])
            } else {
                value
            },
        );
    }
    message
}

fn assert_hides(what: &str, printed: &str) {
    let list: Vec<_> = CANARY.bytes().take(6).map(|byte| byte.to_string()).collect();
    assert!(!printed.contains("canary"), "{what} prints it: {printed}");
    for separator in [", ", ",\n"] {
        let spaceless: String = printed.split_whitespace().collect();
        let list: String = list.join(separator).split_whitespace().collect();
        assert!(!spaceless.contains(&list), "{what} prints its bytes: {printed}");
    }
}

fn print<M: Message + Default + Debug>(bytes: &[u8]) -> String {
    let message = M::decode(bytes).unwrap();
    format!("{message:?} {message:#?}")
}

macro_rules! roots {
    ($($package:ident: $($message:ident)+;)+) => {
        [$($((
            concat!("roundhouse.", stringify!($package), ".v1.", stringify!($message)),
            print::<$package::$message> as fn(&[u8]) -> String,
        ),)+)+]
    };
}

#[test]
fn no_message_of_a_call_prints_a_secret() {
    let roots = roots! {
        discovery: StreamRequest StreamResponse;
        admin:
            ListCredentialsRequest ListCredentialsResponse ClearRestRequest ClearRestResponse ResetQuotaRequest
            ResetQuotaResponse RefreshNowRequest RefreshNowResponse SuspendRequest SuspendResponse ResumeRequest
            ResumeResponse GetUsageRequest GetUsageResponse StartLoginRequest StartLoginResponse PollLoginRequest
            PollLoginResponse AddCredentialRequest AddCredentialResponse DeleteCredentialRequest
            DeleteCredentialResponse IssueClientKeyRequest IssueClientKeyResponse RevokeClientKeyRequest
            RevokeClientKeyResponse ListGatewaysRequest ListGatewaysResponse;
    };
    let pool = descriptors();
    let called: BTreeSet<String> = pool
        .services()
        .flat_map(|service| {
            service
                .methods()
                .flat_map(|method| [method.input(), method.output()])
                .collect::<Vec<_>>()
        })
        .map(|message| message.full_name().to_owned())
        .collect();
    let listed: BTreeSet<String> = roots.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(listed, called, "every message of a call is looked at");

    let mut bearers = BTreeSet::new();
    for (name, print) in roots {
        // 5 messages of a stream, 7 kinds of objects, oneofs of 2 and 3: every combination comes up.
        for oneof_case in 0..5 * 7 * 3 * 2 {
            let bytes = filled(&pool.get_message_by_name(name).unwrap(), oneof_case).encode_to_vec();
            if bytes
                .windows(CANARY.len())
                .any(|window| window == CANARY.as_bytes())
            {
                bearers.insert(name);
            }
            assert_hides(name, &print(&bytes));
        }
    }
    let expected = [
        "roundhouse.admin.v1.AddCredentialRequest",
        "roundhouse.admin.v1.IssueClientKeyResponse",
        "roundhouse.admin.v1.PollLoginRequest",
        "roundhouse.admin.v1.StartLoginResponse",
        "roundhouse.discovery.v1.StreamResponse",
    ];
    assert_eq!(bearers, expected.into(), "secrets are carried in these only");
}

#[test]
fn what_may_be_a_secret_is_marked() {
    let harmless = ["secret_version", "secret_name", "page_token", "next_page_token"];
    let suspicious = ["secret", "token", "password", "login", "user_code"];
    for field in ours().flat_map(|message| message.fields().collect::<Vec<_>>()) {
        let name = field.name();
        let must = match field.kind() {
            Kind::Bytes => name != "digest",
            Kind::String => !harmless.contains(&name) && suspicious.iter().any(|word| name.contains(word)),
            _ => false,
        };
        assert_eq!(is_redacted(&field), must, "{}", field.full_name());
    }
}

#[test]
fn contents_print_no_secret() {
    let provider: discovery::Provider = {
        let pool = descriptors();
        let descriptor = pool
            .get_message_by_name("roundhouse.discovery.v1.Provider")
            .unwrap();
        discovery::Provider::decode(&*filled(&descriptor, 0).encode_to_vec()).unwrap()
    };
    assert!(matches!(
        provider.headers[0].source,
        Some(discovery::header::Source::Literal(_))
    ));
    let mut value = HeaderValue::from_static(CANARY);
    value.set_sensitive(true);
    let name: snapshot::ProviderName = "default/p".parse().unwrap();
    let mut keyring = Keyring::default();
    keyring
        .credentials
        .insert("default/c".parse().unwrap(), any::secret(CANARY));
    keyring
        .headers
        .insert((name, "x-key".to_owned()), Secret::new(CANARY));
    let contents = Contents::new(
        Arc::new(Snapshot::default()),
        Arc::new(keyring),
        Secret::new(CANARY),
    );
    let header = Header {
        name: HeaderName::from_static("x-key"),
        source: HeaderSource::Literal(value),
    };
    assert_hides("contents", &format!("{contents:?} {contents:#?}"));
    assert_hides("a header", &format!("{header:?}"));
    assert_hides("chunks", &format!("{:?}", proto::chunks(&contents, 1000)));
    let messages: Vec<_> = proto::chunks(&contents, 1000).collect();
    assert_hides("messages", &format!("{messages:?} {messages:#?}"));
    for (key, version) in &contents.versions().objects {
        assert_hides("a version", &format!("{key} {version}"));
    }
}
