//! `roundhouse-gateway serve`: opens the state, starts the listeners, and serves until asked to end.

use std::{io::Write, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use axum::Router;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use prometheus::Registry;
use telemetry::{Health, admin::routes};

use crate::{
    admin,
    arguments::Serve,
    lifecycle::{self, Drain, DrainSettings, End},
    server::{self, Peer, RequestBody, ServerSettings, Tls},
    state::{GeneratedKey, StateDir},
};

/// How often certificate files are looked at.
const TLS_LOOKS: Duration = Duration::from_secs(5);

/// How long streams may take to end in their dialect once they are asked to.
const GRACE: Duration = Duration::from_secs(5);

/// Serves until the process is asked to end, and says how that went.
pub fn run(arguments: &Serve) -> anyhow::Result<ExitCode> {
    let _log = telemetry::log::install(arguments.log_format.into(), &arguments.log_level)?;
    raise_file_limit();
    let end = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?
        .block_on(serve(arguments))?;
    Ok(match end {
        End::Drained | End::Cut => ExitCode::SUCCESS,
        End::Interrupted | End::Failed => ExitCode::FAILURE,
    })
}

async fn serve(arguments: &Serve) -> anyhow::Result<End> {
    let signals = lifecycle::signals().context("signals cannot be received")?;
    let state = StateDir::open(&arguments.state_dir)?;
    let _digest_key = state.digest_key()?;
    introduce(&state.client_key()?)?;

    let health = Health::new();
    let registry = Registry::new();
    telemetry::register_process_metrics(&registry)?;

    let tls = tls(arguments)?;
    let listener = listen(arguments.listen, "--listen")?;
    let admin_listener = listen(arguments.admin_listen, "--admin-listen")?;
    let (control, drain) = Drain::new();

    // The admin listener answers until the very end: it has a drain of its own that nobody moves.
    let (_admin_control, admin_drain) = Drain::new();
    let admin_routes = routes(health.clone(), registry).merge(debug_routes());
    let settings = ServerSettings::default();
    let admin = server::serve(
        admin_listener,
        None,
        admin::handler(admin_routes),
        settings,
        admin_drain,
    );
    let clients = server::serve(listener, tls.clone(), answer, settings, drain);
    let follow = follow(tls);

    health.ready();
    tracing::info!(
        clients = %arguments.listen,
        admin = %arguments.admin_listen,
        tls = arguments.tls_cert.is_some(),
        "serving"
    );
    let drains = DrainSettings {
        min: arguments.drain_min,
        max: arguments.drain_max,
        grace: GRACE,
    };
    let serving = lifecycle::run(clients, control, drains, &health, signals, async || ());
    tokio::select! {
        end = serving => Ok(end),
        () = admin => bail!("the admin listener ended by itself"),
        () = follow => bail!("following the certificate ended by itself"),
    }
}

fn tls(arguments: &Serve) -> anyhow::Result<Option<Arc<Tls>>> {
    let (Some(certificate), Some(key)) = (&arguments.tls_cert, &arguments.tls_key) else {
        return Ok(None);
    };
    Ok(Some(Arc::new(Tls::load(certificate.clone(), key.clone())?)))
}

async fn follow(tls: Option<Arc<Tls>>) {
    match tls {
        Some(tls) => tls.follow(TLS_LOOKS).await,
        None => std::future::pending().await,
    }
}

fn listen(address: SocketAddr, flag: &str) -> anyhow::Result<tokio::net::TcpListener> {
    server::bind(address).with_context(|| format!("cannot listen on {address} ({flag})"))
}

/// Shows a key that was just made, which is the only time; says where it is otherwise.
fn introduce(generated: &GeneratedKey) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let path = generated.path.display();
    if generated.fresh {
        let key = String::from_utf8_lossy(generated.key.expose());
        writeln!(out, "A client key was made and is kept in {path}:\n{key}")?;
    } else {
        writeln!(out, "The client key is in {path}")?;
    }
    out.flush()?;
    Ok(())
}

/// Every stream needs two descriptors, and shells commonly grant 1,024.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && setrlimit(
            Resource::Nofile,
            Rlimit {
                current: maximum,
                maximum,
            },
        )
        .is_err()
    {
        tracing::debug!("the limit of open files stays as it is");
    }
}

fn debug_routes() -> Router {
    telemetry::admin::loopback_only(Router::new())
}

async fn answer(_request: Request<RequestBody>, _peer: Peer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}
