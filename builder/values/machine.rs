//! What machines and files have: modes, architectures, digests, Ethernet addresses.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::{Invalid, deserialize_parsed, invalid};

deserialize_parsed!(Arch, Digest, Mac, Mode);

/// Permission bits of a file, 0 to 0o7777, shown as four octal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mode(u16);

impl Mode {
    pub const DIRECTORY: Mode = Mode(0o755);
    pub const FILE: Mode = Mode(0o644);
    pub const PROGRAM: Mode = Mode(0o755);
    pub const SECRET: Mode = Mode(0o600);
    pub const SECRET_DIRECTORY: Mode = Mode(0o700);

    pub fn bits(self) -> u32 {
        u32::from(self.0)
    }

    /// The low twelve bits of a file's mode.
    pub fn from_bits(bits: u32) -> Self {
        Self((bits & 0o7777) as u16)
    }

    /// Of a directory: whether every user may rename and remove what others have in it (chmod(1), restricted deletion flag).
    pub fn lets_all_rename(self) -> bool {
        const WRITE: u16 = 0o0002;
        const STICKY: u16 = 0o1000;
        self.0 & WRITE != 0 && self.0 & STICKY == 0
    }
}

impl FromStr for Mode {
    type Err = Invalid;
    /// Four octal digits, as it is shown.
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

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A processor architecture by Go's name, which etcd's release files carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arch {
    Amd64,
    Arm64,
    Ppc64le,
    S390x,
}

impl Arch {
    pub const ALL: [Arch; 4] = [Arch::Amd64, Arch::Arm64, Arch::Ppc64le, Arch::S390x];
    /// As they are written.
    pub const NAMES: &[&str] = &["amd64", "arm64", "ppc64le", "s390x"];

    pub fn as_str(self) -> &'static str {
        match self {
            Arch::Amd64 => "amd64",
            Arch::Arm64 => "arm64",
            Arch::Ppc64le => "ppc64le",
            Arch::S390x => "s390x",
        }
    }

    /// The architecture that this program was built for, where it is one of the four.
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
                // As uname, rustc and Debian write them.
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

impl Serialize for Arch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A SHA-256 digest, written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }

    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Digest {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = || Invalid("a SHA-256 digest is 64 hex digits".into());
        // from_str_radix would take a plus sign as well.
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An Ethernet address, unicast, as six hex pairs in lower case joined by colons.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac([u8; 6]);

impl Mac {
    /// QEMU's range 52:54:00 with three bytes of a digest of `label`: the same label, the same address.
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

impl Serialize for Mac {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// By which a node finds its data disk. virtio-blk has room for 20 bytes (VIRTIO_BLK_ID_BYTES in
/// linux/virtio_blk.h); nodes' names are ASCII.
pub fn disk_serial(node: &str) -> String {
    format!("kiln-{node}").chars().take(20).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_fit_a_virtio_disk() {
        assert_eq!(disk_serial("cp-a"), "kiln-cp-a");
        assert_eq!(disk_serial("control-plane-number-12"), "kiln-control-plane-n");
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

    #[test]
    fn digests_are_64_hex_digits() {
        let digest = Digest::of(b"");
        assert_eq!(digest.to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!("e3b0".parse::<Digest>().is_err());
        assert!("é".repeat(32).parse::<Digest>().is_err());
        assert!("+f".repeat(32).parse::<Digest>().is_err());
    }
}
