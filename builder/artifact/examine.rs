//! Whether a program is one for this architecture, and of this release, by its ELF header (elf(5)) and by
//! etcd's own version variable in it.

use std::collections::BTreeSet;

use super::EtcdProgram;
use crate::elf::{ET_DYN, Elf, NotElf, PF_W, PT_LOAD};
use crate::etcd::Release;
use crate::failure::{Failure, Result};
use crate::values::Arch;

/// `version.MinClusterVersion`, the other version that every etcd carries in a variable of its own
/// (etcd's api/version/version.go); it has been 3.0.0 since etcd 3.0.
const MIN_CLUSTER_VERSION: Release = Release::new(3, 0, 0);

/// Checks one program and returns its interpreter (the dynamic loader), which a static one does not have.
///
/// # Errors
/// `Exit::Untrusted` when it is not a 64-bit ELF program for the architecture, not of the release, or another of
/// etcd's programs.
pub fn check(bytes: &[u8], program: EtcdProgram, arch: Arch, release: Release) -> Result<Option<String>> {
    let elf = Elf::parse(bytes, bytes.len() as u64).map_err(refused)?;
    if (elf.machine, elf.big_endian) != machine_of(arch) {
        let found = Arch::ALL.into_iter().find(|arch| machine_of(*arch) == (elf.machine, elf.big_endian));
        let found = found.map_or(format!("machine type {}", elf.machine), |arch| arch.to_string());
        return Err(Failure::untrusted(format!("it is a program for {found}, not for {arch}")));
    }
    let interpreter = elf.interpreter().map_err(refused)?;
    check_release(&elf, bytes, release)?;
    match built_from(bytes) {
        Some(other) if other != program => Err(Failure::untrusted(format!("it is {other}, not {program}"))),
        _ => Ok(interpreter),
    }
}

/// The program that it was built as, from the path of the main package in Go's build information (`debug/buildinfo`,
/// lines of words separated by tabs). `None` for programs without this information, as before Go 1.13.
fn built_from(bytes: &[u8]) -> Option<EtcdProgram> {
    const PATH: &[u8] = b"path\tgo.etcd.io/etcd";
    let at = bytes.windows(PATH.len()).position(|window| window[0] == b'p' && window == PATH)? + PATH.len();
    let rest = &bytes[at..bytes.len().min(at + 64)];
    let line = rest.split(|byte| *byte == b'\n').next()?;
    match line.strip_suffix(b"/v3").unwrap_or(line) {
        b"" | b"/server" => Some(EtcdProgram::Etcd),
        b"/etcdctl" => Some(EtcdProgram::Etcdctl),
        b"/etcdutl" => Some(EtcdProgram::Etcdutl),
        _ => None,
    }
}

/// `e_machine` and whether the byte order is big-endian.
pub(super) fn machine_of(arch: Arch) -> (u16, bool) {
    match arch {
        Arch::Amd64 => (62, false),
        Arch::Arm64 => (183, false),
        Arch::Ppc64le => (21, false),
        Arch::S390x => (22, true),
    }
}

pub(super) fn refused(why: NotElf) -> Failure {
    Failure::untrusted(match why {
        NotElf::Other => "it is not a 64-bit ELF program",
        NotElf::NoProgram => "it is an ELF file, but not a program",
        NotElf::Damaged => "its ELF header is damaged",
    })
}

/// etcd's version is a variable (`version.Version`), so the Go compiler puts a string header, an address
/// and a length, into the writable data, and the linker fills them in. Following these headers gives the
/// exact text. Looking for the bytes alone would not: Go packs its string constants one after another
/// without anything between them (`…fences3.5.16sysmon…`), and 3.5.1 would be found in 3.5.16.
/// Go's own build information does not name the release: etcd is built from its main module, `(devel)`.
///
/// This detects a mix-up: a file under another release's name, a package built from another source. It is no defence
/// against a program that was made to pass it; the digest of the file is. In a position-independent program the loader
/// fills in the headers, so there only the text can be checked.
fn check_release(elf: &Elf, bytes: &[u8], release: Release) -> Result<()> {
    let text = release.to_string();
    if elf.kind == ET_DYN {
        let found = bytes.windows(text.len()).any(|window| window == text.as_bytes());
        return if found { Ok(()) } else { Err(no_release(release)) };
    }
    let found = releases(elf);
    if found.contains(&release) {
        return Ok(());
    }
    match found.last() {
        Some(other) => Err(Failure::untrusted(format!("it is etcd {other}, not {release}"))),
        None => Err(no_release(release)),
    }
}

/// The release numbers that string variables hold.
fn releases(elf: &Elf) -> BTreeSet<Release> {
    let writable = elf.segments.iter().filter(|s| s.kind == PT_LOAD && s.flags & PF_W != 0);
    let mut found = BTreeSet::new();
    for segment in writable {
        let end = segment.offset.saturating_add(segment.size).saturating_sub(15);
        // Go aligns pointers to their size.
        for at in (segment.offset..end).step_by(8) {
            let release = elf.u64(at).zip(elf.u64(at + 8)).and_then(|(address, length)| {
                // From `3.5.0` to `3.65535.65535`.
                let text = elf.at_address(address, length).filter(|_| (5..=13).contains(&length))?;
                std::str::from_utf8(text).ok()?.parse().ok()
            });
            found.extend(release.filter(|release: &Release| *release != MIN_CLUSTER_VERSION));
        }
    }
    found
}

fn no_release(release: Release) -> Failure {
    Failure::untrusted(format!("it does not contain the release number {release} of etcd"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ET_EXEC: u16 = 2;
    const PT_INTERP: u32 = 3;

    /// A small program: a header, a loaded part with strings, a writable part with string headers.
    struct Made {
        arch: Arch,
        kind: u16,
        interpreter: Option<&'static [u8]>,
        /// All texts, packed as Go packs them, and which of them (place and length) have a header.
        texts: &'static [u8],
        headers: &'static [(u64, u64)],
    }

    const GOOD: Made = Made {
        arch: Arch::Amd64,
        kind: ET_EXEC,
        interpreter: None,
        texts: b"fences3.5.163.0.0sysmon",
        headers: &[(12, 5), (6, 6), (0, 6)],
    };

    impl Made {
        fn bytes(&self) -> Vec<u8> {
            const TEXTS: u64 = 0x400;
            const DATA: u64 = 0x600;
            const BASE: u64 = 0x40_0000;
            let (machine, big) = machine_of(self.arch);
            let put = |bytes: &mut Vec<u8>, at: u64, number: u64, size: usize| {
                let number = if big {
                    number.to_be_bytes()[8 - size..].to_vec()
                } else {
                    number.to_le_bytes()[..size].to_vec()
                };
                let at = at as usize;
                bytes.resize(bytes.len().max(at + size), 0);
                bytes[at..at + size].copy_from_slice(&number);
            };
            let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
            bytes[5] = if big { 2 } else { 1 };
            put(&mut bytes, 16, u64::from(self.kind), 2);
            put(&mut bytes, 18, u64::from(machine), 2);
            put(&mut bytes, 32, 64, 8);
            put(&mut bytes, 54, 56, 2);
            let interpreter = self.interpreter.unwrap_or_default();
            let mut segments = vec![
                (PT_LOAD, 4, TEXTS, self.texts.len() as u64),
                (PT_LOAD, 6, DATA, 16 * self.headers.len() as u64),
            ];
            if self.interpreter.is_some() {
                segments.push((PT_INTERP, 4, 0x300, interpreter.len() as u64));
            }
            put(&mut bytes, 56, segments.len() as u64, 2);
            for (index, (kind, flags, offset, size)) in segments.into_iter().enumerate() {
                let at = 64 + 56 * index as u64;
                put(&mut bytes, at, u64::from(kind), 4);
                put(&mut bytes, at + 4, flags, 4);
                put(&mut bytes, at + 8, offset, 8);
                put(&mut bytes, at + 16, BASE + offset, 8);
                put(&mut bytes, at + 32, size, 8);
            }
            bytes.resize(DATA as usize, 0);
            bytes[0x300..0x300 + interpreter.len()].copy_from_slice(interpreter);
            bytes[TEXTS as usize..][..self.texts.len()].copy_from_slice(self.texts);
            for (index, (place, length)) in self.headers.iter().enumerate() {
                put(&mut bytes, DATA + 16 * index as u64, BASE + TEXTS + place, 8);
                put(&mut bytes, DATA + 16 * index as u64 + 8, *length, 8);
            }
            bytes
        }

        fn check(&self, release: &str) -> std::result::Result<Option<String>, String> {
            self.check_as(EtcdProgram::Etcd, release)
        }

        fn check_as(
            &self,
            program: EtcdProgram,
            release: &str,
        ) -> std::result::Result<Option<String>, String> {
            check(&self.bytes(), program, self.arch, release.parse().unwrap())
                .map_err(|failure| failure.to_string())
        }
    }

    #[test]
    fn the_version_variable_is_followed_exactly() {
        for arch in Arch::ALL {
            let made = Made { arch, ..GOOD };
            assert_eq!(made.check("3.5.16"), Ok(None), "{arch}");
            for (claim, want) in [
                ("3.5.1", "it is etcd 3.5.16, not 3.5.1"),
                ("3.5.163", "it is etcd 3.5.16, not 3.5.163"),
                ("3.0.0", "it is etcd 3.5.16, not 3.0.0"),
            ] {
                assert_eq!(made.check(claim), Err(want.to_owned()), "{arch}");
            }
        }
        let silent = Made { headers: &[(0, 6), (12, 5)], ..GOOD };
        assert_eq!(
            silent.check("3.5.16"),
            Err("it does not contain the release number 3.5.16 of etcd".into())
        );
        let outside =
            Made { headers: &[(1 << 40, 6), (u64::MAX - 0x40_0400, 6), (6, u64::MAX), (20, 6)], ..GOOD };
        assert!(outside.check("3.5.16").is_err());
        let independent = Made { kind: ET_DYN, headers: &[(0, 6)], ..GOOD };
        assert_eq!(independent.check("3.5.16"), Ok(None));
        assert!(independent.check("3.5.17").is_err());
    }

    #[test]
    fn programs_with_exchanged_names_are_told_apart() {
        let cases: [(&[u8], Option<EtcdProgram>); 6] = [
            (b"path\tgo.etcd.io/etcd/server/v3\nmod\t", Some(EtcdProgram::Etcd)),
            (b"path\tgo.etcd.io/etcd\ndep\t", Some(EtcdProgram::Etcd)),
            (b"path\tgo.etcd.io/etcd/etcdctl/v3\n", Some(EtcdProgram::Etcdctl)),
            (b"path\tgo.etcd.io/etcd/etcdutl\n", Some(EtcdProgram::Etcdutl)),
            (b"path\tgo.etcd.io/etcd/tools/benchmark\n", None),
            (b"no build information", None),
        ];
        for (text, want) in cases {
            assert_eq!(built_from(text), want, "{}", String::from_utf8_lossy(text));
        }
        let made = Made {
            texts: b"fences3.5.163.0.0sysmon0w\xafpath\tgo.etcd.io/etcd/etcdctl/v3\nmod\tgo.etcd.io/etcd/etcdctl/v3\n",
            ..GOOD
        };
        assert_eq!(made.check_as(EtcdProgram::Etcdctl, "3.5.16"), Ok(None));
        assert_eq!(made.check("3.5.16"), Err("it is etcdctl, not etcd".into()));
    }

    #[test]
    fn the_interpreter_is_a_path() {
        let with = |interpreter| Made { interpreter: Some(interpreter), ..GOOD }.check("3.5.16");
        assert_eq!(with(b"/lib64/ld-linux-x86-64.so.2\0"), Ok(Some("/lib64/ld-linux-x86-64.so.2".into())));
        for bad in [&b""[..], b"\0", b"/lib", b"lib\0", b"/a\nb\0", b"/a\0b\0", b"/\xff\0"] {
            assert_eq!(with(bad), Err("its ELF header is damaged".into()), "{bad:?}");
        }
    }

    #[test]
    fn what_is_no_program_for_it_is_refused() {
        let good = GOOD.bytes();
        let check = |bytes: &[u8], arch| {
            check(bytes, EtcdProgram::Etcd, arch, Release::new(3, 5, 16)).map_err(|f| f.to_string())
        };
        assert_eq!(check(&good, Arch::Arm64), Err("it is a program for amd64, not for arm64".into()));
        let cases: [(usize, u8, &str); 8] = [
            (0, 0, "it is not a 64-bit ELF program"),
            (4, 1, "it is not a 64-bit ELF program"),
            (5, 3, "it is not a 64-bit ELF program"),
            (5, 2, "it is an ELF file, but not a program"),
            (16, 1, "it is an ELF file, but not a program"),
            (18, 3, "it is a program for machine type 3, not for amd64"),
            (54, 32, "its ELF header is damaged"),
            (57, 1, "its ELF header is damaged"),
        ];
        for (at, byte, want) in cases {
            let mut bytes = good.clone();
            bytes[at] = byte;
            assert_eq!(check(&bytes, Arch::Amd64), Err(want.into()), "byte {at}");
        }
        assert!(check(b"#!/bin/sh\n", Arch::Amd64).is_err());
    }

    #[test]
    fn damage_never_panics() {
        let good = Made { interpreter: Some(b"/lib/ld.so\0"), ..GOOD }.bytes();
        for cut in 0..good.len() {
            assert!(
                check(&good[..cut], EtcdProgram::Etcd, Arch::Amd64, Release::new(3, 5, 16)).is_err(),
                "cut at {cut}"
            );
        }
        for at in 0..good.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = good.clone();
                bytes[at] = byte;
                let _ = check(&bytes, EtcdProgram::Etcd, Arch::Amd64, Release::new(3, 5, 16));
            }
        }
    }
}
