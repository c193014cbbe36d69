//! `auth-token`: how etcd signs the tokens of users that log in with a password.

use super::path::file;
use crate::etcd::parse_duration;
use crate::suggest;
use crate::values::Invalid;

/// The algorithms of the key: golang-jwt's names, of those that `Key` in server/auth/options.go accepts.
const METHODS: [&str; 12] = [
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384",
    "ES512",
];

/// The files with which a token is signed and verified.
///
/// `decomposeOpts` and `NewTokenProvider` in server/auth/store.go, `Parse` in server/auth/options.go. Kiln is
/// stricter: etcd only warns of an unknown option.
///
/// # Errors
/// The mistake in the options.
pub fn token_files(text: &str) -> Result<Vec<&str>, Invalid> {
    let (kind, options) = text.split_once(',').map_or((text, None), |(kind, options)| (kind, Some(options)));
    match (kind, options) {
        ("" | "simple", None) => return Ok(Vec::new()),
        ("" | "simple", Some(_)) => return Err(Invalid("simple takes no options; omit them".into())),
        ("jwt", _) => {}
        _ => return Err(Invalid("it takes \"simple\", or \"jwt\" with its options".into())),
    }
    let [mut method, mut public, mut private, mut ttl] = [None; 4];
    for option in options.into_iter().flat_map(|options| options.split(',')) {
        let Some((name, value)) = option.split_once('=').filter(|(_, value)| !value.contains('=')) else {
            return Err(Invalid(format!("{option:?} is not written as NAME=VALUE")));
        };
        let place = match name {
            "sign-method" => &mut method,
            "pub-key" => &mut public,
            "priv-key" => &mut private,
            "ttl" => &mut ttl,
            _ => {
                let meant = suggest::nearest(name, ["sign-method", "pub-key", "priv-key", "ttl"]);
                let meant = meant.map_or("omit it".into(), |meant| format!("did you mean {meant}?"));
                return Err(Invalid(format!("jwt has no option {name:?}; {meant}")));
            }
        };
        if place.replace(value).is_some() {
            return Err(Invalid(format!("{name} is given twice")));
        }
    }
    let Some(method) = method.filter(|method| METHODS.contains(method)) else {
        return Err(Invalid(format!("jwt takes a sign-method, one of {}", METHODS.join(", "))));
    };
    if let Some(ttl) = ttl.filter(|ttl| !ttl.is_empty()) {
        parse_duration(ttl).map_err(|Invalid(why)| Invalid(format!("ttl: {why}")))?;
    }
    let set = |file: Option<&'_ str>| file.is_some_and(|file| !file.is_empty());
    // With only the public key a member verifies tokens but cannot make any.
    if !set(private) && (method.starts_with("HS") || !set(public)) {
        return Err(Invalid(format!("{method} needs priv-key=FILE, the key that tokens are signed with")));
    }
    let files = [("pub-key", public), ("priv-key", private)].into_iter();
    let files =
        files.filter_map(|(name, path)| path.filter(|path| !path.is_empty()).map(|path| (name, path)));
    files.map(|(name, path)| file(path).map_err(|Invalid(why)| Invalid(format!("{name}: {why}")))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_the_options_that_they_need() {
        let cases: [(&str, Result<&[&str], &str>); 17] = [
            ("simple", Ok(&[])),
            ("", Ok(&[])),
            ("simple,a=b", Err("no options")),
            ("paseto", Err("it takes")),
            ("jwt", Err("sign-method")),
            ("jwt,sign-method=none,priv-key=/k", Err("sign-method")),
            ("jwt,sign-method=EdDSA,priv-key=/k", Err("sign-method")),
            ("jwt,sign-method=HS256", Err("priv-key")),
            ("jwt,sign-method=HS256,pub-key=/k", Err("priv-key")),
            ("jwt,sign-method=RS256", Err("priv-key")),
            ("jwt,sign-method=RS256,pub-key=/etc/p", Ok(&["/etc/p"])),
            ("jwt,priv-key=/etc/k,sign-method=ES256,ttl=5m,pub-key=/etc/p", Ok(&["/etc/p", "/etc/k"])),
            ("jwt,sign-method=RS256,priv-key=/k,ttl=5", Err("ttl")),
            ("jwt,sign-method=RS256,priv-key=/k,sign-method=RS256", Err("twice")),
            ("jwt,sign-method=RS256,priv-key=/k,", Err("NAME=VALUE")),
            ("jwt,sign-method=RS256,priv-kye=/k", Err("did you mean priv-key?")),
            ("jwt,sign-method=RS256,priv-key=k", Err("absolute")),
        ];
        for (text, want) in cases {
            match (token_files(text), want) {
                (Ok(got), Ok(want)) => assert_eq!(got, want, "{text}"),
                (Err(got), Err(want)) => assert!(got.0.contains(want), "{text}: {got}"),
                (got, want) => panic!("{text}: {got:?}, not {want:?}"),
            }
        }
    }
}
