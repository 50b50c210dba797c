//! The command line. Every flag has an environment variable; what is not enforced has no flag.

use std::{fs, net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use process::arguments::{LogArguments, RedisArguments};

use crate::index;

/// Where Kubernetes tells a pod its namespace.
const OWN_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// Watches resources, tells gateways what to serve, and writes status.
#[derive(Debug, Parser)]
#[command(name = "roundhouse-operator", version, max_term_width = 110)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs until it is asked to end.
    Run(Box<Run>),
    /// Prints the definitions of all resources as YAML.
    Crds,
}

/// `roundhouse-operator run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The namespace that it runs in, where it keeps what is its own. In a pod it is known.
    #[arg(long, env = "ROUNDHOUSE_NAMESPACE", value_name = "NAMESPACE")]
    pub namespace: Option<String>,

    /// The name of this replica, which the Lease and Events tell.
    #[arg(
        long,
        env = "ROUNDHOUSE_POD",
        value_name = "NAME",
        default_value = "roundhouse-operator"
    )]
    pub pod: String,

    /// How the names of its own objects begin.
    #[arg(
        long,
        env = "ROUNDHOUSE_RELEASE",
        value_name = "NAME",
        default_value = "roundhouse"
    )]
    pub release: String,

    /// The namespaces whose resources count. Without any it is the one that it runs in.
    #[arg(
        long,
        env = "ROUNDHOUSE_WATCH_NAMESPACES",
        value_name = "NAMESPACE",
        value_delimiter = ','
    )]
    pub watch_namespaces: Vec<String>,

    /// The resources of all namespaces count.
    #[arg(long, env = "ROUNDHOUSE_ALL_NAMESPACES", conflicts_with = "watch_namespaces")]
    pub all_namespaces: bool,

    /// Where gateways, people and tools connect.
    #[arg(
        long,
        env = "ROUNDHOUSE_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:9443"
    )]
    pub listen: SocketAddr,

    /// Where health and metrics are served.
    #[arg(
        long,
        env = "ROUNDHOUSE_ADMIN_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:9090"
    )]
    pub admin_listen: SocketAddr,

    /// The cluster, instead of the one that it runs in.
    #[arg(long, env = "ROUNDHOUSE_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Lets Providers name private addresses and plain HTTP without a Service.
    #[arg(long, env = "ROUNDHOUSE_ALLOW_PRIVATE")]
    pub allow_private: bool,

    /// Which Secrets may be used: any of the namespace, or those with the label `roundhouse.dev/use: credential`.
    #[arg(long, env = "ROUNDHOUSE_SECRET_POLICY", value_enum, default_value_t = SecretPolicy::Any)]
    pub secret_policy: SecretPolicy,

    /// Mints the keys of `ClientKey`s that have a `target`, which takes the right to write Secrets.
    #[arg(long, env = "ROUNDHOUSE_MINT_CLIENT_KEYS")]
    pub mint_client_keys: bool,

    /// What gateways may do for administrators: nothing, look, or change objects.
    #[arg(long, env = "ROUNDHOUSE_ADMIN_ROUTES", value_enum, default_value_t = AdminRoutes::Disabled)]
    pub admin_routes: AdminRoutes,

    /// The Redis that gateways share, as they are told it.
    #[command(flatten)]
    pub redis: RedisArguments,

    /// The domain of the cluster's names.
    #[arg(
        long,
        env = "ROUNDHOUSE_CLUSTER_DOMAIN",
        value_name = "DOMAIN",
        default_value = "cluster.local"
    )]
    pub cluster_domain: String,

    /// What is logged.
    #[command(flatten)]
    pub log: LogArguments,
}

/// Which Secrets may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum SecretPolicy {
    /// Any of the namespace.
    Any,
    /// Those with the label.
    Labelled,
}

/// What gateways may do for administrators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum AdminRoutes {
    /// Nothing.
    Disabled,
    /// They answer by themselves what may be looked at.
    ReadOnly,
    /// They change objects through the operator.
    ReadWrite,
}

/// Nobody says which namespace the process runs in.
#[derive(Debug, thiserror::Error)]
#[error("outside of a pod --namespace is needed ({OWN_NAMESPACE} cannot be read)")]
pub struct NoNamespace(#[source] std::io::Error);

impl Run {
    /// The namespace that it runs in.
    pub fn own_namespace(&self) -> Result<String, NoNamespace> {
        match &self.namespace {
            Some(namespace) => Ok(namespace.clone()),
            None => match fs::read_to_string(OWN_NAMESPACE) {
                Ok(namespace) => Ok(namespace.trim().to_owned()),
                Err(error) => Err(NoNamespace(error)),
            },
        }
    }

    /// The namespaces whose resources count; `None` for all. `own` is the one that it runs in.
    pub fn watched_namespaces(&self, own: &str) -> Option<Vec<String>> {
        if self.all_namespaces {
            return None;
        }
        let mut namespaces: Vec<String> = self
            .watch_namespaces
            .iter()
            .filter(|it| !it.is_empty())
            .cloned()
            .collect();
        if namespaces.is_empty() {
            namespaces.push(own.to_owned());
        }
        namespaces.sort();
        namespaces.dedup();
        Some(namespaces)
    }
}

impl From<SecretPolicy> for index::SecretPolicy {
    fn from(policy: SecretPolicy) -> Self {
        match policy {
            SecretPolicy::Any => Self::Any,
            SecretPolicy::Labelled => Self::Labelled,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn run(arguments: &[&str]) -> Result<Run, String> {
        let given = ["roundhouse-operator", "run"].iter().chain(arguments);
        match Arguments::try_parse_from(given)
            .map_err(|error| error.to_string())?
            .command
        {
            Command::Run(run) => Ok(*run),
            Command::Crds => Err("not run".to_owned()),
        }
    }

    #[test]
    fn defaults_are_those_of_the_contract() {
        let run = run(&["--namespace", "home"]).unwrap();
        assert_eq!(run.listen.to_string(), "127.0.0.1:9443");
        assert_eq!(run.admin_listen.to_string(), "127.0.0.1:9090");
        assert_eq!(run.release, "roundhouse");
        assert_eq!(run.secret_policy, SecretPolicy::Any);
        assert!(!run.allow_private && run.kubeconfig.is_none());
        assert_eq!(run.own_namespace().unwrap(), "home");
        assert_eq!(run.watched_namespaces("home"), Some(vec!["home".to_owned()]));
    }

    #[test]
    fn every_flag_has_its_environment_variable() {
        for command in Arguments::command().get_subcommands() {
            for argument in command.get_arguments() {
                let Some(long) = argument.get_long() else { continue };
                let expected = format!("ROUNDHOUSE_{}", long.replace('-', "_").to_uppercase());
                let variable = argument.get_env().map(|name| name.to_string_lossy().into_owned());
                assert_eq!(variable, Some(expected), "--{long}");
            }
        }
    }

    #[test]
    fn namespaces_are_named_or_its_own_or_all() {
        let cases: &[(&[&str], Option<&[&str]>)] = &[
            (&[], Some(&["home"])),
            (&["--watch-namespaces", "b,a,b"], Some(&["a", "b"])),
            (&["--watch-namespaces", ""], Some(&["home"])),
            (&["--all-namespaces"], None),
        ];
        for (arguments, expected) in cases {
            let watched = run(arguments).unwrap().watched_namespaces("home");
            let watched: Option<Vec<&str>> = watched
                .as_ref()
                .map(|names| names.iter().map(String::as_str).collect());
            assert_eq!(watched.as_deref(), *expected, "{arguments:?}");
        }
        let error = run(&["--all-namespaces", "--watch-namespaces", "a"]).unwrap_err();
        assert!(error.contains("cannot be used with"), "{error}");
    }

    #[test]
    fn policies_are_written_as_in_the_chart() {
        let policy = |text| run(&["--secret-policy", text]).map(|run| run.secret_policy);
        assert_eq!(policy("Labelled"), Ok(SecretPolicy::Labelled));
        assert!(policy("labelled").is_err());
    }
}
