//! What a token says of itself. Looked at only after the API server accepted it.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use snapshot::{Secret, Timestamp};

#[derive(Deserialize)]
struct Claims {
    /// Seconds since the Unix epoch.
    exp: Option<f64>,
}

/// When a token ends; `None` when it is no JSON Web Token or does not say.
pub(super) fn expiry(token: &Secret) -> Option<Timestamp> {
    let payload = token.expose().split(|byte| *byte == b'.').nth(1)?;
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    let life = Duration::try_from_secs_f64(claims.exp?).ok()?;
    Some(Timestamp::EPOCH + life)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_token_is_in_its_claims() {
        let token = |payload: &str| Secret::new(format!("head.{}.sign", URL_SAFE_NO_PAD.encode(payload)));
        let at = |seconds| Some(Timestamp::EPOCH + Duration::from_secs(seconds));
        assert_eq!(
            expiry(&token(r#"{"sub":"it","exp":1700000000}"#)),
            at(1_700_000_000)
        );
        for odd in [
            "{}",
            r#"{"exp":-1}"#,
            r#"{"exp":1e300}"#,
            r#"{"exp":"soon"}"#,
            "no JSON",
        ] {
            assert_eq!(expiry(&token(odd)), None, "{odd}");
        }
        assert_eq!(expiry(&Secret::new("opaque")), None);
    }
}
