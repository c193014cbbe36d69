//! `renew.json`: how a node renews its certificates.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Deserializer, Serialize, de};
use x509_cert::der::oid::ObjectIdentifier;

use super::text::{Account, DnsName, FileName, FilePath, Name};

/// The only value of `schema` so far.
pub const SCHEMA: u32 = 1;

/// A leaf lives for at least this long, in seconds: fractions of a shorter life could not be told apart.
const SHORTEST_LIFE: u64 = 6;
/// And at most for ten years of 365 days.
pub const LONGEST_LIFE: u64 = 10 * 365 * 86_400;
/// `server` and `peer`, or one certificate for both.
const MAX_PAIRS: usize = 2;
/// More than a certificate of Kiln's can have.
const MAX_NAMES: usize = 256;

/// The whole file. Unknown keys are refused: a program that is older than its policy would not do what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Policy {
    /// `SCHEMA`.
    #[serde(deserialize_with = "schema")]
    pub schema: u32,
    /// The cluster's name.
    pub cluster: Name,
    /// The node's name.
    pub node: Name,
    /// The epoch of the build, in seconds since 1970: a clock that shows less is wrong.
    pub built: u64,
    /// The life of a certificate that the node makes, in seconds.
    #[serde(deserialize_with = "life")]
    pub life: u64,
    /// Where the generations are: `/var/lib/kiln/pki`.
    pub directory: FilePath,
    /// Where the one that Kiln has issued is: `/etc/kiln/pki`.
    pub first: FilePath,
    /// Where the status is written: `/run/kiln`.
    pub status: FilePath,
    /// The account that reads the keys.
    pub account: Account,
    /// What is renewed, together.
    #[serde(deserialize_with = "pairs")]
    pub pairs: Vec<Pair>,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Pair {
    /// What it is for.
    pub kind: Kind,
    /// The node's own CA for it, and that one's key: PEM files.
    pub issuer: FilePath,
    /// PKCS#8.
    pub issuer_key: FilePath,
    /// The file with the CAs that the members and their clients trust.
    pub anchors: FilePath,
    /// The name of the certificate's file in a generation.
    pub cert: FileName,
    /// Of the key's file.
    pub key: FileName,
    /// Of the key.
    pub algorithm: Algorithm,
    /// In their order.
    #[serde(deserialize_with = "few")]
    pub subject: Vec<Attribute>,
    /// Subject alternative names, in their order.
    #[serde(deserialize_with = "few")]
    pub dns: Vec<DnsName>,
    /// Addresses among them.
    #[serde(deserialize_with = "addresses")]
    pub ips: Vec<IpAddr>,
    /// At least one.
    #[serde(deserialize_with = "usages")]
    pub usages: Vec<Usage>,
    /// Where etcd presents it.
    #[serde(deserialize_with = "few")]
    pub ports: Vec<SocketAddr>,
}

/// The port that presents a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// That for clients.
    Server,
    /// That for peers, where the member also presents it as a client.
    Peer,
}

impl Kind {
    /// As in messages and files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Peer => "peer",
        }
    }
}

/// An extended key usage (RFC 5280 4.2.1.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Usage {
    /// `id-kp-serverAuth`.
    ServerAuth,
    /// `id-kp-clientAuth`.
    ClientAuth,
}

/// Of a key that is made on the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// ECDSA on the curve of that name.
    P256,
    /// The same.
    P384,
    /// EdDSA (RFC 8032).
    Ed25519,
}

/// An attribute of a subject by its short name (RFC 4514 section 3), `["O", "Kloud"]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute(pub AttributeType, pub Text);

/// The attributes that a profile can give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AttributeType {
    /// Country.
    C,
    /// State or province.
    ST,
    /// Locality.
    L,
    /// Organization.
    O,
    /// Organizational unit.
    OU,
    /// Common name.
    CN,
}

/// The value of an attribute: 1 to 128 characters, none of which controls a terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Text(String);

impl Text {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Text {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let good = (1..=128).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        if good {
            Ok(Self(text))
        } else {
            Err("an attribute has 1 to 128 characters, and no control characters")
        }
    }
}

impl TryFrom<String> for Algorithm {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "p256" => Ok(Self::P256),
            "p384" => Ok(Self::P384),
            "ed25519" => Ok(Self::Ed25519),
            _ => Err("an algorithm is p256, p384 or ed25519"),
        }
    }
}

impl AttributeType {
    /// The one with this short name.
    pub fn of(name: &str) -> Option<Self> {
        [Self::C, Self::ST, Self::L, Self::O, Self::OU, Self::CN]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }

    /// `CN`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::C => "C",
            Self::ST => "ST",
            Self::L => "L",
            Self::O => "O",
            Self::OU => "OU",
            Self::CN => "CN",
        }
    }

    /// Its object identifier (RFC 5280 appendix A.1).
    pub(crate) fn oid(self) -> ObjectIdentifier {
        ObjectIdentifier::new_unwrap(match self {
            Self::C => "2.5.4.6",
            Self::ST => "2.5.4.8",
            Self::L => "2.5.4.7",
            Self::O => "2.5.4.10",
            Self::OU => "2.5.4.11",
            Self::CN => "2.5.4.3",
        })
    }
}

impl Policy {
    /// Whether a file of one pair has the name of one of another, or both of a pair have one.
    fn has_a_name_twice(&self) -> bool {
        let mut names: Vec<_> = self.pairs.iter().flat_map(|pair| [&pair.cert, &pair.key]).collect();
        names.sort();
        names.windows(2).any(|pair| pair[0] == pair[1])
    }

    /// What a type of one field alone cannot say.
    ///
    /// # Errors
    /// The reason, without any value.
    pub fn check(&self) -> Result<(), &'static str> {
        match self {
            _ if self.has_a_name_twice() => Err("two files of a generation have the same name"),
            Self { pairs, .. } if pairs.len() == 2 && pairs[0].kind == pairs[1].kind => {
                Err("two certificates are of the same kind")
            }
            _ => Ok(()),
        }
    }
}

pub(crate) fn schema<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    match u32::deserialize(from)? {
        SCHEMA => Ok(SCHEMA),
        other => Err(de::Error::custom(format!("schema {other} is not one that this program reads"))),
    }
}

fn life<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let life = u64::deserialize(from)?;
    match (SHORTEST_LIFE..=LONGEST_LIFE).contains(&life) {
        true => Ok(life),
        false => Err(de::Error::custom("a life is 6 seconds to ten years")),
    }
}

pub(crate) fn bounded<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
    least: usize,
    most: usize,
) -> Result<Vec<T>, D::Error> {
    let list = Vec::deserialize(from)?;
    match (least..=most).contains(&list.len()) {
        true => Ok(list),
        false => Err(de::Error::custom(format!("a list here has {least} to {most} entries"))),
    }
}

fn pairs<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Pair>, D::Error> {
    bounded(from, 1, MAX_PAIRS)
}

fn usages<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Usage>, D::Error> {
    bounded(from, 1, 2)
}

fn few<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    bounded(from, 0, MAX_NAMES)
}

/// No verifier finds an IPv4 address that is written as an IPv6 address within the IPv4 ranges of a name constraint.
fn addresses<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpAddr>, D::Error> {
    let list: Vec<IpAddr> = few(from)?;
    match list.iter().all(|ip| ip.to_canonical() == *ip) {
        true => Ok(list),
        false => Err(de::Error::custom("an IPv4 address is written as such, not as ::ffff:a.b.c.d")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{
        "schema": 1, "cluster": "ha3", "node": "cp-a", "built": 1764000000, "life": 7776000,
        "directory": "/var/lib/kiln/pki", "first": "/etc/kiln/pki", "status": "/run/kiln", "account": "etcd",
        "pairs": [{
            "kind": "server", "issuer": "/etc/kiln/issuer/server.pem", "issuer-key": "/etc/kiln/issuer/server-key.pem",
            "anchors": "/etc/etcd/pki/ca.pem", "cert": "server.pem", "key": "server-key.pem", "algorithm": "p256",
            "subject": [["O", "Kloud"], ["CN", "cp-a"]], "dns": ["cp-a", "localhost"], "ips": ["10.0.0.1", "::1"],
            "usages": ["serverAuth"], "ports": ["10.0.0.1:2379", "[::1]:2379"]
        }]
    }"#;

    #[test]
    fn a_policy_comes_back_as_it_was_written() {
        let policy: Policy = serde_json::from_str(GOOD).unwrap();
        assert_eq!(policy.check(), Ok(()));
        let again = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<Policy>(&again).unwrap(), policy);
    }

    #[test]
    fn each_value_has_its_rule() {
        for (from, to, why) in [
            ("\"schema\": 1", "\"schema\": 2", "schema 2"),
            ("\"life\": 7776000", "\"life\": 5", "6 seconds"),
            ("\"life\": 7776000", "\"life\": 400000000", "ten years"),
            ("\"life\": 7776000", "\"life\": -1", "invalid value"),
            ("\"cp-a\", \"built\"", "\"cp/a\", \"built\"", "a name has"),
            ("/var/lib/kiln/pki", "/var/lib/../pki", "a path is absolute"),
            ("\"account\": \"etcd\"", "\"account\": \"0\"", "an account has"),
            ("\"server-key.pem\", \"algorithm\"", "\"../k\", \"algorithm\"", "a file's name"),
            ("[\"serverAuth\"]", "[]", "1 to 2 entries"),
            ("[\"serverAuth\"]", "[\"codeSigning\"]", "unknown variant"),
            ("\"Kloud\"", "\"a\\nb\"", "control characters"),
            ("\"p256\"", "\"p521\"", "unknown variant"),
            ("\"10.0.0.1\",", "\"10.0.0\",", "invalid IP address"),
            ("\"10.0.0.1\",", "\"::ffff:10.0.0.1\",", "not as ::ffff"),
            ("\"life\"", "\"lifes\"", "unknown field"),
            ("\"pairs\": [{", "\"pairs\": [], \"x\": [{", "1 to 2 entries"),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let said = serde_json::from_str::<Policy>(&GOOD.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(said.contains(why), "{to}: {said}");
        }
    }

    #[test]
    fn files_of_a_generation_have_names_of_their_own() {
        let mut policy: Policy = serde_json::from_str(GOOD).unwrap();
        policy.pairs[0].key = policy.pairs[0].cert.clone();
        assert!(policy.check().is_err());
        let mut policy: Policy = serde_json::from_str(GOOD).unwrap();
        let mut second = policy.pairs[0].clone();
        second.cert = "b.pem".to_owned().try_into().unwrap();
        second.key = "b-key.pem".to_owned().try_into().unwrap();
        policy.pairs.push(second);
        assert_eq!(policy.check(), Err("two certificates are of the same kind"));
        policy.pairs[1].kind = Kind::Peer;
        assert_eq!(policy.check(), Ok(()));
    }
}
