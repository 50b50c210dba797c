//! YAML with line numbers, read the way `kubectl` reads it.

use std::{collections::HashMap, fmt};

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

/// Deeper nesting is refused; our kinds need less than ten levels.
const MAX_DEPTH: usize = 48;
/// More nodes in one document are refused, which also bounds what aliases may repeat.
const MAX_NODES: usize = 100_000;

/// A value and the line that it starts on. Not printable: it may hold a Secret's values.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) line: u32,
    pub(crate) content: Content,
}

#[derive(Clone)]
pub(crate) enum Content {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One member of a map.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) line: u32,
    pub(crate) value: Node,
}

/// Why a text is not YAML that can be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) line: u32,
    pub(crate) message: String,
}

impl Node {
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match &self.content {
            Content::Map(entries) => entries
                .iter()
                .find(|entry| entry.key == key)
                .map(|entry| &entry.value),
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        match &mut self.content {
            Content::Map(entries) => entries
                .iter_mut()
                .find(|entry| entry.key == key)
                .map(|entry| &mut entry.value),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The node at a path such as `spec.headers[0].name`, or the last one of the path that exists.
    pub(crate) fn nearest(&self, path: &str) -> &Self {
        let mut node = self;
        for step in path.split(['.', '[', ']']).filter(|step| !step.is_empty()) {
            let next = match &node.content {
                Content::List(items) => step.parse::<usize>().ok().and_then(|index| items.get(index)),
                _ => node.get(step),
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node
    }

    fn count(&self) -> usize {
        1 + match &self.content {
            Content::List(items) => items.iter().map(Self::count).sum(),
            Content::Map(entries) => entries.iter().map(|entry| entry.value.count()).sum(),
            _ => 0,
        }
    }
}

impl Content {
    /// What it is, in words, without the value.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Boolean(_) => "a boolean",
            Self::Integer(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at line {}", self.content.name(), self.line)
    }
}

/// Splits a text at its document markers and reads each part by itself, so that a mistake in one leaves
/// the others alone. Empty documents are left out.
pub(crate) fn documents(text: &str) -> Vec<Result<Node, Malformed>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut documents = Vec::new();
    for (first_line, part) in parts(text) {
        if part.lines().all(is_silent) {
            continue;
        }
        match read(part, first_line) {
            Ok(nodes) => documents.extend(nodes.into_iter().map(Ok)),
            Err(malformed) => documents.push(Err(malformed)),
        }
    }
    documents
}

/// A line that starts with `---` begins a document wherever it stands: YAML allows it nowhere else.
fn parts(text: &str) -> Vec<(u32, &str)> {
    let mut parts = Vec::new();
    let (mut start, mut start_line) = (0, 1);
    let mut at = 0;
    for (line, number) in text.split_inclusive('\n').zip(1u32..) {
        let marker = line.strip_prefix("---");
        if at > start
            && marker.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
        {
            parts.push((start_line, &text[start..at]));
            (start, start_line) = (at, number);
        }
        at += line.len();
    }
    parts.push((start_line, &text[start..]));
    parts
}

fn is_silent(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with(['#', '%']) || line == "---" || line == "..."
}

fn read(text: &str, first_line: u32) -> Result<Vec<Node>, Malformed> {
    let mut builder = Builder {
        offset: first_line - 1,
        last: last_line(text),
        documents: Vec::new(),
        open: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
    };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| Malformed {
            line: builder.line(error.marker().line()),
            message: match tab_indented(text) {
                Some(line) => format!(
                    "a tab is used for indentation at line {}; YAML takes spaces only",
                    builder.line(line)
                ),
                None => error.info().to_owned(),
            },
        })?;
        builder.take(event, span.start.line())?;
    }
    Ok(builder.documents)
}

/// The last line with something on it.
fn last_line(text: &str) -> usize {
    let text = text.trim_end();
    1 + text.matches(['\n', '\r']).count() - text.matches("\r\n").count()
}

fn tab_indented(text: &str) -> Option<usize> {
    let has_tab = |line: &str| {
        let indentation = line.len() - line.trim_start_matches([' ', '\t']).len();
        line[..indentation].contains('\t')
    };
    text.lines().position(has_tab).map(|index| index + 1)
}

/// Builds nodes from events without recursion.
struct Builder {
    offset: u32,
    /// The parser finds what is missing (an end, a value after `?`) behind this line, where there may be none.
    last: usize,
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

/// A collection that has not ended.
struct Open {
    node: Node,
    anchor: usize,
    /// In a map: the key that waits for its value.
    key: Option<(String, u32)>,
}

impl Builder {
    fn line(&self, line: usize) -> u32 {
        u32::try_from(line.min(self.last))
            .unwrap_or(u32::MAX)
            .max(1)
            .saturating_add(self.offset)
    }

    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), Malformed> {
        let line = self.line(line);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                // A key is taken as written, whatever it would be as a value.
                let is_key = self.expects_key();
                let content = if is_key {
                    Content::Text(text.into_owned())
                } else {
                    scalar(&text, style, tag.as_deref()).map_err(|message| Malformed { line, message })?
                };
                let node = Node { line, content };
                self.keep(anchor, &node)?;
                self.place(node)
            }
            Event::SequenceStart(anchor, _) => self.begin(line, Content::List(Vec::new()), anchor),
            Event::MappingStart(anchor, _) => self.begin(line, Content::Map(Vec::new()), anchor),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(open) => {
                    self.keep(open.anchor, &open.node)?;
                    self.place(open.node)
                }
                None => Ok(()),
            },
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(node) => {
                    self.charge(node.count(), line)?;
                    self.place(node)
                }
                None => Err(Malformed {
                    line,
                    message: "an alias refers to the value that it is part of".to_owned(),
                }),
            },
            Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::StreamStart
            | Event::StreamEnd
            | Event::Nothing => Ok(()),
        }
    }

    fn expects_key(&self) -> bool {
        self.open
            .last()
            .is_some_and(|open| matches!(open.node.content, Content::Map(_)) && open.key.is_none())
    }

    /// Remembers a node with an anchor; the copy counts, or nested anchors would be free.
    fn keep(&mut self, anchor: usize, node: &Node) -> Result<(), Malformed> {
        if anchor > 0 {
            self.charge(node.count(), node.line)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(())
    }

    fn charge(&mut self, nodes: usize, line: u32) -> Result<(), Malformed> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES {
            return Err(Malformed {
                line,
                message: format!("more than {MAX_NODES} values in one document"),
            });
        }
        Ok(())
    }

    fn begin(&mut self, line: u32, content: Content, anchor: usize) -> Result<(), Malformed> {
        if self.expects_key() {
            return Err(Malformed {
                line,
                message: "a key must be a string".to_owned(),
            });
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(Malformed {
                line,
                message: format!("nested more than {MAX_DEPTH} levels deep"),
            });
        }
        self.open.push(Open {
            node: Node { line, content },
            anchor,
            key: None,
        });
        Ok(())
    }

    fn place(&mut self, node: Node) -> Result<(), Malformed> {
        self.charge(1, node.line)?;
        let Some(open) = self.open.last_mut() else {
            self.documents.push(node);
            return Ok(());
        };
        match &mut open.node.content {
            Content::List(items) => items.push(node),
            Content::Map(entries) => match open.key.take() {
                Some((key, line)) => entries.push(Entry {
                    key,
                    line,
                    value: node,
                }),
                None => open.key = Some(new_key(entries, node)?),
            },
            _ => {}
        }
        Ok(())
    }
}

fn new_key(entries: &[Entry], node: Node) -> Result<(String, u32), Malformed> {
    let line = node.line;
    let message = match node.content {
        Content::Text(key) => match entries.iter().find(|entry| entry.key == key) {
            None => return Ok((key, line)),
            Some(first) => format!("duplicate key `{key}`, first at line {}", first.line),
        },
        _ => "a key must be a string".to_owned(),
    };
    Err(Malformed { line, message })
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Content, String> {
    match tag {
        None if style == ScalarStyle::Plain => Ok(plain(text)),
        None => Ok(Content::Text(text.to_owned())),
        Some(tag) if tag.is_yaml_core_schema() => match tag.suffix.as_str() {
            "str" => Ok(Content::Text(text.to_owned())),
            "int" | "float" | "bool" | "null" => Ok(plain(text)),
            other => Err(format!("the tag `!!{other}` is not supported")),
        },
        Some(_) => Err("tags are not supported".to_owned()),
    }
}

/// Gives a plain scalar its type by YAML 1.1, as `kubectl` does: `yes`, `on` and `n` are booleans there.
fn plain(text: &str) -> Content {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Content::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "y" | "Y" | "on" | "On" | "ON" => {
            return Content::Boolean(true);
        }
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "n" | "N" | "off" | "Off" | "OFF" => {
            return Content::Boolean(false);
        }
        _ => {}
    }
    if let Some(number) = integer(text) {
        return Content::Integer(number);
    }
    match text.parse::<f64>() {
        Ok(number) if text.bytes().any(|byte| byte.is_ascii_digit()) && number.is_finite() => {
            Content::Float(number)
        }
        _ => Content::Text(text.to_owned()),
    }
}

fn integer(text: &str) -> Option<i64> {
    if !text.starts_with(|first: char| first.is_ascii_digit() || first == '-' || first == '+') {
        return None;
    }
    let digits = text.replace('_', "");
    let (sign, digits) = match digits.strip_prefix(['-', '+']) {
        Some(rest) if digits.starts_with('-') => ("-", rest),
        Some(rest) => ("", rest),
        None => ("", digits.as_str()),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x', ..] => (16, &digits[2..]),
        [b'0', b'o', ..] => (8, &digits[2..]),
        [b'0', b'b', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.starts_with(|first: char| first.is_digit(radix)) {
        return None;
    }
    i64::from_str_radix(&format!("{sign}{digits}"), radix).ok()
}

#[cfg(test)]
mod tests;
