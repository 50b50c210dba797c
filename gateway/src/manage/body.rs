//! What administrators send.

use dialect::FailureKind;
use http::StatusCode;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::{
    failure::Failure,
    flow::broken_body,
    server::{BodyError, RequestBody},
};

/// Longest body, in bytes.
const BODY_MAX: usize = 64 << 10;

/// Reads a JSON object; no body is an empty one. Unknown members are refused by name.
pub(super) async fn read<T: DeserializeOwned>(body: RequestBody) -> Result<T, Failure> {
    let bytes = Limited::new(body, BODY_MAX)
        .collect()
        .await
        .map_err(|error| broken(&*error))?
        .to_bytes();
    let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
    serde_json::from_slice(text).map_err(|error| malformed(&error))
}

fn broken(error: &(dyn std::error::Error + 'static)) -> Failure {
    if error.is::<LengthLimitError>() {
        let message = format!("the request body is longer than {} KiB", BODY_MAX >> 10);
        return Failure::caller(
            FailureKind::TooLarge,
            StatusCode::PAYLOAD_TOO_LARGE,
            "request_too_large",
            message,
        );
    }
    error
        .downcast_ref::<BodyError>()
        .map_or_else(Failure::internal, broken_body)
}

/// Members are told by name, values never: one may be a key in the wrong place.
fn malformed(error: &serde_json::Error) -> Failure {
    let told = error.to_string();
    let names_a_member = ["unknown field", "missing field", "duplicate field"]
        .iter()
        .any(|beginning| told.starts_with(beginning));
    let message = match error.classify() {
        Category::Data if names_a_member => told,
        Category::Data => format!(
            "a value has another type than expected, before line {} column {}",
            error.line(),
            error.column()
        ),
        Category::Io | Category::Syntax | Category::Eof => {
            format!("expected a JSON object: {told}")
        }
    };
    Failure::invalid("invalid_request_body", message)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::malformed;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sent {
        #[expect(dead_code, reason = "only parsed")]
        admin: bool,
    }

    #[test]
    fn members_are_told_by_name_and_values_never() {
        let cases = [
            (r#"{"admin":true,"colour":"red"}"#, "unknown field `colour`"),
            ("{}", "missing field `admin`"),
            (
                r#"{"admin":"canary-0123"}"#,
                "a value has another type than expected",
            ),
            (r#"{"admin":"#, "expected a JSON object: EOF"),
            (r#"["canary-0123"]"#, "a value has another type than expected"),
        ];
        for (text, expected) in cases {
            let error = serde_json::from_str::<Sent>(text).expect_err("it is wrong");
            let failure = malformed(&error);
            assert!(
                failure.message.starts_with(expected),
                "{text}: {}",
                failure.message
            );
            assert!(!failure.message.contains("canary"), "{}", failure.message);
        }
    }
}
