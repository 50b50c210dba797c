//! Looks for secrets in whatever form somebody may have written them.

use std::{collections::BTreeMap, fmt::Write as _, fs, process::Command};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use tempfile::TempDir;

/// How much of a secret is looked for, in bytes: a piece of it is too much too.
const PIECE: usize = 12;

/// What must not be found, by each form that it may have.
#[derive(Default)]
pub(crate) struct Canaries {
    forms: BTreeMap<String, String>,
}

impl Canaries {
    /// From now on pieces of this are looked for: one from the middle and the last. What it begins with may be told.
    pub(crate) fn add(&mut self, name: &str, secret: impl AsRef<[u8]>) {
        let secret = secret.as_ref();
        assert!(
            secret.len() >= 2 * PIECE,
            "{name} is too short to be recognised by its pieces"
        );
        for start in [secret.len() / 2 - PIECE / 2, secret.len() - PIECE] {
            let piece = &secret[start..start + PIECE];
            for form in forms(piece) {
                self.forms.insert(form, name.to_owned());
            }
        }
    }

    /// What is found in a text: which secret, in which form, and in which line.
    pub(crate) fn in_text(&self, text: &str) -> Vec<String> {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let (patterns, place) = (folder.path().join("patterns"), folder.path().join("text"));
        let forms: Vec<&str> = self.forms.keys().map(String::as_str).collect();
        fs::write(&patterns, forms.join("\n")).expect("the folder is writable");
        fs::write(&place, text).expect("the folder is writable");
        // It looks for thousands of forms in megabytes at once.
        let grep = Command::new("grep")
            .args([
                "--text",
                "--line-number",
                "--only-matching",
                "--fixed-strings",
                "--file",
            ])
            .args([patterns, place])
            .env("LC_ALL", "C")
            .output()
            .expect("grep starts");
        let failed = String::from_utf8_lossy(&grep.stderr);
        assert!(grep.status.code().is_some_and(|code| code <= 1), "grep: {failed}");
        let found = String::from_utf8_lossy(&grep.stdout);
        let lines: Vec<&str> = text.split('\n').collect();
        found
            .lines()
            .filter_map(|found| {
                let (line, form) = found.split_once(':')?;
                let name = self.forms.get(form)?;
                let line = lines[line.parse::<usize>().ok()? - 1];
                Some(format!(
                    "{name} as {form}: {}",
                    line.chars().take(600).collect::<String>()
                ))
            })
            .collect()
    }
}

/// How a piece of a secret may be written.
fn forms(piece: &[u8]) -> Vec<String> {
    let each = |write: &dyn Fn(&mut String, u8)| {
        let mut text = String::new();
        for byte in piece {
            write(&mut text, *byte);
        }
        text
    };
    let listed = |separator: &str| {
        let numbers: Vec<String> = piece.iter().map(u8::to_string).collect();
        numbers.join(separator)
    };
    let mut forms = vec![
        each(&|text, byte| _ = write!(text, "{byte:02x}")),
        each(&|text, byte| _ = write!(text, "{byte:02X}")),
        each(&|text, byte| _ = write!(text, "%{byte:02x}")),
        each(&|text, byte| _ = write!(text, "%{byte:02X}")),
        each(&|text, byte| _ = write!(text, "\\x{byte:02x}")),
        listed(", "),
        listed(","),
        listed(" "),
    ];
    // Whatever is in front, one of three pieces begins where a group of base64 does.
    for begin in 0..3 {
        let end = begin + (piece.len() - begin) / 3 * 3;
        forms.push(STANDARD_NO_PAD.encode(&piece[begin..end]));
        forms.push(URL_SAFE_NO_PAD.encode(&piece[begin..end]));
    }
    if piece.is_ascii() && !piece.iter().any(u8::is_ascii_control) {
        forms.push(String::from_utf8_lossy(piece).into_owned());
    }
    forms
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};

    use super::Canaries;

    #[test]
    fn secrets_are_found_in_every_form_and_nothing_else_is() {
        let secret = "sk-canary-Zq7Xw2Vt9Lk4Rb8Nd3Hs6Gf";
        let mut canaries = Canaries::default();
        canaries.add("it", secret);
        let hex: String = secret
            .bytes()
            .flat_map(|byte| format!("{byte:02x}").into_bytes())
            .map(char::from)
            .collect();
        for text in [
            secret.to_owned(),
            format!("…{}", &secret[15..]),
            STANDARD.encode(secret),
            STANDARD.encode(format!("Bearer {secret}")),
            STANDARD.encode(format!("x:{secret}!!")),
            format!("{:?}", secret.as_bytes()),
            serde_json::to_string(secret.as_bytes()).unwrap(),
            hex.to_uppercase(),
            hex,
        ] {
            let found = canaries.in_text(&format!("first line\n{text}\n"));
            assert!(!found.is_empty(), "{text}");
            assert!(found[0].starts_with("it as "), "{found:?}");
        }
        assert!(canaries.in_text("sk-canary-and nothing else").is_empty());
    }
}
