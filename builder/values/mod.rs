//! Small validated values. A type for each kind of name keeps invalid ones out: `FromStr` is the only way to make one,
//! and its error is a sentence that says what is allowed.

mod base_units;
mod bond;
mod card;
mod carrier;
mod dhcp;
mod digest;
mod fill;
mod host;
mod install;
mod interval;
mod libvirt;
mod login;
mod machine;
mod names;
mod parsed;
mod peer_tag;
mod pem_file;
mod printable;
mod private;
mod purpose;
mod quorum;
mod setting;
mod shard;
mod snapshot;
mod time;
mod unit;
mod url;
mod version;

use std::fmt;
use std::str::FromStr;

pub use base_units::is_of_a_base;
pub use bond::{Bond, BondMode, By};
pub(crate) use bond::{BondCard, CardName, HashPolicy, LacpRate};
pub use card::{Card, Carried, Route, everything, router, source};
#[cfg(test)]
pub(crate) use carrier::examples as example_carriers;
pub(crate) use carrier::{At, Carrier, CarrierFacts, CarrierFile, Firmware, Start};
pub use dhcp::Dhcp;
pub use digest::Digest;
pub(crate) use digest::{Hasher, hex};
pub(crate) use fill::fill;
pub(crate) use host::{Volume, host_address, libvirt_name, machine_uuid, short_id};
pub use install::InstallLine;
pub use interval::Interval;
pub(crate) use libvirt::{Connect, ConnectTo, Interface, LibvirtNetwork, Link};
pub use login::without_private_keys;
pub(crate) use login::{LoginName, SshKey, hide, looks_private};
pub use machine::{Arch, Mode};
pub(crate) use machine::{Mac, disk_serial};
pub(crate) use names::ends_in_number;
pub use names::{AltName, ClientName, ClusterName, Domain, HostName, NodeName, ServerName};
pub(crate) use parsed::{as_text, list, map, number, parsed, set};
pub(crate) use parsed::{deserialize_parsed, serialize_displayed};
pub use peer_tag::PeerTag;
pub(crate) use pem_file::{
    CA_FILES, NODE_FILES, OPERATOR_FILES, PEER_CA_FILES, PEER_FILES, PemFile, PemPair, SERVER_FILES,
};
pub(crate) use printable::{counted, on_one_line, printable};
pub use printable::{printable_lines, steers, toml_string};
pub use private::without_passwords;
pub(crate) use private::{holds_private_key, is_private_key};
pub use purpose::Purpose;
pub(crate) use quorum::Members;
pub use setting::Setting;
pub(crate) use shard::Shard;
pub use snapshot::{RestoreFrom, SnapshotChoice, unread_secrets};
pub use time::{Epoch, Lifetime, SOON_DAYS};
pub(crate) use unit::{Account, InstanceName, ServiceUser, UnitName};
pub(crate) use url::Url;
pub use version::{NODE_PROGRAM, Version};

/// The versions of kubeadm's configuration that Kiln writes and reads, the newest first.
pub const KUBEADM: [&str; 2] = ["kubeadm.k8s.io/v1beta4", "kubeadm.k8s.io/v1beta3"];

/// The reason why a text is not a valid value. A sentence that does not quote the text.
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

/// A character in quotes, with its code point when it may look like another one: `'а' (U+0430)`.
fn shown(c: char) -> String {
    if c.is_ascii() { format!("{c:?}") } else { format!("{c:?} (U+{:04X})", u32::from(c)) }
}

macro_rules! text_value {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The validated text.
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
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
        deserialize_parsed!($name);
        impl std::ops::Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }
        /// Allows looking up a string in a map with these keys.
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}
use text_value;

/// Defines the word for each variant, as profiles and manifests have it.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $text:literal),+ })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[allow(missing_docs)]
        pub enum $name { $($(#[$of])* #[serde(rename = $text)] $variant),+ }
        impl $name {
            /// Each value with its word.
            pub const CHOICES: &[(&str, Self)] = &[$(($text, Self::$variant)),+];
            /// The words alone.
            pub const NAMES: &[&str] = &[$($text),+];
            /// Its word.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    )+};
}
use words;

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
    /// A path in the guest, relative to its root: no leading slash, no empty component, no `.` or `..`, no character
    /// for which `steers` returns true, at most 255 bytes per component and 1024 in all. `etc/etcd/etcd.conf`.
    GuestPath,
    |text| {
        if text.is_empty() || text.len() > 1024 {
            return invalid("it must have 1 to 1024 bytes");
        }
        if text.starts_with('/') {
            return invalid("it must not begin with /; paths are relative to the guest's root");
        }
        if text.chars().any(steers) {
            return invalid("it has an invisible character that changes the text around it");
        }
        text.split('/').try_for_each(|part| match part {
            "" => invalid("it has an empty part"),
            "." | ".." => invalid("it has a . or .. part"),
            _ if part.len() > 255 => invalid("it has a part longer than 255 bytes"),
            _ => Ok(()),
        })
    }
);

text_value!(
    /// One line for people: no control character and none that changes the direction of text, at most 4096 bytes.
    Line,
    |text| match text.chars().find(|c| steers(*c)) {
        _ if text.len() > 4096 => invalid("it is longer than 4096 bytes"),
        Some(bad) => invalid(format!("it has the character U+{:04X}", u32::from(bad))),
        None => Ok(()),
    }
);
text_value!(
    /// The name of a file in a directory: 1 to 255 bytes, no slash, not `.` or `..`, no terminal control characters.
    FileName,
    |text| {
        if text.contains('/') {
            return invalid("it has a slash");
        }
        text.parse::<Line>()?;
        text.parse::<GuestPath>().map(drop)
    }
);
text_value!(
    /// The base system of a machine: the name of one that `ci/base` makes, or the absolute path of one.
    BaseSystem,
    |text| {
        let is_path = text.starts_with('/') && text.len() > 1 && text.parse::<Line>().is_ok();
        match is_path || BaseSystem::MADE.contains(&text) {
            true => Ok(()),
            false => invalid(format!("it is {} or an absolute path", BaseSystem::MADE.join(", "))),
        }
    }
);
text_value!(
    /// A certificate's serial number: 1 to 20 octets (RFC 5280 4.1.2.2), each as two hex digits in lower case; a
    /// leading octet of zeros is allowed besides, as DER has it.
    Serial,
    |text| {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_long = text.len() == 42 && text.starts_with("00");
        match text.bytes().all(digit) && text.len() % 2 == 0 && (is_long || (2..=40).contains(&text.len())) {
            true => Ok(()),
            false => invalid("a serial number is 1 to 20 pairs of hex digits"),
        }
    }
);
impl BaseSystem {
    /// The names of those that `ci/base` makes.
    pub const MADE: [&str; 3] = ["live", "cloud", "ignition"];
}

impl Line {
    /// Converts any text: invalid characters are replaced, and long text is truncated.
    pub fn of(text: &str) -> Self {
        let mut text = printable(text).into_owned();
        let fits = (0..=text.len().min(4096)).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(fits.unwrap_or(0));
        Self(text)
    }
}

impl Token {
    /// For a plan that is only displayed, before there is a keystore to derive the real one from.
    pub fn placeholder() -> Self {
        Self("placeholder".to_owned())
    }
}

impl GuestPath {
    /// Its parent directories, outermost first: `etc`, `etc/etcd`.
    pub fn parents(&self) -> impl Iterator<Item = GuestPath> + '_ {
        self.0.match_indices('/').map(|(at, _)| GuestPath(self.0[..at].to_owned()))
    }

    /// Whether it is this directory or is below it.
    pub fn is_within(&self, directory: &str) -> bool {
        self.0.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Whether one of the two is this directory or is below it.
    pub fn overlaps(&self, other: &GuestPath) -> bool {
        self.is_within(other.as_str()) || other.is_within(self.as_str())
    }

    /// The last component.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The absolute path in the guest: `/etc/etcd/etcd.conf`.
    pub fn absolute(&self) -> String {
        format!("/{}", self.0)
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
    fn lines_files_serials_and_alternative_names() {
        fn reads<T: FromStr>(good: &[&str], bad: &[&str]) {
            good.iter().for_each(|text| assert!(text.parse::<T>().is_ok(), "{text}"));
            bad.iter().for_each(|text| assert!(text.parse::<T>().is_err(), "{text}"));
        }
        let long = "a".repeat(4097);
        reads::<Line>(
            &["", "CN=ha3 etcd CA", "Ünïcode"],
            &["a\nb", "\u{1b}[2J", "\u{9b}", "\u{202e}", &long],
        );
        assert_eq!(Line::of("a\u{1b}b").as_str(), "a\u{fffd}b");
        assert_eq!(Line::of(&"é".repeat(3000)).len(), 4096);
        reads::<FileName>(
            &["a", "etcd-v3.5.16.tar.gz"],
            &["", ".", "..", "a/b", "/", "a\0", &"a".repeat(256)],
        );
        let digits = "7f".repeat(20);
        reads::<Serial>(
            &["01", &digits, &format!("00{digits}")],
            &["", "1", "0g", "AB", &format!("01{digits}"), "-1"],
        );
        reads::<AltName>(
            &["DNS:cp-a", "DNS:cp-a.kloud.lan", "IP:10.0.0.1", "IP:::1"],
            &["", "cp-a", "DNS:", "DNS:a..b", "DNS:A", "IP:10.0.0", "IP:?", "?", "URI:a"],
        );
        reads::<BaseSystem>(&["live", "/srv/base"], &["", "/", "other", "./live", "/a\nb"]);
    }

    #[test]
    fn guest_paths_stay_below_the_root() {
        for bad in ["", "/etc", "a//b", "a/", "..", "a/../b", "./a", "a\nb", "a\u{202e}b"] {
            assert!(bad.parse::<GuestPath>().is_err(), "{bad}");
        }
        let path: GuestPath = "etc/etcd/etcd.conf".parse().unwrap();
        assert_eq!(path.parents().map(|p| p.to_string()).collect::<Vec<_>>(), ["etc", "etc/etcd"]);
        assert_eq!(path.file_name(), "etcd.conf");
        assert_eq!(path.absolute(), "/etc/etcd/etcd.conf");
    }
}
