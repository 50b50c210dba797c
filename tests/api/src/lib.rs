//! A real API server with an etcd of its own, for suites that ask what a cluster would say.
//!
//! Start reading at [`ApiServer`], at [`Chart`] for what an installation is made of, and at [`System`] for one that runs. The programs come from
//! `hack/kube-tools.sh`.
#![expect(
    clippy::missing_panics_doc,
    reason = "a harness reports by panicking; every function here may"
)]

mod chart;
mod crowd;
mod identities;
mod operator;
mod process;
mod programs;
mod server;
mod system;

pub use chart::Chart;
pub use crowd::make;
pub use operator::{Operator, OperatorLaunch};
pub use programs::Output;
pub use server::ApiServer;
pub use system::{Detour, System, said};
