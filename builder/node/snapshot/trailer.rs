//! Streams with their digests, and the trailer by which etcd says that a snapshot is whole.

use std::io::{self, Read, Write};

use kiln_wire::{Digest, is_whole};
use ring::digest::{Context, SHA256};

use crate::failure::{Failure, Result};

/// Of SHA-256.
const TRAILER: u64 = 32;
const PIECE: usize = 64 << 10;

/// Passes bytes on, and counts and hashes them.
pub struct Hashed<S> {
    inner: S,
    context: Context,
    count: u64,
}

impl<S> Hashed<S> {
    /// Nothing has passed yet.
    pub fn new(inner: S) -> Self {
        Self { inner, context: Context::new(&SHA256), count: 0 }
    }

    /// The bytes that have passed, their digest, and where they went to or came from.
    pub fn finish(self) -> (u64, Digest, S) {
        (self.count, digest(self.context), self.inner)
    }

    fn note(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
        self.count += bytes.len() as u64;
    }
}

impl<S: Read> Read for Hashed<S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.note(&into[..count]);
        Ok(count)
    }
}

impl<S: Write> Write for Hashed<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.note(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn digest(context: Context) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    Digest(bytes)
}

/// Bytes and digest of all of a stream.
///
/// # Errors
/// Of reading.
pub fn whole(from: impl Read) -> io::Result<(u64, Digest)> {
    let mut hashed = Hashed::new(from);
    io::copy(&mut hashed, &mut io::sink())?;
    let (count, digest, _) = hashed.finish();
    Ok((count, digest))
}

/// The digest of a snapshot of so many bytes as etcd handed it out, if its last 32 bytes are the digest of those before
/// them: etcd adds them, and has been seen to hand out files without them or cut ones.
///
/// # Errors
/// What is wrong with it.
pub fn sound(from: impl Read, size: u64) -> Result<Digest> {
    if !is_whole(size) {
        return Err(Failure::new(format!("the snapshot is cut: no snapshot has {size} bytes")));
    }
    let failed = |error: io::Error| Failure::new(format!("reading the snapshot: {error}"));
    let mut from = from;
    let mut body = Context::new(&SHA256);
    let mut left = size - TRAILER;
    let mut piece = vec![0; PIECE];
    while left > 0 {
        let part = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
        from.read_exact(&mut piece[..part]).map_err(failed)?;
        body.update(&piece[..part]);
        left -= part as u64;
    }
    let mut all = body.clone();
    let mut trailer = [0; 32];
    from.read_exact(&mut trailer).map_err(failed)?;
    all.update(&trailer);
    match digest(body).0 == trailer && from.read(&mut [0]).map_err(failed)? == 0 {
        true => Ok(digest(all)),
        false => Err(Failure::new("the snapshot is damaged: its digest is not that of its content")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_whole_or_refused() {
        let body = vec![7; 150 * 512];
        let good = [body.as_slice(), &Digest::of(&body).0].concat();
        let ask = |bytes: &[u8]| sound(bytes, bytes.len() as u64);
        assert_eq!(ask(&good).unwrap(), Digest::of(&good));
        for at in [0, 70_000, body.len() - 1, body.len(), good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(ask(&bad).unwrap_err().to_string().contains("damaged"), "{at}");
        }
        for length in [0, 32, 512, good.len() - 1, good.len() - 32] {
            assert!(ask(&good[..length]).unwrap_err().to_string().contains("cut"), "{length}");
        }
        assert!(ask(&good[512..]).unwrap_err().to_string().contains("damaged"));
        assert!(sound(&good[..512], good.len() as u64).is_err());
        assert_eq!(whole(good.as_slice()).unwrap(), (good.len() as u64, Digest::of(&good)));
    }
}
