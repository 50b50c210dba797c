//! Which headers pass between a client and an upstream. What is not named here stays behind.
//!
//! That keeps away keys in all their forms, cookies, hop-by-hop headers, organization ids, and the rate limits of
//! an account that the client must not see. What the gateway writes itself (authorization, request ids,
//! `retry-after`, trace context) is not here either.

use http::HeaderName;

use crate::Dialect;

/// Whether a client's header goes to the upstream.
pub fn request_header_allowed(dialect: Dialect, name: &HeaderName) -> bool {
    let name = name.as_str();
    matches!(name, "accept" | "content-type" | "idempotency-key")
        || match dialect {
            Dialect::OpenAi => name == "openai-beta",
            // The workspace is left out: which part of an account is used is not the client's to choose.
            Dialect::Anthropic => matches!(
                name,
                "anthropic-version"
                    | "anthropic-beta"
                    | "anthropic-dangerous-direct-browser-access"
                    | "anthropic-user-profile-id"
            ),
        }
}

/// Whether an upstream's header goes to the client.
pub fn response_header_allowed(dialect: Dialect, name: &HeaderName) -> bool {
    let name = name.as_str();
    matches!(
        name,
        "cache-control" | "content-disposition" | "content-encoding" | "content-language" | "content-type"
    ) || match dialect {
        Dialect::OpenAi => {
            matches!(
                name,
                "openai-model" | "openai-poll-after-ms" | "openai-processing-ms" | "openai-version"
            )
        }
        Dialect::Anthropic => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &'static str) -> impl Iterator<Item = HeaderName> {
        text.split_whitespace().map(HeaderName::from_static)
    }

    #[test]
    fn keys_cookies_and_account_facts_never_pass() {
        let request = "authorization x-api-key api-key x-goog-api-key cookie proxy-authorization host user-agent \
            content-length transfer-encoding connection accept-encoding openai-organization openai-project \
            anthropic-workspace-id x-forwarded-for x-stainless-lang te upgrade expect traceparent";
        let response = "set-cookie openai-organization anthropic-organization-id x-ratelimit-remaining-tokens \
            anthropic-ratelimit-tokens-remaining anthropic-ratelimit-unified-status x-request-id request-id \
            retry-after connection transfer-encoding content-length server cf-ray www-authenticate location";
        for dialect in [Dialect::OpenAi, Dialect::Anthropic] {
            for name in names(request) {
                assert!(!request_header_allowed(dialect, &name), "{name}");
            }
            for name in names(response) {
                assert!(!response_header_allowed(dialect, &name), "{name}");
            }
        }
    }

    #[test]
    fn each_dialect_passes_its_own_switches() {
        for (dialect, name, passes) in [
            (Dialect::OpenAi, "openai-beta", true),
            (Dialect::Anthropic, "openai-beta", false),
            (Dialect::Anthropic, "anthropic-beta", true),
            (Dialect::Anthropic, "anthropic-version", true),
            (Dialect::OpenAi, "anthropic-version", false),
            (Dialect::OpenAi, "content-type", true),
        ] {
            assert_eq!(
                request_header_allowed(dialect, &HeaderName::from_static(name)),
                passes,
                "{name}"
            );
        }
    }
}
