//! The URLs of a member's ports.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use super::{Invalid, deserialize_parsed, serialize_displayed};

/// `https://ADDRESS:PORT`, the form of every URL of a member: with an address, because its certificates contain it,
/// and a name would have to be resolved before there is a cluster.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Url(SocketAddr);

deserialize_parsed!(Url);
serialize_displayed!(Url);

impl Url {
    pub fn address(self) -> SocketAddr {
        self.0
    }
}

impl FromStr for Url {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let address = text.strip_prefix("https://").and_then(|text| text.parse().ok()).map(Self);
        // In one spelling only: etcd hashes the text.
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
