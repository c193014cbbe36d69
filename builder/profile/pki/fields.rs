//! Reads the tables with a subject's attributes.

use toml::Spanned;

use super::subject::{self, Subject};
use crate::profile::diagnostics::Diagnostics;
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
