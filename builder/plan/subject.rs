//! Common names of CAs.

use crate::values::Digest;

/// A name with an ending, if that fits into the 64 characters of a common name (RFC 5280 appendix A.1); a longer one is
/// truncated, and a digest distinguishes it from others with the same beginning.
pub(super) fn fitted(name: &str, ending: &str) -> String {
    let most = 64 - ending.len();
    if name.chars().count() <= most {
        return format!("{name}{ending}");
    }
    let digest = Digest::of(name.as_bytes()).to_string();
    let begin: String = name.chars().take(most - 9).collect();
    format!("{begin}-{}{ending}", &digest[..8])
}
