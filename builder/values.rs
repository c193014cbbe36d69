//! Small checked values. A name that could be wrong is a type that cannot: `FromStr` is the only way in, and
//! its error is a sentence that says what is allowed.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Why a text is not the value it should be. A sentence, without the text itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid(pub String);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Invalid {}

fn invalid<T>(reason: impl Into<String>) -> Result<T, Invalid> {
    Err(Invalid(reason.into()))
}

/// A character in quotes, with its number when it may look like another one: `'а' (U+0430)`.
fn shown(c: char) -> String {
    if c.is_ascii() { format!("{c:?}") } else { format!("{c:?} (U+{:04X})", u32::from(c)) }
}

/// `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`: one DNS label (RFC 1123 2.1), safe in a path, a unit and a URL.
fn check_label(text: &str) -> Result<(), Invalid> {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let inner = |c: char| edge(c) || c == '-';
    if text.is_empty() {
        invalid("it is empty")
    } else if text.len() > 63 {
        invalid(format!("it has {} characters; at most 63 are allowed", text.chars().count()))
    } else if let Some(bad) = text.chars().find(|c| !inner(*c)) {
        invalid(format!("{} is not allowed; use a-z, 0-9 and - only", shown(bad)))
    } else if !text.starts_with(edge) || !text.ends_with(edge) {
        invalid("it must begin and end with a letter or a digit")
    } else {
        Ok(())
    }
}

macro_rules! text_value {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Invalid> {
                let check: fn(&str) -> Result<(), Invalid> = $check;
                check(text)?;
                Ok(Self(text.to_owned()))
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

text_value!(
    /// A member's name and its host name: one DNS label in lower case, 1 to 63 characters.
    NodeName,
    check_label
);
text_value!(
    /// A cluster's name: one DNS label in lower case, 1 to 63 characters.
    ClusterName,
    check_label
);
text_value!(
    /// A client certificate's file name and common name (etcd's user name once authentication is on):
    /// one DNS label in lower case, 1 to 63 characters.
    ClientName,
    check_label
);
text_value!(
    /// A DNS domain in lower case, without a dot at either end, at most 180 characters so that a member's
    /// full name stays below the 253 of RFC 1035.
    Domain,
    |text| {
        if text.len() > 180 {
            return invalid("it is longer than 180 characters");
        }
        text.split('.').try_for_each(|label| match check_label(label) {
            Err(_) if label.is_empty() => invalid("it has an empty part; write it as in kloud.lan"),
            other => other,
        })
    }
);
text_value!(
    /// etcd's `initial-cluster-token`: 1 to 128 characters of `[A-Za-z0-9._-]`.
    Token,
    |text| {
        if text.is_empty() || text.len() > 128 {
            return invalid("it must have 1 to 128 characters");
        }
        match text.chars().find(|c| !(c.is_ascii_alphanumeric() || "._-".contains(*c))) {
            Some(bad) => invalid(format!("{} is not allowed; use A-Z, a-z, 0-9, '.', '_' and '-'", shown(bad))),
            None => Ok(()),
        }
    }
);
text_value!(
    /// A path in the guest, relative to its root: no leading slash, no empty part, no `.` or `..`, no control
    /// character, at most 255 bytes a part and 1024 in all. `etc/etcd/etcd.conf`.
    GuestPath,
    |text| {
        if text.is_empty() || text.len() > 1024 {
            return invalid("it must have 1 to 1024 bytes");
        }
        if text.starts_with('/') {
            return invalid("it must not begin with /; paths are relative to the guest's root");
        }
        if text.chars().any(char::is_control) {
            return invalid("it has a control character");
        }
        text.split('/').try_for_each(|part| match part {
            "" => invalid("it has an empty part"),
            "." | ".." => invalid("it has a . or .. part"),
            _ if part.len() > 255 => invalid("it has a part longer than 255 bytes"),
            _ => Ok(()),
        })
    }
);

impl Token {
    /// For a plan that is only looked at, before there is a keystore to derive the real one from.
    pub fn placeholder() -> Self {
        Self("placeholder".to_owned())
    }
}

impl GuestPath {
    /// The directories above it, outermost first: `etc`, `etc/etcd`.
    pub fn parents(&self) -> impl Iterator<Item = GuestPath> + '_ {
        self.0.match_indices('/').map(|(at, _)| GuestPath(self.0[..at].to_owned()))
    }

    /// The last part.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// As the guest itself writes it: `/etc/etcd/etcd.conf`.
    pub fn absolute(&self) -> String {
        format!("/{}", self.0)
    }
}

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

/// Seconds since 1970-01-01T00:00:00Z; up to the end of the year 9999, where X.509 ends (RFC 5280 4.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Epoch(u64);

impl Epoch {
    const CIVIL_START: jiff::civil::DateTime = jiff::civil::DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
    const END: u64 = 253_402_300_799;

    /// 1970-01-01T00:00:00Z.
    pub const START: Epoch = Epoch(0);

    pub fn from_seconds(seconds: u64) -> Result<Self, Invalid> {
        if seconds > Self::END { invalid("it lies after the year 9999") } else { Ok(Self(seconds)) }
    }

    pub fn seconds(self) -> u64 {
        self.0
    }

    /// Later by a lifetime, and never past the end of the year 9999.
    pub fn plus(self, lifetime: Lifetime) -> Self {
        Self((self.0 + lifetime.seconds()).min(Self::END))
    }

    /// Earlier by a lifetime, and never before 1970.
    pub fn minus(self, lifetime: Lifetime) -> Self {
        Self(self.0.saturating_sub(lifetime.seconds()))
    }

    /// Without a time zone, because `jiff` ends its timestamps a day before the year 9999 does, and certificates
    /// without an end carry that last second (RFC 5280 4.1.2.5).
    fn civil(self) -> jiff::civil::DateTime {
        let since = i64::try_from(self.0).map_or(jiff::SignedDuration::MAX, jiff::SignedDuration::from_secs);
        Self::CIVIL_START.checked_add(since).unwrap_or(jiff::civil::DateTime::MAX)
    }
}

impl fmt::Display for Epoch {
    /// RFC 3339 in UTC: `2026-11-21T00:00:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}Z", self.civil())
    }
}

impl FromStr for Epoch {
    type Err = Invalid;

    /// A count of seconds (as in SOURCE_DATE_EPOCH), a date (`2026-11-21`) or an RFC 3339 time.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        if let Ok(seconds) = text.parse() {
            return Self::from_seconds(seconds);
        }
        let full = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
        let parsed = match full.parse::<jiff::Timestamp>() {
            Ok(timestamp) => Ok(timestamp.as_second()),
            // The last day of all.
            Err(_) if full.len() == "9999-12-31T23:59:59Z".len() => full
                .strip_suffix('Z')
                .and_then(|text| text.parse::<jiff::civil::DateTime>().ok())
                .map(|time| time.duration_since(Self::CIVIL_START).as_secs())
                .ok_or(()),
            Err(_) => Err(()),
        };
        let parsed = parsed
            .map_err(|()| Invalid("it is neither seconds since 1970 nor a date such as 2026-11-21".into()))?;
        match u64::try_from(parsed) {
            Ok(seconds) => Self::from_seconds(seconds),
            Err(_) => invalid("it lies before 1970"),
        }
    }
}

/// A span of time in whole seconds: `90d`, `10y`, `12h`. A year is 365 days, as in openssl's `-days 365`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Lifetime(u64);

impl Lifetime {
    pub const fn hours(hours: u64) -> Self {
        Self(hours * 3600)
    }

    pub const fn days(days: u64) -> Self {
        Self::hours(days * 24)
    }

    pub const fn years(years: u64) -> Self {
        Self::days(years * 365)
    }

    pub fn seconds(self) -> u64 {
        self.0
    }
}

impl FromStr for Lifetime {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let unit = text.chars().last().unwrap_or(' ');
        let scale = match unit {
            'h' => 3600,
            'd' => 86_400,
            'y' => 365 * 86_400,
            _ => return invalid("write a number and a unit: 12h, 90d or 10y"),
        };
        let number = &text[..text.len() - 1];
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
            return invalid("write a number and a unit: 12h, 90d or 10y");
        }
        match number.parse::<u64>().ok().and_then(|n| n.checked_mul(scale)) {
            Some(0) => invalid("it must be more than nothing"),
            Some(seconds) if seconds <= 100 * 365 * 86_400 => Ok(Self(seconds)),
            _ => invalid("it must be 100y or less"),
        }
    }
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            s if s % (365 * 86_400) == 0 => write!(f, "{}y", s / (365 * 86_400)),
            s if s % 86_400 == 0 => write!(f, "{}d", s / 86_400),
            s => write!(f, "{}h", s / 3600),
        }
    }
}

impl Serialize for Lifetime {
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
            None => invalid("use amd64, arm64, ppc64le or s390x"),
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
        if text.len() != 64 || !text.is_ascii() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels() {
        for good in ["a", "cp-a", "0", &"a".repeat(63)] {
            assert!(good.parse::<NodeName>().is_ok(), "{good}");
        }
        let bad =
            ["", "../x", "-rf", "a-", "a=b,c", "a b", "%n", "{{x}}", "$(x)", "A", "a.b", "a_b", "а", "a\n"];
        for bad in bad.into_iter().chain([&*"a".repeat(64), &*"a".repeat(300)]) {
            assert!(bad.parse::<NodeName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn guest_paths_stay_below_the_root() {
        for bad in ["", "/etc", "a//b", "a/", "..", "a/../b", "./a", "a\nb"] {
            assert!(bad.parse::<GuestPath>().is_err(), "{bad}");
        }
        let path: GuestPath = "etc/etcd/etcd.conf".parse().unwrap();
        assert_eq!(path.parents().map(|p| p.to_string()).collect::<Vec<_>>(), ["etc", "etc/etcd"]);
        assert_eq!(path.file_name(), "etcd.conf");
        assert_eq!(path.absolute(), "/etc/etcd/etcd.conf");
    }

    #[test]
    fn epochs_read_and_write() {
        let cases = [
            ("0", Some("1970-01-01T00:00:00Z")),
            ("2026-11-21", Some("2026-11-21T00:00:00Z")),
            ("2051-01-02T03:04:05Z", Some("2051-01-02T03:04:05Z")),
            ("-1", None),
            ("junk", None),
            ("1969-12-31", None),
            ("253402300799", Some("9999-12-31T23:59:59Z")),
            ("9999-12-31T23:59:59Z", Some("9999-12-31T23:59:59Z")),
            ("9999-12-31", Some("9999-12-31T00:00:00Z")),
            ("2026-11-21T02:00:00+02:00", Some("2026-11-21T00:00:00Z")),
            ("2026-02-29", None),
            ("253402300800", None),
            ("99999999999999999999", None),
        ];
        for (text, want) in cases {
            assert_eq!(text.parse::<Epoch>().ok().map(|e| e.to_string()).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn lifetimes_have_a_unit_and_an_end() {
        assert_eq!("90d".parse::<Lifetime>(), Ok(Lifetime::days(90)));
        assert_eq!("10y".parse::<Lifetime>().unwrap().to_string(), "10y");
        for bad in ["", "90", "d", "0h", "-1d", "1w", "101y", "1.5h", "99999999999999999999y", "é"] {
            assert!(bad.parse::<Lifetime>().is_err(), "{bad}");
        }
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
    fn digests_are_64_hex_digits() {
        let digest = Digest::of(b"");
        assert_eq!(digest.to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!("e3b0".parse::<Digest>().is_err());
        assert!("é".repeat(32).parse::<Digest>().is_err());
    }
}
