//! What people ask for by annotations of a Credential or a `ClientKey`: each value is acted on once.
//!
//! A value is a timestamp, so that asking again is another value. What was acted on is remembered in
//! `status.lastHandled`. Should the operator end between the two, it acts once more, which changes nothing. What was seen
//! of an object may be older than what a former leader told in it, so it is read again before anything is done.

mod asking;
mod order;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use kube::{Api, Client};
use resources::{Identity, Object, kinds::LastHandled};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use crate::{
    events::{Events, Note},
    kubernetes::call,
    published::{Publications, Published},
    store::Store,
};
use asking::Asking;
use order::{Asked, Order, orders};

/// The annotations that were acted on, before status tells it.
pub type Handled = Arc<BTreeMap<Identity, LastHandled>>;

/// What came of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Served {
    /// It was done.
    Done,
    /// There is no store.
    NotSupported,
    /// It is not asked for any more, or was done before.
    Stale,
    /// The store or the API server is away.
    Later,
}

/// How often what was away is tried again.
const AGAIN: Duration = Duration::from_secs(3);

/// Acts on annotations while this replica leads, until nothing is published any more. `handled` tells what was acted on,
/// which status remembers. Without a store there is nothing that could be asked for, and an Event says so.
pub async fn run(
    client: Client,
    store: Option<Store>,
    mut publications: Publications,
    mut leads: watch::Receiver<bool>,
    handled: watch::Sender<Handled>,
    events: Events,
) {
    let mut clerk = Clerk {
        client,
        store,
        events,
        invalid: HashMap::new(),
    };
    let mut ticks = interval(AGAIN);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_waiting = false;
    loop {
        if leads.wait_for(|leads| *leads).await.is_err() {
            return;
        }
        let published = publications.borrow_and_update().clone();
        if let Some(published) = published {
            is_waiting = clerk.serve(&published, &handled).await;
        }
        tokio::select! {
            changed = publications.changed() => if changed.is_err() { return },
            _ = ticks.tick(), if is_waiting => {}
        }
    }
}

struct Clerk {
    client: Client,
    store: Option<Store>,
    events: Events,
    /// Values that are no timestamps, and were told to be none.
    invalid: HashMap<(Identity, Asked), String>,
}

impl Clerk {
    /// Acts on what is asked for. Returns whether something has to wait.
    async fn serve(&mut self, published: &Published, handled: &watch::Sender<Handled>) -> bool {
        let mut is_waiting = false;
        let known = Arc::clone(&handled.borrow());
        let mut late = BTreeMap::new();
        for (identity, object) in published.objects.iter() {
            let mut handled = known.get(identity).cloned();
            is_waiting |= match object {
                Object::Credential(object) => self.attend(identity, &**object, &mut handled).await,
                Object::ClientKey(object) => self.attend(identity, &**object, &mut handled).await,
                Object::Provider(_) | Object::ModelRoute(_) | Object::Secret(_) | Object::ConfigMap(_) => {
                    continue;
                }
            };
            if let Some(handled) = handled {
                late.insert(identity.clone(), handled);
            }
        }
        self.invalid
            .retain(|(identity, _), _| published.objects.get(identity).is_some());
        handled.send_if_modified(|known| {
            let is_new = **known != late;
            if is_new {
                *known = Arc::new(late);
            }
            is_new
        });
        is_waiting
    }

    /// Acts on what one object asks for, and notes in `handled` what was done. Returns whether something has to wait.
    async fn attend<K: Asking>(
        &mut self,
        identity: &Identity,
        object: &K,
        handled: &mut Option<LastHandled>,
    ) -> bool {
        let mut is_waiting = false;
        for order in orders_of(object, handled.as_ref()) {
            let note = |is_warning, reason: &str, message: String| Note {
                identity: identity.clone(),
                uid: object.meta().uid.clone(),
                is_warning,
                action: order.asked.action(),
                reason: reason.to_owned(),
                message,
            };
            if !order.is_valid {
                let key = (identity.clone(), order.asked);
                let told = self.invalid.insert(key, order.value.clone());
                if told.as_ref() != Some(&order.value) {
                    let message = format!(
                        "the annotation {} wants a timestamp such as 2026-01-31T12:00:00Z",
                        order.asked.annotation()
                    );
                    self.events.note(note(true, "InvalidAnnotation", message));
                }
                continue;
            }
            match self.act(identity, object, &order).await {
                Served::Done => {
                    tracing::info!(object = %identity, asked = order.asked.action(), "acted on an annotation");
                    let message = K::told(order.asked).to_owned();
                    self.events.note(note(false, order.asked.done(), message));
                }
                Served::NotSupported => {
                    let message = "without a Redis each gateway keeps rests, quotas and budgets to itself";
                    self.events.note(note(true, "NotSupported", message.to_owned()));
                }
                // What is true of it is seen in a moment.
                Served::Stale => continue,
                Served::Later => {
                    is_waiting = true;
                    continue;
                }
            }
            order.asked.handle(handled.get_or_insert_default(), order.value);
        }
        is_waiting
    }

    /// Does what is asked for.
    async fn act<K: Asking>(&self, identity: &Identity, object: &K, order: &Order) -> Served {
        let name = &identity.name;
        let api: Api<K> = Api::namespaced(self.client.clone(), name.namespace());
        let present = match call(api.get_opt(name.name())).await {
            Ok(present) => present,
            Err(error) => {
                tracing::debug!(object = %identity, %error, "an annotation waits");
                return Served::Later;
            }
        };
        let is_asked_for =
            |present: &K| present.meta().uid == object.meta().uid && orders_of(present, None).contains(order);
        if !present.as_ref().is_some_and(is_asked_for) {
            return Served::Stale;
        }
        let Some(store) = &self.store else {
            return Served::NotSupported;
        };
        match object.order(store, name, order.asked).await {
            Some(Ok(())) => Served::Done,
            Some(Err(_)) => Served::Later,
            None => Served::Stale,
        }
    }
}

/// What an object asks for that was not acted on, neither by its status nor of `late`.
fn orders_of<K: Asking>(object: &K, late: Option<&LastHandled>) -> Vec<Order> {
    let Some(annotations) = &object.meta().annotations else {
        return Vec::new();
    };
    let told = object.handled();
    let handled: Vec<&LastHandled> = told.iter().chain(late).collect();
    orders(K::ASKED, annotations, &handled)
}
