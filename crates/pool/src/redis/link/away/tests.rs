use redis::{ErrorKind, RedisError};

use super::{Failure, Verdict, Why};

fn says(code: &str, detail: &str) -> Failure {
    Failure::Redis(redis::make_extension_error(
        code.to_owned(),
        Some(detail.to_owned()),
    ))
}

#[test]
fn what_a_server_says_about_itself_is_no_fault_of_the_call() {
    let cases = [
        ("NOAUTH", Why::Unauthenticated),
        ("WRONGPASS", Why::Unauthenticated),
        ("READONLY", Why::ReadOnly),
        ("OOM", Why::OutOfMemory),
        ("LOADING", Why::Loading),
        ("BUSY", Why::Slow),
        ("MASTERDOWN", Why::NoMaster),
        ("CLUSTERDOWN", Why::NoMaster),
        ("TRYAGAIN", Why::NoMaster),
        ("MISCONF", Why::Rejected),
        ("NOREPLICAS", Why::Rejected),
    ];
    for (code, expected) in cases {
        let Verdict::Away { why, ran, .. } = says(code, "whatever follows").verdict() else {
            panic!("{code} is about the server");
        };
        assert_eq!((why, ran), (expected, false), "{code}");
        // As Redis 6.2 tells of it.
        let inside =
            format!("Error running script (call to f_0123): @user_script:1: -{code} whatever follows");
        let old = says("ERR", &inside).verdict();
        assert!(
            matches!(old, Verdict::Away { why, .. } if why == expected),
            "{code} inside a script"
        );
    }
}

#[test]
fn other_errors_are_the_callers() {
    for code in ["ERR", "WRONGTYPE", "NOSCRIPT", "NOPERM", "CROSSSLOT", "SOMETHING"] {
        let verdict = says(code, "a key named OOM and -READONLY-").verdict();
        let Verdict::Refused { code: found, .. } = verdict else {
            panic!("{code} is about the call");
        };
        assert_eq!(found, code, "its code is kept");
        let inside = format!("Error running script (call to f_0): @user_script:1: {code} of a command");
        let Verdict::Refused { code: found, .. } = says("ERR", &inside).verdict() else {
            panic!("{code} is about the call");
        };
        assert_eq!(found, code, "its code is found");
    }
}

#[test]
fn a_broken_connection_says_nothing_about_the_call() {
    let cases = [
        (std::io::ErrorKind::ConnectionRefused, Why::Unreachable),
        (std::io::ErrorKind::ConnectionReset, Why::Unreachable),
        (std::io::ErrorKind::BrokenPipe, Why::Unreachable),
        (std::io::ErrorKind::TimedOut, Why::Slow),
    ];
    for (kind, expected) in cases {
        let failure = Failure::Redis(RedisError::from(std::io::Error::from(kind)));
        let Verdict::Away { why, ran, certain } = failure.verdict() else {
            panic!("{kind}");
        };
        assert_eq!((why, ran), (expected, true), "{kind}");
        assert_eq!(certain, expected != Why::Slow, "{kind}: late answers must add up");
    }
    let refused = Failure::Redis((ErrorKind::AuthenticationFailed, "no").into());
    assert_eq!(refused.why(), Why::Unauthenticated, "RESP2 has no code for it");
}

#[test]
fn a_cause_does_not_repeat_what_was_sent() {
    let old = "unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `default`, `canary`";
    for failure in [says("ERR", old), says("SOMETHING", old)] {
        assert!(!failure.cause().contains("canary"), "{}", failure.cause());
    }
}
