//! One gzip member (RFC 1952) spliced from parts that were compressed separately, so that a file which many nodes and
//! formats share is compressed once.
//!
//! Each part is deflated on its own and ends in a full flush (RFC 1951 3.2.4: an empty stored block, which ends at a
//! byte boundary), so that parts can be joined in any order. An empty last block ends the whole, and the CRC-32s of
//! the parts are combined into one.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crc32fast::Hasher;

use super::deflate::{CHUNK, Deflater, EMPTY_BLOCK, Packed};
use super::{Piece, Stream, length};
use crate::failure::Result;
use crate::parallel;
use crate::tree::{Blob, Content};
use crate::values::Digest;

/// Shared content below this size is compressed together with its neighbours: separately, it would cost more bytes
/// than it saves time.
/// Part of the format: changing it changes the digest of every bundle.
const MIN_SHARED_BYTES: u64 = 64 << 10;

/// Deflate, no flags, no time, no extra flags, unknown operating system (RFC 1952 2.3).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// An empty block of fixed codes that is the last one, when it begins at a byte boundary.
const LAST_BLOCK: [u8; 2] = [3, 0];

/// Compresses streams, and caches the compressed form of content that they share.
///
/// May be used by several threads at once: content that two of them need is compressed by the first, and the second
/// waits for it.
pub struct Compressor {
    threads: NonZeroUsize,
    shared: Mutex<BTreeMap<Digest, Arc<OnceLock<Packed>>>>,
    /// Deflaters that no thread is using.
    idle: Mutex<Vec<Deflater>>,
}

impl Compressor {
    /// Uses at most `threads` threads for one large content.
    pub fn new(threads: NonZeroUsize) -> Self {
        Self { threads, shared: Mutex::default(), idle: Mutex::default() }
    }

    /// Compresses a content, unless that has been done already, and returns the bytes that `learn` takes.
    ///
    /// # Errors
    /// Those of reading it.
    pub fn teach(&self, blob: &Blob) -> Result<Vec<u8>> {
        Ok(self.pack_once(blob)?.to_kept())
    }

    /// Takes over the compressed form of a content from a compressor of the same kind (`PACKER`). `false` when it does
    /// not have that form, or is of a content of another length. The caller has made sure that it is undamaged.
    pub fn learn(&self, blob: &Blob, taught: Vec<u8>) -> bool {
        let Some(packed) = Packed::from_kept(taught, blob.size()) else { return false };
        let cell = Arc::clone(self.shared().entry(blob.digest()).or_default());
        cell.get_or_init(|| packed);
        true
    }

    /// One gzip member. Its length is a multiple of four, so that Linux finds an uncompressed cpio archive after it
    /// (init/initramfs.c looks for one only at such offsets).
    ///
    /// # Errors
    /// Those of reading a shared content whose compressed form is not cached.
    pub fn compress(&self, archive: &[Content]) -> Result<Stream> {
        let mut member = vec![Piece::Own(HEADER.to_vec())];
        let mut crc = Hasher::new();
        for segment in segments(archive)? {
            let packed = match segment {
                Segment::Own(bytes) => self.pack(&bytes),
                Segment::Shared(blob) => self.pack_once(blob)?,
            };
            crc.combine(&packed.crc);
            member.extend(packed.parts.into_iter().map(Piece::Packed));
        }
        let end = ending(length(&member), crc);
        member.push(Piece::Own(end));
        Ok(member)
    }

    fn pack_once(&self, blob: &Blob) -> Result<Packed> {
        let cell = Arc::clone(self.shared().entry(blob.digest()).or_default());
        if let Some(packed) = cell.get() {
            return Ok(packed.clone());
        }
        let bytes = blob.bytes()?;
        Ok(cell.get_or_init(|| self.pack(bytes)).clone())
    }

    fn shared(&self) -> MutexGuard<'_, BTreeMap<Digest, Arc<OnceLock<Packed>>>> {
        // A thread that panicked with the lock has left a valid map behind: entries are only ever added.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Deflater>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pack(&self, bytes: &[u8]) -> Packed {
        let chunks: Vec<&[u8]> = bytes.chunks(CHUNK).collect();
        let mut packed = Packed { parts: Vec::with_capacity(chunks.len()), crc: Hasher::new() };
        let deflate = |chunk: &&[u8]| {
            let mut deflater = self.idle().pop().unwrap_or_default();
            let done = deflater.deflate(chunk);
            self.idle().push(deflater);
            done
        };
        for (part, crc) in parallel::all(&chunks, self.threads.get(), deflate) {
            packed.parts.push(Arc::new(part));
            packed.crc.combine(&crc);
        }
        packed
    }
}

enum Segment<'a> {
    Own(Vec<u8>),
    Shared(&'a Blob),
}

/// Large shared content by itself, and everything between two of them joined: the way in which the rest was cut into
/// pieces does not influence the bytes.
fn segments(archive: &[Content]) -> Result<Vec<Segment<'_>>> {
    let mut all = Vec::new();
    let mut own = Vec::new();
    for content in archive {
        match content {
            Content::Shared(blob) if blob.size() >= MIN_SHARED_BYTES => {
                all.push(Segment::Own(std::mem::take(&mut own)));
                all.push(Segment::Shared(blob));
            }
            other => own.extend_from_slice(other.bytes()?),
        }
    }
    all.push(Segment::Own(own));
    Ok(all)
}

/// Empty blocks until the member's length is a multiple of four, the last block, CRC-32 and size.
fn ending(before: u64, crc: Hasher) -> Vec<u8> {
    let mut end = Vec::new();
    let rest = LAST_BLOCK.len() as u64 + 8;
    // Each is five bytes long: one more than a multiple of four.
    while !(before + end.len() as u64 + rest).is_multiple_of(4) {
        end.extend(EMPTY_BLOCK);
    }
    end.extend(LAST_BLOCK);
    // The size modulo 2^32 (RFC 1952 2.3.1).
    let size = crc.total_len() as u32;
    end.extend(crc.finalize().to_le_bytes());
    end.extend(size.to_le_bytes());
    end
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::super::deflate::stored;
    use super::super::samples::{blob, noise};
    use super::super::{Archive, joined};
    use super::*;

    fn unpack(member: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Reads one member, and checks its CRC and size against what it has read.
        let mut rest = member;
        flate2::bufread::GzDecoder::new(&mut rest).read_to_end(&mut bytes).unwrap();
        assert!(rest.is_empty(), "one member is all there is");
        bytes
    }

    fn threads(count: usize) -> Compressor {
        Compressor::new(NonZeroUsize::new(count).unwrap())
    }

    #[test]
    fn every_length_around_the_borders_comes_back() {
        let shared = MIN_SHARED_BYTES as usize;
        for size in [0, 1, shared - 1, shared, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5] {
            for stream in [vec![Content::Own(noise(size))], vec![Content::Shared(blob(size))]] {
                let member = joined(&threads(2).compress(&stream).unwrap()).unwrap();
                assert_eq!(unpack(&member), noise(size), "{size}");
                assert_eq!(member.len() % 4, 0, "{size}");
            }
        }
    }

    #[test]
    fn what_was_taught_is_the_same_as_what_was_made() {
        let shared = blob(3 * CHUNK + 5);
        let stream =
            vec![Content::Own(noise(10)), Content::Shared(Arc::clone(&shared)), Content::Own(noise(7))];
        let made = threads(2);
        let want = joined(&made.compress(&stream).unwrap()).unwrap();
        let learnt = threads(2);
        let taught = made.teach(&shared).unwrap();
        assert!(learnt.learn(&shared, taught.clone()));
        assert_eq!(joined(&learnt.compress(&stream).unwrap()).unwrap(), want);
        assert!(!threads(1).learn(&shared, vec![0; 11]), "too short for its tail");
        assert!(!threads(1).learn(&shared, vec![0; 40]), "no deflated bytes");
        assert!(!threads(1).learn(&blob(3 * CHUNK + 4), taught), "of another length");
    }

    #[test]
    fn an_end_makes_a_multiple_of_four_out_of_any_length() {
        for before in 0..8 {
            let end = ending(before, Hasher::new());
            assert_eq!((before + end.len() as u64) % 4, 0, "{before}");
            assert!(end.len() <= 25, "no more padding than it takes");
        }
    }

    #[test]
    fn the_bytes_depend_neither_on_cores_nor_on_cuts_nor_on_what_came_before() {
        let shared = blob(2 * CHUNK + 77);
        let stream = |cut: usize| {
            let own = noise(90_000);
            let mut all: Archive = own.chunks(cut).map(|part| Content::Own(part.to_vec())).collect();
            all.push(Content::Shared(Arc::clone(&shared)));
            all.push(Content::Shared(blob(100)));
            all.push(Content::Own(noise(10)));
            all
        };
        let want = joined(&threads(1).compress(&stream(90_000)).unwrap()).unwrap();
        let used = threads(8);
        for cut in [7, 512, 65_536, 90_000] {
            assert_eq!(joined(&used.compress(&stream(cut)).unwrap()).unwrap(), want, "{cut}");
        }
    }

    #[test]
    fn shared_content_is_compressed_once() {
        let shared = blob(CHUNK + 1);
        let compressor = threads(3);
        let packed: Vec<Stream> = std::thread::scope(|scope| {
            let runs: Vec<_> = (0..4)
                .map(|own| {
                    let stream = [Content::Own(vec![own; 9]), Content::Shared(Arc::clone(&shared))];
                    let compressor = &compressor;
                    crate::parallel::need(scope, move || compressor.compress(&stream)).unwrap()
                })
                .collect();
            runs.into_iter().map(|run| run.join().unwrap().unwrap()).collect()
        });
        // Header, own bytes, two chunks, end.
        let chunk = |stream: &Stream| match &stream[2] {
            Piece::Packed(part) => Arc::as_ptr(part),
            _ => panic!("the chunk is not shared"),
        };
        assert!(packed.iter().all(|stream| stream.len() == 5 && chunk(stream) == chunk(&packed[0])));
        assert_eq!(compressor.shared.lock().unwrap().len(), 1);
    }

    #[test]
    fn the_combined_crc_is_that_of_the_whole() {
        let whole = noise(3 * CHUNK + 1);
        let member =
            joined(&threads(2).compress(&[Content::Shared(Arc::new(Blob::new(whole.clone())))]).unwrap())
                .unwrap();
        let (crc, size) = member[member.len() - 8..].split_at(4);
        assert_eq!(crc, crc32fast::hash(&whole).to_le_bytes());
        assert_eq!(size, (whole.len() as u32).to_le_bytes());
        assert_eq!(member[..10], HEADER);
    }

    #[test]
    fn stored_blocks_are_an_answer_too() {
        for size in [0, 1, 65_535, 65_536, 200_000] {
            let bytes = noise(size);
            let mut member = HEADER.to_vec();
            member.extend(stored(&bytes));
            let mut crc = Hasher::new();
            crc.update(&bytes);
            member.extend(ending(member.len() as u64, crc));
            assert_eq!(unpack(&member), bytes, "{size}");
        }
    }
}
