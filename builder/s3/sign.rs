//! AWS Signature Version 4, by headers. botocore is its oracle (`tests/it/lab/snapshots/`).

use std::fmt;

use ring::{digest, hmac};
use zeroize::Zeroizing;

use crate::encode::{hex, path, query};
use crate::time::basic;

const SERVICE: &str = "s3";
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What opens a bucket.
#[derive(Clone)]
pub struct Credentials {
    /// Whose they are; sent in the clear with each request.
    pub access_key_id: String,
    /// What requests are signed with; never sent.
    pub secret_access_key: Zeroizing<String>,
    /// Of credentials that were lent; sent with each request.
    pub session_token: Option<Zeroizing<String>>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// What is signed of a request.
pub struct Request<'r> {
    /// `GET`.
    pub method: &'r str,
    /// `HOST`, or `HOST:PORT` where the port is not that of the scheme.
    pub host: &'r str,
    /// `/BUCKET/KEY`, not encoded.
    pub path: &'r str,
    /// Names and values, not encoded.
    pub query: &'r [(&'r str, &'r str)],
    /// Further headers, by names in lower case; neither `host` nor those of the signature.
    pub headers: &'r [(&'r str, String)],
    /// SHA-256 of the body.
    pub body: [u8; 32],
}

/// The query of a request, encoded and in order.
pub fn canonical_query(pairs: &[(&str, &str)]) -> String {
    let mut all: Vec<_> = pairs.iter().map(|(name, value)| (query(name), query(value))).collect();
    all.sort();
    let all: Vec<_> = all.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    all.join("&")
}

/// All headers that the request is sent with, at this time in seconds since 1970; the last one is `authorization`.
pub fn headers(
    request: &Request<'_>,
    credentials: &Credentials,
    region: &str,
    now: u64,
) -> Vec<(String, Zeroizing<String>)> {
    let at = basic(now);
    let mut all: Vec<(String, Zeroizing<String>)> = request
        .headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Zeroizing::new(value.clone())))
        .collect();
    all.push(("host".to_owned(), Zeroizing::new(request.host.to_owned())));
    all.push(("x-amz-content-sha256".to_owned(), Zeroizing::new(hex(&request.body))));
    all.push(("x-amz-date".to_owned(), Zeroizing::new(at.clone())));
    if let Some(token) = &credentials.session_token {
        all.push(("x-amz-security-token".to_owned(), token.clone()));
    }
    all.sort_by(|one, other| one.0.cmp(&other.0));
    let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(";");
    let mut canonical = Zeroizing::new(format!(
        "{}\n{}\n{}\n",
        request.method,
        path(request.path),
        canonical_query(request.query)
    ));
    for (name, value) in &all {
        let words: Vec<_> = value.split_ascii_whitespace().collect();
        canonical.push_str(&Zeroizing::new(format!("{name}:{}\n", words.join(" "))));
    }
    canonical.push_str(&format!("\n{names}\n{}", hex(&request.body)));
    let day = &at[..8];
    let scope = format!("{day}/{region}/{SERVICE}/aws4_request");
    let digest = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let text = format!("{ALGORITHM}\n{at}\n{scope}\n{digest}");
    let signature = hex(hmac::sign(&key(credentials, day, region), text.as_bytes()).as_ref());
    let authorization = format!(
        "{ALGORITHM} Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
        credentials.access_key_id
    );
    all.push(("authorization".to_owned(), Zeroizing::new(authorization)));
    all
}

/// The key of a day, a region and this service.
fn key(credentials: &Credentials, day: &str, region: &str) -> hmac::Key {
    let first = Zeroizing::new(format!("AWS4{}", credentials.secret_access_key.as_str()));
    let of = |key: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, key);
    [day, region, SERVICE, "aws4_request"]
        .iter()
        .fold(of(first.as_bytes()), |key, part| of(hmac::sign(&key, part.as_bytes()).as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "GET Object" of the examples in Amazon's "Signature Calculations for the Authorization Header".
    #[test]
    fn amazons_own_example_has_amazons_signature() {
        let credentials = Credentials {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_access_key: Zeroizing::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned()),
            session_token: None,
        };
        let mut body = [0; 32];
        body.copy_from_slice(digest::digest(&digest::SHA256, b"").as_ref());
        let request = Request {
            method: "GET",
            host: "examplebucket.s3.amazonaws.com",
            path: "/test.txt",
            query: &[],
            headers: &[("range", "bytes=0-9".to_owned())],
            body,
        };
        let all = headers(&request, &credentials, "us-east-1", 1_369_353_600);
        let (_, authorization) = all.last().unwrap();
        assert!(
            authorization.ends_with("f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
            "{}",
            authorization.as_str()
        );
        assert!(!format!("{credentials:?}").contains("EXAMPLE"));
    }
}
