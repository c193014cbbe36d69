//! A release file whose digest is trusted, opened once, so that the bytes that are read are those that were hashed.

use std::io::{self, BufReader, Read};
use std::path::Path;

use super::limits::{Gauge, Limits};
use super::record::{Source, Trust};
use super::{Accept, catalogue};
use crate::digest::{self, MAX_PIECE_BYTES};
use crate::disk::Input;
use crate::etcd::Release;
use crate::failure::{Doing, Failure, Result};
use crate::values::{Arch, Digest, Hasher};

/// A file that may be unpacked.
pub struct Trusted {
    input: Input,
    pub source: Source,
}

impl Trusted {
    /// Hashes a file and decides whether its digest is trusted; nothing else of it is read.
    ///
    /// # Errors
    /// `Exit::Untrusted` when the digest is not trusted, or the file is empty or larger than any release.
    pub fn check(path: &Path, accept: &Accept<'_>) -> Result<Self> {
        let checking = || format!("checking {}", path.display());
        let mut input = Input::open(path)?;
        let size = input.size();
        if size == 0 {
            return Err(Failure::untrusted("it is empty; get the file again").while_doing(checking()));
        }
        if size > Limits::RELEASE.file {
            let reason = format!("it has {size} bytes; etcd releases have at most {}", Limits::RELEASE.file);
            return Err(Failure::untrusted(reason).while_doing(checking()));
        }
        let sha256 = digest_of(&mut input, size).doing(checking)?;
        let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let trust = trust_in(sha256, &file, accept).doing(checking)?;
        Ok(Self { input, source: Source { file, sha256, size, trust } })
    }

    /// The release that this file is according to the catalogue.
    pub fn expected(&self) -> Option<(Release, Arch)> {
        catalogue::release_of(self.source.sha256)
    }

    /// Reads the file a second time, through the same handle, and hashes it again on the way.
    ///
    /// # Errors
    /// The errors of `how`; `Exit::Untrusted` when the file no longer has the bytes that were hashed, whatever `how`
    /// returned; `Exit::Io`.
    pub fn unpack<T>(
        &mut self,
        limits: &Limits,
        how: impl FnOnce(&mut BufReader<Again<'_>>, &Gauge<'_>) -> Result<T>,
    ) -> Result<T> {
        let unpacking = format!("unpacking {}", self.input.path().display());
        self.input.rewind()?;
        let gauge = Gauge::new(limits);
        let again = Again {
            input: (&mut self.input).take(self.source.size + 1),
            hasher: Hasher::default(),
            gauge: &gauge,
        };
        let mut reader = BufReader::with_capacity(MAX_PIECE_BYTES, again);
        let result = how(&mut reader, &gauge);
        io::copy(&mut reader, &mut io::sink())
            .map_err(|error| gauge.explain(error))
            .doing(|| unpacking.clone())?;
        let digest = reader.into_inner().hasher.digest();
        if digest != self.source.sha256 {
            return Err(changed().while_doing(unpacking));
        }
        result.doing(|| unpacking)
    }
}

fn changed() -> Failure {
    Failure::untrusted("it changed while it was read; run kiln again when no other program writes to it")
}

/// The second reading.
pub struct Again<'s> {
    input: io::Take<&'s mut Input>,
    hasher: Hasher,
    gauge: &'s Gauge<'s>,
}

impl Read for Again<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = self.input.read(buffer);
        let count = self.gauge.took(result)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

fn digest_of(input: &mut Input, size: u64) -> Result<Digest> {
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; MAX_PIECE_BYTES];
    let take = |bytes: &[u8]| {
        hasher.update(bytes);
        Ok(())
    };
    digest::each_piece(&mut input.take(size + 1), &mut buffer, take, |error| Failure::io(error.to_string()))?;
    if hasher.size() == size { Ok(hasher.digest()) } else { Err(changed()) }
}

fn trust_in(sha256: Digest, file: &str, accept: &Accept<'_>) -> Result<Trust> {
    if catalogue::release_of(sha256).is_some() {
        return Ok(Trust::Catalogue);
    }
    if accept.pinned.contains(&sha256) {
        return Ok(Trust::Profile);
    }
    if accept.trust {
        return Ok(Trust::ByHand);
    }
    let named = catalogue::release_named(file);
    let published = named.and_then(|(release, arch)| catalogue::digest_of(release, arch));
    let reason = match (named, published) {
        (Some((release, arch)), Some(published)) => format!(
            "checksum mismatch: the SHA-256 of etcd {release} for {arch} is {published}, and this file has {sha256}; \
             get the file again"
        ),
        (Some((release, arch)), None) => format!(
            "unknown checksum {sha256}: etcd {release} for {arch} is not in this version's catalogue{}; compare \
             it with the SHA256SUMS of that release",
            catalogue::span().map_or(String::new(), |(from, to)| format!(" of {from} to {to}"))
        ),
        (None, _) => format!("unknown checksum {sha256}; compare it with the one that its publisher states"),
    };
    let way = match published {
        // A known name with a wrong checksum: there is no override.
        Some(_) => "",
        None => {
            ". To import the file anyway, pass --sha256 with the checksum that the publisher states, or --profile with a \
             profile that has it in [etcd] sha256, or --allow-unverified"
        }
    };
    Err(Failure::untrusted(format!("{reason}{way}")))
}

#[cfg(test)]
mod tests {
    use std::io::BufRead;

    use super::*;
    use crate::disk::Scratch;
    use crate::failure::Exit;
    use crate::values::Mode;

    const TRUST: Accept<'_> = Accept { pinned: &[], trust: true, replace: false };

    #[test]
    fn a_digest_is_trusted_for_a_reason() {
        let known = catalogue::digest_of(Release::new(3, 5, 16), Arch::Amd64).unwrap();
        let other = Digest::of(b"other");
        let pin = Accept { pinned: &[other], ..Accept::default() };
        let cases = [
            (known, Accept::default(), Some(Trust::Catalogue)),
            (known, TRUST, Some(Trust::Catalogue)),
            (other, pin, Some(Trust::Profile)),
            (other, Accept { trust: true, ..pin }, Some(Trust::Profile)),
            (other, TRUST, Some(Trust::ByHand)),
            (other, Accept::default(), None),
            (Digest::of(b"third"), pin, None),
        ];
        for (digest, accept, want) in cases {
            assert_eq!(trust_in(digest, "x", &accept).ok(), want, "{accept:?}");
        }
    }

    #[test]
    fn a_refusal_shows_both_digests_and_the_ways_out() {
        let found = Digest::of(b"x").to_string();
        let published = catalogue::digest_of(Release::new(3, 5, 16), Arch::Amd64).unwrap().to_string();
        let cases: [(&str, &[&str]); 3] = [
            ("etcd-v3.5.16-linux-amd64.tar.gz", &[&published, "get the file again"]),
            (
                "etcd-v3.5.999-linux-amd64.tar.gz",
                &["3.5.999 for amd64 is not in", "3.5.3 to 3.6.14", "SHA256SUMS"],
            ),
            ("etcd-server_3.5.16-4_amd64.deb", &["unknown checksum"]),
        ];
        for (file, want) in cases {
            let failure = trust_in(Digest::of(b"x"), file, &Accept::default()).unwrap_err();
            assert_eq!(failure.exit(), Exit::Untrusted);
            for part in want.iter().chain(&[&*found]) {
                assert!(failure.to_string().contains(part), "{failure}");
            }
            // There is no override for a file whose checksum contradicts its name.
            let ways = ["[etcd] sha256", "--allow-unverified"].map(|way| failure.to_string().contains(way));
            assert_eq!(ways, [want[0] != published; 2], "{failure}");
        }
    }

    #[test]
    fn a_file_that_changes_after_it_was_hashed_is_noticed() {
        let scratch = Scratch::new("test").unwrap();
        let write = |bytes: &[u8]| scratch.write("file", bytes, Mode::FILE).unwrap();
        // In place, as a process does that holds the same file open.
        let overwrite = |path: &Path, bytes: &[u8]| {
            let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::TRUNC;
            let fd = rustix::fs::open(path, flags, rustix::fs::Mode::empty()).unwrap();
            assert_eq!(rustix::io::write(&fd, bytes).unwrap(), bytes.len());
        };
        for other in [&b"AbcdeF"[..], b"abcde", b"abcdefg", b""] {
            let path = write(b"abcdef");
            let mut trusted = Trusted::check(&path, &TRUST).unwrap();
            overwrite(&path, other);
            for refuse in [false, true] {
                let failure = trusted.unpack(&Limits::RELEASE, |reader, _| {
                    reader.fill_buf().unwrap();
                    if refuse { Err(Failure::untrusted("it is damaged")) } else { Ok(()) }
                });
                let failure = failure.unwrap_err();
                assert_eq!(failure.exit(), Exit::Untrusted);
                assert!(failure.to_string().contains("it changed while"), "{failure}");
            }
        }
        // Another file under the same name makes no difference: the handle still refers to the one that was hashed.
        let path = write(b"abcdef");
        let mut trusted = Trusted::check(&path, &TRUST).unwrap();
        write(b"ghijkl");
        let read = trusted.unpack(&Limits::RELEASE, |reader, _| Ok(reader.fill_buf().unwrap().to_vec()));
        assert_eq!(read.unwrap(), b"abcdef");
    }
}
