//! Where what replicas say becomes what is served, one after the other.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use proto::Contents;
use tokio::sync::watch;

use super::{agreement::Agreement, desired, observer::Observer, reports::Reports};
use crate::app::App;

/// Serves what replicas agree on.
pub(super) struct Board {
    agreement: Mutex<Agreement>,
    app: Arc<App>,
    observer: Arc<Observer>,
    reports: Reports,
    /// What is to be kept for the next start.
    kept: watch::Sender<Option<Contents>>,
}

impl Board {
    /// Begins with what is served already.
    pub(super) fn new(
        app: Arc<App>,
        served: Option<Contents>,
        observer: Arc<Observer>,
        reports: Reports,
        kept: watch::Sender<Option<Contents>>,
    ) -> Self {
        Self {
            agreement: Mutex::new(Agreement::new(served)),
            app,
            observer,
            reports,
            kept,
        }
    }

    /// What is served.
    pub(super) fn served(&self) -> Option<Contents> {
        self.lock().served().cloned()
    }

    /// A replica says what is to be served. When this returns, what is new of it is served, and no attempt begins with
    /// what was before.
    pub(super) fn says(&self, replica: SocketAddr, said: Contents) {
        let mut agreement = self.lock();
        if let Some(served) = agreement.says(replica, said, Instant::now()) {
            self.serve(served);
        }
        drop(agreement);
        self.observer.confirmed();
        self.app.confirmed();
    }

    /// A replica has no stream any more.
    pub(super) fn leaves(&self, replica: SocketAddr) {
        self.lock().leaves(replica, Instant::now());
    }

    /// Ends a lasting difference between what is served and what replicas say.
    pub(super) fn settle(&self) {
        let mut agreement = self.lock();
        if let Some(served) = agreement.settle(Instant::now()) {
            tracing::info!(
                "operators have not agreed on what is served; the one that changed something last decides"
            );
            self.serve(served);
        }
    }

    /// Serves it. The agreement is locked meanwhile: one version after the other.
    fn serve(&self, contents: &Contents) {
        self.app.apply(&desired(contents));
        self.reports.keep_those_of(contents.snapshot());
        let snapshot = contents.snapshot();
        tracing::info!(
            version = snapshot.version,
            providers = snapshot.providers.len(),
            credentials = snapshot.credentials.len(),
            routes = snapshot.routes.len(),
            client_keys = snapshot.clients.len(),
            "resources received"
        );
        self.kept.send_replace(Some(contents.clone()));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Agreement> {
        self.agreement.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
