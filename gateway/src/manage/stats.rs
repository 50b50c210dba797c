//! What was used.

use std::{collections::BTreeMap, sync::Arc};

use http::{Response, StatusCode};
use pool::usage::{Day as Date, Dimension, Row};
use serde::Serialize;

use super::{Admin, json};
use crate::{
    body::ReplyBody,
    failure::Failure,
    time::rfc3339,
    usage::{Counts, DAYS_MAX, Tokens, usage},
};

/// Days told when none are asked for.
const DAYS: u32 = 7;

#[derive(Serialize)]
struct Stats {
    since: String,
    complete: bool,
    days: Vec<Day>,
    totals: Counts,
    credentials: Vec<Named>,
    clients: Vec<Named>,
    providers: Vec<Named>,
    routes: Vec<Named>,
    models: Vec<Named>,
}

#[derive(Serialize)]
struct Day {
    #[serde(rename = "day")]
    date: String,
    totals: Counts,
    credentials: Vec<Named>,
    clients: Vec<Named>,
    providers: Vec<Named>,
    routes: Vec<Named>,
    models: Vec<Named>,
}

/// What one name used. The members of [`Counts`], beside its name.
#[derive(Serialize)]
struct Named {
    name: Arc<str>,
    requests: u64,
    estimated_requests: u64,
    tokens: Tokens,
    estimated_tokens: u64,
}

/// What some rows sum up to, by name.
#[derive(Default)]
struct Sums {
    credentials: BTreeMap<Arc<str>, Counts>,
    clients: BTreeMap<Arc<str>, Counts>,
    providers: BTreeMap<Arc<str>, Counts>,
    routes: BTreeMap<Arc<str>, Counts>,
    models: BTreeMap<Arc<str>, Counts>,
}

/// Tells what the namespace used: in all, and day by day.
pub(super) async fn show(admin: &Admin<'_>, query: Option<&str>) -> Result<Response<ReplyBody>, Failure> {
    let report = usage(admin.app, days(query)?).await;
    let (mut all, mut by_day) = (Sums::default(), BTreeMap::<Date, Sums>::new());
    let ours = |row: &&Row| is_of(&row.name, admin.namespace());
    for row in report.rows.iter().filter(ours) {
        all.add(row);
        by_day.entry(row.day).or_default().add(row);
    }
    let days = by_day.into_iter().map(|(day, sums)| Day {
        date: day.to_string(),
        totals: sums.totals(),
        credentials: named(sums.credentials),
        clients: named(sums.clients),
        providers: named(sums.providers),
        routes: named(sums.routes),
        models: named(sums.models),
    });
    let stats = Stats {
        since: rfc3339(report.since),
        complete: report.complete,
        days: days.collect(),
        totals: all.totals(),
        credentials: named(all.credentials),
        clients: named(all.clients),
        providers: named(all.providers),
        routes: named(all.routes),
        models: named(all.models),
    };
    json(StatusCode::OK, &stats)
}

fn is_of(name: &str, namespace: &str) -> bool {
    name.split_once('/').is_some_and(|(first, _)| first == namespace)
}

impl Sums {
    fn add(&mut self, row: &Row) {
        let by_name = match row.dimension {
            Dimension::Client => &mut self.clients,
            Dimension::Credential => &mut self.credentials,
            Dimension::Provider => &mut self.providers,
            Dimension::Route => &mut self.routes,
            Dimension::Model => &mut self.models,
        };
        by_name
            .entry(row.name.clone())
            .or_default()
            .add(&Counts::from(&row.tally));
    }

    /// The calls of the namespace's client keys, each counted once.
    fn totals(&self) -> Counts {
        let mut totals = Counts::default();
        self.clients.values().for_each(|counts| totals.add(counts));
        totals
    }
}

fn named(sums: BTreeMap<Arc<str>, Counts>) -> Vec<Named> {
    let named = |(name, counts): (Arc<str>, Counts)| Named {
        name,
        requests: counts.requests,
        estimated_requests: counts.estimated_requests,
        tokens: counts.tokens,
        estimated_tokens: counts.estimated_tokens,
    };
    sums.into_iter().map(named).collect()
}

/// How many days a query asks for, today included.
fn days(query: Option<&str>) -> Result<u32, Failure> {
    let mut pairs = query.unwrap_or("").split('&');
    let Some(asked) = pairs.find_map(|pair| pair.strip_prefix("days=")) else {
        return Ok(DAYS);
    };
    let days = asked.parse().ok().filter(|days| (1..=DAYS_MAX).contains(days));
    days.ok_or_else(|| {
        let message = format!("`days` is a number from 1 to {DAYS_MAX}");
        Failure::invalid("invalid_days", message).param("days")
    })
}

#[cfg(test)]
mod tests {
    use super::{DAYS, days, is_of};

    #[test]
    fn days_have_bounds() {
        assert_eq!(days(None).unwrap(), DAYS);
        assert_eq!(days(Some("key=k")).unwrap(), DAYS);
        assert_eq!(days(Some("key=k&days=35")).unwrap(), 35);
        for query in ["days=0", "days=36", "days=", "days=-1", "days=seven"] {
            assert_eq!(days(Some(query)).unwrap_err().code, "invalid_days", "{query}");
        }
    }

    #[test]
    fn a_namespace_is_a_whole_one() {
        let cases = [
            ("team/a", true),
            ("team/p/m", true),
            ("teams/a", false),
            ("team", false),
            ("other", false),
        ];
        for (name, expected) in cases {
            assert_eq!(is_of(name, "team"), expected, "{name}");
        }
    }
}
