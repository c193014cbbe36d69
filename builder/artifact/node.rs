//! How a file is known to be `kiln-node`, the program that Kiln puts onto nodes, and what one must be.

use super::examine::{machine_of, refused};
use crate::elf::Elf;
use crate::failure::{Failure, Result};
use crate::values::{Arch, NODE_PROGRAM, Version};

/// The largest that is taken, in bytes; a real one has 3 MB.
pub const MAX_NODE_BYTES: u64 = 64 << 20;

/// What is before the version in the program (`builder/node/version.rs`), backwards: Kiln's own program must not
/// contain it.
const BEFORE_VERSION_REVERSED: &[u8] = b"\x02edon-nlik\x01";

/// What is after it.
const AFTER_VERSION: u8 = 0x03;

/// The longest version, in bytes.
const MAX_VERSION_BYTES: usize = 64;

/// What a `kiln-node` says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeKind {
    pub version: Version,
    pub arch: Arch,
}

/// Checks a program.
///
/// # Errors
/// `Exit::Untrusted` when it is another program, for an architecture that nodes do not have, or dynamically linked.
pub fn examine(bytes: &[u8]) -> Result<NodeKind> {
    let elf = Elf::parse(bytes, bytes.len() as u64).map_err(refused)?;
    let Some(version) = version_in(bytes) else {
        return Err(Failure::untrusted(format!(
            "it is a program, but not {NODE_PROGRAM}; etcd is imported as its release tarball (.tar.gz), or as the Debian \
             packages etcd-server and etcd-client"
        )));
    };
    let is_for = |arch: &Arch| machine_of(*arch) == (elf.machine, elf.big_endian);
    let Some(arch) = Arch::ALL.into_iter().find(is_for) else {
        let all = Arch::ALL.map(|arch| arch.to_string()).join(", ");
        return Err(Failure::untrusted(format!(
            "it is {NODE_PROGRAM} {version} for machine type {}; nodes are {all}",
            elf.machine
        )));
    };
    if elf.is_dynamic() {
        return Err(Failure::untrusted(format!(
            "it is {NODE_PROGRAM} {version} for {arch}, but dynamically linked: it would need a C library on each node; \
             build it with {} in Kiln's source, which links it statically",
            script(arch)
        )));
    }
    Ok(NodeKind { version, arch })
}

/// Checks one that is for this architecture and of this version.
///
/// # Errors
/// As [`examine`]; `Exit::Untrusted` also for one that is for another architecture, or of another version.
pub fn check(bytes: &[u8], arch: Arch, version: &Version) -> Result<()> {
    let found = examine(bytes)?;
    if found.arch != arch {
        return Err(Failure::untrusted(format!("it is {NODE_PROGRAM} for {}, not for {arch}", found.arch)));
    }
    if found.version != *version {
        return Err(Failure::untrusted(format!("it is {NODE_PROGRAM} {}, not {version}", found.version)));
    }
    Ok(())
}

/// Nodes get the program of the Kiln that writes what it reads.
///
/// # Errors
/// `Exit::Untrusted` for one of another version.
pub fn refuse_other_version(found: &NodeKind) -> Result<()> {
    let own = Version::own();
    if found.version == own {
        return Ok(());
    }
    Err(Failure::untrusted(format!(
        "it is {NODE_PROGRAM} {}, and this is Kiln {own}, whose nodes get {NODE_PROGRAM} {own}; build it with {} in the \
         source of Kiln {own}",
        found.version,
        script(found.arch)
    )))
}

/// What makes one for this architecture, in Kiln's source.
pub fn script(arch: Arch) -> String {
    match arch {
        Arch::Amd64 => "ci/node".to_owned(),
        Arch::Arm64 | Arch::Ppc64le | Arch::S390x => format!("ci/node-cross {arch}"),
    }
}

fn version_in(bytes: &[u8]) -> Option<Version> {
    let mark = BEFORE_VERSION_REVERSED;
    let is_mark = |at: &[u8]| at.last() == mark.first() && at.iter().rev().eq(mark);
    let ends = bytes.windows(mark.len()).enumerate().filter(|(_, at)| is_mark(at));
    ends.map(|(start, _)| &bytes[start + mark.len()..]).find_map(|rest| {
        let length = rest.iter().take(MAX_VERSION_BYTES + 1).position(|byte| *byte == AFTER_VERSION)?;
        std::str::from_utf8(&rest[..length]).ok()?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(version: &str) -> Vec<u8> {
        let mark: Vec<u8> = BEFORE_VERSION_REVERSED.iter().rev().copied().collect();
        [b"kiln-node 9.9.9", &*mark, version.as_bytes(), &[AFTER_VERSION], b"more"].concat()
    }

    #[test]
    fn the_version_is_what_is_between_the_marks() {
        assert_eq!(version_in(&marked("0.1.0")).unwrap().as_str(), "0.1.0");
        // The beginning of a mark, and then a whole one.
        let after_a_bad_one = [marked("not one"), marked("0.2.0-rc.1")].concat();
        assert_eq!(version_in(&after_a_bad_one).unwrap().as_str(), "0.2.0-rc.1");
        for bad in ["", "x", "1/2", "0.1.0 ", &"1".repeat(65)] {
            assert_eq!(version_in(&marked(bad)), None, "{bad:?}");
        }
        let good = marked("0.1.0");
        for cut in 0..good.len() - "\x03more".len() {
            assert_eq!(version_in(&good[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn the_script_that_makes_one_takes_the_name_of_its_architecture() {
        let usage = include_str!("../../ci/node-cross");
        for arch in Arch::ALL.into_iter().filter(|arch| *arch != Arch::Amd64) {
            assert_eq!(script(arch), format!("ci/node-cross {arch}"));
            assert!(usage.contains(&format!("\n        {arch}) made \"$arch\" ")), "{arch}");
        }
    }

    #[test]
    fn it_is_where_kiln_node_puts_it() {
        let source = include_str!("../node/version.rs");
        assert!(source.contains(r#"concat!("\x01kiln-node\x02", env!("CARGO_PKG_VERSION"), "\x03")"#));
    }
}
