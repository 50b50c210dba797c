//! Generation and repository checks: `cargo xtask generate [--check]`.

mod generate;
mod values;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask generate [--check]

  generate          writes the definitions of the resources, from their types, and the table of the chart's values
  generate --check  fails when one of these files is not what would be written";

#[expect(clippy::print_stderr, reason = "a tool for the terminal")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["generate"] => generate::write(),
        ["generate", "--check"] => generate::check(),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    #[test]
    fn the_gateway_contains_no_kubernetes_client() {
        let output = Command::new(env!("CARGO"))
            .args([
                "tree",
                "--offline",
                "--package",
                "roundhouse-gateway",
                "--prefix",
                "none",
                "--edges",
                "normal",
            ])
            .output()
            .expect("cargo runs");
        let tree = String::from_utf8_lossy(&output.stdout);
        assert!(
            tree.contains("kube-core"),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(
            !tree.contains("kube-client"),
            "the gateway must hold no Kubernetes client"
        );
    }
}
