//! Kiln's own program on nodes, as the manifest describes it.

use serde::{Deserialize, Serialize};

use crate::artifact::Trust;
use crate::values::{Digest, GuestPath, Version};

/// Kiln's own program on nodes that renew their certificates.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KilnNode {
    /// Of the Kiln that it belongs to.
    pub version: Version,
    /// Its path in the guest: `usr/local/bin/kiln-node`.
    pub path: GuestPath,
    /// In bytes.
    pub size: u64,
    /// Of its content.
    pub sha256: Digest,
    /// Where the build had it from.
    pub origin: Origin,
}

/// Where a `kiln-node` comes from: one word in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Origin {
    /// A file in the directory of Kiln's own program.
    Beside(Beside),
    /// The artifact store, and why the import accepted it.
    Store(Trust),
}

/// The only word of [`Origin::Beside`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Beside {
    #[serde(rename = "beside kiln")]
    Kiln,
}

impl Origin {
    pub const fn beside() -> Self {
        Self::Beside(Beside::Kiln)
    }

    /// As the manifest spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Beside(Beside::Kiln) => "beside kiln",
            Self::Store(trust) => trust.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_one_word() {
        for (origin, text) in [
            (Origin::beside(), "\"beside kiln\""),
            (Origin::Store(Trust::ByHand), "\"trusted by hand\""),
            (Origin::Store(Trust::Profile), "\"profile\""),
        ] {
            assert_eq!(serde_json::to_string(&origin).unwrap(), text);
            assert_eq!(serde_json::from_str::<Origin>(text).unwrap(), origin);
            assert_eq!(format!("{:?}", origin.as_str()), text);
        }
        for bad in ["\"beside\"", "null", "{}", "\"Kiln\""] {
            assert!(serde_json::from_str::<Origin>(bad).is_err(), "{bad}");
        }
    }
}
