//! Signed records: a DSSE envelope (<https://github.com/secure-systems-lab/dsse>, version 1.0 of its protocol) with one
//! signature by Ed25519. Encryption says nothing of where a snapshot comes from; this does.

use std::fmt;

use base64ct::{Base64, Encoding};
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use super::backup::Signer;
use super::hex::Digest;
use super::snapshot::Record;
use super::snapshot_name::SnapshotName;

/// Bytes: longer than a record with the longest names and 32 recipients.
pub const LONGEST_ENVELOPE: usize = 64 << 10;

/// `payloadType`.
const TYPE: &str = "application/vnd.kiln.snapshot+json";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Envelope {
    payload_type: String,
    payload: String,
    signatures: Vec<Signature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    keyid: Digest,
    sig: String,
}

/// Why a record is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unproven {
    /// It is longer than `LONGEST_ENVELOPE`.
    Long,
    /// It is not such an envelope; with what is wrong.
    Form(String),
    /// It is signed by a key that is no node's of this cluster; with the ID of that key.
    Stranger(Digest),
    /// The signature is not that of its key.
    Forged,
    /// A node has signed that another one has taken it.
    OtherNode,
    /// It is the record of another snapshot.
    OtherName,
    /// It is signed, and what it says cannot be.
    Content(String),
}

impl fmt::Display for Unproven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Long => write!(f, "its record is longer than {LONGEST_ENVELOPE} bytes"),
            Self::Form(why) => write!(f, "its record is not a signed one: {why}"),
            Self::Stranger(id) => write!(f, "its record is signed by no node of this cluster (key {id})"),
            Self::Forged => f.write_str("the signature of its record is wrong"),
            Self::OtherNode => f.write_str("its record is signed by another node than the one that it names"),
            Self::OtherName => f.write_str("its record is that of another snapshot"),
            Self::Content(why) => write!(f, "its record is signed, but wrong: {why}"),
        }
    }
}

/// What is signed: DSSE's pre-authentication encoding.
fn signed(payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {TYPE} {} ", TYPE.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// The file of a record, signed.
///
/// # Errors
/// Where the record cannot be: `Record::check`, or it is too long.
pub fn seal(record: &Record, key: &Ed25519KeyPair) -> Result<Vec<u8>, Unproven> {
    record.check().map_err(|why| Unproven::Content(why.to_owned()))?;
    let payload = serde_json::to_vec(record).map_err(|error| Unproven::Content(error.to_string()))?;
    let public = ring::signature::KeyPair::public_key(key);
    let sig = Base64::encode_string(key.sign(&signed(&payload)).as_ref());
    let envelope = Envelope {
        payload_type: TYPE.to_owned(),
        payload: Base64::encode_string(&payload),
        signatures: vec![Signature { keyid: Digest::of(public.as_ref()), sig }],
    };
    let mut bytes = serde_json::to_vec(&envelope).map_err(|error| Unproven::Form(error.to_string()))?;
    bytes.push(b'\n');
    if bytes.len() <= LONGEST_ENVELOPE { Ok(bytes) } else { Err(Unproven::Long) }
}

/// The record in a file that lies beside the snapshot `name`, if one of these nodes has signed it as its own.
///
/// # Errors
/// Why it is not believed.
pub fn open(bytes: &[u8], name: &SnapshotName, signers: &[Signer]) -> Result<Record, Unproven> {
    if bytes.len() > LONGEST_ENVELOPE {
        return Err(Unproven::Long);
    }
    let form = |error: serde_json::Error| Unproven::Form(error.to_string());
    let Envelope { payload_type, payload, signatures } = serde_json::from_slice(bytes).map_err(form)?;
    if payload_type != TYPE {
        return Err(Unproven::Form("its content is not the record of a snapshot".to_owned()));
    }
    let [Signature { keyid, sig }] = signatures.as_slice() else {
        return Err(Unproven::Form("it has not exactly one signature".to_owned()));
    };
    let decode = |text: &str| {
        Base64::decode_vec(text).map_err(|_| Unproven::Form("it has a text that is not base64".to_owned()))
    };
    let (payload, sig) = (decode(&payload)?, decode(sig)?);
    let key = signers.iter().map(|signer| signer.key).find(|key| key.id() == *keyid);
    let key = key.ok_or(Unproven::Stranger(*keyid))?;
    UnparsedPublicKey::new(&ED25519, key.0).verify(&signed(&payload), &sig).map_err(|_| Unproven::Forged)?;
    // Nothing of it is read before it is known who says it.
    let content = |error: serde_json::Error| Unproven::Content(error.to_string());
    let record: Record = serde_json::from_slice(&payload).map_err(content)?;
    record.check().map_err(|why| Unproven::Content(why.to_owned()))?;
    match () {
        () if record.name != *name => Err(Unproven::OtherName),
        // The same key may be in the list of more than one cluster's or generation's nodes.
        () if !signers.iter().any(|signer| signer.key == key && signer.node == record.node) => {
            Err(Unproven::OtherNode)
        }
        () => Ok(record),
    }
}

#[cfg(test)]
mod tests;
