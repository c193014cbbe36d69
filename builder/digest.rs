//! Reads streams piece by piece, for their size and SHA-256.

use std::io::{self, Read};
use std::path::Path;

use crate::disk::Input;
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::values::{Digest, Hasher};

/// The largest piece that is read at once, in bytes.
pub const MAX_PIECE_BYTES: usize = 256 << 10;

/// Calls `take` for one piece after the other, up to the stream's end, with `buffer` to read into. No more than that
/// is in memory.
///
/// # Errors
/// The result of `failed` for a read that failed; errors of `take`; `Exit::Interrupted` after Ctrl-C.
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

/// Calls `take` for each piece of a file, from its current position.
///
/// # Errors
/// `Exit::Io`, `Exit::Interrupted`, and the errors of `take`.
pub fn each_piece_of(input: &mut Input, take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    // A small buffer: most files are small, and there may be a hundred thousand of them.
    let mut buffer = vec![0; (input.size() as usize).clamp(1, MAX_PIECE_BYTES)];
    let path = input.path().to_owned();
    each_piece(input, &mut buffer, take, |error| {
        Failure::io(error.to_string()).while_doing(format!("reading {}", path.display()))
    })
}

/// The size in bytes and the SHA-256 of an open file, from its current position.
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
