//! Arguments in, settings or misuse out.

use clap::CommandFactory;

use super::*;

fn serve(arguments: &[&str]) -> Result<Serve, String> {
    let given = ["roundhouse-gateway", "serve"].iter().chain(arguments);
    match Arguments::try_parse_from(given)
        .map_err(|error| error.to_string())?
        .command
    {
        Command::Serve(serve) => Ok(*serve),
        Command::Validate(_) => Err("not serve".to_owned()),
    }
}

#[test]
fn defaults_are_those_of_the_contract() {
    let serve = serve(&["--resources", "a.yaml", "b"]).unwrap();
    assert_eq!(serve.resources, [PathBuf::from("a.yaml"), PathBuf::from("b")]);
    assert_eq!(serve.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(serve.admin_listen.to_string(), "127.0.0.1:9090");
    assert_eq!(serve.state_dir, PathBuf::from(".roundhouse"));
    assert_eq!((serve.drain_min.as_secs(), serve.drain_max.as_secs()), (10, 600));
    assert!(!serve.allow_anonymous && serve.tls_cert.is_none());
    assert!(serve.redis.url.is_none());
    assert_eq!(serve.check(), Ok(()));
}

#[test]
fn every_flag_has_its_environment_variable() {
    for command in Arguments::command().get_subcommands() {
        for argument in command
            .get_arguments()
            .filter(|argument| argument.get_long().is_some())
        {
            let long = argument.get_long().unwrap_or_default();
            let expected = format!("ROUNDHOUSE_{}", long.replace('-', "_").to_uppercase());
            let variable = argument.get_env().map(|name| name.to_string_lossy().into_owned());
            assert_eq!(variable, Some(expected), "--{long}");
        }
    }
}

#[test]
fn usage_that_cannot_be_meant_is_refused() {
    let cases: &[(&[&str], &str)] = &[
        (&[], "--resources"),
        (&["--resources", "x", "--tls-cert", "c"], "--tls-key"),
        (&["--resources", "x", "--redis-deadline", "1s"], "--redis-url"),
        (&["--resources", "x", "--max-in-flight", "0"], "--max-in-flight"),
        (&["--resources", "x", "--max-body-memory", "12Q"], "found Q"),
        (&["--resources", "x", "--drain-min", "ten"], "found ten"),
        (&["--resources", "x", "--drain-min=-1s"], "found -1s"),
        (
            &["--resources", "x", "--log-level", "gateway=loud"],
            "gateway=loud",
        ),
        (
            &["--resources", "x", "--discovery", "https://operator:9443"],
            "--discovery",
        ),
        (&["--discovery", "http://operator:9443"], "https://"),
        (&["--resources", "x", "--cache-dir", "c"], "--cache-dir"),
        (&["--cache-dir", "c"], "--resources"),
        (
            &["--resources", "x", "--allow-private-upstreams"],
            "--allow-private",
        ),
        (
            &["--resources", "x", "--discovery-token-file", "f"],
            "--discovery-token-file",
        ),
    ];
    for (arguments, expected) in cases {
        let error = serve(arguments).expect_err("must be refused");
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
}

#[test]
fn anonymous_callers_are_refused_beyond_loopback() {
    let cases: &[(&[&str], bool)] = &[
        (&[], true),
        (&["--listen", "[::1]:8080"], true),
        (&["--listen", "0.0.0.0:8080"], false),
        (&["--admin-listen", "10.1.2.3:9090"], false),
    ];
    for (more, allowed) in cases {
        let arguments = [&["--resources", "x", "--allow-anonymous"], *more].concat();
        assert_eq!(serve(&arguments).unwrap().check().is_ok(), *allowed, "{more:?}");
    }
    assert_eq!(
        serve(&["--resources", "x", "--drain-min", "20s", "--drain-max", "10s"])
            .unwrap()
            .check(),
        Err(Misuse::DrainOrder)
    );
}

#[test]
fn admin_routes_are_for_files_unless_they_only_read() {
    let cluster = ["--discovery", "https://operator:9443"];
    let of = |arguments: &[&str], more: &[&str]| serve(&[arguments, more].concat()).unwrap();
    let routes = |arguments: &[&str], more: &[&str]| of(arguments, more).admin_routes();
    assert_eq!(routes(&["--resources", "x"], &[]), AdminRoutes::ReadWrite);
    assert_eq!(routes(&cluster, &[]), AdminRoutes::Disabled);
    let read_only = ["--admin-routes", "readonly"];
    assert_eq!(routes(&cluster, &read_only), AdminRoutes::ReadOnly);
    assert_eq!(of(&cluster, &read_only).check(), Ok(()));
    let all = ["--admin-routes", "ReadWrite"];
    assert_eq!(of(&cluster, &all).check(), Ok(()));
    assert_eq!(of(&["--resources", "x"], &all).check(), Ok(()));
}

#[test]
fn sizes_have_binary_and_decimal_units() {
    let cases = [
        ("0", 0),
        ("17", 17),
        ("1k", 1000),
        ("256Mi", 256 << 20),
        ("2G", 2_000_000_000),
        ("4Gi", 4 << 30),
    ];
    for (text, bytes) in cases {
        assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
    }
    for text in ["", "Mi", "1.5Gi", "-1", "1mi", "99999999999Gi"] {
        assert!(text.parse::<Bytes>().is_err(), "{text}");
    }
}
