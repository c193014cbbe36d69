//! Whom something is encrypted for, and the stanza of a header that only that one can open.

use base64ct::{Base64, Base64Unpadded, Encoding};
use curve25519_dalek::constants::X25519_BASEPOINT;
use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::montgomery::MontgomeryPoint;
use ring::{aead, digest};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::secret::{FileKey, derive, random};

const X25519: &str = "age-encryption.org/v1/X25519";
const SSH: &str = "age-encryption.org/v1/ssh-ed25519";
const SSH_TYPE: &str = "ssh-ed25519";

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// Of age itself.
    X25519([u8; 32]),
    /// As OpenSSH writes it on the wire, and the same on the curve of X25519.
    Ssh { wire: [u8; 51], point: [u8; 32] },
}

impl std::str::FromStr for Recipient {
    type Err = Error;
    /// `age1…`, or `ssh-ed25519 AAAA… [comment]`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let kind = match text.split_once(' ') {
            Some((SSH_TYPE, rest)) => ssh(rest)?,
            _ => x25519(text)?,
        };
        let (Kind::X25519(point) | Kind::Ssh { point, .. }) = &kind;
        // With a point of low order the secret is known to all: any scalar, being a multiple of 8, makes zero of it.
        match is_zero(&MontgomeryPoint(*point).mul_clamped([1; 32])) {
            true => Err(Error::Recipient("the recipient's key is not one that can keep a secret")),
            false => Ok(Self(kind)),
        }
    }
}

fn x25519(text: &str) -> Result<Kind, Error> {
    let why = match text {
        _ if text.to_ascii_lowercase().starts_with("age-secret-key-") => {
            "this is an identity, which is secret, and not a recipient; age-keygen -y prints the recipient of it"
        }
        _ if !text.starts_with("age1") => "a recipient begins with age1 or with ssh-ed25519",
        _ => "the recipient has a wrong character, or one too many or too few; copy all of it",
    };
    crate::bech32::decode("age", text).map(Kind::X25519).ok_or(Error::Recipient(why))
}

fn ssh(rest: &str) -> Result<Kind, Error> {
    let bad = Error::Recipient("the ssh-ed25519 key is not one line of a .pub file");
    let text = rest.split(' ').next().unwrap_or_default();
    let Ok(wire) = Base64::decode_vec(text).unwrap_or_default().try_into() else { return Err(bad) };
    let wire: [u8; 51] = wire;
    // Two strings with their lengths (RFC 8709 section 4).
    let Some(key) = wire.strip_prefix(b"\0\0\0\x0bssh-ed25519\0\0\0\x20") else { return Err(bad) };
    let point = CompressedEdwardsY::from_slice(key).ok().and_then(|key| key.decompress());
    let point = point.ok_or(Error::Recipient("the ssh-ed25519 key is no point of its curve"))?;
    Ok(Kind::Ssh { wire, point: point.to_montgomery().0 })
}

fn is_zero(point: &MontgomeryPoint) -> bool {
    point.0 == [0; 32]
}

fn wrap(key: &[u8; 32], file_key: &FileKey) -> Result<String, Error> {
    let key = aead::UnboundKey::new(&aead::CHACHA20_POLY1305, key).map_err(|_| Error::Weak)?;
    let key = aead::LessSafeKey::new(key);
    let mut body = Zeroizing::new([0; 32]);
    let (clear, tag) = body.split_at_mut(16);
    clear.copy_from_slice(file_key.as_slice());
    // Each key is used once, so the nonce is always zero.
    let nonce = aead::Nonce::assume_unique_for_key([0; 12]);
    let made = key.seal_in_place_separate_tag(nonce, aead::Aad::empty(), clear).map_err(|_| Error::Weak)?;
    tag.copy_from_slice(made.as_ref());
    Ok(Base64Unpadded::encode_string(body.as_slice()))
}

/// A secret that is made now, times this point.
fn multiply(point: &MontgomeryPoint, secret: &[u8; 32]) -> Result<MontgomeryPoint, Error> {
    let product = point.mul_clamped(*secret);
    if is_zero(&product) { Err(Error::Weak) } else { Ok(product) }
}

impl Recipient {
    /// The lines of a header that hold the file key for this one.
    pub(crate) fn stanza(&self, file_key: &FileKey) -> Result<String, Error> {
        let ephemeral = Zeroizing::new(random::<32>()?);
        // By the ladder, as everything here: the other way brings a second implementation of the curve with it.
        let share = X25519_BASEPOINT.mul_clamped(*ephemeral).0;
        let mut salt = share.to_vec();
        let (Kind::X25519(point) | Kind::Ssh { point, .. }) = &self.0;
        salt.extend(point);
        let share = Base64Unpadded::encode_string(&share);
        let secret = multiply(&MontgomeryPoint(*point), &ephemeral)?;
        match &self.0 {
            Kind::X25519(_) => {
                let secret = Zeroizing::new(secret.0);
                let key = derive(secret.as_slice(), &salt, X25519.as_bytes())?;
                Ok(format!("-> X25519 {share}\n{}\n", wrap(&key, file_key)?))
            }
            Kind::Ssh { wire, .. } => {
                // So that a secret that was meant for another use of the key is none here.
                let tweak = derive(&[], wire, SSH.as_bytes())?;
                let secret = Zeroizing::new(multiply(&secret, &tweak)?.0);
                let key = derive(secret.as_slice(), &salt, SSH.as_bytes())?;
                let tag = digest::digest(&digest::SHA256, wire);
                let tag = Base64Unpadded::encode_string(&tag.as_ref()[..4]);
                Ok(format!("-> {SSH_TYPE} {tag} {share}\n{}\n", wrap(&key, file_key)?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `age-keygen` and `ssh-keygen -t ed25519`.
    const AGE: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN alice@host";

    fn why(text: &str) -> String {
        text.parse::<Recipient>().unwrap_err().to_string()
    }

    #[test]
    fn recipients_are_whole_or_refused() {
        assert!(AGE.parse::<Recipient>().is_ok());
        assert!(KEY.parse::<Recipient>().is_ok());
        assert_eq!(KEY.parse::<Recipient>().unwrap(), KEY.replace(" alice@host", "").parse().unwrap());
        for at in 4..AGE.len() {
            let mut bytes = AGE.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'q' { b'p' } else { b'q' };
            assert!(why(std::str::from_utf8(&bytes).unwrap()).contains("copy all of it"), "{at}");
        }
        for (text, said) in [
            (&AGE[..61], "copy all"),
            (&AGE.to_uppercase(), "begins with age1"),
            ("", "begins with age1"),
            ("ssh-rsa AAAA", "begins with age1"),
            ("AGE-SECRET-KEY-1QQQQ", "age-keygen -y"),
            ("ssh-ed25519 AAAA", "one line of a .pub file"),
            ("ssh-ed25519  AAAA", "one line of a .pub file"),
            (&KEY.replace("IHsK", "JHsK"), "one line of a .pub file"),
        ] {
            assert!(why(text).contains(said), "{text}: {}", why(text));
        }
        assert!(format!("{AGE} ").parse::<Recipient>().is_err());
    }

    /// The points of low order of RFC 7748's curve (https://cr.yp.to/ecdh.html), by which no secret is made.
    #[test]
    fn points_of_low_order_are_refused() {
        let mut one = [0; 32];
        one[0] = 1;
        let mut minus_one = [0xff; 32];
        (minus_one[0], minus_one[31]) = (0xec, 0x7f);
        for point in [[0; 32], one, minus_one] {
            assert!(is_zero(&MontgomeryPoint(point).mul_clamped([1; 32])), "{point:?}");
        }
        // The neutral element and the point of order two as an SSH key.
        for y in [one, minus_one] {
            let wire = [b"\0\0\0\x0bssh-ed25519\0\0\0\x20".as_slice(), &y].concat();
            assert!(why(&format!("ssh-ed25519 {}", Base64::encode_string(&wire))).contains("keep a secret"));
        }
    }
}
