//! The part of a fleet that a run builds.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Invalid;

/// `3/16`: the third of sixteen shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Numbers")]
pub struct Shard {
    /// From 1.
    pub number: u32,
    pub of: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Numbers {
    number: u32,
    of: u32,
}

impl TryFrom<Numbers> for Shard {
    type Error = Invalid;
    fn try_from(Numbers { number, of }: Numbers) -> Result<Self, Invalid> {
        match (1..=of).contains(&number) {
            true => Ok(Self { number, of }),
            false => Err(Invalid("the number of a shard is between 1 and the number of shards".into())),
        }
    }
}

impl Shard {
    /// Whether the item at this index of a sorted list belongs to this shard. Neighbours belong to different shards,
    /// because neighbours in a list are often similar in size.
    pub fn has(self, place: usize) -> bool {
        place as u64 % u64::from(self.of) == u64::from(self.number) - 1
    }
}

impl FromStr for Shard {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let number = |text: &str| -> Option<u32> {
            text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let parts = text.split_once('/').and_then(|(a, b)| Some((number(a)?, number(b)?)));
        match parts {
            Some((number, of)) if (1..=of).contains(&number) => Ok(Self { number, of }),
            _ => {
                Err(Invalid("write a shard as in 3/16: its number, from 1, and the number of shards".into()))
            }
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_list_are_all_of_it_once() {
        for of in [1, 2, 3, 16] {
            let parts: Vec<Shard> = (1..=of).map(|number| Shard { number, of }).collect();
            for place in 0..100 {
                assert_eq!(parts.iter().filter(|part| part.has(place)).count(), 1, "{place} of {of}");
            }
        }
    }

    #[test]
    fn only_a_number_of_a_number_is_a_part() {
        assert_eq!("3/16".parse(), Ok(Shard { number: 3, of: 16 }));
        for bad in ["", "3", "0/4", "5/4", "1/0", "+1/2", "1/ 2", "1/2/3", "1/99999999999"] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
        let json = |number, of| serde_json::json!({ "number": number, "of": of });
        assert_eq!(serde_json::from_value::<Shard>(json(3, 16)).unwrap(), Shard { number: 3, of: 16 });
        for (number, of) in [(0, 4), (5, 4), (0, 0), (-1, 4)] {
            assert!(serde_json::from_value::<Shard>(json(number, of)).is_err(), "{number}/{of}");
        }
    }
}
