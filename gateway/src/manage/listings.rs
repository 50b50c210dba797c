//! The listings that administrators were given last: a place means what stood there, whatever has come or gone since.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use snapshot::{ClientName, CredentialName, ProviderName};

/// Listings that are remembered; beyond them the one that was given longest ago goes.
const MOST: usize = 64;

/// What each administrator was listed last of each Provider, by this process.
#[derive(Debug, Default)]
pub(crate) struct Listings(Mutex<VecDeque<Listing>>);

#[derive(Debug)]
struct Listing {
    to: ClientName,
    of: ProviderName,
    names: Vec<CredentialName>,
}

impl Listings {
    /// Remembers what an administrator is given, in place of what it was given before.
    pub(super) fn remember(&self, to: &ClientName, of: &ProviderName, names: Vec<CredentialName>) {
        let mut listings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        listings.retain(|listing| (&listing.to, &listing.of) != (to, of));
        listings.truncate(MOST - 1);
        listings.push_front(Listing {
            to: to.clone(),
            of: of.clone(),
            names,
        });
    }

    /// The names that an administrator was given; `None` when there was no listing, or it is forgotten.
    pub(super) fn last(&self, to: &ClientName, of: &ProviderName) -> Option<Vec<CredentialName>> {
        let listings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut listings = listings.iter();
        listings
            .find(|listing| (&listing.to, &listing.of) == (to, of))
            .map(|listing| listing.names.clone())
    }
}

#[cfg(test)]
mod tests {
    use snapshot::ObjectName;

    use super::*;

    fn named<T: From<ObjectName>>(name: &str) -> T {
        ObjectName::new("ns", name).expect("a name").into()
    }

    #[test]
    fn each_administrator_has_its_own_listing_of_each_provider_and_the_last_counts() {
        let (listings, p, q) = (Listings::default(), named("p"), named("q"));
        let (one, two) = (named("one"), named("two"));
        listings.remember(&one, &p, vec![named("a")]);
        listings.remember(&one, &q, vec![named("b")]);
        listings.remember(&two, &p, vec![named("c")]);
        listings.remember(&one, &p, vec![named("d")]);
        assert_eq!(listings.last(&one, &p), Some(vec![named("d")]));
        assert_eq!(listings.last(&one, &q), Some(vec![named("b")]));
        assert_eq!(listings.last(&two, &p), Some(vec![named("c")]));
        assert_eq!(listings.last(&two, &q), None);
    }

    #[test]
    fn only_so_many_are_remembered() {
        let (listings, p) = (Listings::default(), named("p"));
        for number in 0..=MOST {
            listings.remember(&named(&format!("admin-{number}")), &p, Vec::new());
        }
        assert_eq!(
            listings.last(&named("admin-0"), &p),
            None,
            "the oldest is forgotten"
        );
        assert!(listings.last(&named("admin-1"), &p).is_some());
    }
}
