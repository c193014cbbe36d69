//! The authorities of which members trust a root that Kiln made.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Below a root that Kiln made there is one issuing CA. Below an imported one there may be others, whose certificates
/// a port would accept, too.
///
/// In JSON `true` for both, or a list with one; absent for neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnRoots {
    /// Of the client port, and of the peer port where peers have no CA of their own.
    pub ca: bool,
    pub peer_ca: bool,
}

/// As the plan calls them.
#[derive(Serialize, Deserialize)]
enum Authority {
    #[serde(rename = "ca")]
    Ca,
    #[serde(rename = "peer-ca")]
    PeerCa,
}

impl OwnRoots {
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl Serialize for OwnRoots {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.ca, self.peer_ca) {
            (true, true) => serializer.serialize_bool(true),
            (true, false) => [Authority::Ca].serialize(serializer),
            (false, true) => [Authority::PeerCa].serialize(serializer),
            (false, false) => serializer.serialize_bool(false),
        }
    }
}

impl<'de> Deserialize<'de> for OwnRoots {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Both(bool),
            One([Authority; 1]),
        }
        Ok(match Written::deserialize(deserializer)? {
            Written::Both(both) => Self { ca: both, peer_ca: both },
            Written::One([Authority::Ca]) => Self { ca: true, peer_ca: false },
            Written::One([Authority::PeerCa]) => Self { ca: false, peer_ca: true },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_roots_are_written_and_read_for_each_authority() {
        for (ca, peer_ca, text) in
            [(true, true, "true"), (true, false, "[\"ca\"]"), (false, true, "[\"peer-ca\"]")]
        {
            let one = OwnRoots { ca, peer_ca };
            assert_eq!(serde_json::to_string(&one).unwrap(), text);
            assert_eq!(serde_json::from_str::<OwnRoots>(text).unwrap(), one);
        }
        assert!(serde_json::from_str::<OwnRoots>("false").unwrap().is_none());
        for bad in ["[]", "[\"ca\", \"peer-ca\"]", "[\"other\"]", "1", "\"ca\"", "null", "{}"] {
            assert!(serde_json::from_str::<OwnRoots>(bad).is_err(), "{bad}");
        }
    }
}
