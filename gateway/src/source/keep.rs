//! The last good version of every object.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use resources::{
    Compiled, ConditionType, Identity, Object, ObjectConditions, Objects, Place, Reason, SecretValue,
    SecretValues, compile,
    manifest::{Gathered, Origin, Refused, gather},
};
use snapshot::DigestKey;

use super::{is_client_key, read::File, scan::Paths};

/// How long what a file held outlives the file, so that a rename or a rewrite loses nothing.
const GRACE: Duration = Duration::from_secs(3);

/// What is known from one reading to the next.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Objects that were accepted when they were last compiled.
    good: BTreeMap<Identity, Good>,
    /// Since when a file that gave objects gives none.
    absent: BTreeMap<PathBuf, Absent>,
    /// The files of the last reading.
    files: BTreeMap<PathBuf, String>,
    gathered: Gathered,
    /// Files whose objects cannot all be told from what was read.
    shaky: BTreeMap<String, String>,
    /// Versions that are used in place of what the files say, and why.
    stand_ins: BTreeSet<Identity>,
    /// Whether there are client keys that were not made through the API.
    pub(super) has_client_keys: bool,
}

#[derive(Debug)]
struct Good {
    object: Object,
    origin: Option<Origin>,
}

#[derive(Debug)]
struct Absent {
    name: String,
    why: String,
    /// `None`: as long as it lasts.
    until: Option<Instant>,
}

/// A compiled state and what is wrong with it.
pub(super) struct Settled {
    pub(super) compiled: Compiled,
    pub(super) diagnostics: BTreeSet<String>,
}

impl Kept {
    /// Whether something that is kept for a while has been kept long enough.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let over = |absent: &Absent| absent.until.is_some_and(|until| until <= now);
        self.absent.values().any(over)
    }

    /// Takes a new reading.
    pub(super) fn take(&mut self, files: Vec<File>, now: Instant) {
        self.shaky.clear();
        let mut present = BTreeMap::new();
        let mut unreadable = BTreeSet::new();
        let mut manifests = Vec::new();
        for file in files {
            present.insert(file.path.clone(), file.name.clone());
            match file.manifests {
                Ok(found) if found.is_empty() && self.had_objects(&file.name) => {
                    self.miss(&file.path, &file.name, "it is empty", Some(now + GRACE));
                }
                Ok(found) => {
                    self.absent.remove(&file.path);
                    manifests.extend(found);
                }
                Err(why) => {
                    let until = (!file.is_named).then_some(now + GRACE);
                    self.miss(&file.path, &file.name, &why, until);
                    unreadable.insert(file.path);
                }
            }
        }
        for (path, name) in std::mem::take(&mut self.files) {
            if !present.contains_key(&path) && self.had_objects(&name) {
                self.miss(&path, &name, "it is gone", Some(now + GRACE));
            }
        }
        // What is missing with its whole folder is missed as long as the folder is.
        for (path, absent) in &mut self.absent {
            let is_listed = present.contains_key(path);
            absent.until = if path.ancestors().skip(1).any(|folder| unreadable.contains(folder)) {
                None
            } else if is_listed {
                absent.until
            } else {
                absent.until.or(Some(now + GRACE))
            };
        }
        self.files = present;
        self.gathered = gather(manifests);
        for refused in &self.gathered.refused {
            if refused.identity.is_none() {
                let why = "it has a document that cannot be read".to_owned();
                self.shaky.insert(refused.origin.file.to_string(), why);
            }
        }
    }

    fn had_objects(&self, name: &str) -> bool {
        self.good
            .values()
            .any(|good| good.origin.as_ref().is_some_and(|origin| &*origin.file == name))
    }

    fn miss(&mut self, path: &Path, name: &str, why: &str, until: Option<Instant>) {
        let absent = Absent {
            name: name.to_owned(),
            why: why.to_owned(),
            until,
        };
        self.absent.entry(path.to_owned()).or_insert(absent);
    }

    /// The objects to compile: those of the files, and the last good version of what they lost by a mistake.
    pub(super) fn objects(&mut self, now: Instant, paths: &Paths) -> Objects {
        self.absent
            .retain(|_, absent| absent.until.is_none_or(|until| until > now));
        for absent in self.absent.values() {
            self.shaky.insert(absent.name.clone(), absent.why.clone());
        }
        self.stand_ins.clear();
        let mut objects = self.gathered.objects.clone();
        for refused in &self.gathered.refused {
            if let Some(identity) = &refused.identity
                && objects.get(identity).is_none()
                && let Some(good) = self.good.get(identity)
            {
                objects.insert(identity.name.clone(), good.object.clone());
                self.stand_ins.insert(identity.clone());
            }
        }
        for (identity, good) in &self.good {
            let is_shaky = good
                .origin
                .as_ref()
                .is_some_and(|origin| self.shaky.contains_key(&*origin.file));
            if is_shaky && objects.get(identity).is_none() {
                objects.insert(identity.name.clone(), good.object.clone());
                self.stand_ins.insert(identity.clone());
            }
        }
        self.keep_values(&mut objects);
        let refused = self
            .gathered
            .refused
            .iter()
            .filter_map(|refused| Some((refused.identity.as_ref()?, Some(&refused.origin))));
        self.has_client_keys = objects
            .iter()
            .map(|(identity, _)| (identity, self.origin(identity)))
            .chain(refused)
            .any(|(identity, origin)| {
                is_client_key(identity) && !origin.is_some_and(|origin| is_made(origin, paths))
            });
        objects
    }

    /// Where an object was written, now or when it was last good.
    pub(super) fn origin(&self, identity: &Identity) -> Option<&Origin> {
        let former = || self.good.get(identity)?.origin.as_ref();
        self.gathered.origins.get(identity).or_else(former)
    }

    /// Whether something was written under this name, good or bad.
    pub(super) fn is_known(&self, identity: &Identity) -> bool {
        let refused = &self.gathered.refused;
        self.origin(identity).is_some()
            || refused
                .iter()
                .any(|refused| refused.identity.as_ref() == Some(identity))
    }

    /// The objects that were made through the API.
    pub(super) fn made(&self, paths: &Paths) -> BTreeSet<Identity> {
        let good = self.good.keys();
        good.filter(|identity| self.origin(identity).is_some_and(|origin| is_made(origin, paths)))
            .cloned()
            .collect()
    }

    /// A file was deleted on purpose: nothing of what it held stays in use.
    pub(super) fn forget(&mut self, path: &Path) {
        self.absent.remove(path);
        if let Some(name) = self.files.remove(path) {
            let is_of_it = |good: &Good| good.origin.as_ref().is_some_and(|origin| *origin.file == *name);
            self.good.retain(|_, good| !is_of_it(good));
        }
    }

    /// A value of a Secret that cannot be made any more, such as from a file that is being replaced, stays as
    /// it was.
    fn keep_values(&mut self, objects: &mut Objects) {
        let mut changed = Vec::new();
        for (identity, object) in objects.iter() {
            let (
                Object::Secret(values),
                Some(Good {
                    object: Object::Secret(good),
                    ..
                }),
            ) = (object, self.good.get(identity))
            else {
                continue;
            };
            let mut merged = SecretValues::clone(values);
            for (key, value) in &mut merged.values {
                if let (SecretValue::Unexpanded(_), Some(known @ SecretValue::Known(_))) =
                    (&*value, good.values.get(key))
                {
                    *value = known.clone();
                    self.stand_ins.insert(identity.clone());
                }
            }
            if merged != **values {
                changed.push((identity.name.clone(), Object::Secret(Arc::new(merged))));
            }
        }
        objects.extend(changed);
    }

    /// Compiles, puts the last good version in the place of what is not accepted, and remembers what is.
    pub(super) fn settle(&mut self, mut objects: Objects, key: &DigestKey, place: Place) -> Settled {
        let mut compiled = compile(&objects, key, place);
        let mut problems: BTreeMap<Identity, ObjectConditions> = BTreeMap::new();
        loop {
            let mut replaced = Vec::new();
            for object in compiled.conditions.iter().filter(|object| became_bad(object)) {
                problems
                    .entry(object.identity.clone())
                    .or_insert_with(|| object.clone());
                if let Some(good) = self.good.get(&object.identity)
                    && objects.get(&object.identity) != Some(&good.object)
                    && self.stand_ins.insert(object.identity.clone())
                {
                    replaced.push((object.identity.name.clone(), good.object.clone()));
                }
            }
            if replaced.is_empty() {
                break;
            }
            // Each object is replaced at most once, so this ends.
            objects.extend(replaced);
            compiled = compile(&objects, key, place);
        }
        let diagnostics = self.diagnostics(&compiled, &problems);
        self.remember(&objects, &compiled);
        Settled {
            compiled,
            diagnostics,
        }
    }

    fn remember(&mut self, objects: &Objects, compiled: &Compiled) {
        let bad: BTreeSet<&Identity> = compiled
            .conditions
            .iter()
            .filter(|object| became_bad(object))
            .map(|object| &object.identity)
            .collect();
        let mut good = BTreeMap::new();
        for (identity, object) in objects.iter().filter(|(identity, _)| !bad.contains(identity)) {
            let former = self.good.remove(identity).and_then(|good| good.origin);
            let origin = self.gathered.origins.get(identity).cloned().or(former);
            good.insert(
                identity.clone(),
                Good {
                    object: object.clone(),
                    origin,
                },
            );
        }
        self.good = good;
    }

    fn diagnostics(
        &self,
        compiled: &Compiled,
        problems: &BTreeMap<Identity, ObjectConditions>,
    ) -> BTreeSet<String> {
        let mut lines = BTreeSet::new();
        for (file, why) in &self.shaky {
            lines.insert(format!(
                "{file}: {why}; objects that it held keep their last good version"
            ));
        }
        for refused in &self.gathered.refused {
            lines.insert(self.refused(refused));
        }
        let bad = compiled
            .conditions
            .iter()
            .filter(|object| !problems.contains_key(&object.identity));
        for object in problems.values().chain(bad) {
            for condition in object.conditions.iter().filter(|condition| !condition.status) {
                let reason = condition.reason;
                let message = &condition.message;
                let place = self.place(&object.identity);
                let remark = self.remark(&object.identity);
                lines.insert(format!("{place}{}: {reason}: {message}{remark}", object.identity));
            }
        }
        lines
    }

    fn refused(&self, refused: &Refused) -> String {
        let condition = refused.condition();
        let (reason, message) = (condition.reason, condition.message);
        match &refused.identity {
            Some(identity) if reason == Reason::DuplicateName => format!("{identity}: {reason}: {message}"),
            Some(identity) => {
                let remark = self.remark(identity);
                format!("{}: {identity}: {reason}: {message}{remark}", refused.origin)
            }
            None => format!("{}: {reason}: {message}", refused.origin),
        }
    }

    fn place(&self, identity: &Identity) -> String {
        let origin = self.gathered.origins.get(identity);
        origin.map_or_else(String::new, |origin| format!("{origin}: "))
    }

    fn remark(&self, identity: &Identity) -> &'static str {
        if self.stand_ins.contains(identity) {
            "; its last good version stays in use"
        } else {
            ""
        }
    }
}

fn is_made(origin: &Origin, paths: &Paths) -> bool {
    paths.is_made(Path::new(&*origin.file))
}

/// Whether a former version serves better: it is not valid, or names something that only files expand.
fn became_bad(object: &ObjectConditions) -> bool {
    let is_refused = object
        .get(ConditionType::Accepted)
        .is_some_and(|accepted| !accepted.status);
    let is_unexpanded = object
        .get(ConditionType::ResolvedRefs)
        .is_some_and(|resolved| resolved.reason == Reason::UnexpandedVariable);
    is_refused || is_unexpanded
}
