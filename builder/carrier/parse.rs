//! Carriers by their names.

use std::sync::LazyLock;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::de::Error as _;
use serde::{Deserialize as _, Deserializer};

use super::TABLE;
use crate::values::{self, Carrier, Invalid};

/// All carriers, in the order of the table.
pub fn all() -> &'static [Carrier] {
    static ALL: LazyLock<Vec<Carrier>> =
        LazyLock::new(|| TABLE.iter().map(|row| Carrier::new(row.facts)).collect());
    &ALL
}

/// # Errors
/// With the valid names.
pub fn named(text: &str) -> std::result::Result<Carrier, Invalid> {
    let known = all().iter().find(|carrier| carrier.name == text);
    known.copied().ok_or_else(|| {
        let names: Vec<_> = all().iter().map(|carrier| carrier.name).collect();
        Invalid(format!("it is {}", names.join(" or ")))
    })
}

/// The values of `--carrier`: the carriers by which Kiln starts machines.
pub fn of_machines() -> impl TypedValueParser<Value = Carrier> {
    let names = all().iter().filter(|carrier| carrier.base().is_some()).map(|carrier| carrier.name);
    PossibleValuesParser::new(names).try_map(|text| named(&text))
}

/// The default carrier of machines.
pub fn of_machines_by_default() -> Carrier {
    let first = all().iter().find(|carrier| carrier.base().is_some());
    *first.unwrap_or(&all()[0])
}

/// Reads the carrier of a machine.
pub fn of_machine<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Carrier, D::Error> {
    let carrier = one(deserializer)?;
    match carrier.base() {
        Some(_) => Ok(carrier),
        None => Err(D::Error::custom(format!("machines cannot boot from {carrier}"))),
    }
}

/// Parses a list of carriers without duplicates, and sorts it in the order of the table.
pub fn set<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Vec<Carrier>, D::Error> {
    #[derive(PartialEq, Eq, PartialOrd, Ord)]
    struct Place(usize);
    impl<'de> serde::Deserialize<'de> for Place {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
            let carrier = one(deserializer)?;
            Ok(Self(all().iter().take_while(|one| **one != carrier).count()))
        }
    }
    let places = values::set::<_, Place>(deserializer)?;
    Ok(places.into_iter().map(|place| all()[place.0]).collect())
}

fn one<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Carrier, D::Error> {
    let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
    named(&text).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::{At, Start};

    #[test]
    fn every_row_says_which_files_it_makes() {
        for row in &TABLE {
            let carrier = Carrier::new(row.facts);
            let has = |at| carrier.files.iter().any(|file| file.at == at);
            assert_eq!(named(carrier.name).unwrap(), carrier);
            assert_eq!(has(At::Node), row.node.is_some() || row.seed.is_some(), "{carrier}");
            assert_eq!(has(At::Layers), row.layer.is_some(), "{carrier}");
            assert_eq!(has(At::Boot), row.boot.is_some(), "{carrier}");
            assert_eq!(carrier.has_seed(), row.seed.is_some(), "{carrier}");
            assert_eq!(carrier.start == Start::ByHand, carrier.base().is_none());
        }
    }

    #[test]
    fn a_list_of_carriers_is_in_the_order_of_the_table_and_has_none_twice() {
        let read = |text: &str| set(&mut serde_json::Deserializer::from_str(text));
        let names: Vec<_> = read(r#"["ignition", "tar"]"#).unwrap().iter().map(|one| one.name).collect();
        assert_eq!(names, ["tar", "ignition"]);
        assert!(read(r#"["tar", "tar"]"#).unwrap_err().to_string().contains("twice"));
        assert!(read(r#"["floppy"]"#).unwrap_err().to_string().contains("it is tar or initramfs or "));
    }
}
