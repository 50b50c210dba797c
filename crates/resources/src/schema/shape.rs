//! A schema taken apart once, so that checking an object needs no lookups by text.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

/// What a value must look like.
pub(super) enum Shape {
    Object {
        properties: BTreeMap<String, Self>,
        required: Vec<String>,
    },
    Map {
        values: Box<Self>,
        min: usize,
        max: usize,
    },
    List {
        items: Box<Self>,
        min: usize,
        max: usize,
        unique: Unique,
    },
    Text {
        min: usize,
        max: usize,
        pattern: Option<Regex>,
        one_of: Vec<String>,
        is_time: bool,
    },
    Integer {
        min: i64,
        max: i64,
    },
    Boolean,
    /// Not checked here.
    Any,
}

/// What may not occur twice in a list.
pub(super) enum Unique {
    No,
    Items,
    Keys(Vec<String>),
}

impl Shape {
    pub(super) fn new(schema: &Value) -> Self {
        let texts = |key: &str| -> Vec<String> {
            let list = schema[key].as_array().into_iter().flatten();
            list.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let size = |key: &str| schema[key].as_u64().and_then(|size| usize::try_from(size).ok());
        match schema["type"].as_str().unwrap_or_default() {
            "object" if schema.get("additionalProperties").is_some() => Self::Map {
                values: Box::new(Self::new(&schema["additionalProperties"])),
                min: size("minProperties").unwrap_or(0),
                max: size("maxProperties").unwrap_or(usize::MAX),
            },
            "object" => {
                let properties = schema["properties"].as_object().into_iter().flatten();
                Self::Object {
                    properties: properties
                        .map(|(name, schema)| (name.clone(), Self::new(schema)))
                        .collect(),
                    required: texts("required"),
                }
            }
            "array" => Self::List {
                items: Box::new(Self::new(&schema["items"])),
                min: size("minItems").unwrap_or(0),
                max: size("maxItems").unwrap_or(usize::MAX),
                unique: match schema["x-kubernetes-list-type"].as_str() {
                    Some("set") => Unique::Items,
                    Some("map") => Unique::Keys(texts("x-kubernetes-list-map-keys")),
                    _ => Unique::No,
                },
            },
            "string" => Self::Text {
                min: size("minLength").unwrap_or(0),
                max: size("maxLength").unwrap_or(usize::MAX),
                pattern: schema["pattern"].as_str().and_then(|text| Regex::new(text).ok()),
                one_of: texts("enum"),
                is_time: schema["format"] == "date-time",
            },
            "integer" => Self::Integer {
                min: schema["minimum"].as_i64().unwrap_or(i64::MIN),
                max: schema["maximum"].as_i64().unwrap_or(i64::MAX),
            },
            "boolean" => Self::Boolean,
            _ => Self::Any,
        }
    }
}
