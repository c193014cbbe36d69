//! Streams read piece by piece, and what they are: their size and SHA-256.

use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::disk::Input;
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::values::Digest;

/// The most that is read of a stream at once, in bytes.
pub const MAX_PIECE_BYTES: usize = 256 << 10;

/// The SHA-256 and the size in bytes of what it has been given.
#[derive(Clone, Default)]
pub struct Hasher {
    hash: Sha256,
    size: u64,
}

impl Hasher {
    pub fn update(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
    }

    /// In bytes, so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Of what has been given so far; more may follow.
    pub fn digest(&self) -> Digest {
        Digest::from_bytes(self.hash.clone().finalize().into())
    }
}

/// Calls `take` for one piece after the other, up to the stream's end, with `buffer` to read into. Never more than that
/// is held.
///
/// # Errors
/// What `failed` makes of a read that failed; what `take` returns; `Exit::Interrupted` after Ctrl-C.
pub fn each_piece(
    stream: &mut impl Read,
    buffer: &mut [u8],
    mut take: impl FnMut(&[u8]) -> Result<()>,
    failed: impl FnOnce(io::Error) -> Failure,
) -> Result<()> {
    loop {
        interrupt::check()?;
        match stream.read(buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => take(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

/// Calls `take` for each piece of a file, from where the file is read next.
///
/// # Errors
/// `Exit::Io`, `Exit::Interrupted`, and what `take` returns.
pub fn each_piece_of(input: &mut Input, take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    // Most files are small, and there may be a hundred thousand of them.
    let mut buffer = vec![0; (input.size() as usize).clamp(1, MAX_PIECE_BYTES)];
    let path = input.path().to_owned();
    each_piece(input, &mut buffer, take, |error| {
        Failure::io(error.to_string()).while_doing(format!("reading {}", path.display()))
    })
}

/// The size in bytes and the SHA-256 of an open file, from where it is read next.
///
/// # Errors
/// `Exit::Io`, or `Exit::Interrupted` after Ctrl-C.
pub fn of_input(input: &mut Input) -> Result<(u64, Digest)> {
    let mut hasher = Hasher::default();
    each_piece_of(input, |bytes| {
        hasher.update(bytes);
        Ok(())
    })?;
    Ok((hasher.size(), hasher.digest()))
}

/// The size in bytes and the SHA-256 of a file.
///
/// # Errors
/// As [`of_input`].
pub fn of_file(path: &Path) -> Result<(u64, Digest)> {
    of_input(&mut Input::open(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Scratch;
    use crate::failure::Exit;
    use crate::values::Mode;

    #[test]
    fn a_file_is_read_whole() {
        let scratch = Scratch::new("test").unwrap();
        let content: Vec<u8> = (0..MAX_PIECE_BYTES + 7).map(|at| at as u8).collect();
        for length in [0, 1, MAX_PIECE_BYTES, content.len()] {
            let file = scratch.write("file", &content[..length], Mode::FILE).unwrap();
            assert_eq!(of_file(&file).unwrap(), (length as u64, Digest::of(&content[..length])));
        }
    }

    #[test]
    fn faults_end_the_reading() {
        struct Broken(Vec<io::Error>);
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                self.0.pop().map_or(Ok(0), Err)
            }
        }
        let read = |errors| {
            let failed = |error: io::Error| Failure::wrong(error.to_string());
            each_piece(&mut Broken(errors), &mut [0; 4], |_| Ok(()), failed)
        };
        read(vec![io::ErrorKind::Interrupted.into()]).unwrap();
        assert_eq!(read(vec![io::Error::other("gone")]).unwrap_err().exit(), Exit::Wrong);
        let taken =
            each_piece(&mut &b"bytes"[..], &mut [0; 4], |_| Err(Failure::io("full")), |_| unreachable!());
        assert_eq!(taken.unwrap_err().reason(), "full");
    }
}
