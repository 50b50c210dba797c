//! What an API server takes for names and labels.

/// Whether this is a DNS label, or with `dots` one or more of them, of at most `max` bytes together.
pub(super) fn is_dns_name(text: &str, dots: bool, max: usize) -> bool {
    let is_label = |label: &str| {
        label
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= max
        && if dots {
            text.split('.').all(is_label)
        } else {
            is_label(text)
        }
}

/// Whether a label can have this key: a name, after a domain and `/` or alone.
pub(super) fn is_label_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((domain, name)) => is_dns_name(domain, true, 253) && is_label_name(name),
        None => is_label_name(text),
    }
}

/// Whether a label can have this value: a name or nothing.
pub(super) fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_label_name(text)
}

fn is_label_name(text: &str) -> bool {
    let at_ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && at_ends(bytes.first())
        && at_ends(bytes.last())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}
