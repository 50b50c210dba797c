//! `roundhouse-gateway serve`: opens the state, starts the listeners, and serves until asked to end.

mod introduction;
mod source;

use std::{io::Write, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use axum::Router;
use http::Request;
use pool::{Clock, SystemClock};
use prometheus::Registry;
use telemetry::{Health, admin::routes};

use introduction::Door;
use source::Source;

use crate::{
    admin,
    app::{App, Parts, Settings},
    arguments::Serve,
    lifecycle::{self, Drain, DrainSettings, End},
    metrics::{Metrics, PoolCollector},
    server::{self, Peer, RequestBody, ServerSettings, Tls},
    store,
    upstream::Upstreams,
};

/// How often certificate files are looked at.
const TLS_LOOKS: Duration = Duration::from_secs(5);

/// How long streams may take to end in their dialect once they are asked to.
const GRACE: Duration = Duration::from_secs(5);

/// Serves until the process is asked to end, and says how that went.
pub fn run(arguments: &Serve) -> anyhow::Result<ExitCode> {
    let _log = arguments.log.install()?;
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    let end = runtime.block_on(serve(arguments));
    // A name or a file that is being looked up keeps its thread, but not the process.
    runtime.shutdown_timeout(Duration::from_millis(200));
    Ok(match end? {
        End::Drained | End::Cut => ExitCode::SUCCESS,
        End::Interrupted | End::Failed => ExitCode::FAILURE,
    })
}

async fn serve(arguments: &Serve) -> anyhow::Result<End> {
    let signals = process::signals().context("signals cannot be received")?;
    let health = Health::new();
    let registry = Registry::new();
    telemetry::register_process_metrics(&registry)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let source = Source::open(arguments, &clock, &health, &registry)?;
    let (stores, mut sharing) = store::open(arguments, &clock, &health, &registry).await?;
    let metrics = Metrics::new(&registry)?;
    let tls = tls(arguments)?;
    let listener = listen(arguments.listen, "--listen")?;
    let admin_listener = listen(arguments.admin_listen, "--admin-listen")?;
    let (clients_at, admin_at) = (listener.local_addr()?, admin_listener.local_addr()?);
    let (control, drain) = Drain::new();
    let parts = Parts {
        stores,
        upstreams: Upstreams::new(source.addresses(arguments)),
        metrics,
        settings: Settings {
            allow_anonymous: arguments.allow_anonymous,
            max_in_flight: arguments.max_in_flight as usize,
            max_body_memory: usize::try_from(arguments.max_body_memory.0).unwrap_or(usize::MAX),
            admin_routes: arguments.admin_routes(),
        },
        clock,
        drain: drain.clone(),
        changes: source.changes()?,
        reports: source.reports(),
    };
    let first = source.first();
    let app = App::new(parts, &first);
    registry.register(Box::new(PoolCollector::new(&app)?))?;

    // The admin listener answers until the very end: it has a drain of its own that nobody moves.
    let (_admin_control, admin_drain) = Drain::new();
    let admin_routes = routes(health.clone(), registry).merge(debug_routes(&app));
    let settings = ServerSettings::default();
    let admin = server::serve(
        admin_listener,
        None,
        admin::handler(admin_routes),
        settings,
        admin_drain,
    );
    let handler = {
        let app = app.clone();
        move |request: Request<RequestBody>, _: Peer| app.clone().handle(request)
    };
    let clients = server::serve(listener, tls.clone(), handler, settings, drain);

    tracing::info!(listener = "client", address = %clients_at, tls = tls.is_some(), "listening");
    tracing::info!(listener = "admin", address = %admin_at, "listening");
    let door = Door {
        address: clients_at,
        tls: tls.is_some(),
    };
    if let Some(text) = source.introduction(&first.snapshot, door) {
        introduce(&text)?;
    }
    if source.is_known() {
        health.ready();
    } else {
        health.not_ready("NoSnapshot", "no operator has said yet what to serve");
    }
    let drains = DrainSettings {
        min: arguments.drain_min,
        max: arguments.drain_max,
        grace: GRACE,
    };
    let farewell = source.farewell();
    // Until the last call has ended it is asked for every change: a key that it still sends is not replaced yet.
    let leave = async || {
        if let Some(farewell) = &farewell {
            farewell.say().await;
        }
    };
    let serving = lifecycle::run(clients, control, drains, &health, signals, leave);
    let share = async {
        match &mut sharing {
            Some(sharing) => sharing.run().await,
            None => std::future::pending().await,
        }
    };
    let end = tokio::select! {
        end = serving => end,
        () = share => bail!("sharing usage ended by itself"),
        () = admin => bail!("the admin listener ended by itself"),
        () = follow(tls) => bail!("following the certificate ended by itself"),
        () = source.follow(app.clone()) => bail!("following the resources ended by itself"),
    };
    if let Some(sharing) = sharing
        && end != End::Interrupted
    {
        sharing.farewell(&app.pool).await;
    }
    Ok(end)
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

/// Tells a person what to call. Standard output is for that; the log is elsewhere.
fn introduce(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
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

/// What is served at the moment, for people at this machine. A snapshot holds no secret.
fn debug_routes(app: &Arc<App>) -> Router {
    let app = app.clone();
    let snapshot = move || async move { format!("{:#?}\n", app.snapshot()) };
    telemetry::admin::loopback_only(Router::new().route("/debug/snapshot", axum::routing::get(snapshot)))
}
