//! What people ask for by annotations of a Credential: each value is acted on once.
//!
//! A value is a timestamp, so that asking again is another value. What was acted on is remembered in
//! `status.lastHandled`. Should the operator end between the two, it acts once more, which changes nothing. What was seen
//! of an object may be older than what a former leader told in it, so it is read again before anything is done.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use kube::{Api, Client};
use resources::{
    Identity, Kind, Object,
    kinds::{Credential, LastHandled},
};
use snapshot::{CredentialName, ProviderName};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{
    events::{Events, Note},
    published::{Publications, Published},
    store::Store,
};

/// The annotations that were acted on, before status tells it.
pub type Handled = Arc<BTreeMap<CredentialName, LastHandled>>;

/// What may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Asked {
    /// To end all rests.
    ClearRest,
    /// To begin the quota windows anew.
    ResetQuota,
}

/// What was asked for and not acted on yet.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Order {
    asked: Asked,
    value: String,
    /// Whether the value is a timestamp.
    is_valid: bool,
}

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

/// How long reading an object may take.
const READ: Duration = Duration::from_secs(5);
/// How often what was away is tried again.
const AGAIN: Duration = Duration::from_secs(3);
/// The longest value that is remembered.
const LONGEST: usize = 64;

impl Asked {
    const ALL: [Self; 2] = [Self::ClearRest, Self::ResetQuota];

    const fn annotation(self) -> &'static str {
        match self {
            Self::ClearRest => "roundhouse.dev/clear-rest",
            Self::ResetQuota => "roundhouse.dev/reset-quota",
        }
    }

    /// In Events.
    const fn action(self) -> &'static str {
        match self {
            Self::ClearRest => "ClearRest",
            Self::ResetQuota => "ResetQuota",
        }
    }

    /// The reason of the Event that says that it was done, and its message.
    const fn done(self) -> (&'static str, &'static str) {
        match self {
            Self::ClearRest => ("RestCleared", "its rests were ended, as the annotation asks"),
            Self::ResetQuota => (
                "QuotaReset",
                "its quota windows begin anew, as the annotation asks",
            ),
        }
    }

    fn handled(self, handled: &LastHandled) -> Option<&str> {
        match self {
            Self::ClearRest => handled.clear_rest.as_deref(),
            Self::ResetQuota => handled.reset_quota.as_deref(),
        }
    }

    fn handle(self, handled: &mut LastHandled, value: String) {
        match self {
            Self::ClearRest => handled.clear_rest = Some(value),
            Self::ResetQuota => handled.reset_quota = Some(value),
        }
    }
}

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
    invalid: HashMap<(CredentialName, Asked), String>,
}

impl Clerk {
    /// Acts on what is asked for. Returns whether something has to wait.
    async fn serve(&mut self, published: &Published, handled: &watch::Sender<Handled>) -> bool {
        let mut is_waiting = false;
        let known = Arc::clone(&handled.borrow());
        let mut late = BTreeMap::new();
        for (identity, object) in published.objects.iter() {
            let Object::Credential(object) = object else {
                continue;
            };
            let name = CredentialName::from(identity.name.clone());
            let mut before = known.get(&name).cloned();
            for order in orders(object, before.as_ref()) {
                let note = |is_warning, reason: &str, message: String| Note {
                    identity: Identity {
                        kind: Kind::Credential,
                        name: identity.name.clone(),
                    },
                    uid: object.metadata.uid.clone(),
                    is_warning,
                    action: order.asked.action(),
                    reason: reason.to_owned(),
                    message,
                };
                if !order.is_valid {
                    let told = self
                        .invalid
                        .insert((name.clone(), order.asked), order.value.clone());
                    if told.as_ref() != Some(&order.value) {
                        let message = format!(
                            "the annotation {} wants a timestamp such as 2026-01-31T12:00:00Z",
                            order.asked.annotation()
                        );
                        self.events.note(note(true, "InvalidAnnotation", message));
                    }
                    continue;
                }
                match self.act(object, &name, &order).await {
                    Served::Done => {
                        let (reason, message) = order.asked.done();
                        tracing::info!(credential = %name, asked = order.asked.action(), "acted on an annotation");
                        self.events.note(note(false, reason, message.to_owned()));
                    }
                    Served::NotSupported => {
                        let message = "without a Redis each gateway keeps rests and quotas to itself";
                        self.events.note(note(true, "NotSupported", message.to_owned()));
                    }
                    // What is true of it is seen in a moment.
                    Served::Stale => continue,
                    Served::Later => {
                        is_waiting = true;
                        continue;
                    }
                }
                order.asked.handle(before.get_or_insert_default(), order.value);
            }
            if let Some(before) = before {
                late.insert(name, before);
            }
        }
        self.invalid.retain(|(name, _), _| {
            let identity = Identity {
                kind: Kind::Credential,
                name: (**name).clone(),
            };
            published.objects.get(&identity).is_some()
        });
        handled.send_if_modified(|known| {
            let is_new = **known != late;
            if is_new {
                *known = Arc::new(late);
            }
            is_new
        });
        is_waiting
    }

    /// Does what is asked for.
    async fn act(&self, object: &Credential, name: &CredentialName, order: &Order) -> Served {
        let api: Api<Credential> = Api::namespaced(self.client.clone(), name.namespace());
        let present = match timeout(READ, api.get_opt(name.name())).await {
            Ok(Ok(present)) => present,
            Ok(Err(error)) => {
                tracing::debug!(credential = %name, %error, "an annotation waits");
                return Served::Later;
            }
            Err(_) => return Served::Later,
        };
        let is_asked_for = |present: &Credential| {
            present.metadata.uid == object.metadata.uid && orders(present, None).contains(order)
        };
        if !present.as_ref().is_some_and(is_asked_for) {
            return Served::Stale;
        }
        let Some(store) = &self.store else {
            return Served::NotSupported;
        };
        let Ok(provider) = ProviderName::new(name.namespace(), &object.spec.provider_ref.name) else {
            return Served::Stale;
        };
        let acted = match order.asked {
            Asked::ClearRest => store.clear_rest(&provider, name).await,
            Asked::ResetQuota => store.reset_quota(&provider, name).await,
        };
        if acted.is_ok() {
            Served::Done
        } else {
            Served::Later
        }
    }
}

/// What a Credential asks for that was not acted on, neither by its status nor of `late`.
fn orders(object: &Credential, late: Option<&LastHandled>) -> Vec<Order> {
    let Some(annotations) = &object.metadata.annotations else {
        return Vec::new();
    };
    orders_of(
        annotations,
        object
            .status
            .as_ref()
            .and_then(|status| status.last_handled.as_ref()),
        late,
    )
}

fn orders_of(
    annotations: &BTreeMap<String, String>,
    told: Option<&LastHandled>,
    late: Option<&LastHandled>,
) -> Vec<Order> {
    let order = |asked: Asked| {
        let value = annotations.get(asked.annotation())?;
        let is_handled = [late, told]
            .into_iter()
            .flatten()
            .any(|handled| asked.handled(handled) == Some(value));
        (!is_handled).then(|| Order {
            asked,
            value: value.clone(),
            is_valid: value.len() <= LONGEST && value.parse::<jiff::Timestamp>().is_ok(),
        })
    };
    Asked::ALL.into_iter().filter_map(order).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use resources::kinds::LastHandled;

    use super::{Asked, Order, orders_of};

    /// Why, the value, what status tells, what it does not tell yet, and what is to be done.
    type Case<'a> = (
        &'a str,
        &'a str,
        Option<LastHandled>,
        Option<LastHandled>,
        Vec<Order>,
    );

    #[test]
    fn each_value_is_acted_on_once() {
        let noon = "2026-01-31T12:00:00Z";
        let one = "2026-01-31T13:00:00+01:00";
        let cleared = |value: &str| LastHandled {
            clear_rest: Some(value.to_owned()),
            reset_quota: None,
        };
        let order = |asked, value: &str, is_valid| Order {
            asked,
            value: value.to_owned(),
            is_valid,
        };
        let clear = |value, is_valid| vec![order(Asked::ClearRest, value, is_valid)];
        let long = format!("{noon}{}", " ".repeat(64));
        let cases: [Case<'_>; 7] = [
            ("nobody has", noon, None, None, clear(noon, true)),
            ("its status says so", noon, Some(cleared(noon)), None, vec![]),
            (
                "its status does not say so yet",
                noon,
                None,
                Some(cleared(noon)),
                vec![],
            ),
            (
                "another value",
                one,
                Some(cleared(noon)),
                Some(cleared(noon)),
                clear(one, true),
            ),
            (
                "no timestamp",
                "now",
                Some(cleared(noon)),
                None,
                clear("now", false),
            ),
            ("nothing", "", None, None, clear("", false)),
            (
                "too long to be remembered",
                &long,
                None,
                None,
                clear(&long, false),
            ),
        ];
        for (why, value, told, late, expected) in cases {
            let annotations = [
                ("roundhouse.dev/clear-rest", value),
                ("kubectl.kubernetes.io/last-applied-configuration", "{}"),
            ];
            let annotations: BTreeMap<String, String> = annotations
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into();
            assert_eq!(
                orders_of(&annotations, told.as_ref(), late.as_ref()),
                expected,
                "{why}"
            );
        }
    }

    #[test]
    fn one_order_says_nothing_of_the_other() {
        let noon = "2026-01-31T12:00:00Z".to_owned();
        let annotations = BTreeMap::from([("roundhouse.dev/reset-quota".to_owned(), noon.clone())]);
        let told = LastHandled {
            clear_rest: Some(noon.clone()),
            reset_quota: None,
        };
        let orders = orders_of(&annotations, Some(&told), None);
        assert_eq!(orders.len(), 1);
        assert_eq!((orders[0].asked, &orders[0].value), (Asked::ResetQuota, &noon));
    }
}
