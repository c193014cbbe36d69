//! PEM files (RFC 7468) as Kiln writes them.

use x509_cert::der::pem;
use zeroize::Zeroizing;

use crate::failure::{Failure, Result};

/// The blocks of a file, which are all of this kind, in DER.
///
/// # Errors
/// Where there is none, or another kind.
pub fn blocks(label: &str, text: &[u8]) -> Result<Vec<Zeroizing<Vec<u8>>>> {
    let text = std::str::from_utf8(text).map_err(|_| Failure::new("it is not a PEM file"))?;
    let end = format!("-----END {label}-----\n");
    let mut blocks = Vec::new();
    for block in text.split_inclusive(&end) {
        let (found, der) = pem::decode_vec(block.as_bytes())
            .map_err(|error| Failure::new(format!("it is not a PEM file: {error}")))?;
        if found != label {
            return Err(Failure::new(format!("it has a block that is no {label}")));
        }
        blocks.push(Zeroizing::new(der));
    }
    if blocks.is_empty() {
        return Err(Failure::new("it is empty"));
    }
    Ok(blocks)
}

/// A block, as text.
///
/// # Errors
/// Where it is too long.
pub fn text(label: &str, der: &[u8]) -> Result<Zeroizing<String>> {
    pem::encode_string(label, pem::LineEnding::LF, der)
        .map(Zeroizing::new)
        .map_err(|error| Failure::new(format!("a {label} cannot be written: {error}")))
}

/// Of certificates.
pub const CERTIFICATE: &str = "CERTIFICATE";
/// Of keys in PKCS#8 (RFC 5958).
pub const PRIVATE_KEY: &str = "PRIVATE KEY";
