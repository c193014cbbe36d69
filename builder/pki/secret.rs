//! The 32 bytes from which every key, serial number and token of a cluster is derived.

use hkdf::Hkdf;
use ring::rand::SecureRandom;
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use super::chance::chance;
use crate::failure::{Failure, Result};

/// Part of the format: changing it changes every key of every cluster.
const SALT: &[u8] = b"kiln keystore 1";

/// Wiped from memory when dropped; it has no `Debug`.
pub(super) struct Secret(Zeroizing<[u8; 32]>);

impl Secret {
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self(Zeroizing::new(*bytes))
    }

    /// From the kernel's random numbers (getrandom(2)).
    pub fn random() -> Result<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        chance().fill(&mut *bytes).map_err(|_| Failure::io("the kernel returned no random numbers"))?;
        Ok(Self(bytes))
    }

    /// 64 lower-case hex digits and a newline, and nothing else: every other spelling of the same bytes counts as a
    /// change.
    pub fn from_text(text: &[u8]) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        let digits = text.strip_suffix(b"\n").filter(|digits| digits.len() == 64)?;
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = (digit(pair[0])? << 4) | digit(pair[1])?;
        }
        Some(Self(bytes))
    }

    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(65));
        for byte in self.0.iter() {
            for half in [byte >> 4, byte & 15] {
                text.push(char::from(b"0123456789abcdef"[usize::from(half)]));
            }
        }
        text.push('\n');
        text
    }

    /// Fills `out` with HKDF-SHA256 (RFC 5869) of the secret, for a label of several parts.
    ///
    /// # Errors
    /// Never for less than 8160 bytes, the limit of HKDF.
    pub fn fill(&self, label: &[&str], out: &mut [u8]) -> Result<()> {
        // Each part is prefixed with its length, so that no two labels are encoded to the same bytes.
        let mut info = Vec::new();
        for part in label {
            info.extend_from_slice(&(part.len() as u64).to_be_bytes());
            info.extend_from_slice(part.as_bytes());
        }
        Hkdf::<Sha256>::new(Some(SALT), &*self.0).expand(&info, out).map_err(|_| {
            out.zeroize();
            Failure::untrusted("more bytes were asked of the keystore's secret than HKDF can derive")
        })
    }

    pub fn derive<const N: usize>(&self, label: &[&str]) -> Result<Zeroizing<[u8; N]>> {
        let mut bytes = Zeroizing::new([0; N]);
        self.fill(label, &mut *bytes)?;
        Ok(bytes)
    }

    pub fn copy(&self) -> Self {
        Self(self.0.clone())
    }
}

fn digit(text: u8) -> Option<u8> {
    match text {
        b'0'..=b'9' => Some(text - b'0'),
        b'a'..=b'f' => Some(text - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_read_back_and_no_other_is() {
        let text = Secret::new(&[0xa5; 32]).to_text();
        assert_eq!(text.as_str(), format!("{}\n", "a5".repeat(32)));
        assert_eq!(Secret::from_text(text.as_bytes()).unwrap().0, Zeroizing::new([0xa5; 32]));
        for bad in [
            "A5".repeat(32) + "\n",
            "a5".repeat(32),
            "a5".repeat(31) + "\n",
            "a5".repeat(33) + "\n",
            "é5".repeat(21) + "é\n",
            "a5".repeat(32) + "\n\n",
        ] {
            assert!(Secret::from_text(bad.as_bytes()).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn labels_do_not_run_together() {
        let secret = Secret::new(&[7; 32]);
        let labels: [&[&str]; 5] = [&["ab", "c"], &["a", "bc"], &["abc"], &["abc", ""], &["a", "b", "c"]];
        let all: std::collections::BTreeSet<_> =
            labels.iter().map(|label| *secret.derive::<32>(label).unwrap()).collect();
        assert_eq!(all.len(), labels.len());
        assert_ne!(*Secret::new(&[8; 32]).derive::<32>(&["abc"]).unwrap(), *secret.derive(&["abc"]).unwrap());
    }

    #[test]
    fn the_kernel_gives_different_secrets() {
        assert_ne!(Secret::random().unwrap().0, Secret::random().unwrap().0);
    }

    #[test]
    fn asking_for_too_much_leaves_nothing_behind() {
        let mut much = vec![1; 8161];
        assert!(Secret::new(&[7; 32]).fill(&["x"], &mut much).is_err());
        assert!(much.iter().all(|byte| *byte == 0));
    }
}
