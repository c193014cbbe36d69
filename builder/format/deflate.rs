//! Raw deflate (RFC 1951) whose parts can be joined, and its form on disk.

use std::sync::Arc;

use crc32fast::Hasher;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// The level of zlib-rs, which chooses by processor how it compares and moves bytes, and never which bytes it writes.
/// Level 6 makes a release 3.5 % smaller and takes 1.6 times as long (docs/decisions/gzip-members-are-spliced.md has
/// the table).
/// Part of the format: changing it changes the digest of every bundle.
const LEVEL: u32 = 3;

/// Several cores work on one file at once, a chunk each. Chunks of 1 MiB make the etcd binaries 0.2 % larger than a
/// single chunk. Fixed, so that the bytes are the same on any number of cores.
/// Part of the format: changing it changes the digest of every bundle.
pub const CHUNK: usize = 1 << 20;

/// Identifies the packer: the packed bytes of a content depend only on the content, the library's output, the level
/// and the chunks. Bytes that another version of Kiln has stored under this name are the ones that this version would
/// make. A test compares a sample: when the library writes other bytes, the name must change.
pub const PACKER: &str = "zlib-rs-1-level-3-chunk-1048576";

/// An empty stored block that is not the last one, when it begins at a byte boundary.
pub const EMPTY_BLOCK: [u8; 5] = [0, 0, 0, 0xff, 0xff];

/// Raw deflate that ends in a full flush, with the state for the CRC-32 of the whole.
#[derive(Clone)]
pub struct Packed {
    /// Deflated chunks, in order.
    pub parts: Vec<Arc<Vec<u8>>>,
    /// CRC-32 of the content, which also counts its bytes.
    pub crc: Hasher,
}

impl Packed {
    /// The form on disk: the deflated bytes, the content's CRC-32 (4 bytes) and its length (8 bytes), little-endian.
    pub fn to_kept(&self) -> Vec<u8> {
        let (crc, length) = (self.crc.clone().finalize().to_le_bytes(), self.crc.total_len().to_le_bytes());
        let parts = self.parts.iter().map(|part| part.as_slice());
        parts.chain([&crc[..], &length]).collect::<Vec<_>>().concat()
    }

    /// The reverse, for a content of this length. `None` when it does not have that form. The deflated bytes are not
    /// decompressed: the caller has made sure that they are undamaged.
    pub fn from_kept(mut kept: Vec<u8>, length: u64) -> Option<Self> {
        let (part, crc) = split(&kept).filter(|(_, crc)| crc.total_len() == length)?;
        kept.truncate(part.len());
        Some(Self { parts: vec![Arc::new(kept)], crc })
    }
}

fn split(kept: &[u8]) -> Option<(&[u8], Hasher)> {
    let (rest, length) = kept.split_last_chunk::<8>()?;
    let (part, crc) = rest.split_last_chunk::<4>()?;
    let crc = Hasher::new_with_initial_len(u32::from_le_bytes(*crc), u64::from_le_bytes(*length));
    // A full flush ends in an empty stored block. It need not begin at a byte boundary, but its two lengths do.
    let is_flushed = part.ends_with(&EMPTY_BLOCK[1..]) || part.is_empty() && crc.total_len() == 0;
    is_flushed.then_some((part, crc))
}

/// Whether stored bytes are of exactly this content: they are decompressed and compared.
pub fn unpacks_to(kept: &[u8], content: &[u8]) -> bool {
    let Some((part, crc)) = split(kept) else { return false };
    let mut of_content = Hasher::new();
    of_content.update(content);
    if (crc.total_len(), crc.finalize()) != (content.len() as u64, of_content.finalize()) {
        return false;
    }
    let mut state = Decompress::new(false);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let (taken, given) = (state.total_in() as usize, state.total_out() as usize);
        let unpacked = state.decompress(&part[taken..], &mut buffer, FlushDecompress::None);
        let new = state.total_out() as usize - given;
        if content.get(given..given + new) != Some(&buffer[..new]) {
            return false;
        }
        if new == 0 && state.total_in() as usize == taken {
            return (taken, given) == (part.len(), content.len());
        }
        // A last block would end the gzip member that the parts are joined to.
        if !matches!(unpacked, Ok(Status::Ok | Status::BufError)) {
            return false;
        }
    }
}

/// Buffers for deflating one chunk after another: allocating and clearing them takes as long as a small chunk.
pub struct Deflater {
    state: Compress,
    buffer: Vec<u8>,
}

impl Default for Deflater {
    fn default() -> Self {
        Self { state: Compress::new(Compression::new(LEVEL), false), buffer: vec![0; 64 << 10] }
    }
}

impl Deflater {
    /// A chunk as raw deflate that ends in a full flush, and its CRC-32. Earlier chunks do not influence the bytes.
    pub fn deflate(&mut self, chunk: &[u8]) -> (Vec<u8>, Hasher) {
        let mut crc = Hasher::new();
        crc.update(chunk);
        let Self { state, buffer } = self;
        state.reset();
        let mut packed = Vec::with_capacity(chunk.len() / 2);
        loop {
            let (read, written) = (state.total_in() as usize, state.total_out());
            if state.compress(&chunk[read..], buffer, FlushCompress::Full).is_err() {
                return (stored(chunk), crc);
            }
            let new = (state.total_out() - written) as usize;
            packed.extend_from_slice(&buffer[..new]);
            // The buffer was not filled: all output is there, the flush as well (zlib.h, deflate).
            if new < buffer.len() {
                return (packed, crc);
            }
        }
    }
}

/// Uncompressed, in blocks of at most 65535 bytes. A deflater's only error is a corrupted state, so this is not
/// expected to be called; its output is valid all the same.
pub fn stored(chunk: &[u8]) -> Vec<u8> {
    let blocks = chunk.chunks(usize::from(u16::MAX)).flat_map(|block| {
        let size = block.len() as u16;
        let [a, b] = size.to_le_bytes();
        let [c, d] = (!size).to_le_bytes();
        [0, a, b, c, d].into_iter().chain(block.iter().copied())
    });
    blocks.collect()
}

#[cfg(test)]
mod tests {
    use super::super::samples::noise;
    use super::*;
    use crate::values::Digest;

    fn kept(content: &[u8]) -> Vec<u8> {
        let mut packed = Packed { parts: Vec::new(), crc: Hasher::new() };
        let mut deflater = Deflater::default();
        for chunk in content.chunks(CHUNK) {
            let (part, crc) = deflater.deflate(chunk);
            packed.parts.push(Arc::new(part));
            packed.crc.combine(&crc);
        }
        packed.to_kept()
    }

    #[test]
    fn what_is_kept_is_known_by_its_content() {
        for size in [0, 1, CHUNK, CHUNK + 1, 2 * CHUNK + 3] {
            let (content, good) = (noise(size), kept(&noise(size)));
            assert!(unpacks_to(&good, &content), "{size}");
            assert!(!unpacks_to(&good, &noise(size + 1)), "{size}");
            assert!(!unpacks_to(&good[..good.len() - 1], &content), "{size}");
            if size == 0 {
                continue;
            }
            assert!(!unpacks_to(&good, &noise(size + 1)[1..]), "{size}: of the same length");
            // The valid tail after another content's bytes, and after bytes that are not deflate.
            let (mut wrong, tail) = (kept(&vec![7; size]), &good[good.len() - 12..]);
            let end = wrong.len() - 12;
            wrong.splice(end.., tail.iter().copied());
            let at = good.len() - 12;
            assert!(!unpacks_to(&wrong, &content), "{size}");
            assert!(!unpacks_to(&[&[0xff; 99], &EMPTY_BLOCK[..], tail].concat(), &content), "{size}");
            // The same content with a last block at its end, which looks like a flush.
            let mut ended = good.clone();
            ended.splice(at - 5..at, [1, 0, 0, 0xff, 0xff]);
            assert!(!unpacks_to(&ended, &content), "{size}: ended");
        }
    }

    #[test]
    fn what_is_of_another_length_or_not_flushed_is_not_taken() {
        let content = noise(CHUNK + 9);
        let good = kept(&content);
        assert!(Packed::from_kept(good.clone(), content.len() as u64).is_some());
        assert!(Packed::from_kept(good.clone(), content.len() as u64 + 1).is_none());
        for short in 0..12 {
            assert!(Packed::from_kept(vec![0; short], 0).is_none(), "{short}");
        }
        let mut open = good;
        let flush = open.len() - 13;
        open[flush] ^= 1;
        assert!(Packed::from_kept(open, content.len() as u64).is_none());
        assert!(Packed::from_kept(kept(b""), 0).is_some());
    }

    #[test]
    fn what_came_before_does_not_reach_the_bytes() {
        let mut used = Deflater::default();
        for size in [CHUNK, 0, 1, 70_000, CHUNK, 40_000] {
            let chunk = noise(size);
            let (packed, _) = used.deflate(&chunk);
            assert_eq!(packed, Deflater::default().deflate(&chunk).0, "{size}");
            used.deflate(&chunk.iter().rev().copied().collect::<Vec<_>>());
        }
    }

    /// Guards the form on disk: other versions of Kiln read it in artifact stores and put it into bundles.
    #[test]
    fn the_packers_name_stands_for_its_output() {
        assert_eq!(PACKER, format!("zlib-rs-1-level-{LEVEL}-chunk-{CHUNK}"));
        // Some of it compresses well, some badly, with repetitions near and far.
        let line = |n: u32| format!("{:x} {}\n", n.wrapping_mul(n) % 7919, n / 9).into_bytes();
        let text: Vec<u8> = (0..200_000).flat_map(line).collect();
        let sample =
            [&text[..], &noise(700_000), &vec![0; 300_000], &text[..400_000], &noise(90_000)].concat();
        assert!(sample.len() > 2 * CHUNK);
        let want = "7cb3bc2a7eda92d032a0252226bf11b4b85ae1ceabf46148dfe88fc0a2a6947e";
        let found = Digest::of(&kept(&sample)).to_string();
        assert_eq!(found, want, "the output has changed: give PACKER another number");
    }
}
