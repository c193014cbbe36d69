//! The URLs of a member's ports.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use super::names::ends_in_number;
use super::{HostName, Invalid, deserialize_parsed, serialize_displayed};

/// `https://ADDRESS:PORT` or `https://NAME:PORT`, the forms of a member's URLs. A name is one that the nodes' own hosts
/// files have: it is never looked up on this machine.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Url {
    host: Host,
    port: u16,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Host {
    Address(IpAddr),
    Name(String),
}

deserialize_parsed!(Url);
serialize_displayed!(Url);

impl Url {
    pub fn of_address(address: IpAddr, port: u16) -> Self {
        Self { host: Host::Address(address), port }
    }

    /// By a name that the nodes' own hosts files have.
    pub fn of_name(name: String, port: u16) -> Self {
        Self { host: Host::Name(name), port }
    }

    /// Host and port, as in `10.0.0.11:2379`; an IPv6 address is in brackets.
    pub fn authority(&self) -> String {
        self.authority_at(self.port)
    }

    /// The same at another port of the host.
    pub fn authority_at(&self, port: u16) -> String {
        match &self.host {
            Host::Address(address) => SocketAddr::new(*address, port).to_string(),
            Host::Name(name) => format!("{name}:{port}"),
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its host, where that is an address.
    pub fn address(&self) -> Option<IpAddr> {
        match self.host {
            Host::Address(address) => Some(address),
            Host::Name(_) => None,
        }
    }

    /// Its host, where that is a name.
    pub fn name(&self) -> Option<&str> {
        match &self.host {
            Host::Address(_) => None,
            Host::Name(name) => Some(name),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix("https://")?;
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Some(Self { host: Host::Address(address.ip()), port: address.port() });
        }
        let (name, port) = text.split_once(':')?;
        // An address that is wrong is not a name.
        let name: HostName = name.parse().ok().filter(|_| !ends_in_number(name))?;
        Some(Self { host: Host::Name(name.to_string()), port: port.parse().ok()? })
    }
}

impl FromStr for Url {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        // In one spelling only: etcd hashes the text.
        Self::parse(text)
            .filter(|url| url.port != 0 && url.to_string() == text)
            .ok_or_else(|| Invalid("write it as https://ADDRESS:PORT or https://NAME:PORT".into()))
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority())
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
    fn a_url_is_https_and_a_host_and_a_port() {
        for good in ["https://10.0.0.4:2379", "https://[fd00::1]:2380", "https://cp-a.lan:2379"] {
            assert_eq!(good.parse::<Url>().unwrap().to_string(), good);
        }
        let url: Url = "https://cp-a.kloud.lan:2381".parse().unwrap();
        assert_eq!((url.name(), url.address(), url.port()), (Some("cp-a.kloud.lan"), None, 2381));
        assert_eq!(
            (url.authority(), url.authority_at(1)),
            ("cp-a.kloud.lan:2381".into(), "cp-a.kloud.lan:1".into())
        );
        let url = Url::of_address("fd00::1".parse().unwrap(), 2379);
        assert_eq!(
            (url.to_string(), url.authority_at(1)),
            ("https://[fd00::1]:2379".into(), "[fd00::1]:1".into())
        );
        for bad in [
            "",
            "https://10.0.0.4",
            "http://10.0.0.4:2379",
            "https://10.0.0.4:2379/",
            "https://10.0.0.4:0",
            "https://10.0.0.4:02379",
            "https://10.0.0.400:2379",
            "https://[fd00:0::1]:2379",
            "https://CP-A.lan:2379",
            "https://cp-a.lan",
            "https://cp-a.lan:2379/",
            "https://u@cp-a.lan:2379",
            "https://u@10.0.0.4:2379",
            "https://10.0.0.4:2379\n",
        ] {
            assert!(bad.parse::<Url>().is_err(), "{bad}");
        }
    }
}
