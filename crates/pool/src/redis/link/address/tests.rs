use super::{Address, AddressError};

fn parse(text: &str) -> Result<Address, AddressError> {
    text.parse()
}

#[test]
fn addresses_are_read_and_printed_without_login() {
    let cases = [
        ("redis://h", "redis://h:6379/0"),
        ("redis://h/", "redis://h:6379/0"),
        ("redis://h:7000/3", "redis://h:7000/3"),
        ("rediss://[::1]:7000", "rediss://[::1]:7000/0"),
        ("redis://[fe80::2]", "redis://[fe80::2]:6379/0"),
        ("rediss://user:p%40ss@h?ca-file=%2Fca.pem", "rediss://h:6379/0"),
        ("redis://:a@b/c?d@h:1/2", "redis://h:1/2"),
        (
            "redis-sentinel://a,b:7/main",
            "redis-sentinel://a:26379,b:7/main/0",
        ),
        (
            "rediss-sentinel://u:p@a/ma%20in/4",
            "rediss-sentinel://a:26379/ma in/4",
        ),
        (
            "redis-cluster://a:1,b,[::1]:3",
            "redis-cluster://a:1,b:6379,[::1]:3",
        ),
        ("rediss-cluster://u:p@a?ca-file=ca.pem", "rediss-cluster://a:6379"),
    ];
    for (text, printed) in cases {
        let address = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(address.to_string(), printed, "{text}");
        assert_eq!(address.is_cluster(), text.contains("-cluster"), "{text}");
    }
}

#[test]
fn logins_are_decoded() {
    let cases = [
        ("redis://h", None, None),
        ("redis://@h", None, None),
        ("redis://user@h", Some("user"), None),
        ("redis://:word@h", None, Some("word")),
        ("redis://user:@h", Some("user"), None),
        ("redis://us%3Aer:wo%2Frd%25@h", Some("us:er"), Some("wo/rd%")),
        ("redis://user:a:b@h", Some("user"), Some("a:b")),
    ];
    for (text, user, password) in cases {
        let address = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(address.user.as_deref(), user, "the user of {text}");
        let found = address.password.as_ref().map(snapshot::Secret::expose);
        assert_eq!(found, password.map(str::as_bytes), "the password of {text}");
    }
}

#[test]
fn mistakes_are_named() {
    let cases = [
        ("", AddressError::Scheme),
        ("h:6379", AddressError::Scheme),
        ("http://h", AddressError::Scheme),
        ("REDIS://h", AddressError::Scheme),
        ("redis://", AddressError::NoHost),
        ("redis://:6379", AddressError::NoHost),
        ("redis-cluster://a,,b", AddressError::NoHost),
        ("redis://a,b", AddressError::SeveralHosts),
        ("redis://::1", AddressError::Host("::1".to_owned())),
        ("redis://[::1", AddressError::Host("[::1".to_owned())),
        ("redis://[h]", AddressError::Host("[h]".to_owned())),
        ("redis://[::1]7", AddressError::Host("[::1]7".to_owned())),
        ("redis://a b", AddressError::Host("a b".to_owned())),
        ("redis://h:0", AddressError::Port),
        ("redis://h:65536", AddressError::Port),
        ("redis://h:", AddressError::Port),
        ("redis://h/one", AddressError::Database("one".to_owned())),
        ("redis://h/-1", AddressError::Database("-1".to_owned())),
        ("redis://h/1/2", AddressError::Database("1/2".to_owned())),
        ("redis-sentinel://h", AddressError::NoName),
        ("redis-sentinel://h//1", AddressError::NoName),
        ("redis-cluster://h/1", AddressError::ClusterPath),
        ("rediss://h?verify=no", AddressError::Option("verify".to_owned())),
        ("rediss://h?insecure", AddressError::Option("insecure".to_owned())),
        ("rediss://h?ca-file=", AddressError::NoPath),
        ("redis://h?ca-file=ca.pem", AddressError::NoTls),
        ("rediss://h?ca-file=/at@home/ca.pem", AddressError::At),
        ("redis://%ff@h", AddressError::Encoding),
    ];
    for (text, error) in cases {
        assert_eq!(parse(text), Err(error), "{text}");
    }
}

#[test]
fn nothing_printed_holds_the_password() {
    let addresses = [
        "rediss://someone:canary@h:1/2?ca-file=ca.pem",
        "redis-sentinel://someone:canary@h/main",
        "redis-cluster://:canary@h",
    ];
    for text in addresses {
        let address = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let printed = format!("{address} {address:?} {address:#?}");
        assert!(
            !printed.replace("user: Some(\"canary\")", "").contains("canary"),
            "{printed}"
        );
    }
    let mistakes = [
        "canary",
        "canary://canary:canary@h",
        "redis://canary:canary@h:x",
        "redis://canary:canary@h?x",
        "redis://canary:canary@",
        "redis-sentinel://canary:canary@h",
        // A password with a slash that nobody encoded.
        "redis://canary:can/ary?canary@h:x",
    ];
    for text in mistakes {
        let error = parse(text).map(|_| ()).expect_err(text);
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
}
