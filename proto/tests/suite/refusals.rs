//! What a build does not know is refused by name.

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor, ReflectMessage, Value};
use proto::{DESCRIPTORS, Invalid, Problem, discovery::v1};

/// An object in which everything is said.
fn full(descriptor: &MessageDescriptor, oneof_case: usize) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields() {
        if let Some(oneof) = field.containing_oneof()
            && oneof.fields().nth(oneof_case % oneof.fields().len()).as_ref() != Some(&field)
        {
            continue;
        }
        let value = match field.kind() {
            _ if field.is_map() => continue,
            Kind::Message(inner) => Value::Message(full(&inner, oneof_case)),
            Kind::Enum(_) => Value::EnumNumber(1),
            Kind::String => Value::String(match field.name() {
                "name" if field.parent_message().name() == "Header" => "x-name".to_owned(),
                "time_zone" => "Europe/Berlin".to_owned(),
                "header" => "x-name".to_owned(),
                _ => "default/name".to_owned(),
            }),
            Kind::Bytes => Value::Bytes(vec![b'a'; 32].into()),
            Kind::Bool => Value::Bool(true),
            Kind::Uint32 => Value::U32(7),
            Kind::Uint64 => Value::U64(7),
            Kind::Int32 => Value::I32(7),
            Kind::Int64 => Value::I64(7),
            other => panic!("no value for {other:?}"),
        };
        let value = if field.is_list() {
            Value::List(vec![value])
        } else {
            value
        };
        message.set_field(&field, value);
    }
    message
}

/// Every way to take one enum's value, one message or one oneof away, with the path of what is wrong then.
fn lessened(message: &DynamicMessage) -> Vec<(String, DynamicMessage, Problem)> {
    let mut all = Vec::new();
    for oneof in message
        .descriptor()
        .oneofs()
        .filter(|oneof| !oneof.is_synthetic())
    {
        let mut lacking = message.clone();
        oneof.fields().for_each(|field| lacking.clear_field(&field));
        all.push((oneof.name().to_owned(), lacking, Problem::Missing));
    }
    let optional = ["azure", "rest", "duration", "expires_at", "until", "valid_until"];
    for (field, value) in message.fields() {
        let is_in_oneof = field.containing_oneof().is_some();
        let name = field.name();
        let (at, inner) = match value {
            Value::List(values) => (format!("{name}[0]"), &values[0]),
            value => (name.to_owned(), value),
        };
        let with = |inner: Value| {
            let mut changed = message.clone();
            changed.set_field(
                &field,
                if field.is_list() {
                    Value::List(vec![inner])
                } else {
                    inner
                },
            );
            changed
        };
        match inner {
            Value::EnumNumber(_) => {
                for unknown in [0, 99] {
                    all.push((
                        at.clone(),
                        with(Value::EnumNumber(unknown)),
                        Problem::UnknownValue(unknown),
                    ));
                }
            }
            Value::Message(inner) if !inner.descriptor().full_name().starts_with("google.") => {
                for (path, inner, problem) in lessened(inner) {
                    all.push((format!("{at}.{path}"), with(Value::Message(inner)), problem));
                }
            }
            _ => {}
        }
        if matches!(inner, Value::Message(_)) && !field.is_list() && !is_in_oneof && !optional.contains(&name)
        {
            let mut lacking = message.clone();
            lacking.clear_field(&field);
            all.push((at, lacking, Problem::Missing));
        }
    }
    all
}

fn read(name: &str, bytes: &[u8]) -> Result<(), Invalid> {
    match name {
        "Provider" => snapshot::Provider::try_from(v1::Provider::decode(bytes).unwrap()).map(drop),
        "Credential" => snapshot::Credential::try_from(v1::Credential::decode(bytes).unwrap()).map(drop),
        "Route" => snapshot::Route::try_from(v1::Route::decode(bytes).unwrap()).map(drop),
        "Client" => snapshot::Client::try_from(v1::Client::decode(bytes).unwrap()).map(drop),
        "Report" => proto::Reported::try_from(v1::Report::decode(bytes).unwrap()).map(drop),
        "ObjectKey" => proto::ObjectKey::try_from(v1::ObjectKey::decode(bytes).unwrap()).map(drop),
        _ => panic!("no such object: {name}"),
    }
}

#[test]
fn nothing_unknown_is_taken_for_a_default() {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let mut tried = 0;
    for name in ["Provider", "Credential", "Route", "Client", "Report", "ObjectKey"] {
        let descriptor = pool
            .get_message_by_name(&format!("roundhouse.discovery.v1.{name}"))
            .unwrap();
        for oneof_case in 0..30 {
            let whole = full(&descriptor, oneof_case);
            assert_eq!(read(name, &whole.encode_to_vec()), Ok(()), "{name}: {whole:?}");
            for (path, message, problem) in lessened(&whole) {
                tried += 1;
                let refused = read(name, &message.encode_to_vec());
                assert_eq!(refused, Err(Invalid { path, problem }), "{name}");
            }
        }
    }
    assert!(tried > 1000, "only {tried}");
}

/// Changes a good message and tells what is said of it.
fn told<M: Message + Default + Clone>(name: &str, change: impl FnOnce(&mut M)) -> String {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let descriptor = pool
        .get_message_by_name(&format!("roundhouse.discovery.v1.{name}"))
        .unwrap();
    // Calendars with a day of the month.
    let mut message = M::decode(&*full(&descriptor, 5).encode_to_vec()).unwrap();
    change(&mut message);
    read(name, &message.encode_to_vec())
        .expect_err("it is wrong")
        .to_string()
}

fn calendar(credential: &mut v1::Credential) -> &mut v1::Calendar {
    match credential.quota[0].period.as_mut().unwrap() {
        v1::quota_window::Period::Calendar(calendar) => calendar,
        v1::quota_window::Period::Rolling(_) => panic!("expected a calendar"),
    }
}

#[test]
fn what_is_out_of_bounds_is_refused_by_name() {
    let provider = |change: fn(&mut v1::Provider)| told("Provider", change);
    let credential = |change: fn(&mut v1::Credential)| told("Credential", change);
    let client = |change: fn(&mut v1::Client)| told("Client", change);
    let cases = [
        (
            provider(|it| it.name = "canary".to_owned()),
            "name: expected namespace/name with both parts not empty",
        ),
        (
            provider(|it| it.endpoint.as_mut().unwrap().port = 65_536),
            "endpoint.port: expected a port from 1 to 65535",
        ),
        (
            provider(|it| it.endpoint.as_mut().unwrap().port = 0),
            "endpoint.port: expected a port from 1 to 65535",
        ),
        (
            provider(|it| it.endpoint.as_mut().unwrap().host.clear()),
            "endpoint.host: expected a host name or address",
        ),
        (
            provider(|it| it.headers[0].name = "a b".to_owned()),
            "headers[0].name: expected the name of a header",
        ),
        (
            provider(|it| it.timeouts.as_mut().unwrap().idle.as_mut().unwrap().seconds = -1),
            "timeouts.idle: expected a duration that is not negative",
        ),
        (
            provider(|it| it.error_rules[0].r#match.as_mut().unwrap().status = Some(70_000)),
            "error_rules[0].match.status: expected an HTTP status",
        ),
        (
            provider(|it| {
                it.headers[0].source = Some(v1::header::Source::Literal(v1::HeaderLiteral {
                    value: b"canary\n".to_vec(),
                }));
            }),
            "headers[0].literal.value: expected a value that can be sent",
        ),
        (
            credential(|it| calendar(it).hour = 24),
            "quota[0].calendar.hour: expected an hour from 0 to 23",
        ),
        (
            credential(|it| calendar(it).minute = 60),
            "quota[0].calendar.minute: expected a minute from 0 to 59",
        ),
        (
            credential(|it| calendar(it).unit = Some(v1::calendar::Unit::Month(32))),
            "quota[0].calendar.month: expected a day from 1 to 31",
        ),
        (
            credential(|it| calendar(it).time_zone = "Europe/Nowhere".to_owned()),
            "quota[0].calendar.time_zone: expected a name of the IANA database",
        ),
        (
            client(|it| it.digests[0].value.truncate(31)),
            "digests[0].value: expected 32 bytes",
        ),
        (
            client(|it| {
                it.digests[0].valid_until = Some(prost_types::Timestamp {
                    seconds: -1,
                    nanos: 0,
                });
            }),
            "digests[0].valid_until: expected a time from 1970 on",
        ),
        (
            client(|it| it.expires_at.as_mut().unwrap().seconds = -1),
            "expires_at: expected a time from 1970 on",
        ),
        (
            client(|it| it.expires_at.as_mut().unwrap().nanos = 1_000_000_000),
            "expires_at: expected a time from 1970 on",
        ),
        (
            client(|it| it.expires_at.as_mut().unwrap().seconds = i64::MAX),
            "expires_at: expected a time from 1970 on",
        ),
    ];
    for (told, expected) in cases {
        assert_eq!(told, expected);
    }
}
