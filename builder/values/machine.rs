//! Properties of machines and files: modes, architectures, Ethernet addresses.

use std::fmt;
use std::str::FromStr;

use super::{Digest, InstanceName, Invalid, deserialize_parsed, invalid, serialize_displayed};

deserialize_parsed!(Arch, Mac, Mode);
serialize_displayed!(Arch, Mac, Mode);

/// Permission bits of a file, 0 to 0o7777, shown as four octal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mode(u16);

impl Mode {
    /// 0755: only the owner writes.
    pub const DIRECTORY: Mode = Mode(0o755);
    /// 0644: only the owner writes.
    pub const FILE: Mode = Mode(0o644);
    /// 0755: every user may run it.
    pub const PROGRAM: Mode = Mode(0o755);
    /// 0600: a file for its owner only.
    pub const SECRET: Mode = Mode(0o600);
    /// 0400: a file that its owner only reads.
    pub const READ_ONLY_SECRET: Mode = Mode(0o400);
    /// 0700: a directory for its owner only.
    pub const SECRET_DIRECTORY: Mode = Mode(0o700);

    /// Twelve bits: set-user-ID, set-group-ID, sticky, and nine for reading, writing and executing.
    pub fn bits(self) -> u32 {
        u32::from(self.0)
    }

    /// The low twelve bits of a file's mode.
    pub fn from_bits(bits: u32) -> Self {
        Self((bits & 0o7777) as u16)
    }

    /// Of a directory: whether every user may rename and remove files of others in it (chmod(1), restricted deletion
    /// flag).
    pub fn lets_all_rename(self) -> bool {
        const WRITE: u16 = 0o0002;
        const STICKY: u16 = 0o1000;
        self.0 & WRITE != 0 && self.0 & STICKY == 0
    }
}

impl FromStr for Mode {
    type Err = Invalid;
    /// Four octal digits, as `Display` writes them.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bits = u16::from_str_radix(text, 8).ok().map(Self);
        bits.filter(|mode| mode.0 <= 0o7777 && mode.to_string() == text)
            .ok_or_else(|| Invalid("a mode is four octal digits, such as 0644".into()))
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl fmt::Debug for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A processor architecture by Go's name, as in the names of etcd's release files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arch {
    /// x86-64.
    Amd64,
    /// AArch64.
    Arm64,
    /// POWER, little-endian.
    Ppc64le,
    /// IBM Z.
    S390x,
}

impl Arch {
    /// The architectures that etcd is released for.
    pub const ALL: [Arch; 4] = [Arch::Amd64, Arch::Arm64, Arch::Ppc64le, Arch::S390x];
    /// Their names.
    pub const NAMES: &[&str] = &["amd64", "arm64", "ppc64le", "s390x"];

    /// `amd64`; also the middle of `linux-amd64` in the names of release files.
    pub fn as_str(self) -> &'static str {
        match self {
            Arch::Amd64 => "amd64",
            Arch::Arm64 => "arm64",
            Arch::Ppc64le => "ppc64le",
            Arch::S390x => "s390x",
        }
    }

    /// The architecture that this program was built for, if it is one of the four.
    pub fn host() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Arch::Amd64),
            "aarch64" => Some(Arch::Arm64),
            "powerpc64" if cfg!(target_endian = "little") => Some(Arch::Ppc64le),
            "s390x" => Some(Arch::S390x),
            _ => None,
        }
    }
}

impl FromStr for Arch {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        match Self::ALL.into_iter().find(|arch| arch.as_str() == text) {
            Some(arch) => Ok(arch),
            None => {
                // The names of uname, rustc and Debian.
                let meant = match text {
                    "x86_64" | "x86-64" | "x64" => "; did you mean amd64?",
                    "aarch64" | "arm64v8" | "armv8" => "; did you mean arm64?",
                    "ppc64el" | "powerpc64le" => "; did you mean ppc64le?",
                    _ => "",
                };
                invalid(format!("use amd64, arm64, ppc64le or s390x{meant}"))
            }
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// An Ethernet address, unicast, as six hex pairs in lower case joined by colons.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac([u8; 6]);

impl Mac {
    /// QEMU's range 52:54:00 with three bytes of a digest of `label`: the same label gives the same address.
    pub fn derived(label: &str) -> Self {
        let digest = Digest::of(label.as_bytes());
        let [a, b, c, ..] = *digest.bytes();
        Self([0x52, 0x54, 0x00, a, b, c])
    }
}

impl FromStr for Mac {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()));
            *byte = part
                .and_then(|p| u8::from_str_radix(p, 16).ok())
                .ok_or_else(|| Invalid("write six hex pairs, as in 52:54:00:12:34:56".into()))?;
        }
        if parts.next().is_some() {
            return invalid("write six hex pairs, as in 52:54:00:12:34:56");
        }
        if bytes[0] & 1 == 1 {
            return invalid("it is a multicast address; the first pair must be even");
        }
        if bytes == [0; 6] {
            return invalid("it is all zeros");
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The serial by which a node finds its data disk. virtio-blk allows 20 bytes (VIRTIO_BLK_ID_BYTES in
/// linux/virtio_blk.h); nodes' names are ASCII.
///
/// Another instance than the first has its own disk, whose serial no node's name is a part of: cut off at 20 bytes, two
/// of them could be the same.
pub fn disk_serial(instance: &InstanceName, node: &str) -> String {
    if instance.owns_host() {
        return format!("kiln-{node}").chars().take(20).collect();
    }
    let digest = Digest::of(format!("kiln disk {instance}/{node}").as_bytes()).to_string();
    let name: String = instance.as_str().chars().take(6).collect();
    format!("kiln-{name}-{}", &digest[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_fit_a_virtio_disk() {
        let first = InstanceName::default();
        assert_eq!(disk_serial(&first, "cp-a"), "kiln-cp-a");
        assert_eq!(disk_serial(&first, "control-plane-number-12"), "kiln-control-plane-n");
        let events = "events".parse().unwrap();
        let [one, other] = ["cp-a", "cp-b"].map(|node| disk_serial(&events, node));
        assert!(one.starts_with("kiln-events-") && one.len() == 20 && one != other, "{one} {other}");
    }

    #[test]
    fn macs_are_unicast() {
        assert_eq!("52:54:00:AB:cd:ef".parse::<Mac>().unwrap().to_string(), "52:54:00:ab:cd:ef");
        for bad in [
            "",
            "52:54:00:12:34",
            "53:54:00:12:34:56",
            "00:00:00:00:00:00",
            "52-54-00-12-34-56",
            "5:4:0:1:3:5",
        ] {
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
        assert_eq!(Mac::derived("ha3/cp-a"), Mac::derived("ha3/cp-a"));
    }

    #[test]
    fn modes_are_four_octal_digits() {
        assert_eq!("0644".parse(), Ok(Mode::FILE));
        assert_eq!("4755".parse(), Ok(Mode::from_bits(0o4755)));
        for bad in ["", "644", "+644", "0888", "rw-r", "00644", "17777", "0644 "] {
            assert!(bad.parse::<Mode>().is_err(), "{bad}");
        }
    }
}
