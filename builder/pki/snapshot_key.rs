//! The keys with which nodes sign what they say of their snapshots: encryption alone does not tell where one is from.

use ring::signature::Ed25519KeyPair;

use super::key::{Key, KeyPem};
use super::keystore::Keystore;
use super::pem;
use crate::failure::{Failure, Result};
use crate::profile::Algorithm;

/// Of a node, or of the desk.
pub struct SnapshotKey {
    /// PKCS#8.
    pub pem: KeyPem,
    /// Raw (RFC 8032 5.1.5).
    pub public: [u8; 32],
}

impl SnapshotKey {
    /// A node's own.
    ///
    /// # Errors
    /// None in practice.
    pub fn of_node(keystore: &Keystore, node: &str) -> Result<Self> {
        Self::derive(keystore, &["snapshot", "node", node])
    }

    /// For snapshots that the desk takes.
    ///
    /// # Errors
    /// None in practice.
    pub fn of_desk(keystore: &Keystore) -> Result<Self> {
        Self::derive(keystore, &["snapshot", "desk"])
    }

    fn derive(keystore: &Keystore, label: &[&str]) -> Result<Self> {
        let label = [&[keystore.cluster().as_str()], label].concat();
        let key = Key::derive(keystore.secret(), Algorithm::Ed25519, &label)?;
        match &key {
            Key::Ed25519(own) => Ok(Self { pem: key.to_pem()?, public: own.verifying_key().to_bytes() }),
            _ => Err(Failure::untrusted("the key of a snapshot is not of Ed25519")),
        }
    }
}

/// Such a key from its file.
///
/// # Errors
/// `Exit::Untrusted` where it is none.
pub fn signing(pem: &[u8]) -> Result<Ed25519KeyPair> {
    let wrong = || Failure::untrusted("it is not a key of Ed25519 in PKCS#8");
    let blocks = pem::blocks(pem)?;
    let [block] = &blocks[..] else { return Err(wrong()) };
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(&block.der).map_err(|_| wrong())
}
