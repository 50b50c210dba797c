//! Arbitrary contents. Names come from few, so that two contents share some.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dialect::{Api, Dialect};
use http::{HeaderName, HeaderValue};
use jiff::{civil::Weekday, tz::TimeZoneDatabase};
use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
    sample::select,
};
use proto::Contents;
use snapshot::{
    AcceptedKey, Affinity, AffinityBy, Auth, Azure, AzureStyle, Breaker, Calendar, CalendarUnit, CallLimits,
    Client, Consumers, Credential, CredentialSecret, DigestKey, Endpoint, ErrorMatch, ErrorRule, FallbackOn,
    Fault, Header, HeaderSource, KeyDigest, Keyring, Model, ModelFilter, ModelPattern, Period, Provider,
    QuotaWindow, RestReason, RestRule, RestScope, Retry, Route, Scheme, Secret, SecretVersion, Selection,
    Snapshot, Strategy as Order, StreamPolicy, Target, Timeouts, Timestamp, Tls, WhenStoreIsAway,
};

/// Anything that may be served.
pub(crate) fn contents() -> impl Strategy<Value = Contents> {
    let keyring = (
        btree_map(name(), vec(any::<u8>(), 0..40), 0..4),
        vec((name(), header_name(), vec(any::<u8>(), 0..40)), 0..3),
    );
    let snapshot = (
        "[0-9a-f]{32}",
        vec(provider(), 0..3),
        vec(credential(), 0..5),
        vec(route(), 0..3),
        vec(client(), 0..3),
    );
    (snapshot, keyring, select(vec!["one installation", "another"])).prop_map(
        |((version, providers, credentials, routes, clients), (secrets, headers), key)| {
            let snapshot = Snapshot {
                version,
                providers: providers
                    .into_iter()
                    .map(|it| (it.name.clone(), Arc::new(it)))
                    .collect(),
                credentials: credentials
                    .into_iter()
                    .map(|it| (it.name.clone(), Arc::new(it)))
                    .collect(),
                routes: routes
                    .into_iter()
                    .map(|it| (it.name.clone(), Arc::new(it)))
                    .collect(),
                clients: clients
                    .into_iter()
                    .map(|it| (it.name.clone(), Arc::new(it)))
                    .collect(),
            };
            let keyring = Keyring {
                credentials: secrets
                    .into_iter()
                    .map(|(name, value)| (name.parse().unwrap(), secret(value)))
                    .collect(),
                headers: headers
                    .into_iter()
                    .map(|(name, header, value)| {
                        (
                            (name.parse().unwrap(), header.as_str().to_owned()),
                            Secret::new(value),
                        )
                    })
                    .collect(),
            };
            Contents::new(Arc::new(snapshot), Arc::new(keyring), Secret::new(key))
        },
    )
}

/// A value in the version that it has in every keyring.
pub(crate) fn secret(value: impl Into<Vec<u8>>) -> CredentialSecret {
    let secret = Secret::new(value);
    CredentialSecret {
        version: DigestKey::new(&Secret::new("versions")).version(&secret),
        secret,
    }
}

fn name() -> impl Strategy<Value = String> {
    (
        select(vec!["default", "b"]),
        select(vec!["x", "y", "z.w", "x:anonymous"]),
    )
        .prop_map(|(space, name)| format!("{space}/{name}"))
}

fn header_name() -> impl Strategy<Value = HeaderName> {
    select(vec!["x-api-key", "authorization", "x-a"]).prop_map(HeaderName::from_static)
}

fn shared() -> impl Strategy<Value = Arc<str>> {
    ".{0,12}".prop_map(Arc::from)
}

fn duration() -> impl Strategy<Value = Duration> {
    let seconds = prop_oneof![0..100_000u64, Just(i64::MAX.unsigned_abs())];
    (seconds, 0..1_000_000_000u32).prop_map(|(seconds, nanos)| Duration::new(seconds, nanos))
}

fn patterns() -> impl Strategy<Value = Vec<ModelPattern>> {
    vec(".{0,8}".prop_map(|text| ModelPattern::new(&text)), 0..3)
}

fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map("[a-z]{1,3}", ".{0,4}", 0..3)
}

fn consumers() -> impl Strategy<Value = Consumers> {
    select(vec![Consumers::Same, Consumers::All])
}

fn limits() -> impl Strategy<Value = CallLimits> {
    any::<(Option<u32>, Option<u32>, Option<u64>)>().prop_map(
        |(concurrency, requests_per_minute, tokens_per_minute)| CallLimits {
            concurrency,
            requests_per_minute,
            tokens_per_minute,
        },
    )
}

fn window() -> impl Strategy<Value = QuotaWindow> {
    let day = select(vec![
        Weekday::Monday,
        Weekday::Tuesday,
        Weekday::Wednesday,
        Weekday::Thursday,
        Weekday::Friday,
        Weekday::Saturday,
        Weekday::Sunday,
    ]);
    let unit = prop_oneof![
        Just(CalendarUnit::Day),
        day.prop_map(CalendarUnit::Week),
        (1..=31u8).prop_map(CalendarUnit::Month)
    ];
    let zone = select(vec!["UTC", "Europe/Berlin", "America/New_York", "Pacific/Apia"])
        .prop_map(|name| TimeZoneDatabase::bundled().get(name).unwrap());
    let calendar = (unit, 0..24u8, 0..60u8, zone).prop_map(|(unit, hour, minute, zone)| {
        Period::Calendar(Calendar {
            unit,
            hour,
            minute,
            zone,
        })
    });
    let period = prop_oneof![duration().prop_map(Period::Rolling), calendar];
    (shared(), period, any::<(Option<u64>, Option<u64>)>()).prop_map(|(name, period, (requests, tokens))| {
        QuotaWindow {
            name,
            period,
            requests,
            tokens,
        }
    })
}

fn provider() -> impl Strategy<Value = Provider> {
    let apis = vec![
        Api::ChatCompletions,
        Api::Completions,
        Api::Responses,
        Api::Embeddings,
        Api::Messages,
    ];
    let speaks = (
        name(),
        select(vec![Dialect::OpenAi, Dialect::Anthropic]),
        vec(select(apis), 0..4),
        endpoint(),
        prop_oneof![
            Just(Auth::Bearer),
            header_name().prop_map(Auth::Header),
            Just(Auth::None)
        ],
        vec(header(), 0..3),
        (option::of(shared()), option::of(shared())).prop_map(|(ca, server_name)| Tls { ca, server_name }),
        vec(model(), 0..3),
    );
    let behaves = (
        consumers(),
        (duration(), duration(), duration(), duration()).prop_map(|(connect, first_byte, idle, total)| {
            Timeouts {
                connect,
                first_byte,
                idle,
                total,
            }
        }),
        any::<Option<u32>>(),
        (any::<u32>(), duration()).prop_map(|(consecutive_failures, open_for)| Breaker {
            consecutive_failures,
            open_for,
        }),
        vec(error_rule(), 0..3),
        selection(),
        option::of(
            (
                select(vec![AzureStyle::V1, AzureStyle::Deployments]),
                option::of(shared()),
            )
                .prop_map(|(style, api_version)| Azure { style, api_version }),
        ),
    );
    (speaks, behaves).prop_map(|(speaks, behaves)| {
        let (name, dialect, apis, endpoint, auth, headers, tls, models) = speaks;
        let (consumers, timeouts, concurrency, breaker, error_rules, selection, azure) = behaves;
        Provider {
            name: name.parse().unwrap(),
            dialect,
            apis,
            endpoint,
            auth,
            headers,
            tls,
            models,
            consumers,
            timeouts,
            concurrency,
            breaker,
            error_rules,
            selection,
            azure,
        }
    })
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    let scheme = select(vec![Scheme::Http, Scheme::Https]);
    (scheme, "[a-z:.]{1,12}", 1..=u16::MAX, shared(), any::<bool>()).prop_map(
        |(scheme, host, port, path, service)| Endpoint {
            scheme,
            host: host.into(),
            port,
            path,
            service,
        },
    )
}

fn header() -> impl Strategy<Value = Header> {
    let byte = prop_oneof![32..127u8, 128..=255u8, Just(b'\t')];
    let literal = vec(byte, 0..20).prop_map(|bytes| {
        let mut value = HeaderValue::from_bytes(&bytes).unwrap();
        value.set_sensitive(true);
        HeaderSource::Literal(value)
    });
    (header_name(), prop_oneof![literal, Just(HeaderSource::Keyring)])
        .prop_map(|(name, source)| Header { name, source })
}

fn model() -> impl Strategy<Value = Model> {
    (
        shared(),
        option::of(shared()),
        any::<(Option<u64>, Option<u64>)>(),
    )
        .prop_map(
            |(name, upstream_name, (max_input_tokens, max_output_tokens))| Model {
                name,
                upstream_name,
                max_input_tokens,
                max_output_tokens,
            },
        )
}

fn error_rule() -> impl Strategy<Value = ErrorRule> {
    let matches = (any::<Option<u16>>(), option::of(".{0,5}"), option::of(".{0,5}")).prop_map(
        |(status, code, body_contains)| ErrorMatch {
            status,
            code,
            body_contains,
        },
    );
    let reason = select(vec![
        RestReason::RateLimited,
        RestReason::QuotaExhausted,
        RestReason::Unauthorized,
        RestReason::AccountBlocked,
        RestReason::ModelUnavailable,
        RestReason::Failing,
    ]);
    let rest = (reason, option::of(duration())).prop_map(|(reason, duration)| RestRule { reason, duration });
    (
        matches,
        select(vec![
            Fault::Caller,
            Fault::Credential,
            Fault::Upstream,
            Fault::Gateway,
        ]),
        select(vec![RestScope::Credential, RestScope::CredentialAndModel]),
        option::of(rest),
    )
        .prop_map(|(matches, fault, scope, rest)| ErrorRule {
            matches,
            fault,
            scope,
            rest,
        })
}

fn selection() -> impl Strategy<Value = Selection> {
    let order = select(vec![
        Order::RoundRobin,
        Order::LeastBusy,
        Order::Weighted,
        Order::FillFirst,
        Order::MostHeadroom,
    ]);
    let by = prop_oneof![
        Just(AffinityBy::None),
        Just(AffinityBy::Session),
        Just(AffinityBy::User),
        header_name().prop_map(AffinityBy::Header),
        Just(AffinityBy::Prefix)
    ];
    (order, duration(), by, duration()).prop_map(|(strategy, max_wait, by, ttl)| Selection {
        strategy,
        max_wait,
        affinity: Affinity { by, ttl },
    })
}

fn credential() -> impl Strategy<Value = Credential> {
    let of = (name(), name(), shared(), labels());
    let is = (
        any::<u32>(),
        any::<u32>(),
        patterns(),
        patterns(),
        limits(),
        vec(window(), 0..3),
        any::<bool>(),
    );
    (of, is).prop_map(|((name, provider, version, labels), is)| {
        let (weight, priority, allow, deny, limits, quota, suspended) = is;
        Credential {
            name: name.parse().unwrap(),
            provider: provider.parse().unwrap(),
            secret_version: SecretVersion(version),
            labels,
            weight,
            priority,
            models: ModelFilter { allow, deny },
            limits,
            quota: quota.into(),
            suspended,
        }
    })
}

fn route() -> impl Strategy<Value = Route> {
    let fallback_on = select(vec![
        FallbackOn::CredentialsExhausted,
        FallbackOn::UpstreamFailed,
        FallbackOn::Timeout,
        FallbackOn::ContextTooLong,
        FallbackOn::ModelNotFound,
    ]);
    let target = (name(), option::of(shared()), any::<(u32, u32)>(), labels()).prop_map(
        |(provider, model, (weight, priority), credential_selector)| Target {
            provider: provider.parse().unwrap(),
            model,
            weight,
            priority,
            credential_selector,
        },
    );
    (
        (name(), patterns(), consumers(), vec(target, 0..3)),
        (
            any::<(u32, u32)>(),
            vec(fallback_on, 0..4),
            duration(),
            duration(),
        ),
    )
        .prop_map(|((name, models, consumers, targets), how)| {
            let ((attempts, budget_percent), fallback_on, hold_max, keep_alive_after) = how;
            Route {
                name: name.parse().unwrap(),
                models,
                consumers,
                targets,
                retry: Retry {
                    attempts,
                    budget_percent,
                },
                fallback_on,
                stream: StreamPolicy {
                    hold_max,
                    keep_alive_after,
                },
            }
        })
}

fn client() -> impl Strategy<Value = Client> {
    let may = (
        patterns(),
        limits(),
        vec(window(), 0..3),
        select(vec![WhenStoreIsAway::Share, WhenStoreIsAway::Refuse]),
    );
    (
        name(),
        vec(any::<([u8; 32], Option<u64>)>(), 0..3),
        any::<(bool, bool, Option<u64>)>(),
        may,
    )
        .prop_map(
            |(
                name,
                keys,
                (admin, debug_headers, expires_at),
                (models, limits, budgets, when_store_is_away),
            )| Client {
                name: name.parse().unwrap(),
                keys: keys
                    .into_iter()
                    .map(|(digest, until)| AcceptedKey {
                        digest: KeyDigest::new(digest),
                        valid_until: until.map(Timestamp::from_micros),
                    })
                    .collect(),
                admin,
                models,
                limits,
                when_store_is_away,
                budgets,
                expires_at: expires_at.map(Timestamp::from_micros),
                debug_headers,
            },
        )
}
