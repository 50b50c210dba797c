//! Variables and files in values: `${NAME}`, `${NAME:-default}`, `${file:PATH}`.

/// Where the values of variables and files come from.
pub trait Surroundings {
    /// The value of an environment variable; `None` when it is not set.
    fn variable(&mut self, name: &str) -> Option<String>;

    /// The content of a file, its path as written. The error says why it cannot be read.
    fn file(&mut self, path: &str) -> Result<Vec<u8>, String>;
}

/// A value that could not be made because something that it names is not there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Missing(pub(super) String);

/// A piece of a text.
enum Piece<'a> {
    Literal(&'a str),
    Variable {
        name: &'a str,
        default: Option<&'a str>,
    },
    File(&'a str),
    /// `${` that begins none of the forms.
    Malformed,
}

/// Puts values in the place of the references in `text`. `$${` stands for `${`.
///
/// Newlines at the end of a file are not part of its value.
pub(super) fn expand(text: &str, surroundings: &mut dyn Surroundings) -> Result<String, Missing> {
    let mut expanded = String::new();
    let mut missing = Vec::new();
    for piece in pieces(text) {
        match piece {
            Piece::Literal(text) => expanded.push_str(text),
            Piece::Variable { name, default } => {
                let value = surroundings.variable(name);
                match (value.filter(|value| default.is_none() || !value.is_empty()), default) {
                    (Some(value), _) => expanded.push_str(&value),
                    (None, Some(default)) => expanded.push_str(default),
                    (None, None) => missing.push(format!("the variable {name} is not set")),
                }
            }
            Piece::File(path) => match surroundings.file(path).map(String::from_utf8) {
                Ok(Ok(value)) => expanded.push_str(value.trim_end_matches(['\r', '\n'])),
                Ok(Err(_)) => missing.push(format!("the file {path} is not UTF-8 text")),
                Err(why) => missing.push(format!("the file {path} cannot be read: {why}")),
            },
            Piece::Malformed => missing.push(
                "`${` must begin ${NAME}, ${NAME:-default} or ${file:PATH}; write `$${` for the characters themselves"
                    .to_owned(),
            ),
        }
    }
    if missing.is_empty() {
        Ok(expanded)
    } else {
        Err(Missing(missing.join(", ")))
    }
}

/// The first variable or file that `text` names, as `${NAME}` or `${file:PATH}`, without a default.
pub(crate) fn first_reference(text: &str) -> Option<String> {
    pieces(text).into_iter().find_map(|piece| match piece {
        Piece::Variable { name, .. } => Some(format!("${{{name}}}")),
        Piece::File(path) => Some(format!("${{file:{path}}}")),
        Piece::Literal(_) | Piece::Malformed => None,
    })
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            pieces.push(Piece::Literal(&rest[..at - 1]));
            pieces.push(Piece::Literal("${"));
            rest = &rest[at + 2..];
            continue;
        }
        pieces.push(Piece::Literal(&rest[..at]));
        let inside = &rest[at + 2..];
        let Some(end) = inside.find('}') else {
            pieces.push(Piece::Malformed);
            return pieces;
        };
        pieces.push(reference(&inside[..end]));
        rest = &inside[end + 1..];
    }
    pieces.push(Piece::Literal(rest));
    pieces
}

fn reference(inside: &str) -> Piece<'_> {
    if let Some(path) = inside.strip_prefix("file:") {
        return if path.is_empty() {
            Piece::Malformed
        } else {
            Piece::File(path)
        };
    }
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let starts_well = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    if starts_well
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        Piece::Variable { name, default }
    } else {
        Piece::Malformed
    }
}

#[cfg(test)]
mod tests;
