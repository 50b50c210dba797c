//! Objects made and unmade through the API.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    task::Poll,
    time::{Duration, Instant},
};

use futures_util::poll;
use resources::{Identity, Kind};
use snapshot::{ClientName, ObjectName, Secret};
use tempfile::TempDir;
use tokio::time::timeout;

use super::{PROVIDER, all, key, secret};
use crate::source::{Change, ChangeError, Changes, FileSource};

/// A source over a folder of files and one of objects made through the API.
struct Bench {
    folder: TempDir,
    source: FileSource,
    now: Instant,
}

impl Bench {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("files")).expect("made");
        for (name, text) in files {
            fs::write(folder.path().join("files").join(name), text).expect("written");
        }
        let source = open(&folder);
        Self {
            folder,
            source,
            now: Instant::now(),
        }
    }

    fn made(&self) -> PathBuf {
        self.folder.path().join("state/resources")
    }

    fn make(&mut self, name: &str) -> Result<(), ChangeError> {
        let manifest = manifest(name, "up");
        self.source
            .make(credential(name), &Secret::new(manifest), self.now)
    }

    fn unmake(&mut self, name: &str) -> Result<(), ChangeError> {
        self.source.unmake(credential(name), self.now)
    }

    fn names(&self) -> Vec<String> {
        names(&self.source)
    }

    fn files_made(&self) -> usize {
        fs::read_dir(self.made()).map_or(0, Iterator::count)
    }
}

fn open(folder: &TempDir) -> FileSource {
    let made = folder.path().join("state/resources");
    FileSource::open(vec![folder.path().join("files")], Some(made), key()).expect("the paths exist")
}

fn names(source: &FileSource) -> Vec<String> {
    let desired = source.desired().borrow().clone();
    let credentials = desired.snapshot.credentials.keys();
    credentials.map(|name| name.name().to_owned()).collect()
}

fn identity(kind: Kind, name: &str) -> Identity {
    let name = ObjectName::new("default", name).expect("a name");
    Identity { kind, name }
}

fn credential(name: &str) -> Identity {
    identity(Kind::Credential, name)
}

fn manifest(name: &str, provider: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: api-{name}}}\nstringData: {{api-key: canary-{name}}}\n---\n\
         apiVersion: roundhouse.dev/v1alpha1\nkind: Credential\nmetadata: {{name: {name}}}\nspec:\n  \
         providerRef: {{name: {provider}}}\n  apiKey: {{secretRef: {{name: api-{name}}}}}\n"
    )
}

fn client_key(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: api-{name}}}\nstringData: {{api-key: \
         canary-{name}-0123456789abcdef}}\n---\napiVersion: roundhouse.dev/v1alpha1\nkind: \
         ClientKey\nmetadata: {{name: {name}}}\nspec: {{secretRef: {{name: api-{name}, key: api-key}}}}\n"
    )
}

#[test]
fn what_is_made_is_served_at_once_kept_private_and_survives_a_restart() {
    let mut bench = Bench::new(&[("a.yaml", &all())]);
    bench.make("two").expect("it is good");
    assert_eq!(bench.names(), ["one", "two"]);
    let made = bench.source.desired().borrow().made.clone();
    assert!(made.contains(&credential("two")) && !made.contains(&credential("one")));
    let permissions = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(permissions(&bench.made()), 0o700);
    assert_eq!(
        permissions(&bench.made().join("credential.default.two.yaml")),
        0o600
    );
    assert_eq!(names(&open(&bench.folder)), ["one", "two"]);
}

#[test]
fn what_is_unmade_is_gone_at_once_and_for_good() {
    let mut bench = Bench::new(&[("a.yaml", &all())]);
    bench.make("two").expect("it is good");
    bench.make("three").expect("it is good");
    bench.unmake("two").expect("it was made here");
    assert_eq!(bench.names(), ["one", "three"]);
    assert_eq!(bench.files_made(), 1);
    assert_eq!(names(&open(&bench.folder)), ["one", "three"]);
    bench.make("two").expect("its name is free again");
}

#[test]
fn what_would_not_be_accepted_is_not_kept_and_harms_nothing() {
    let mut bench = Bench::new(&[("a.yaml", &all())]);
    let mut refuse = |name: &str, manifest: String| {
        let done = bench
            .source
            .make(credential(name), &Secret::new(manifest), bench.now);
        done.expect_err("it is bad").to_string()
    };
    let error = refuse("two", manifest("two", "nobody"));
    assert!(error.contains("nobody"), "{error}");
    let error = refuse("Two", manifest("Two", "up"));
    assert!(
        error.contains("metadata.name: expected lower-case letters"),
        "{error}"
    );
    let error = refuse("two", manifest("two", "up").replace("canary-two", "'${HOME}'"));
    assert!(error.contains("the variable HOME is not set"), "{error}");
    assert_eq!((bench.names(), bench.files_made()), (vec!["one".to_owned()], 0));
}

#[test]
fn names_are_taken_by_whatever_has_them() {
    let bad = "---\napiVersion: roundhouse.dev/v1alpha1\nkind: Credential\nmetadata: {name: bad}\nspec: {}\n";
    let taken_secret = secret("x").replace("keys", "api-three");
    let files = [
        ("a.yaml", all()),
        ("b.yaml", bad.to_owned()),
        ("c.yaml", taken_secret),
    ];
    let mut bench = Bench::new(&files.each_ref().map(|(name, text)| (*name, text.as_str())));
    bench.make("two").expect("it is good");
    for (name, holder) in [
        ("one", "Credential default/one"),
        ("two", "Credential default/two"),
        ("bad", "Credential default/bad"),
        ("three", "Secret default/api-three"),
    ] {
        let error = bench.make(name).expect_err("its name is taken");
        assert!(matches!(error, ChangeError::Exists(_)), "{name}: {error}");
        assert_eq!(error.to_string(), format!("there is a {holder} already"));
    }
    assert_eq!(bench.files_made(), 1);
}

#[test]
fn what_others_wrote_is_not_deleted() {
    let mut bench = Bench::new(&[("a.yaml", &all())]);
    fs::create_dir_all(bench.made()).expect("made");
    fs::write(bench.made().join("by-hand.yaml"), manifest("hand", "up")).expect("written");
    bench.source = open(&bench.folder);
    for name in ["one", "hand"] {
        let error = bench.unmake(name).expect_err("it was not made here");
        assert!(matches!(error, ChangeError::NotMade(_)), "{name}: {error}");
    }
    let error = bench.unmake("nobody").expect_err("there is none");
    assert!(matches!(error, ChangeError::Missing(_)), "{error}");
    assert_eq!(bench.names(), ["hand", "one"]);
}

#[test]
fn a_minted_key_does_not_lock_out_whoever_minted_it() {
    let mut bench = Bench::new(&[("a.yaml", &all())]);
    bench.source.offer_key(Secret::new("rh-0123456789abcdef0123"));
    let clients = |source: &FileSource| {
        let desired = source.desired().borrow().clone();
        let clients = desired.snapshot.clients.keys().map(ClientName::to_string);
        clients.collect::<Vec<_>>()
    };
    let mint = |source: &mut FileSource, name: &str| {
        source.make(
            identity(Kind::ClientKey, name),
            &Secret::new(client_key(name)),
            Instant::now(),
        )
    };
    mint(&mut bench.source, "app").expect("it is good");
    assert_eq!(clients(&bench.source), ["default/app", "default/local"]);
    let error = mint(&mut bench.source, "local").expect_err("the offered key has this name");
    assert!(matches!(error, ChangeError::Exists(_)), "{error}");
    assert!(!open(&bench.folder).has_client_keys(), "nor after a restart");
}

async fn make(changes: &Changes, name: &str) -> Result<(), ChangeError> {
    let change = Change::Make {
        identity: credential(name),
        manifest: Secret::new(manifest(name, "up")),
    };
    let Changes::Files(changes) = changes else {
        panic!("these are files");
    };
    changes.make(change).await
}

#[tokio::test]
async fn changes_wait_while_a_file_is_being_written() {
    let mut bench = Bench::new(&[("a.yaml", &all())]);
    let changes = bench.source.changes();
    let mut answer = Box::pin(make(&changes, "two"));
    assert!(poll!(&mut answer).is_pending(), "nobody has looked yet");
    let mut waiting = vec![bench.source.requests.try_recv().expect("it was sent")];

    let file = bench.folder.path().join("files/a.yaml");
    fs::write(&file, PROVIDER).expect("written");
    bench.source.serve(&mut waiting, bench.now);
    assert_eq!(waiting.len(), 1, "this may be half of the file");
    assert_eq!(bench.names(), ["one"]);

    fs::write(&file, all()).expect("written");
    let seen = bench.source.look(&bench.source.read.clone(), bench.now);
    bench.source.look(&seen, bench.now);
    bench.source.serve(&mut waiting, bench.now);
    assert_eq!(bench.names(), ["one", "two"]);
    assert!(matches!(poll!(&mut answer), Poll::Ready(Ok(()))), "it is told");
}

#[tokio::test]
async fn of_two_changes_at_once_with_one_name_one_is_made() {
    let bench = Bench::new(&[("a.yaml", &all())]);
    let (changes, desired) = (bench.source.changes(), bench.source.desired());
    let both = async { tokio::join!(make(&changes, "two"), make(&changes, "two")) };
    let done = async {
        tokio::select! {
            () = bench.source.follow() => panic!("the source ended"),
            done = both => done,
        }
    };
    let (first, second) = timeout(Duration::from_secs(20), done).await.expect("in time");
    assert!(
        matches!((&first, &second), (Ok(()), Err(ChangeError::Exists(_)))),
        "the first comes first: {first:?} {second:?}"
    );
    assert_eq!(desired.borrow().snapshot.credentials.len(), 2);
}
