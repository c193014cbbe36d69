//! The header of a file: a stanza for each recipient, and the code that makes it one.

use std::io::Write;

use base64ct::{Base64Unpadded, Encoding};
use ring::hmac;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::recipient::Recipient;
use crate::secret::{FileKey, derive, random};

/// More than anybody has, so that no header is endless.
const MAX_RECIPIENTS: usize = 64;

/// Writes a header with a new file key.
pub fn write(recipients: &[Recipient], to: &mut impl Write) -> Result<FileKey, Error> {
    if !(1..=MAX_RECIPIENTS).contains(&recipients.len()) {
        return Err(Error::Recipients);
    }
    let file_key = Zeroizing::new(random()?);
    let mut text = "age-encryption.org/v1\n".to_owned();
    for recipient in recipients {
        text.push_str(&recipient.stanza(&file_key)?);
    }
    text.push_str("---");
    let key = derive(file_key.as_slice(), &[], b"header")?;
    let code = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()), text.as_bytes());
    writeln!(to, "{text} {}", Base64Unpadded::encode_string(code.as_ref()))?;
    Ok(file_key)
}
