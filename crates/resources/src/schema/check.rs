//! Checks an object of a file as an API server would: structure, then CEL rules on the object with its
//! defaults. The defaults themselves come from the types, which the schema has them from.

use std::{collections::BTreeMap, sync::LazyLock};

use kube_cel::{CompiledSchema, Validator, compile_schema};
use regex::Regex;
use serde_json::{Map, Value, json};

use super::{
    schema_of,
    shape::{Shape, Unique},
};
use crate::{
    Kind, Reason,
    kinds::{
        DURATION, HEADER_NAME, MODEL_NAME, MODEL_PATTERN, SECRET_KEY, SECRET_NAME, TIME_OF_DAY, WINDOW_NAME,
    },
    manifest::{
        Problem,
        yaml::{Content, Node},
    },
};

/// More problems of one object say nothing new.
const MAX_PROBLEMS: usize = 20;

/// The checks of all kinds, made ready once.
pub(crate) struct Checker {
    kinds: BTreeMap<Kind, (Shape, CompiledSchema)>,
    validator: Validator,
}

impl Checker {
    pub(crate) fn new() -> Self {
        let ready = |kind| {
            let schema = schema_of(kind)?;
            let spec = Shape::new(&schema["properties"]["spec"]);
            Some((kind, (spec, compile_schema(&schema))))
        };
        Self {
            kinds: Kind::ALL.into_iter().filter_map(ready).collect(),
            validator: Validator::new(),
        }
    }

    /// The spec as written, or what is wrong with it. Rules about changes are left out: a file
    /// has no former version.
    pub(crate) fn spec(&self, kind: Kind, name: &str, document: &Node) -> Result<Value, Vec<Problem>> {
        let Some((shape, rules)) = self.kinds.get(&kind) else {
            return Ok(Value::Null);
        };
        let mut problems = Problems::default();
        let Some(spec) = document.get("spec") else {
            problems.add(document.line, "spec", "is required".to_owned());
            return Err(problems.0);
        };
        let value = problems.value(shape, spec, "spec");
        if problems.0.is_empty() {
            let object = json!({
                "apiVersion": kind.api_version(),
                "kind": kind.as_str(),
                "metadata": {"name": name},
                "spec": value,
            });
            problems.rules(&self.validator, rules, &object, document);
            if problems.0.is_empty() {
                return Ok(value);
            }
        }
        Err(problems.0)
    }
}

#[cfg(test)]
impl Checker {
    /// Rules that do not compile, at any depth.
    pub(super) fn rule_errors(&self) -> Vec<String> {
        fn collect(schema: &CompiledSchema, errors: &mut Vec<String>) {
            errors.extend(schema.compilation_errors().iter().map(ToString::to_string));
            let children = schema.properties.values().chain(schema.items.as_deref());
            for child in children.chain(schema.additional_properties.as_deref()) {
                collect(child, errors);
            }
        }
        let mut errors = Vec::new();
        for (_, rules) in self.kinds.values() {
            collect(rules, &mut errors);
        }
        errors
    }
}

#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, line: u32, path: &str, message: String) {
        if self.0.len() < MAX_PROBLEMS {
            self.0.push(Problem {
                reason: Reason::InvalidSpec,
                line,
                path: path.to_owned(),
                message,
            });
        }
    }

    fn rules(&mut self, validator: &Validator, rules: &CompiledSchema, object: &Value, document: &Node) {
        let Err(errors) = validator.validate_compiled(rules, object, None) else {
            return;
        };
        for error in errors.into_vec() {
            let line = document.nearest(&error.field_path).line;
            self.add(line, &error.field_path, error.message);
        }
    }

    fn value(&mut self, shape: &Shape, node: &Node, path: &str) -> Value {
        match (shape, &node.content) {
            (Shape::Object { properties, required }, Content::Map(_)) => {
                self.object(properties, required, node, path)
            }
            (Shape::Map { values, min, max }, Content::Map(entries)) => {
                self.size(node.line, path, "entries", entries.len(), *min, *max);
                let mut map = Map::new();
                for entry in entries {
                    let path = format!("{path}.{}", entry.key);
                    map.insert(entry.key.clone(), self.value(values, &entry.value, &path));
                }
                Value::Object(map)
            }
            (
                Shape::List {
                    items,
                    min,
                    max,
                    unique,
                },
                Content::List(nodes),
            ) => {
                self.size(node.line, path, "items", nodes.len(), *min, *max);
                let values: Vec<Value> = nodes
                    .iter()
                    .enumerate()
                    .map(|(index, node)| self.value(items, node, &format!("{path}[{index}]")))
                    .collect();
                self.unique(unique, &values, nodes, path);
                Value::Array(values)
            }
            (Shape::Text { .. }, Content::Text(text)) => {
                self.text(shape, text, node.line, path);
                Value::String(text.clone())
            }
            (Shape::Integer { min, max }, Content::Integer(number)) => {
                self.integer(*number, *min, *max, node.line, path);
                json!(number)
            }
            #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small")]
            (Shape::Integer { min, max }, Content::Float(number))
                if number.fract() == 0.0 && number.abs() < 1e15 =>
            {
                self.integer(*number as i64, *min, *max, node.line, path);
                json!(*number as i64)
            }
            (Shape::Boolean, Content::Boolean(value)) => json!(value),
            (shape, content) => {
                self.wrong_type(shape, content, node.line, path);
                Value::Null
            }
        }
    }

    fn wrong_type(&mut self, shape: &Shape, found: &Content, line: u32, path: &str) {
        let expected = match shape {
            Shape::Object { .. } | Shape::Map { .. } => "a map",
            Shape::List { .. } => "a list",
            Shape::Text { .. } => "a string",
            Shape::Integer { .. } => "a whole number",
            Shape::Boolean => "true or false",
            Shape::Any => return,
        };
        let hint = match (shape, found) {
            (Shape::Text { .. }, Content::Boolean(_) | Content::Integer(_) | Content::Float(_)) => {
                "; put it in quotes"
            }
            (Shape::Integer { .. } | Shape::Boolean, Content::Text(_)) => "; write it without quotes",
            _ => "",
        };
        let found = found.name();
        self.add(line, path, format!("expected {expected}, found {found}{hint}"));
    }

    fn object(
        &mut self,
        properties: &BTreeMap<String, Shape>,
        required: &[String],
        node: &Node,
        path: &str,
    ) -> Value {
        let mut object = Map::new();
        let Content::Map(entries) = &node.content else {
            return Value::Object(object);
        };
        for entry in entries {
            let path = format!("{path}.{}", entry.key);
            match properties.get(&entry.key) {
                // Like an API server: nothing is the same as not there.
                Some(_) if matches!(entry.value.content, Content::Null) => {}
                Some(shape) => {
                    object.insert(entry.key.clone(), self.value(shape, &entry.value, &path));
                }
                None => {
                    let known: Vec<&str> = properties.keys().map(String::as_str).collect();
                    self.add(
                        entry.line,
                        &path,
                        format!("unknown field; the fields here are {}", known.join(", ")),
                    );
                }
            }
        }
        for name in required {
            if !object.contains_key(name) {
                self.add(node.line, &format!("{path}.{name}"), "is required".to_owned());
            }
        }
        Value::Object(object)
    }

    fn size(&mut self, line: u32, path: &str, what: &str, size: usize, min: usize, max: usize) {
        if size < min {
            self.add(
                line,
                path,
                format!("found {size} {what}, expected at least {min}"),
            );
        }
        if size > max {
            self.add(line, path, format!("found {size} {what}, expected at most {max}"));
        }
    }

    fn integer(&mut self, number: i64, min: i64, max: i64, line: u32, path: &str) {
        if number < min || number > max {
            self.add(
                line,
                path,
                format!("expected a number from {min} to {max}, found {number}"),
            );
        }
    }

    fn text(&mut self, shape: &Shape, text: &str, line: u32, path: &str) {
        let Shape::Text {
            min,
            max,
            pattern,
            one_of,
            is_time,
        } = shape
        else {
            return;
        };
        let length = text.chars().count();
        self.size(line, path, "characters", length, *min, *max);
        if !one_of.is_empty() && !one_of.iter().any(|known| known == text) {
            let shown: String = text.chars().take(40).collect();
            self.add(
                line,
                path,
                format!("expected one of {}, found `{shown}`", one_of.join(", ")),
            );
        }
        if let Some(pattern) = pattern
            && length >= *min
            && !pattern.is_match(text)
        {
            self.add(line, path, in_words(pattern.as_str()));
        }
        if *is_time && !self::is_time(text) {
            self.add(
                line,
                path,
                "expected a time such as 2027-01-31T00:00:00Z".to_owned(),
            );
        }
    }

    fn unique(&mut self, unique: &Unique, values: &[Value], nodes: &[Node], path: &str) {
        let key_of = |value: &Value| -> Vec<Value> {
            match unique {
                Unique::No => Vec::new(),
                Unique::Items => vec![value.clone()],
                Unique::Keys(keys) => keys.iter().map(|key| value[key].clone()).collect(),
            }
        };
        if matches!(unique, Unique::No) {
            return;
        }
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        for (index, (value, node)) in values.iter().zip(nodes).enumerate() {
            let key = Value::Array(key_of(value)).to_string();
            match seen.get(&key) {
                Some(first) => {
                    self.add(
                        node.line,
                        &format!("{path}[{index}]"),
                        format!("is there twice, first at line {first}"),
                    );
                }
                None => {
                    seen.insert(key, node.line);
                }
            }
        }
    }
}

/// How RFC 3339 writes a time. Others read as a time too (one without seconds, or with a zone's name), but not to an API
/// server.
static RFC_3339: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?i)^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$",
    )
    .expect("the pattern is constant and tested")
});

fn is_time(text: &str) -> bool {
    RFC_3339.is_match(text) && text.parse::<jiff::Timestamp>().is_ok()
}

/// What a pattern asks for, in words where it is a common one.
fn in_words(pattern: &str) -> String {
    match pattern {
        DURATION => "expected a duration such as 30s, 500ms or 1h30m".to_owned(),
        MODEL_PATTERN => "expected a name without spaces".to_owned(),
        MODEL_NAME => "expected a name without spaces and `*`".to_owned(),
        HEADER_NAME => "expected the name of a header".to_owned(),
        TIME_OF_DAY => "expected a time of day such as 09:00".to_owned(),
        SECRET_NAME => {
            "expected the name of a Secret: lower case letters, digits, `-` and `.`, with a letter or digit at both ends"
                .to_owned()
        }
        SECRET_KEY => "expected a key of a Secret: letters, digits, `-`, `_` and `.`".to_owned(),
        WINDOW_NAME => {
            "expected lower case letters, digits and `-`, with a letter or digit at both ends".to_owned()
        }
        other => format!("does not match {other}"),
    }
}
