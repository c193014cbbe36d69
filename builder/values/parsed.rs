//! Values in JSON: parsed into checked types when they are read, with limits on their number.

use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::str::FromStr;

use serde::Serializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// For `#[serde(deserialize_with = "parsed")]`: a string that is parsed by `FromStr`. The message says what is
/// allowed, and does not quote the string, which may be anything.
pub fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    struct Text<T>(PhantomData<T>);
    impl<T: FromStr<Err: Display>> Visitor<'_> for Text<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }
        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }
    deserializer.deserialize_str(Text(PhantomData))
}

/// For `#[serde(serialize_with = "as_text")]`: a value as its `Display` writes it.
pub fn as_text<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Implements Deserialize with the types' `FromStr`.
macro_rules! deserialize_parsed {
    ($($name:ty),+ $(,)?) => {$(
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                $crate::values::parsed(deserializer)
            }
        }
    )+};
}
pub(crate) use deserialize_parsed;

/// Implements Serialize with the types' `Display`.
macro_rules! serialize_displayed {
    ($($name:ty),+ $(,)?) => {$(
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )+};
}
pub(crate) use serialize_displayed;

/// A whole number from `least` to `most`.
pub fn number<'de, D, T>(deserializer: D, (least, most): (u32, u32)) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u32>,
{
    let number = u32::deserialize(deserializer)?;
    let number = Some(number).filter(|number| (least..=most).contains(number));
    number
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| D::Error::custom(format!("it must be a number from {least} to {most}")))
}

/// A list of at most `MOST` items: a small text must not become a large value in memory.
pub fn list<'de, D, T, const MOST: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct List<T, const MOST: usize>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for List<T, MOST> {
        type Value = Vec<T>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(value) = seq.next_element()? {
                if list.len() == MOST {
                    return Err(A::Error::custom(format!("the list has more than {MOST} entries")));
                }
                list.push(value);
            }
            Ok(list)
        }
    }
    deserializer.deserialize_seq(List::<T, MOST>(PhantomData))
}

/// A set, written as a list without duplicates.
pub fn set<'de, D, T>(deserializer: D) -> Result<std::collections::BTreeSet<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Ord,
{
    struct Set<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de> + Ord> Visitor<'de> for Set<T> {
        type Value = std::collections::BTreeSet<T>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut set = Self::Value::new();
            while let Some(value) = seq.next_element()? {
                if !set.insert(value) {
                    return Err(A::Error::custom("the list has an entry twice"));
                }
            }
            Ok(set)
        }
    }
    deserializer.deserialize_seq(Set(PhantomData))
}

/// An object whose keys are values, without duplicates: JSON parsers differ in which of two they use (RFC 8259 section
/// 4).
pub fn map<'de, D, K, V>(deserializer: D) -> Result<std::collections::BTreeMap<K, V>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de> + Ord,
    V: Deserialize<'de>,
{
    struct Map<K, V>(PhantomData<(K, V)>);
    impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Visitor<'de> for Map<K, V> {
        type Value = std::collections::BTreeMap<K, V>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut map = Self::Value::new();
            while let Some((key, value)) = access.next_entry()? {
                if map.insert(key, value).is_some() {
                    return Err(A::Error::custom("the object has a key twice"));
                }
            }
            Ok(map)
        }
    }
    deserializer.deserialize_map(Map(PhantomData))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde::Deserialize;

    use crate::values::{Mac, NodeName};

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only whether it is read is asked")]
    struct All {
        name: NodeName,
        #[serde(deserialize_with = "super::parsed")]
        address: std::net::IpAddr,
        #[serde(deserialize_with = "count")]
        count: u16,
        #[serde(deserialize_with = "super::list::<_, _, 2>")]
        list: Vec<Mac>,
        #[serde(deserialize_with = "super::set")]
        set: BTreeSet<NodeName>,
        #[serde(deserialize_with = "super::map")]
        map: BTreeMap<NodeName, u64>,
    }

    fn count<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
        super::number(deserializer, (2, 300))
    }

    const GOOD: &str = r#"{"name":"a","address":"10.0.0.1","count":300,"list":["52:54:00:00:00:01"],"set":["a","b"],
        "map":{"a":1,"b":1}}"#;

    #[test]
    fn what_is_no_value_is_not_read() {
        assert!(serde_json::from_str::<All>(GOOD).is_ok());
        for (from, to, why) in [
            (r#""name":"a""#, r#""name":"A\u001b""#, "use a-z"),
            (r#""name":"a""#, r#""name":7"#, "expected a string"),
            (r#""10.0.0.1""#, r#""10.0.0""#, "IP address"),
            ("300", "301", "from 2 to 300"),
            ("300", "-1", "expected u32"),
            ("300", "2.5", "expected u32"),
            (
                r#"["52:54:00:00:00:01"]"#,
                r#"["52:54:00:00:00:01","52:54:00:00:00:01","52:54:00:00:00:01"]"#,
                "more than 2",
            ),
            (r#"["a","b"]"#, r#"["a","a"]"#, "twice"),
            (r#"{"a":1,"b":1}"#, r#"{"a":1,"a":1}"#, "twice"),
            (r#"{"a":1,"b":1}"#, r#"{"A":1}"#, "use a-z"),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let error =
                serde_json::from_str::<All>(&GOOD.replace(from, to)).err().map(|error| error.to_string());
            assert!(error.as_ref().is_some_and(|error| error.contains(why)), "{to}: {error:?}");
        }
    }
}
