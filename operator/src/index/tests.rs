//! Events in, objects and directives out.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use resources::{
    SecretValues,
    kinds::{Credential, Provider},
};

use super::*;

const TEAM: &str = "team";

/// An index of the namespace `team`, of which what is there is told by tests.
struct World {
    index: Index,
}

fn identity(kind: Kind, name: &str) -> Identity {
    let name = ObjectName::new(TEAM, name).unwrap();
    Identity { kind, name }
}

fn secret(name: &str) -> Identity {
    identity(Kind::Secret, name)
}

fn credential(name: &str) -> Identity {
    identity(Kind::Credential, name)
}

/// A Credential whose key is in the Secret `of`.
fn with_key_of(of: &str) -> Credential {
    let text = format!(
        r#"{{"metadata":{{}},"spec":{{"providerRef":{{"name":"p"}},"apiKey":{{"secretRef":{{"name":"{of}"}}}}}}}}"#
    );
    serde_json::from_str(&text).unwrap()
}

fn key_of(of: &str) -> Content {
    Content::Object(Object::Credential(Arc::new(with_key_of(of))))
}

fn stub(version: &str) -> Stub {
    Stub {
        resource_version: version.into(),
        labelled: false,
    }
}

fn found(version: &str, value: &str) -> Fetched {
    let values = [("api-key".to_owned(), value.as_bytes().to_vec())];
    let values = SecretValues::from_cluster(values, &ObjectMeta::default());
    Fetched::Found {
        stub: stub(version),
        object: Object::Secret(Arc::new(values)),
    }
}

fn scope(kind: Kind) -> Scope {
    Scope {
        kind,
        namespace: Some(TEAM.into()),
    }
}

impl World {
    /// Nothing was listed.
    fn new(policy: SecretPolicy) -> Self {
        Self {
            index: Index::new(Scope::all(Some(&[TEAM.to_owned()])), policy),
        }
    }

    /// Everything was listed, and there is nothing.
    fn empty() -> Self {
        let mut world = Self::new(SecretPolicy::Any);
        for kind in Kind::ALL {
            world.list(kind, Vec::new());
        }
        world
    }

    /// Credentials and their Secrets, named by numbers, of which everything is known.
    fn with_credentials(count: usize) -> Self {
        let mut world = Self::empty();
        for number in 0..count {
            let name = number.to_string();
            world.stub(&name, "1");
            world.apply(credential(&name), key_of(&name));
        }
        assert_eq!(world.asked().len(), count);
        for number in 0..count {
            world.fetched(&number.to_string(), found("1", "a key"));
        }
        assert_eq!(world.count(Kind::Credential), count);
        world
    }

    fn apply(&mut self, identity: Identity, content: Content) -> Change {
        self.index.take(Event::Applied(identity, content))
    }

    /// The watch tells of a Secret.
    fn stub(&mut self, name: &str, version: &str) -> Change {
        self.apply(secret(name), Content::Stub(stub(version)))
    }

    fn delete(&mut self, identity: Identity) -> Change {
        self.index.take(Event::Deleted(identity))
    }

    fn fetched(&mut self, name: &str, fetched: Fetched) -> Change {
        self.index.take(Event::Fetched(secret(name), fetched))
    }

    fn list(&mut self, kind: Kind, objects: Vec<(Identity, Content)>) -> Change {
        self.index.take(Event::Relisted(scope(kind), objects))
    }

    /// What it asks for.
    fn asked(&mut self) -> Vec<Directive> {
        self.index.directives()
    }

    fn count(&self, kind: Kind) -> usize {
        let kinds = self.index.objects().iter().map(|(identity, _)| identity.kind);
        kinds.filter(|it| *it == kind).count()
    }

    fn weight(&self, name: &str) -> Option<u32> {
        match self.index.objects().get(&credential(name))? {
            Object::Credential(credential) => Some(credential.spec.weight),
            _ => None,
        }
    }

    fn value(&self, name: &str) -> Option<Object> {
        self.index.objects().get(&secret(name)).cloned()
    }
}

fn value(text: &str) -> Option<Object> {
    match found("1", text) {
        Fetched::Found { object, .. } => Some(object),
        _ => None,
    }
}

fn fetch(name: &str) -> Directive {
    Directive::Fetch(secret(name))
}

#[test]
fn nothing_is_known_before_everything_was_listed_and_read() {
    let mut world = World::new(SecretPolicy::Any);
    for kind in Kind::ALL {
        assert!(!world.index.is_synced());
        let objects = match kind {
            Kind::Credential => vec![(credential("c"), key_of("s"))],
            Kind::Secret => vec![(secret("s"), Content::Stub(stub("1")))],
            _ => Vec::new(),
        };
        world.list(kind, objects);
    }
    assert!(!world.index.is_synced(), "a Secret is on its way");
    assert_eq!(world.asked(), [fetch("s")]);
    world.fetched("s", found("1", "a key"));
    assert!(world.index.is_synced());
    assert_eq!(
        (world.count(Kind::Credential), world.value("s")),
        (1, value("a key"))
    );
    world.apply(credential("d"), key_of("t"));
    assert!(world.index.is_synced(), "what comes later takes nothing back");
}

#[test]
fn an_object_waits_for_its_secret_and_is_never_without() {
    let mut world = World::empty();
    // The watch of Secrets is behind.
    assert_eq!(world.apply(credential("c"), key_of("s")), Change::None);
    assert_eq!(world.asked(), [fetch("s")]);
    assert_eq!(world.count(Kind::Credential), 0);
    assert_eq!(world.fetched("s", found("1", "a key")), Change::Content);
    assert_eq!(world.count(Kind::Credential), 1);
    assert_eq!(world.stub("s", "1"), Change::None);
    assert_eq!(world.asked(), [], "it was read as it is");
}

#[test]
fn the_former_version_stays_until_what_the_new_one_names_is_read() {
    let mut world = World::with_credentials(1);
    let mut next = with_key_of("other");
    next.spec.weight = 7;
    let next = Content::Object(Object::Credential(Arc::new(next)));
    assert_eq!(world.apply(credential("0"), next), Change::None);
    assert_eq!(world.asked(), [fetch("other")]);
    assert_eq!(world.weight("0"), Some(1));
    assert_eq!(world.value("0"), value("a key"), "the former one still needs it");
    assert_eq!(world.fetched("other", found("3", "another")), Change::Content);
    assert_eq!(world.weight("0"), Some(7));
    assert_eq!(world.value("0"), None, "nothing names it any more");
}

#[test]
fn a_missing_secret_is_read_when_it_comes() {
    let mut world = World::empty();
    world.apply(credential("c"), key_of("s"));
    world.asked();
    assert_eq!(world.fetched("s", Fetched::Missing), Change::Content);
    assert_eq!((world.count(Kind::Credential), world.value("s")), (1, None));
    world.stub("s", "5");
    assert_eq!(world.asked(), [fetch("s")]);
    assert_eq!(world.fetched("s", found("5", "a key")), Change::Content);
    assert_eq!(world.value("s"), value("a key"));
}

#[test]
fn a_changed_secret_is_read_again_and_used_meanwhile() {
    let mut world = World::with_credentials(1);
    world.stub("0", "2");
    assert_eq!(world.asked(), [fetch("0")]);
    assert_eq!(world.value("0"), value("a key"));
    // It changes while it is asked for: the answer may be of before.
    world.stub("0", "3");
    assert_eq!(world.asked(), []);
    assert_eq!(world.fetched("0", found("2", "second")), Change::None);
    assert_eq!(world.asked(), [fetch("0")]);
    assert_eq!(world.fetched("0", found("3", "third")), Change::Content);
    assert_eq!(world.value("0"), value("third"));
    // Only its metadata changed, and status tells which version of it is in use.
    world.stub("0", "4");
    assert_eq!(world.asked(), [fetch("0")]);
    assert_eq!(world.fetched("0", found("4", "third")), Change::Metadata);
}

#[test]
fn an_answer_of_before_the_deletion_brings_nothing_back() {
    let mut world = World::with_credentials(1);
    world.stub("0", "2");
    world.asked();
    assert_eq!(world.delete(secret("0")), Change::Content);
    assert_eq!(world.value("0"), None);
    assert_eq!(world.fetched("0", found("2", "second")), Change::None);
    assert_eq!((world.value("0"), world.asked()), (None, vec![fetch("0")]));
    assert_eq!(world.fetched("0", Fetched::Missing), Change::None);
    assert_eq!(world.asked(), []);
}

#[test]
fn secrets_that_nothing_names_are_not_read() {
    let mut world = World::empty();
    for number in 0..300 {
        assert_eq!(world.stub(&number.to_string(), "1"), Change::None);
    }
    assert_eq!(world.asked(), []);
    assert_eq!(world.index.objects().len(), 0);
    world.apply(credential("c"), key_of("7"));
    assert_eq!(world.asked(), [fetch("7")]);
    assert_eq!(world.delete(credential("c")), Change::Content);
    assert_eq!(world.asked(), [Directive::Forget(secret("7"))]);
    assert_eq!(world.fetched("7", found("1", "late")), Change::None);
    assert_eq!(world.value("7"), None);
}

#[test]
fn a_secret_that_may_not_be_read_is_withheld_unless_it_was_read_before() {
    let mut world = World::with_credentials(1);
    world.apply(credential("c"), key_of("s"));
    world.asked();
    let denied = || Fetched::Denied("forbidden".to_owned());
    assert_eq!(world.fetched("s", denied()), Change::Content);
    assert_eq!(world.index.objects().withheld(&secret("s")), Some("forbidden"));
    assert_eq!(world.count(Kind::Credential), 2);
    assert_eq!(world.fetched("s", denied()), Change::None, "said once");
    assert_eq!(world.fetched("s", found("1", "a key")), Change::Content);
    assert_eq!(world.index.objects().withheld(&secret("s")), None);

    world.stub("0", "2");
    world.asked();
    assert_eq!(world.fetched("0", denied()), Change::None);
    assert_eq!(world.value("0"), value("a key"));
}

#[test]
fn secrets_without_the_label_are_not_even_read_where_it_is_required() {
    let mut world = World::new(SecretPolicy::Labelled);
    for kind in Kind::ALL {
        world.list(kind, Vec::new());
    }
    let labelled = |version: &str| {
        Content::Stub(Stub {
            resource_version: version.into(),
            labelled: true,
        })
    };
    world.stub("s", "1");
    assert_eq!(world.apply(credential("c"), key_of("s")), Change::Content);
    assert_eq!(world.asked(), []);
    let why = world.index.objects().withheld(&secret("s")).unwrap_or_default();
    assert!(why.contains("roundhouse.dev/use: credential"), "{why}");
    world.apply(secret("s"), labelled("2"));
    assert_eq!(world.asked(), [fetch("s")]);
    let Fetched::Found { object, .. } = found("2", "a key") else {
        panic!("it is found");
    };
    let Content::Stub(with_label) = labelled("2") else {
        panic!("it is a stub");
    };
    let answer = Fetched::Found {
        stub: with_label,
        object,
    };
    assert_eq!(world.fetched("s", answer), Change::Content);
    assert_eq!(world.value("s"), value("a key"));
    assert_eq!(world.stub("s", "3"), Change::Content, "the label is taken off");
    assert_eq!(world.value("s"), None);

    // One that is read before its stub is seen, and has no label.
    world.apply(credential("d"), key_of("t"));
    world.asked();
    world.fetched("t", found("1", "a key"));
    assert!(world.index.objects().withheld(&secret("t")).is_some());
}

#[test]
fn only_what_compile_looks_at_is_content() {
    let mut world = World::with_credentials(1);
    let mut same = with_key_of("0");
    same.metadata.resource_version = Some("9".to_owned());
    let touched = Content::Object(Object::Credential(Arc::new(same)));
    assert_eq!(world.apply(credential("0"), touched), Change::Metadata);
    assert_eq!(world.asked(), []);
}

#[test]
fn an_object_that_is_not_understood_is_taken_out_alone() {
    let mut world = World::with_credentials(2);
    let bad = || Content::Undecodable("unknown variant".to_owned());
    assert_eq!(world.apply(credential("0"), bad()), Change::Content);
    assert_eq!((world.weight("0"), world.weight("1")), (None, Some(1)));
    assert_eq!(world.value("0"), None);
    let refused = world.index.refused();
    assert_eq!((refused.len(), &refused[0].identity), (1, &credential("0")));
    assert_eq!(refused[0].conditions[0].reason, Reason::InvalidSpec);
    assert!(refused[0].conditions[0].message.contains("unknown variant"));
    world.apply(credential("0"), key_of("1"));
    assert_eq!((world.weight("0"), world.index.refused().len()), (Some(1), 0));
    world.apply(credential("0"), bad());
    assert_eq!(world.delete(credential("0")), Change::Content);
    assert_eq!(world.index.refused(), []);
}

#[test]
fn much_that_is_missing_in_a_listing_goes_with_the_second_one() {
    let listed = |range: std::ops::Range<usize>| -> Vec<(Identity, Content)> {
        range
            .map(|number| (credential(&number.to_string()), key_of(&number.to_string())))
            .collect()
    };
    let relist = Directive::Relist(scope(Kind::Credential));
    // (known, left, whether it is believed at once)
    for (known, left, believed) in [
        (20, 10, false),
        (20, 11, true),
        (18, 9, true),
        (30, 0, false),
        (9, 0, true),
    ] {
        let mut world = World::with_credentials(known);
        world.list(Kind::Credential, listed(0..left));
        let asked = world.asked().contains(&relist);
        assert_eq!(asked, !believed, "{known} to {left}");
        let expected = if believed { left } else { known };
        assert_eq!(world.count(Kind::Credential), expected, "{known} to {left}");
        world.list(Kind::Credential, listed(0..left));
        assert!(!world.asked().contains(&relist), "it is asked for once");
        assert_eq!(world.count(Kind::Credential), left);
    }
    let mut world = World::with_credentials(20);
    world.list(Kind::Credential, listed(0..1));
    world.list(Kind::Credential, listed(0..20));
    assert_eq!(world.count(Kind::Credential), 20, "it was an error");
    world.list(Kind::Credential, listed(0..1));
    assert_eq!(
        world.count(Kind::Credential),
        20,
        "and the next one is not believed either"
    );
    for number in 1..20 {
        world.delete(credential(&number.to_string()));
    }
    assert_eq!(
        world.count(Kind::Credential),
        1,
        "what is seen to be deleted goes"
    );
}

#[test]
fn a_listing_replaces_what_was_known_of_secrets() {
    let mut world = World::with_credentials(3);
    // Read, but never seen by the watch.
    world.apply(credential("c"), key_of("s"));
    world.asked();
    world.fetched("s", found("1", "a key"));
    let kept = vec![
        (secret("0"), Content::Stub(stub("1"))),
        (secret("1"), Content::Stub(stub("2"))),
    ];
    assert_eq!(world.list(Kind::Secret, kept), Change::Content);
    assert_eq!(world.asked(), [fetch("1")]);
    let there = ["0", "1", "2", "s"].map(|name| world.value(name).is_some());
    assert_eq!(there, [true, true, false, false]);
}

#[test]
fn certificates_of_config_maps_are_read_as_well() {
    let mut world = World::empty();
    let text =
        r#"{"metadata":{},"spec":{"dialect":"OpenAI","tls":{"caRef":{"kind":"ConfigMap","name":"roots"}}}}"#;
    let provider: Provider = serde_json::from_str(text).unwrap();
    let provider = Content::Object(Object::Provider(Arc::new(provider)));
    world.apply(identity(Kind::Provider, "p"), provider);
    let roots = identity(Kind::ConfigMap, "roots");
    assert_eq!(world.asked(), [Directive::Fetch(roots.clone())]);
    let object = Object::ConfigMap(Arc::default());
    let answer = Fetched::Found {
        stub: stub("1"),
        object,
    };
    assert_eq!(world.index.take(Event::Fetched(roots, answer)), Change::Content);
    assert_eq!(
        (world.count(Kind::Provider), world.count(Kind::ConfigMap)),
        (1, 1)
    );
}
