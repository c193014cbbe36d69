//! The only access to environment variables: a build must not depend on an undocumented one.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

use std::ffi::OsString;

/// A variable's value; an empty one counts as unset.
pub fn value(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// A variable's value, even if empty: for one whose absence would change the output.
pub(crate) fn even_empty(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// The names of all variables that are set.
pub(crate) fn names() -> impl Iterator<Item = OsString> {
    std::env::vars_os().map(|(name, _)| name)
}
