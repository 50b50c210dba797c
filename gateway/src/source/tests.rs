//! Following files, with looks and time stepped by hand.

mod changes;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use snapshot::{CredentialName, DigestKey, Secret};
use tempfile::TempDir;

use super::{Desired, FileSource, LOOK_EVERY, SourceError};

const PROVIDER: &str = "apiVersion: roundhouse.dev/v1alpha1
kind: Provider
metadata: {name: up}
spec:
  dialect: OpenAI
  url: https://api.example.com/v1
";

const CREDENTIAL: &str = "apiVersion: roundhouse.dev/v1alpha1
kind: Credential
metadata: {name: one}
spec:
  providerRef: {name: up}
  apiKey: {secretRef: {name: keys}}
";

fn secret(value: &str) -> String {
    format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: keys}}\nstringData:\n  api-key: {value}\n")
}

fn route(name: &str) -> String {
    format!(
        "apiVersion: roundhouse.dev/v1alpha1\nkind: ModelRoute\nmetadata: {{name: {name}}}\nspec:\n  models: \
         [\"{name}-*\"]\n  targets: [{{providerRef: {{name: up}}}}]\n"
    )
}

fn all() -> String {
    [PROVIDER, CREDENTIAL, &secret("canary-0")].join("---\n")
}

/// A source over a temporary folder.
struct Bench {
    folder: TempDir,
    source: FileSource,
    before: super::Scan,
    now: Instant,
}

impl Bench {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("written");
        }
        let paths = vec![folder.path().to_owned()];
        Self::over(folder, paths)
    }

    fn over(folder: TempDir, paths: Vec<PathBuf>) -> Self {
        let source = FileSource::open(paths, None, key()).expect("the paths exist");
        let before = source.read.clone();
        Self {
            folder,
            source,
            before,
            now: Instant::now(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("written");
    }

    /// One look, half a second later.
    fn look(&mut self) {
        self.now += LOOK_EVERY;
        self.before = self.source.look(&self.before, self.now);
    }

    /// Enough looks for a change to be seen, and to have been stable.
    fn notice(&mut self) {
        self.look();
        self.look();
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.notice();
    }

    fn desired(&self) -> Arc<Desired> {
        Arc::clone(&self.source.desired().borrow())
    }

    fn names(&self) -> Vec<String> {
        let snapshot = &self.desired().snapshot;
        let providers = snapshot.providers.keys().map(|name| name.name().to_owned());
        let credentials = snapshot.credentials.keys().map(|name| name.name().to_owned());
        let routes = snapshot.routes.keys().map(|name| name.name().to_owned());
        providers.chain(credentials).chain(routes).collect()
    }

    fn key_of(&self, credential: &str) -> Option<String> {
        let name = CredentialName::new("default", credential).expect("a name");
        let desired = self.desired();
        let secret = &desired.keyring.credentials.get(&name)?.secret;
        Some(String::from_utf8_lossy(secret.expose()).into_owned())
    }

    fn told(&self) -> String {
        let told: Vec<&str> = self.source.told.iter().map(String::as_str).collect();
        told.join("\n")
            .replace(&self.folder.path().display().to_string(), "")
    }
}

fn key() -> DigestKey {
    DigestKey::new(&Secret::new("installation"))
}

#[test]
fn a_change_is_published_once_it_is_stable() {
    let mut bench = Bench::new(&[("a.yaml", &all())]);
    assert_eq!(bench.names(), ["up", "one"]);
    bench.write("b.yaml", &route("gpt"));
    bench.look();
    assert_eq!(
        bench.names(),
        ["up", "one"],
        "a file may still be half written at the first look"
    );
    bench.write("b.yaml", &[route("gpt"), route("claude")].join("---\n"));
    bench.look();
    assert_eq!(bench.names(), ["up", "one"], "it changed again");
    bench.look();
    assert_eq!(bench.names(), ["up", "one", "claude", "gpt"]);
    assert_eq!(bench.told(), "");
}

#[test]
fn a_rewrite_without_a_change_publishes_nothing() {
    let mut bench = Bench::new(&[("a.yaml", &all())]);
    let mut desired = bench.source.desired();
    desired.mark_unchanged();
    bench.write("a.yaml", &format!("# hello\n{}", all()));
    bench.notice();
    assert!(!desired.has_changed().expect("the source lives"));
}

#[test]
fn an_object_that_became_bad_keeps_its_last_good_version() {
    let bad = [
        PROVIDER.replace("OpenAI", "openai"),
        PROVIDER.replace("url:", "uri:"),
        PROVIDER.replace("https://api.example.com", "https://169.254.169.254"),
        PROVIDER.replace("https://api.example.com", "${ROUNDHOUSE_TEST_NEVER_SET}"),
    ];
    for text in bad {
        let mut bench = Bench::new(&[
            ("a.yaml", PROVIDER),
            ("b.yaml", CREDENTIAL),
            ("c.yaml", &secret("canary-0")),
        ]);
        let before = bench.desired().snapshot.version.clone();
        bench.write("a.yaml", &text);
        bench.write("d.yaml", &route("gpt"));
        bench.notice();
        assert_eq!(
            bench.names(),
            ["up", "one", "gpt"],
            "the rest goes on changing: {text}"
        );
        assert_ne!(bench.desired().snapshot.version, before);
        let told = bench.told();
        assert!(told.contains("/a.yaml:1: Provider default/up:"), "{told}");
        assert!(told.contains("its last good version stays in use"), "{told}");
        bench.write("a.yaml", PROVIDER);
        bench.notice();
        assert_eq!(bench.told(), "", "and it recovers");
    }
}

#[test]
fn a_bad_object_without_a_good_version_is_left_out_alone() {
    let bench = Bench::new(&[
        ("a.yaml", &PROVIDER.replace("url:", "uri:")),
        ("b.yaml", &route("gpt")),
    ]);
    assert_eq!(bench.names(), ["gpt"]);
    let told = bench.told();
    assert!(
        told.contains("/a.yaml:1: Provider default/up: InvalidSpec: line 6: spec.uri: unknown field"),
        "{told}"
    );
    assert!(!told.contains("last good"), "{told}");
}

#[test]
fn a_file_that_is_no_longer_yaml_keeps_what_it_held() {
    let mut bench = Bench::new(&[("a.yaml", &all())]);
    bench.write("a.yaml", &format!("{PROVIDER}---\nkind: [\n"));
    bench.notice();
    bench.pass(3600);
    assert_eq!(bench.names(), ["up", "one"]);
    assert!(
        bench.told().contains("/a.yaml:8: InvalidYaml"),
        "{}",
        bench.told()
    );
}

#[test]
fn an_object_that_is_taken_out_of_a_file_goes_at_once() {
    let mut bench = Bench::new(&[("a.yaml", &all())]);
    bench.write("a.yaml", PROVIDER);
    bench.notice();
    assert_eq!(bench.names(), ["up"]);
}

#[test]
fn a_file_that_is_gone_or_empty_for_a_moment_loses_nothing() {
    let mut bench = Bench::new(&[("a.yaml", &all()), ("b.yaml", &route("gpt"))]);
    for text in [None, Some("")] {
        match text {
            None => fs::remove_file(bench.path("a.yaml")).expect("removed"),
            Some(text) => bench.write("a.yaml", text),
        }
        bench.notice();
        assert_eq!(bench.names(), ["up", "one", "gpt"]);
        assert!(bench.told().contains("/a.yaml: it is"), "{}", bench.told());
        bench.write("a.yaml", &all());
        bench.notice();
        assert_eq!(bench.told(), "");
    }
    fs::remove_file(bench.path("a.yaml")).expect("removed");
    bench.notice();
    bench.pass(10);
    assert_eq!(bench.names(), ["gpt"], "a file that stays away is gone");
}

#[test]
fn a_file_that_stays_empty_is_empty() {
    let mut bench = Bench::new(&[("a.yaml", &all()), ("b.yaml", &route("gpt"))]);
    bench.write("b.yaml", "# nothing\n");
    bench.notice();
    assert_eq!(bench.names(), ["up", "one", "gpt"]);
    bench.pass(10);
    assert_eq!(bench.names(), ["up", "one"]);
}

#[test]
fn what_was_named_and_is_gone_is_kept_until_it_is_back() {
    for is_folder in [false, true] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).expect("made");
        fs::write(inner.join("a.yaml"), all()).expect("written");
        let named = if is_folder {
            inner.clone()
        } else {
            inner.join("a.yaml")
        };
        let mut bench = Bench::over(folder, vec![named]);
        fs::rename(&inner, bench.path("elsewhere")).expect("moved");
        bench.notice();
        bench.pass(3600);
        bench.pass(3600);
        assert_eq!(bench.names(), ["up", "one"]);
        fs::create_dir(&inner).expect("made");
        fs::write(inner.join("a.yaml"), PROVIDER).expect("written");
        bench.notice();
        bench.pass(10);
        assert_eq!(bench.names(), ["up"]);
        assert_eq!(bench.told(), "");
    }
}

#[test]
fn files_that_values_come_from_are_followed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(folder.path().join("keys")).expect("made");
    fs::write(folder.path().join("keys/one"), "canary-1\n").expect("written");
    let text = [PROVIDER, CREDENTIAL, &secret("${file:keys/one}")].join("---\n");
    fs::write(folder.path().join("a.yaml"), text).expect("written");
    let paths = vec![folder.path().to_owned()];
    let mut bench = Bench::over(folder, paths);
    assert_eq!(bench.key_of("one").as_deref(), Some("canary-1"));

    replace(&bench.path("keys/one"), "canary-2\n");
    bench.notice();
    assert_eq!(bench.key_of("one").as_deref(), Some("canary-2"));

    fs::remove_file(bench.path("keys/one")).expect("removed");
    bench.notice();
    assert_eq!(
        bench.key_of("one").as_deref(),
        Some("canary-2"),
        "the last good value stays"
    );

    bench.write("keys/one", "canary-3\n");
    bench.notice();
    assert_eq!(bench.key_of("one").as_deref(), Some("canary-3"));
    assert!(!bench.told().contains("canary"), "{}", bench.told());
}

#[test]
fn a_swapped_link_is_a_change() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (version, text) in [
        ("v1", PROVIDER.to_owned()),
        ("v2", [PROVIDER, &route("gpt")].join("---\n")),
    ] {
        fs::create_dir(folder.path().join(version)).expect("made");
        fs::write(folder.path().join(version).join("a.yaml"), text).expect("written");
    }
    let mounted = folder.path().join("mounted");
    fs::create_dir(&mounted).expect("made");
    std::os::unix::fs::symlink("../v1", mounted.join("..data")).expect("linked");
    std::os::unix::fs::symlink("..data/a.yaml", mounted.join("a.yaml")).expect("linked");
    let mut bench = Bench::over(folder, vec![mounted.clone()]);
    assert_eq!(bench.names(), ["up"]);
    std::os::unix::fs::symlink("../v2", mounted.join("..tmp")).expect("linked");
    fs::rename(mounted.join("..tmp"), mounted.join("..data")).expect("renamed");
    bench.notice();
    assert_eq!(bench.names(), ["up", "gpt"], "as a ConfigMap volume changes");
}

#[test]
fn a_file_of_equal_age_and_length_in_its_place_is_a_change() {
    let mut bench = Bench::new(&[("a.yaml", PROVIDER), ("b.yaml", &route("gpt"))]);
    let age = |path: &Path| {
        fs::metadata(path)
            .and_then(|found| found.modified())
            .expect("an age")
    };
    let before = age(&bench.path("b.yaml"));
    let fresh = bench.path("fresh");
    fs::write(&fresh, route("foo")).expect("written");
    fs::File::options()
        .write(true)
        .open(&fresh)
        .and_then(|file| file.set_modified(before))
        .expect("set");
    fs::rename(&fresh, bench.path("b.yaml")).expect("renamed");
    bench.notice();
    assert_eq!(bench.names(), ["up", "foo"]);
}

fn replace(path: &Path, text: &str) {
    let fresh = path.with_extension("fresh");
    fs::write(&fresh, text).expect("written");
    fs::rename(fresh, path).expect("renamed");
}

#[test]
fn the_offered_key_works_only_while_the_files_have_none() {
    let mut bench = Bench::new(&[("a.yaml", &all())]);
    assert!(!bench.source.has_client_keys());
    bench.source.offer_key(Secret::new("canary-canary-canary-canary"));
    let clients = |bench: &Bench| -> Vec<String> {
        bench
            .desired()
            .snapshot
            .clients
            .keys()
            .map(ToString::to_string)
            .collect()
    };
    assert_eq!(clients(&bench), ["default/local"]);
    let own = "apiVersion: roundhouse.dev/v1alpha1\nkind: ClientKey\nmetadata: {name: me}\nspec: {secretRef: {name: keys}}\n";
    bench.write("b.yaml", &own.replace("secretRef", "secret"));
    bench.notice();
    assert_eq!(
        clients(&bench),
        [] as [String; 0],
        "nor does one that is not valid"
    );
    bench.write("b.yaml", own);
    bench.notice();
    assert!(bench.source.has_client_keys());
    assert_eq!(
        clients(&bench),
        [] as [String; 0],
        "a bad key of one's own does not open the generated one"
    );
    bench.write(
        "a.yaml",
        &[PROVIDER, CREDENTIAL, &secret("canary-canary-canary-canary")].join("---\n"),
    );
    bench.notice();
    assert_eq!(clients(&bench), ["default/me"]);
}

#[test]
fn objects_made_through_the_api_are_read_and_not_expanded() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("a.yaml"), [PROVIDER, CREDENTIAL].join("---\n")).expect("written");
    let made = folder.path().join("state/resources");
    let paths = vec![folder.path().join("a.yaml")];
    let source = FileSource::open(paths, Some(made.clone()), key()).expect("the folder may be missing");
    let before = source.read.clone();
    let mut bench = Bench {
        folder,
        source,
        before,
        now: Instant::now(),
    };
    fs::create_dir_all(&made).expect("made");
    fs::write(made.join("keys.yaml"), secret("${PATH}")).expect("written");
    bench.notice();
    assert_eq!(bench.names(), ["up"]);
    fs::write(made.join("keys.yaml"), secret("canary-1")).expect("written");
    bench.notice();
    assert_eq!(bench.names(), ["up", "one"]);
}

#[test]
fn a_path_that_does_not_exist_is_refused() {
    let error = FileSource::open(vec!["/nowhere/at/all".into()], None, key()).expect_err("nothing is there");
    assert!(matches!(error, SourceError::Path { .. }));
    assert_eq!(error.to_string(), "cannot read /nowhere/at/all");
}

#[test]
fn nothing_printable_holds_a_secret() {
    let bench = Bench::new(&[("a.yaml", &all()), ("b.yaml", &secret("[canary-1]"))]);
    assert_eq!(bench.key_of("one").as_deref(), Some("canary-0"));
    let printed = format!("{:?} {:#?} {}", bench.source, bench.desired(), bench.told());
    assert!(!printed.contains("canary"), "{printed}");
}

#[tokio::test]
async fn following_publishes_to_receivers() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("a.yaml"), PROVIDER).expect("written");
    let source = FileSource::open(vec![folder.path().to_owned()], None, key()).expect("the paths exist");
    let mut desired = source.desired();
    desired.mark_unchanged();
    let change = async {
        fs::write(folder.path().join("b.yaml"), route("gpt")).expect("written");
        desired.changed().await.expect("the source lives");
        desired.borrow().snapshot.routes.len()
    };
    tokio::select! {
        () = source.follow() => panic!("following does not end"),
        routes = change => assert_eq!(routes, 1),
    }
}
