//! zstd (RFC 8878) for archives that only Linux unpacks: smaller than gzip, and unpacked in half the time.

use std::io::Write;
use std::sync::Arc;

use super::{Piece, Stream, plain_length};
use crate::failure::{Doing, Result};
use crate::tree::Content;

/// Part of the format: changing it changes the digest of every bundle that uses zstd.
const LEVEL: i32 = 3;

/// One frame, with its size and a checksum. Linux takes it for a whole segment of an initramfs, and looks for the next
/// one after it (lib/decompress_unzstd.c).
///
/// # Errors
/// `Exit::Io` when there is no memory for it; those of reading shared content.
pub fn zstd(archive: &[Content]) -> Result<Stream> {
    let packing = || "compressing with zstd".to_owned();
    let mut encoder = ::zstd::Encoder::new(Vec::new(), LEVEL).doing(packing)?;
    encoder.include_checksum(true).doing(packing)?;
    encoder.set_pledged_src_size(Some(plain_length(archive))).doing(packing)?;
    // The way in which the input is cut into writes does not influence the bytes: the encoder fills a block before it
    // compresses it.
    for content in archive {
        encoder.write_all(content.bytes()?).doing(packing)?;
    }
    Ok(vec![Piece::Packed(Arc::new(encoder.finish().doing(packing)?))])
}

#[cfg(test)]
mod tests {
    use super::super::joined;
    use super::super::samples::{blob, noise};
    use super::*;

    #[test]
    fn it_comes_back_and_cuts_do_not_matter() {
        let bytes = noise(3_000_000);
        let want = joined(&zstd(&[Content::Own(bytes.clone())]).unwrap()).unwrap();
        assert_eq!(::zstd::decode_all(&want[..]).unwrap(), bytes);
        for cut in [7_919, 65_536, 1_000_000] {
            let pieces: Vec<_> = bytes.chunks(cut).map(|part| Content::Own(part.to_vec())).collect();
            assert_eq!(joined(&zstd(&pieces).unwrap()).unwrap(), want, "{cut}");
        }
        let shared = joined(&zstd(&[Content::Shared(blob(3_000_000))]).unwrap()).unwrap();
        assert_eq!(shared, want);
        assert!(!zstd(&[]).unwrap()[0].bytes().unwrap().is_empty(), "nothing is a frame, too");
    }
}
