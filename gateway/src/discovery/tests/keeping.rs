//! What is kept across a restart.

use std::{
    collections::BTreeSet,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use snapshot::Timestamp;

use super::{
    super::cache::{Cache, CacheError},
    eventually,
    gateway::Gateway,
    operator::{Authority, Operator},
    some, version,
};

#[tokio::test]
async fn a_restart_without_operators_serves_what_was_kept_and_says_so() {
    let authority = Authority::new();
    let first = some(&[("one", "key-of-one")]);
    let operator = Operator::start(&authority, Some(first.clone())).await;
    let gateway = Gateway::start(&authority, &[&operator]);
    operator.acked(&first).await;
    let file = gateway.folder.path().join("cache/contents");
    eventually("the file", || file.exists()).await;
    let address = operator.address;
    drop(operator);
    let folder = gateway.kill().await;

    let gateway = Gateway::start_in(folder, BTreeSet::from([address]));
    assert_eq!(gateway.credentials(), ["one"], "at once");
    let state = gateway.health.state();
    assert!(state.ready, "{state:?}");
    assert!(
        state.degraded["snapshot"].starts_with("stale since 20"),
        "{state:?}"
    );
    assert!(
        state.degraded["discovery"].starts_with("disconnected since 20"),
        "{state:?}"
    );

    let operator = Operator::start_at(&authority, address, Some(first.clone())).await;
    eventually("that an operator confirms it", || {
        gateway.health.state().detail.is_empty()
    })
    .await;
    assert!(operator.sent().is_empty(), "nothing had to be sent");
}

#[tokio::test]
async fn what_was_not_kept_well_is_not_served() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("ca"), &authority.pem).unwrap();
    fs::write(folder.path().join("token"), "t").unwrap();
    let cache = Cache::new(folder.path().join("cache"));
    cache
        .write(&some(&[("one", "key-of-one")]), Timestamp::from_micros(1))
        .unwrap();
    let file = folder.path().join("cache/contents");
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    let gateway = Gateway::start_in(folder.into(), BTreeSet::new());
    assert!(gateway.credentials().is_empty());
    assert!(!gateway.health.state().ready);
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn only_what_this_build_wrote_for_this_user_is_read() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("deep/cache");
    let cache = Cache::new(folder.clone());
    assert!(cache.read().unwrap().is_none(), "nothing was kept");
    let contents = some(&[("one", "canary-key-of-one")]);
    let since = Timestamp::from_micros(1_234_567);
    cache.write(&contents, since).unwrap();
    let file = folder.join("contents");
    assert_eq!((mode(&folder), mode(&file)), (0o700, 0o600));
    assert_eq!(cache.read().unwrap(), Some((contents.clone(), since)));

    let good = fs::read(&file).unwrap();
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        fs::write(&file, bytes).unwrap();
        cache.read().unwrap_err()
    };
    let key = memchr::memmem::find(&good, b"canary").unwrap();
    let line = memchr::memchr(b'\n', &good).unwrap();
    for (what, error) in [
        ("a key", changed(&|bytes| bytes[key] ^= 1)),
        ("the last byte", changed(&|bytes| bytes.truncate(bytes.len() - 1))),
        ("one byte more", changed(&|bytes| bytes.push(0))),
        ("only the first line", changed(&|bytes| bytes.truncate(line + 1))),
        ("less than that", changed(&|bytes| bytes.truncate(line))),
        ("nothing", changed(&Vec::clear)),
        ("something else", changed(&|bytes| bytes[0] ^= 1)),
    ] {
        assert!(matches!(error, CacheError::Damaged { .. }), "{what}: {error}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
    let other_build = changed(&|bytes| bytes[line - 60] ^= 1);
    assert!(
        matches!(other_build, CacheError::Build { .. } | CacheError::Damaged { .. }),
        "{other_build}"
    );
    let text = String::from_utf8_lossy(&good[..line]).replacen(env!("CARGO_PKG_VERSION"), "9.9.9", 1);
    let build = [text.as_bytes(), &good[line..]].concat();
    fs::write(&file, build).unwrap();
    let error = cache.read().unwrap_err();
    assert!(
        matches!(&error, CacheError::Build { build, .. } if build.starts_with("9.9.9-")),
        "{error}"
    );

    fs::write(&file, &good).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(cache.read(), Err(CacheError::Exposed { .. })));
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    let next = some(&[("two", "key-of-two")]);
    cache.write(&next, since).unwrap();
    assert_eq!(
        (mode(&folder), mode(&file)),
        (0o700, 0o600),
        "what was open is closed"
    );
    assert_eq!(version(&cache.read().unwrap().unwrap().0), version(&next));
}
