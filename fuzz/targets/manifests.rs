//! No resource file makes the reader or the compiler fail: what is wrong is said of an object, and the rest is served.
#![no_main]

use std::cell::LazyCell;

use libfuzzer_sys::fuzz_target;
use resources::{
    Place, compile,
    manifest::{Reader, Surroundings, gather},
};
use snapshot::{DigestKey, Secret};

thread_local! {
    static READER: LazyCell<(Reader, DigestKey)> =
        LazyCell::new(|| (Reader::new(), DigestKey::new(&Secret::new("fuzz"))));
}

/// Some variables are set, some files are there.
struct Somewhere;

impl Surroundings for Somewhere {
    fn variable(&mut self, name: &str) -> Option<String> {
        name.len().is_multiple_of(2).then(|| name.repeat(2))
    }

    fn file(&mut self, path: &str) -> Result<Vec<u8>, String> {
        if path.contains('x') {
            Err("no such file".to_owned())
        } else {
            Ok(path.bytes().rev().collect())
        }
    }
}

fuzz_target!(|text: &str| {
    READER.with(|made| {
        let (reader, key) = &**made;
        // To YAML a lone carriage return ends a line, too.
        let ends = text.bytes().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
        let lines = u32::try_from(ends).expect("a short text") + 1;
        let manifests = reader.read("fuzz.yaml", text, &mut Somewhere);
        for manifest in &manifests {
            assert!((1..=lines).contains(&manifest.origin.line), "{}", manifest.origin);
            if let Err(problems) = &manifest.content {
                assert!(!problems.is_empty(), "refused without a reason");
                for problem in problems {
                    assert!(
                        !problem.message.is_empty() && (1..=lines).contains(&problem.line),
                        "{problem}"
                    );
                }
            }
        }
        let objects = gather(manifests).objects;
        for place in [Place::Standalone, Place::Cluster { allow_private: false }] {
            let compiled = compile(&objects, key, place);
            for object in &compiled.conditions {
                for condition in &object.conditions {
                    assert!(
                        condition.status || !condition.message.is_empty(),
                        "{}",
                        object.identity
                    );
                }
            }
            let again = compile(&objects, key, place);
            assert_eq!(
                format!("{:?}", again.snapshot),
                format!("{:?}", compiled.snapshot)
            );
            assert_eq!(again.conditions, compiled.conditions);
        }
    });
});
