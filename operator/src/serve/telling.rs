//! Refusals of callers, told where answers leave: once in a while, whichever room of a service refused.

use std::task::{Context, Poll};

use futures_util::{FutureExt, future::BoxFuture};
use http::{Request, Response};
use tonic::{Code, Status, body::Body, server::NamedService};
use tower::Service;

use super::Connection;
use crate::refusals::Refusals;

/// A service whose refusals are told. Not for one that tells its own.
#[derive(Clone, Debug)]
pub struct Telling<S> {
    service: S,
    refusals: Refusals,
}

impl<S> Telling<S> {
    /// Tells what `service` refuses.
    pub const fn new(service: S, refusals: Refusals) -> Self {
        Self { service, refusals }
    }
}

impl<S: NamedService> NamedService for Telling<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Telling<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let connection = request.extensions().get::<Connection>();
        let peer = connection.map(|connection| connection.peer);
        let refusals = self.refusals.clone();
        let answered = self.service.call(request);
        async move {
            let response = answered.await?;
            if let (Some(peer), Some((reason, status))) = (peer, refusal(&response)) {
                refusals.tell(peer, reason, &status.message());
            }
            Ok(response)
        }
        .boxed()
    }
}

/// Why a caller was refused, in one word and in the words that it was told.
fn refusal(response: &Response<Body>) -> Option<(&'static str, Status)> {
    let status = Status::from_header_map(response.headers())?;
    let reason = match status.code() {
        Code::Unauthenticated => "unauthenticated",
        Code::PermissionDenied => "permission_denied",
        _ => return None,
    };
    Some((reason, status))
}

#[cfg(test)]
mod tests {
    use tonic::{Code, Status, body::Body};

    use super::refusal;

    #[test]
    fn only_refusals_of_callers_are_told() {
        let reason = |code| {
            let response = Status::new(code, "why").into_http::<Body>();
            refusal(&response).map(|(reason, status)| (reason, status.message().to_owned()))
        };
        let told = |reason| Some((reason, "why".to_owned()));
        assert_eq!(reason(Code::Unauthenticated), told("unauthenticated"));
        assert_eq!(reason(Code::PermissionDenied), told("permission_denied"));
        for code in [Code::Ok, Code::NotFound, Code::Unavailable] {
            assert_eq!(reason(code), None, "{code:?}");
        }
    }
}
