//! The content: chunks of 64 KiB, each sealed, numbered, and the last one marked, so that a cut file is no file.

use std::io::{self, Read, Write};

use ring::aead::{self, Aad, LessSafeKey, Nonce};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::secret::{FileKey, derive, random};

const CHUNK: usize = 64 << 10;

/// Seals all of `from`; the bytes read are returned.
pub fn write(file_key: &FileKey, mut from: impl Read, mut to: impl Write) -> Result<u64, Error> {
    let nonce: [u8; 16] = random()?;
    to.write_all(&nonce)?;
    let key = derive(file_key.as_slice(), &nonce, b"payload")?;
    let key = aead::UnboundKey::new(&aead::CHACHA20_POLY1305, key.as_slice()).map_err(|_| Error::Weak)?;
    let key = LessSafeKey::new(key);
    let mut total = 0;
    let mut chunk = Zeroizing::new(Vec::with_capacity(CHUNK + key.algorithm().tag_len()));
    let mut next = Zeroizing::new(Vec::with_capacity(CHUNK + key.algorithm().tag_len()));
    fill(&mut from, &mut chunk)?;
    for number in 0_u64.. {
        // The last chunk is only empty where all of the content is.
        fill(&mut from, &mut next)?;
        let is_last = next.is_empty();
        total += chunk.len() as u64;
        // 11 bytes of the chunk's number, and one that is 1 in the last chunk.
        let mut nonce = [0; 12];
        nonce[3..11].copy_from_slice(&number.to_be_bytes());
        nonce[11] = u8::from(is_last);
        let sealed =
            key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut *chunk);
        sealed.map_err(|_| Error::Weak)?;
        to.write_all(&chunk)?;
        if is_last {
            break;
        }
        std::mem::swap(&mut chunk, &mut next);
    }
    to.flush()?;
    Ok(total)
}

/// A whole chunk, or what is left.
fn fill(from: &mut impl Read, chunk: &mut Vec<u8>) -> io::Result<()> {
    chunk.clear();
    let mut limited = from.by_ref().take(CHUNK as u64);
    limited.read_to_end(chunk)?;
    Ok(())
}
