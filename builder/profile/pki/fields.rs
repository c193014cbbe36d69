//! Reads the tables with a subject's attributes, and the number of names.

use toml::Spanned;

use super::subject::{self, Subject};
use crate::profile::diagnostics::Diagnostics;
use crate::profile::mistake::Mistake;
use crate::profile::reader::Section;
use crate::values::Invalid;

/// The attributes of a subject.
pub fn subject(diagnostics: &mut Diagnostics, table: &Section) -> Subject {
    let mut one = |key, read: fn(&str) -> Result<String, Invalid>| {
        table.value_with(diagnostics, key, read).map(Spanned::into_inner)
    };
    let (country, state) = (one("country", subject::country), one("state", subject::place));
    let (locality, organizational_unit) =
        (one("locality", subject::place), one("organizational-unit", subject::name));
    let organization = table.values(diagnostics, "organization", subject::name).unwrap_or_default();
    let organization = organization.into_iter().map(Spanned::into_inner).collect();
    Subject { country, state, locality, organization, organizational_unit }
}

/// The most names that a profile adds to a certificate. Kiln's own are at most ten: two of the node, localhost, and the
/// addresses; a manifest has room for 64.
const MAX_NAMES: usize = 48;

/// Refuses more names than a bundle's manifest has room for.
pub fn few<T>(diagnostics: &mut Diagnostics, title: &str, names: &[Spanned<T>]) {
    let Some(first) = names.get(MAX_NAMES) else { return };
    let reason =
        format!("{title} has {} names; a certificate takes {MAX_NAMES} besides its own", names.len());
    let help = "omit some, or write a wildcard for them, as in \"*.example.com\"";
    diagnostics.mistake(Mistake::new(first.span(), reason).help(help));
}
