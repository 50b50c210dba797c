//! One call, through named rooms. Each room is one file and takes what the room before gave.

mod admit;
mod affinity;
mod authenticate;
mod body_memory;
mod budget;
mod classify;
mod dispatch;
mod encode;
mod ingress;
mod listing;
mod paths;
mod peek;
pub(crate) mod relay;
mod route;
mod select;
mod send;
mod settle;

use std::sync::Arc;

use http::{Request, Response};
use pool::NoneUsable;
use tracing::Instrument;

pub(crate) use authenticate::Caller;
pub(crate) use body_memory::BodyMemory;
pub(crate) use budget::Budgets;
pub(crate) use paths::Managed;
pub(crate) use peek::broken_body;

use crate::{
    app::App,
    body::ReplyBody,
    failure::Failure,
    manage::{self, Admin},
    server::RequestBody,
    source::Changes,
};
use admit::admit;
use authenticate::{authenticate, key_of};
use dispatch::Dispatch;
use ingress::{Inbound, ingress};
use paths::{Asked, Path};
use peek::peek;
use route::{Asking, route};
use settle::Settlement;

/// Serves one request, whatever it asks for.
///
/// Each connection has one such future at a time, and moves it once: what few calls need is boxed.
pub(crate) fn serve(
    app: Arc<App>,
    request: Request<RequestBody>,
) -> impl Future<Output = Response<ReplyBody>> + Send {
    // Before the future begins, which would have room for the request beside what is read of it otherwise.
    let (inbound, asked) = ingress(request, app.settings.admin_routes);
    async move {
        let (dialect, request_id) = (inbound.dialect, inbound.request_id.clone());
        let answer = match asked {
            Ok(Asked::Call(path)) => call(app, inbound, path).await,
            Ok(Asked::Manage(managed)) => Box::pin(administer(&app, *inbound, managed)).await,
            Ok(asked) => listing::answer(&app, &inbound, &asked),
            Err(failure) => Err(failure),
        };
        let mut response = answer.unwrap_or_else(|failure| failure.response(dialect, &request_id));
        crate::failure::identify(response.headers_mut(), dialect, &request_id);
        response
    }
}

/// Serves an administrator.
async fn administer(
    app: &Arc<App>,
    inbound: Inbound,
    asked: Managed,
) -> Result<Response<ReplyBody>, Failure> {
    let live = app.live();
    let caller = authenticate(app, &live, &inbound)?;
    // A key goes no further than it has to.
    let key = match app.changes {
        Changes::Operator(_) => key_of(&live, &inbound, &caller),
        Changes::Files(_) => None,
    };
    let admin = Admin::enter(app, live, caller, key)?;
    manage::answer(&admin, asked, inbound.query.as_deref(), inbound.body).await
}

/// Serves a call to an upstream: the whole path, top to bottom.
async fn call(app: Arc<App>, inbound: Box<Inbound>, path: Path) -> Result<Response<ReplyBody>, Failure> {
    let live = app.live(); // one version for the whole call
    let caller =
        authenticate(&app, &live, &inbound).inspect_err(|failure| Settlement::stranger(&app, failure))?;
    let mut settlement = Settlement::new(&app, &inbound, path.operation, &caller);
    let span = settlement.span().clone();
    let planned = async {
        let slot = app
            .enter()
            .ok_or_else(|| Failure::overloaded("too_many_requests_in_flight", OVERLOADED))?;
        settlement.entered(slot);
        let call = peek(&app, inbound, path).await?;
        let mut plan = route(&app, &live, &caller, &call, Asking::WithPick).await?;
        settlement.planned(&call, &plan);
        let (admission, first) = admit(&app.pool, &caller, &call, &plan).await?;
        settlement.admitted(admission);
        let mut first = Some(first);
        if let Some(Err(NoneUsable::UnknownObject)) = first {
            // The Provider that its model says does not hold it; another one may.
            plan = route(&app, &live, &caller, &call, Asking::First).await?;
            settlement.planned(&call, &plan);
            first = None;
        }
        app.budgets.call(&plan.served.label, app.clock.now());
        Ok(Box::new(Dispatch {
            app: app.clone(),
            call,
            plan,
            first,
            asked: None,
        }))
    };
    match planned.instrument(span).await {
        Ok(dispatch) => relay::answer(dispatch, settlement).await,
        Err(failure) => Err(settlement.failed(failure)),
    }
}

/// What a caller reads who comes when all places are taken.
const OVERLOADED: &str = "the gateway is working on as many requests as it may; try again";
