//! Which refusal means what. The first rule that applies decides, then the status does.
//!
//! Codes are compared whole and without case; words are searched in the message. A rule is limited to the
//! statuses on which its vendor uses it where the words alone could mean something else.

use super::RefusalKind::{
    self, AccountBlocked, ContentRefused, ContextTooLong, Forbidden, Malformed, ModelForbidden,
    ModelNotFound, NotFound, Overloaded, QuotaExhausted, RateLimited, ServerError, Timeout, TooLarge,
    Unauthorized, Unrecognised,
};
use super::body::ErrorBody;
use crate::Dialect;

/// Stands for the status of an error that came inside a 200. Every rule applies to it.
pub(super) const NO_STATUS: u16 = 0;

struct Rule {
    kind: RefusalKind,
    /// Empty: any status.
    statuses: &'static [u16],
    codes: &'static [&'static str],
    words: &'static [&'static str],
}

const ANY: &[u16] = &[];

const RULES: &[Rule] = &[
    // OpenAI and Azure (429) and Groq (413) call a prompt that is larger than the whole per-minute limit a rate
    // limit. It never passes on this account, and resting the account for it would rest every account in turn.
    Rule {
        kind: TooLarge,
        statuses: &[413, 429],
        codes: &[],
        words: &["request too large for"],
    },
    // Credits, budgets and plans. OpenAI: insufficient_quota, billing_*; Codex: usage_*; Anthropic: billing_error
    // and *_spend_limit_reached (which, unlike ramp_limit_exceeded, no minute cures); Moonshot:
    // exceeded_current_quota_error (also for accounts "suspended" for lack of balance); one-api: *_quota;
    // DashScope: Arrearage, AllocationQuota.*; Zhipu: 1113 arrears, 1304 daily, 1308 and 1310 plan windows, 1309 plan ended.
    Rule {
        kind: QuotaExhausted,
        statuses: &[400, 401, 402, 403, 404, 429],
        codes: &[
            "insufficient_quota",
            "billing_hard_limit_reached",
            "billing_not_active",
            "quota_exceeded",
            "usage_limit_reached",
            "usage_not_included",
            "billing_error",
            "contract_spend_limit_reached",
            "enforced_spend_limit_reached",
            "exceeded_current_quota_error",
            "insufficient_balance",
            "insufficient_credits",
            "insufficient_user_quota",
            "pre_consume_token_quota_failed",
            "arrearage",
            "allocationquota.freetieronly",
            "1113",
            "1304",
            "1308",
            "1309",
            "1310",
        ],
        // Anthropic sends the first two as 400; OpenRouter the next three (402, 403, 429); DeepSeek 402; DashScope
        // 403; Hugging Face 402; xAI 403 and 429.
        words: &[
            "credit balance is too low",
            "reached your specified api usage limits",
            "insufficient credits",
            "key limit exceeded",
            "free-models-per-day",
            "insufficient balance",
            "free tier of the model has been exhausted",
            "monthly included credits",
            "used all available credits",
        ],
    },
    // Deactivated, suspended, locked. OpenAI 401, Groq 400, Google CONSUMER_SUSPENDED, Zhipu 1110 to 1121.
    Rule {
        kind: AccountBlocked,
        statuses: &[400, 401, 403, 429],
        codes: &[
            "account_deactivated",
            "account_disabled",
            "account_suspended",
            "organization_deactivated",
            "organization_disabled",
            "organization_restricted",
            "consumer_suspended",
            "user_suspended",
            "1110",
            "1111",
            "1112",
            "1121",
        ],
        // Anthropic says "This organization has been disabled." with a plain 400 invalid_request_error.
        words: &[
            "organization has been disabled",
            "organization has been restricted",
            "account has been deactivated",
            "account has been disabled",
            "account has been suspended",
            "account has been locked",
            "account has been banned",
            "account is suspended",
            "account is deactivated",
            "has been suspended",
            "not allowed for this organization",
        ],
    },
    // OpenAI answers 401 for keys without the scope and for addresses outside an allow-list: the key is fine.
    Rule {
        kind: Forbidden,
        statuses: &[401, 403],
        codes: &[
            "ip_not_authorized",
            "unsupported_country_region_territory",
            "unsupported_country",
        ],
        words: &["missing scopes", "insufficient permissions for this operation"],
    },
    // A key that may not use the model. OpenAI says model_not_found with a 403; DashScope, LiteLLM and Ark name it.
    Rule {
        kind: ModelForbidden,
        statuses: &[403],
        codes: &["model_not_found"],
        words: &["access to model", "access to the model", "access this model"],
    },
    Rule {
        kind: ModelForbidden,
        statuses: &[400, 401, 403, 404],
        codes: &[
            "model.accessdenied",
            "model_access_denied",
            "key_model_access_denied",
            "modelnotopen",
        ],
        words: &[],
    },
    // Keys that are wrong, expired or revoked. Google answers 400 with API_KEY_INVALID and, for leaked keys, 403;
    // Moonshot and DashScope have names of their own; Zhipu 1000 to 1004; Codex: token_*.
    Rule {
        kind: Unauthorized,
        statuses: &[400, 401, 403],
        codes: &[
            "invalid_api_key",
            "invalidapikey",
            "api_key_invalid",
            "authentication_error",
            "invalid_authentication_error",
            "unauthenticated",
            "token_expired",
            "token_revoked",
            "token_invalidated",
            "1000",
            "1001",
            "1002",
            "1003",
            "1004",
        ],
        words: &[
            "api key not valid",
            "api key expired",
            "incorrect api key",
            "invalid api key",
            "invalid x-api-key",
            "reported as leaked",
        ],
    },
    // What was said is the problem. OpenAI, Azure (content_filter and its inner code), DashScope, DeepSeek
    // ("Content Exists Risk"), Moonshot ("high risk"), OpenRouter (403, moderation), Anthropic (400), Zhipu 1301.
    Rule {
        kind: ContentRefused,
        statuses: &[400, 403, 422, 451],
        codes: &[
            "content_filter",
            "content_policy_violation",
            "responsibleaipolicyviolation",
            "moderation_blocked",
            "cyber_policy",
            "bio_policy",
            "invalid_prompt",
            "data_inspection_failed",
            "datainspectionfailed",
            "sensitive_words_detected",
            "1301",
        ],
        words: &[
            "content filtering policy",
            "content management policy",
            "usage policy",
            "flagged by moderation",
            "requires moderation",
            "content exists risk",
            "considered high risk",
        ],
    },
    // The prompt does not fit. OpenAI, Anthropic (two messages), vLLM ("maximum model length"), llama.cpp, Google
    // ("input token count exceeds"), DashScope ("range of input length"), GitHub Models (413), Zhipu 1261. Some
    // servers send 500 for it.
    Rule {
        kind: ContextTooLong,
        statuses: &[400, 413, 422, 500],
        codes: &[
            "context_length_exceeded",
            "exceed_context_size_error",
            "model_max_prompt_tokens_exceeded",
            "tokens_limit_reached",
            "tokens_too_long",
            "1261",
        ],
        words: &[
            "prompt is too long",
            "exceed context limit",
            "maximum context length",
            "maximum model length",
            "available context size",
            "model's context window",
            "reduce the length of the messages",
            "exceeds the maximum number of tokens allowed",
            "range of input length should be",
        ],
    },
    // No such model. Azure: DeploymentNotFound (also for some minutes after one was made); one-api answers 503
    // when no channel has it; DeepSeek and OpenRouter answer 400; Zhipu 1211; Ark; Groq: decommissioned.
    Rule {
        kind: ModelNotFound,
        statuses: ANY,
        codes: &[
            "model_not_found",
            "deploymentnotfound",
            "model_not_exist",
            "modelnotfound",
            "invalidendpointormodel.notfound",
            "model_decommissioned",
            "unknown_model",
            "1211",
        ],
        words: &[],
    },
    Rule {
        kind: ModelNotFound,
        statuses: &[400, 404, 410],
        codes: &[],
        words: &["model not exist", "is not a valid model", "model not found"],
    },
    // An id of a stored object that this account does not have; OpenAI sends 400 as well as 404.
    Rule {
        kind: NotFound,
        statuses: &[400, 404],
        codes: &["previous_response_not_found", "conversation_not_found"],
        words: &[],
    },
    // Too busy for everybody. Anthropic 529; Moonshot 429; OpenAI "Slow Down" 503; Mistral 429 with
    // service_tier_capacity_exceeded; Google UNAVAILABLE; Zhipu 1305; OpenRouter 429 when its own upstream is limited.
    Rule {
        kind: Overloaded,
        statuses: &[429, 500, 502, 503, 529],
        codes: &[
            "overloaded_error",
            "engine_overloaded_error",
            "slow_down",
            "model_overloaded",
            "service_tier_capacity_exceeded",
            "unavailable",
            "1305",
        ],
        words: &[
            "overloaded",
            "temporarily rate-limited upstream",
            "experiencing high demand",
        ],
    },
    // Too fast. OpenAI and Anthropic; Anthropic's ramp_limit_exceeded; Moonshot; DashScope; Google; Zhipu 1302, 1303.
    Rule {
        kind: RateLimited,
        statuses: &[400, 403, 429],
        codes: &[
            "rate_limit_exceeded",
            "rate_limit_error",
            "rate_limit_reached_error",
            "ramp_limit_exceeded",
            "throttling",
            "throttling.ratequota",
            "limit_requests",
            "resource_exhausted",
            "1302",
            "1303",
        ],
        words: &[],
    },
    // Anthropic sends timeout_error inside streams too; Google DEADLINE_EXCEEDED; Azure "Operation timeout".
    Rule {
        kind: Timeout,
        statuses: &[408, 500, 503, 504],
        codes: &[
            "timeout_error",
            "request_timeout",
            "deadline_exceeded",
            "operationtimeout",
        ],
        words: &["operation timeout"],
    },
];

pub(super) fn kind(dialect: Dialect, status: u16, error: &ErrorBody<'_>) -> RefusalKind {
    decide(RULES.iter(), dialect, status, error)
}

fn decide<'a>(
    mut rules: impl Iterator<Item = &'a Rule>,
    dialect: Dialect,
    status: u16,
    error: &ErrorBody<'_>,
) -> RefusalKind {
    if let Some(kind) = google_quota(error) {
        return kind;
    }
    // OpenAI says so only together with insufficient_quota; some compatible servers forget the code.
    if matches!(status, 403 | 429 | NO_STATUS) && error.says("exceeded your current quota") {
        return QuotaExhausted;
    }
    if let Some(rule) = rules.find(|rule| rule.applies(status, error)) {
        return rule.kind;
    }
    if status == NO_STATUS {
        without_status(error)
    } else {
        by_status(dialect, status, error)
    }
}

impl Rule {
    fn applies(&self, status: u16, error: &ErrorBody<'_>) -> bool {
        (self.statuses.is_empty() || status == NO_STATUS || self.statuses.contains(&status))
            && (self.codes.iter().any(|code| error.is_marked(code))
                || self.words.iter().any(|words| error.says(words)))
    }
}

/// Google says "You exceeded your current quota, please check your plan and billing details" for its per-minute
/// limits too; only the ids of the violated quotas tell them apart.
fn google_quota(error: &ErrorBody<'_>) -> Option<RefusalKind> {
    if !error.is_marked("RESOURCE_EXHAUSTED") {
        return None;
    }
    let names_a_day = memchr::memmem::find(error.bytes, b"PerDay").is_some();
    Some(if names_a_day { QuotaExhausted } else { RateLimited })
}

fn by_status(dialect: Dialect, status: u16, error: &ErrorBody<'_>) -> RefusalKind {
    match status {
        400 | 405 | 406 | 409 | 411 | 414..=417 | 422 | 428 | 431 => Malformed,
        401 => Unauthorized,
        402 => QuotaExhausted,
        // A page of HTML comes from a firewall in between, and says nothing about the account.
        403 if error.is_html => Unrecognised,
        403 => Forbidden,
        404 | 410 if names_a_model(dialect, error) => ModelNotFound,
        404 | 410 => NotFound,
        408 | 504 | 522 | 524 => Timeout,
        413 => TooLarge,
        429 => RateLimited,
        451 => ContentRefused,
        503 | 529 => Overloaded,
        500..=599 => ServerError,
        _ => Unrecognised,
    }
}

/// `OpenAI`, vLLM and Ollama write sentences about the model; Anthropic's whole message is `model: its-name`.
fn names_a_model(dialect: Dialect, error: &ErrorBody<'_>) -> bool {
    let is_missing = || {
        [
            "does not exist",
            "not found",
            "not exist",
            "no longer available",
            "not supported",
        ]
        .into_iter()
        .any(|words| error.says(words))
    };
    match dialect {
        Dialect::Anthropic
            if error
                .message
                .as_deref()
                .is_some_and(|text| text.starts_with("model:")) =>
        {
            true
        }
        Dialect::OpenAi | Dialect::Anthropic => error.says("model") && is_missing(),
    }
}

/// Errors inside a 200 carry their meaning in the type alone.
fn without_status(error: &ErrorBody<'_>) -> RefusalKind {
    let marks = [
        ("invalid_request_error", Malformed),
        ("BadRequestError", Malformed),
        ("not_found_error", NotFound),
        ("permission_error", Forbidden),
        ("server_error", ServerError),
        ("internal_server_error", ServerError),
        ("api_error", ServerError),
    ];
    marks
        .into_iter()
        .find(|(mark, _)| error.is_marked(mark))
        .map_or(Unrecognised, |(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_a_capture_that_only_it_reads_rightly() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures");
        let table = std::fs::read_to_string(format!("{folder}/refusals.txt")).unwrap();
        let captures: Vec<_> = table
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| {
                let columns: Vec<&str> = line.split('|').map(str::trim).collect();
                let dialect = if columns[1] == "Anthropic" {
                    Dialect::Anthropic
                } else {
                    Dialect::OpenAi
                };
                let body = std::fs::read(format!("{folder}/refusals/{}", columns[0])).unwrap();
                (dialect, columns[2].parse::<u16>().unwrap(), body)
            })
            .collect();
        for (left_out, rule) in RULES.iter().enumerate() {
            let matters = captures.iter().any(|(dialect, status, body)| {
                let error = ErrorBody::read(body);
                let others = RULES
                    .iter()
                    .enumerate()
                    .filter(|(at, _)| *at != left_out)
                    .map(|(_, rule)| rule);
                decide(others, *dialect, *status, &error) != kind(*dialect, *status, &error)
            });
            assert!(
                matters,
                "no capture needs the rule for {:?} with {:?} {:?}",
                rule.kind, rule.codes, rule.words
            );
        }
    }
}
