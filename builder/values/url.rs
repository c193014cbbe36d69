//! Where a member's ports are.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::{Invalid, deserialize_parsed};

/// `https://ADDRESS:PORT`, as every URL of a member is: by address, because its certificates name it, and a name would have
/// to be resolved before there is a cluster.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Url(SocketAddr);

deserialize_parsed!(Url);

impl Url {
    pub fn address(self) -> SocketAddr {
        self.0
    }
}

impl FromStr for Url {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let address = text.strip_prefix("https://").and_then(|text| text.parse().ok()).map(Self);
        // In one way only: etcd hashes the text.
        address
            .filter(|url| url.0.port() != 0 && url.to_string() == text)
            .ok_or_else(|| Invalid("write it as https://ADDRESS:PORT".into()))
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.0)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Url {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_https_and_an_address_and_a_port() {
        for good in ["https://10.0.0.4:2379", "https://[fd00::1]:2380"] {
            assert_eq!(good.parse::<Url>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "https://10.0.0.4",
            "http://10.0.0.4:2379",
            "https://10.0.0.4:2379/",
            "https://10.0.0.4:0",
            "https://10.0.0.4:02379",
            "https://[fd00:0::1]:2379",
            "https://cp-a:2379",
            "https://u@10.0.0.4:2379",
            "https://10.0.0.4:2379\n",
        ] {
            assert!(bad.parse::<Url>().is_err(), "{bad}");
        }
    }
}
