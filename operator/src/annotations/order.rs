//! What an annotation asks for, and what of it is still to be done.

use std::collections::BTreeMap;

use resources::kinds::LastHandled;

/// What may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Asked {
    /// To end all rests.
    ClearRest,
    /// To begin the quota windows, or the budgets, anew.
    ResetQuota,
}

/// What was asked for and not acted on yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) asked: Asked,
    pub(super) value: String,
    /// Whether the value is a timestamp.
    pub(super) is_valid: bool,
}

/// The longest value that is remembered.
const LONGEST: usize = 64;

impl Asked {
    pub(super) const fn annotation(self) -> &'static str {
        match self {
            Self::ClearRest => "roundhouse.dev/clear-rest",
            Self::ResetQuota => "roundhouse.dev/reset-quota",
        }
    }

    /// In Events.
    pub(super) const fn action(self) -> &'static str {
        match self {
            Self::ClearRest => "ClearRest",
            Self::ResetQuota => "ResetQuota",
        }
    }

    /// The reason of the Event that says that it was done.
    pub(super) const fn done(self) -> &'static str {
        match self {
            Self::ClearRest => "RestCleared",
            Self::ResetQuota => "QuotaReset",
        }
    }

    fn handled(self, handled: &LastHandled) -> Option<&str> {
        match self {
            Self::ClearRest => handled.clear_rest.as_deref(),
            Self::ResetQuota => handled.reset_quota.as_deref(),
        }
    }

    /// Notes that a value was acted on.
    pub(super) fn handle(self, handled: &mut LastHandled, value: String) {
        match self {
            Self::ClearRest => handled.clear_rest = Some(value),
            Self::ResetQuota => handled.reset_quota = Some(value),
        }
    }
}

/// Of what may be `asked` for, that which annotations ask for and nobody has `handled`.
pub(super) fn orders(
    asked: &[Asked],
    annotations: &BTreeMap<String, String>,
    handled: &[&LastHandled],
) -> Vec<Order> {
    let order = |asked: &Asked| {
        let value = annotations.get(asked.annotation())?;
        let is_handled = handled
            .iter()
            .any(|handled| asked.handled(handled) == Some(value));
        (!is_handled).then(|| Order {
            asked: *asked,
            value: value.clone(),
            is_valid: value.len() <= LONGEST && value.parse::<jiff::Timestamp>().is_ok(),
        })
    };
    asked.iter().filter_map(order).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use resources::kinds::LastHandled;

    use super::{Asked, Order, orders};

    const BOTH: [Asked; 2] = [Asked::ClearRest, Asked::ResetQuota];

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
            let handled: Vec<&LastHandled> = told.iter().chain(&late).collect();
            assert_eq!(orders(&BOTH, &annotations, &handled), expected, "{why}");
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
        let found = orders(&BOTH, &annotations, &[&told]);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].asked, &found[0].value), (Asked::ResetQuota, &noon));
        assert_eq!(
            orders(&BOTH[..1], &annotations, &[]),
            [],
            "nothing that it may not ask for"
        );
    }
}
