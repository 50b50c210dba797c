//! `roundhouse-operator crds`: prints the definitions of all resources.

use std::io::Write;

use anyhow::Context;

/// Writes the definitions to `out`, one YAML document each: what is in `deploy/crds`.
pub fn run(out: &mut impl Write) -> anyhow::Result<()> {
    for definition in resources::schema::definitions() {
        let text = serde_saphyr::to_string(&definition).context("a definition cannot be written as YAML")?;
        write!(out, "---\n{text}")?;
    }
    out.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    #[test]
    fn what_is_printed_is_what_is_in_the_files() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/crds");
        let mut files: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        let mut expected = String::new();
        for file in files {
            let text = fs::read_to_string(file).unwrap();
            let (_, definition) = text.split_once('\n').unwrap();
            expected.push_str("---\n");
            expected.push_str(definition);
        }
        let mut printed = Vec::new();
        super::run(&mut printed).unwrap();
        assert_eq!(String::from_utf8(printed).unwrap(), expected);
    }
}
