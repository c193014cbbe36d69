//! The names in a certificate's subject.

use serde::Serialize;

use crate::values::Invalid;

/// The attributes of a subject besides its common name (RFC 5280 4.1.2.4). In a certificate they are in the order
/// C, ST, L, O, OU, and the common name is last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// Two capital letters (ISO 3166).
    pub country: Option<String>,
    /// State or province.
    pub state: Option<String>,
    /// Town.
    pub locality: Option<String>,
    /// One attribute for each.
    pub organization: Vec<String>,
    /// The part of the organization.
    pub organizational_unit: Option<String>,
}

/// An attribute with its short name, as in `C=CA`.
type Attribute<'a> = (&'static str, &'a str);

impl Subject {
    /// With the attributes of another one where it has none itself.
    pub fn or(self, other: &Subject) -> Subject {
        let organization = match self.organization.is_empty() {
            true => other.organization.clone(),
            false => self.organization,
        };
        Subject {
            country: self.country.or_else(|| other.country.clone()),
            state: self.state.or_else(|| other.state.clone()),
            locality: self.locality.or_else(|| other.locality.clone()),
            organization,
            organizational_unit: self.organizational_unit.or_else(|| other.organizational_unit.clone()),
        }
    }

    /// Each attribute in the order of the certificate.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'_>> {
        fn single<'a>(name: &'static str, value: &'a Option<String>) -> impl Iterator<Item = Attribute<'a>> {
            value.as_deref().map(|value| (name, value)).into_iter()
        }
        single("C", &self.country)
            .chain(single("ST", &self.state))
            .chain(single("L", &self.locality))
            .chain(self.organization.iter().map(|value| ("O", value.as_str())))
            .chain(single("OU", &self.organizational_unit))
    }
}

/// # Errors
/// Where it is not a country code.
pub fn country(text: &str) -> Result<String, Invalid> {
    match text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        true => Ok(text.to_owned()),
        false => Err(Invalid("it takes the two capital letters of a country, as in CA".into())),
    }
}

/// `ub-state-name` and `ub-locality-name` of RFC 5280 appendix A.1.
pub fn place(text: &str) -> Result<String, Invalid> {
    limited(text, 128)
}

/// `ub-organization-name`, `ub-organizational-unit-name` and `ub-common-name` of RFC 5280 appendix A.1.
pub fn name(text: &str) -> Result<String, Invalid> {
    limited(text, 64)
}

fn limited(text: &str, most: usize) -> Result<String, Invalid> {
    let count = text.chars().count();
    if text.trim() != text || text.is_empty() {
        return Err(Invalid("it is empty, or begins or ends with a blank".into()));
    }
    if count > most {
        return Err(Invalid(format!(
            "it has {count} characters; X.509 allows {most} (RFC 5280 appendix A.1)"
        )));
    }
    match text.chars().any(crate::values::steers) {
        true => Err(Invalid("it contains a character that cannot be shown".into())),
        false => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_have_the_limits_of_rfc_5280() {
        for (text, good) in [("CA", true), ("ca", false), ("CAN", false), ("", false), ("É1", false)] {
            assert_eq!(country(text).is_ok(), good, "{text}");
        }
        let (long, longer) = ("x".repeat(64), "é".repeat(65));
        for (text, good) in
            [("Montréal", true), (&long, true), (&longer, false), ("", false), (" a", false), ("a\nb", false)]
        {
            assert_eq!(name(text).is_ok(), good, "{text}");
        }
        assert!(place(&longer).is_ok() && place(&"x".repeat(129)).is_err());
    }
}
