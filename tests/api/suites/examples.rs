//! The files that people start from are what an API server takes.

use std::{fs, path::Path};

use cluster::ApiServer;
use tempfile::NamedTempFile;

#[test]
fn example_files_are_applied() {
    let root = harness::repository();
    let mut files = Vec::new();
    for folder in ["deploy/local", "deploy/local/demo"] {
        for entry in fs::read_dir(root.join(folder)).expect("the folder is there") {
            let path = entry.expect("the folder can be read").path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                files.push(path);
            }
        }
    }
    assert!(files.len() >= 2, "{files:?}");
    let server = ApiServer::shared();
    server.namespace("example-files");
    for file in files {
        apply(server, "example-files", &file, &file.display().to_string());
    }
}

#[test]
fn whole_objects_in_the_documentation_are_applied() {
    let root = harness::repository();
    let mut pages = vec![root.join("README.md")];
    for entry in fs::read_dir(root.join("docs")).expect("the folder is there") {
        let path = entry.expect("the folder can be read").path();
        if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
    let server = ApiServer::shared();
    server.namespace("documentation");
    let mut blocks = 0;
    for page in pages {
        let text = fs::read_to_string(&page).expect("the page can be read");
        for block in text.split("```yaml\n").skip(1) {
            let (block, _) = block.split_once("```").expect("a block ends");
            // The others are pieces of an object.
            if !block.starts_with("apiVersion: ") {
                continue;
            }
            blocks += 1;
            let file = NamedTempFile::new().expect("a temporary file can be made");
            fs::write(file.path(), block).expect("the file is writable");
            apply(
                server,
                "documentation",
                file.path(),
                &format!("{}:\n{block}", page.display()),
            );
        }
    }
    assert!(blocks >= 5, "only {blocks} blocks were seen");
}

fn apply(server: &ApiServer, namespace: &str, file: &Path, what: &str) {
    let file = file.to_str().expect("the path is text");
    let applied = server.try_kubectl(&["apply", "--validate=strict", "--namespace", namespace, "-f", file]);
    assert!(applied.success, "{what}: {}", applied.error);
    assert!(!applied.error.contains("Warning"), "{what}: {}", applied.error);
}
