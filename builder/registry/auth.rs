//! The challenge of a registry, and the answer to it.

use http_auth::{ChallengeRef, parse_challenges};
use serde::Deserialize;
use ureq::http::{HeaderMap, header::WWW_AUTHENTICATE};
use zeroize::Zeroizing;

#[derive(Debug, PartialEq, Eq)]
pub enum Challenge {
    /// Name and password with every request (RFC 7617).
    Basic,
    /// A token from `realm` (distribution's "Token Authentication Specification").
    Bearer { realm: String, service: Option<String> },
}

/// The best challenge of a 401; `None` when there is none that Kiln supports.
pub fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let texts = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let mut basic = None;
    for text in texts {
        for challenge in parse_challenges(text).unwrap_or_default() {
            if challenge.scheme.eq_ignore_ascii_case("basic") {
                basic = Some(Challenge::Basic);
            } else if challenge.scheme.eq_ignore_ascii_case("bearer")
                && let Some(realm) = parameter(&challenge, "realm")
            {
                return Some(Challenge::Bearer { realm, service: parameter(&challenge, "service") });
            }
        }
    }
    basic
}

fn parameter(challenge: &ChallengeRef<'_>, name: &str) -> Option<String> {
    let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.to_unescaped())
}

/// The answer of a token server: older ones use `token`, OAuth 2 uses `access_token`, most send both.
#[derive(Deserialize)]
pub struct Token {
    #[serde(default)]
    token: Zeroizing<String>,
    #[serde(default)]
    access_token: Zeroizing<String>,
}

impl Token {
    /// The value of an `Authorization` header; `None` when there is no token.
    pub fn bearer(&self) -> Option<Zeroizing<String>> {
        let token = [&self.token, &self.access_token].into_iter().find(|token| !token.is_empty())?;
        Some(Zeroizing::new(format!("Bearer {}", **token)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_challenge_is_taken() {
        let bearer = |service: Option<&str>| {
            Some(Challenge::Bearer {
                realm: "https://auth.lan/token?a=b".into(),
                service: service.map(str::to_owned),
            })
        };
        for (headers, want) in [
            (&["Basic realm=\"basic-realm\""][..], Some(Challenge::Basic)),
            (
                &["Bearer realm=\"https://auth.lan/token?a=b\",service=\"r, x\",scope=\"s\""],
                bearer(Some("r, x")),
            ),
            (&["bearer realm=\"https://auth.lan/token?a=b\""], bearer(None)),
            (&["Basic realm=\"x\", Bearer realm=\"https://auth.lan/token?a=b\""], bearer(None)),
            (&["Basic realm=\"x\"", "Bearer realm=\"https://auth.lan/token?a=b\""], bearer(None)),
            (&["Bearer service=\"x\""], None),
            (&["Negotiate", "\"", ""], None),
            (&[], None),
        ] {
            let mut map = HeaderMap::new();
            for text in headers {
                map.append(WWW_AUTHENTICATE, text.parse().unwrap());
            }
            assert_eq!(challenge(&map), want, "{headers:?}");
        }
    }

    #[test]
    fn either_name_of_a_token_is_taken() {
        for (text, want) in [
            (r#"{"token":"a","access_token":"b"}"#, Some("Bearer a")),
            (r#"{"access_token":"b","expires_in":60}"#, Some("Bearer b")),
            ("{}", None),
        ] {
            let token: Token = serde_json::from_str(text).unwrap();
            assert_eq!(token.bearer().as_ref().map(|text| text.as_str()), want);
        }
    }
}
