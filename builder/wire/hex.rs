//! Numbers and digests that are written in hex.

use std::fmt;

use ring::digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A text is not the hex digits that it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotHex(&'static str);

impl fmt::Display for NotHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// etcd's ID of a cluster or a member, 16 digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(pub u64);

/// SHA-256, 64 digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

/// The public half of an Ed25519 key (RFC 8032), 64 digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey(pub [u8; 32]);

impl Digest {
    /// That of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut own = [0; 32];
        own.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
        Self(own)
    }
}

impl Id {
    /// Of a text as Go's `%x` writes it, without leading zeros, or with all 16 digits.
    pub fn of_etcd(text: &str) -> Option<Self> {
        (1..=16).contains(&text.len()).then(|| format!("{text:0>16}").parse().ok())?
    }
}

/// As etcd and etcdctl print it, without leading zeros.
impl fmt::LowerHex for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, f)
    }
}

impl PublicKey {
    /// By which an envelope names it: the digest of its 32 bytes.
    pub fn id(&self) -> Digest {
        Digest::of(&self.0)
    }
}

fn digits(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// The bytes of exactly so many lower-case digits.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let is_lower = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != 2 * N || !text.bytes().all(is_lower) {
        return None;
    }
    let mut all = [0; N];
    for (byte, pair) in all.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(all)
}

macro_rules! hex {
    ($name:ident, $bytes:expr, $from:expr, $why:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                digits(&$bytes(self), f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NotHex;
            fn from_str(text: &str) -> Result<Self, NotHex> {
                bytes(text).map($from).ok_or(NotHex($why))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(|why: NotHex| de::Error::custom(why))
            }
        }
    };
}

hex!(Id, |id: &Id| id.0.to_be_bytes(), |bytes| Id(u64::from_be_bytes(bytes)), "an ID has 16 of 0-9 and a-f");
hex!(Digest, |digest: &Digest| digest.0, Digest, "a digest has 64 of 0-9 and a-f");
hex!(PublicKey, |key: &PublicKey| key.0, PublicKey, "a public key has 64 of 0-9 and a-f");

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_has_one_text() {
        let id: Id = "00aa000000000001".parse().unwrap();
        assert_eq!((id, id.to_string().as_str()), (Id(0xaa_0000_0000_0001), "00aa000000000001"));
        for bad in ["", "aa", "00AA000000000001", "+0aa000000000001", "00aa0000000000010", "00aa00000000000é"]
        {
            assert!(bad.parse::<Id>().is_err(), "{bad}");
        }
        let empty = Digest::of(b"").to_string();
        assert_eq!(empty, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(empty.parse::<Digest>().unwrap(), Digest::of(b""));
    }
}
