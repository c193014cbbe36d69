//! The systemd unit of a member, and the account that it runs as.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::base_units::is_taken;
use super::login::check_account;
use super::names::check_label;
use super::{Invalid, deserialize_parsed, fill, invalid, serialize_displayed, shown};

/// The longest name, in bytes: with `.service` it is a file name of at most 255 (systemd.unit(5)).
const MAX_NAME_BYTES: usize = 200;

/// The name of a service without `.service`: letters, digits, `:`, `_`, `.` and `-`, the first a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnitName(String);

impl UnitName {
    /// `etcd.service`.
    pub fn file(&self) -> String {
        format!("{}.service", self.0)
    }

    /// A name from a pattern in which `{{node}}`, `{{index}}` (the place among the nodes, from 1) and `{{cluster}}` are
    /// filled in.
    ///
    /// # Errors
    /// For another placeholder, and for a name that a unit cannot have.
    pub fn fill(pattern: &str, node: &str, index: usize, cluster: &str) -> Result<Self, Invalid> {
        let index = index.to_string();
        let filled = fill(pattern, &[("node", node), ("index", &index), ("cluster", cluster)]);
        if filled.contains(['{', '}']) {
            return invalid("its placeholders are {{node}}, {{index}} and {{cluster}}");
        }
        filled.parse()
    }
}

impl FromStr for UnitName {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let inner = |c: char| c.is_ascii_alphanumeric() || ":_.-".contains(c);
        if text.is_empty() {
            invalid("it is empty")
        } else if let Some(stem) = text.strip_suffix(".service") {
            invalid(format!("write it without .service, as {stem}"))
        } else if text.contains('@') {
            invalid("a template's instance is not a unit of its own; write etcd-{{index}}, for example")
        } else if let Some(bad) = text.chars().find(|c| !inner(*c)) {
            invalid(format!("{} is not allowed; use letters, digits and : _ . -", shown(bad)))
        } else if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            invalid("it must begin with a letter or a digit")
        } else if text.len() > MAX_NAME_BYTES {
            invalid(format!("it has {} characters; at most {MAX_NAME_BYTES} are allowed", text.len()))
        } else if is_taken(text) {
            invalid(format!("{text}.service is a unit of Kiln, systemd or a base system"))
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

serialize_displayed!(UnitName);

/// The name of a cluster's part of a node: Kiln's own units, files and directories there are named by it, so that
/// several clusters share their nodes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InstanceName(String);

impl InstanceName {
    /// The one that a node's network and names belong to. Its files have no instance in their names.
    const HOST: &str = "etcd";

    /// The limit on its length: an account `etcd-NAME` has at most 31 characters.
    const MAX_BYTES: usize = 20;

    /// Whether it sets up the node itself, besides its member.
    pub fn owns_host(&self) -> bool {
        self.0 == Self::HOST
    }

    /// What the names of its files end with: `-events`; nothing for the one that owns the host.
    pub fn suffix(&self) -> String {
        if self.owns_host() { String::new() } else { format!("-{}", self.0) }
    }

    /// Its directory in /etc, /var/lib and /run: `kiln/events`, and `kiln` for the one that owns the host.
    pub fn directory(&self) -> String {
        if self.owns_host() { "kiln".to_owned() } else { format!("kiln/{}", self.0) }
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for InstanceName {
    fn default() -> Self {
        Self(Self::HOST.to_owned())
    }
}

impl FromStr for InstanceName {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        check_label(text)?;
        if text.len() > Self::MAX_BYTES {
            invalid(format!("it has {} characters; at most {} are allowed", text.len(), Self::MAX_BYTES))
        } else if ["formed", "has-data-disk", "issuer", "pki", "unpacked", "wiping"].contains(&text)
            || text.starts_with("served-")
        {
            // Files and directories of the first instance in /etc/kiln, /var/lib/kiln and /run/kiln.
            invalid("Kiln has a file of that name on its nodes; use another name")
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

deserialize_parsed!(InstanceName);
serialize_displayed!(InstanceName);

/// Accounts and groups of base systems (Debian's base-passwd, Fedora's setup, Flatcar's baselayout), which sysusers.d
/// would take over. Those of systemd itself begin with `systemd-`.
const SYSTEM_ACCOUNTS: [&str; 62] = [
    "_apt",
    "_chrony",
    "adm",
    "admin",
    "audio",
    "backup",
    "bin",
    "cdrom",
    "chrony",
    "core",
    "daemon",
    "dbus",
    "dialout",
    "dip",
    "disk",
    "docker",
    "fax",
    "floppy",
    "ftp",
    "games",
    "gnats",
    "halt",
    "input",
    "irc",
    "kmem",
    "kvm",
    "libvirt",
    "list",
    "lp",
    "mail",
    "man",
    "messagebus",
    "news",
    "nobody",
    "nogroup",
    "operator",
    "plugdev",
    "polkitd",
    "proxy",
    "render",
    "root",
    "rpc",
    "sasl",
    "sgx",
    "shadow",
    "shutdown",
    "src",
    "sshd",
    "staff",
    "sudo",
    "sync",
    "sys",
    "tape",
    "tss",
    "tty",
    "users",
    "utmp",
    "uucp",
    "video",
    "voice",
    "wheel",
    "www-data",
];

/// The account that etcd runs as, and its group: made on the node by systemd-sysusers, `[a-z_][a-z0-9_-]{0,30}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceUser(String);

impl ServiceUser {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServiceUser {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        check_account(text)?;
        if text.len() > 31 {
            invalid(format!("it has {} characters; at most 31 are allowed", text.len()))
        } else if SYSTEM_ACCOUNTS.contains(&text) || text.starts_with("systemd-") {
            invalid("base systems have that account or group for another use; name one for etcd alone")
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

impl fmt::Display for ServiceUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for ServiceUser {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// An account or a group of a node: `[a-z_][a-z0-9_-]{0,30}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Account(String);

deserialize_parsed!(Account);
serialize_displayed!(Account);

impl Account {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Account {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        check_account(text)?;
        match text.len() {
            ..=31 => Ok(Self(text.to_owned())),
            length => invalid(format!("it has {length} characters; at most 31 are allowed")),
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_has_a_name_of_its_own() {
        let fill = |pattern: &str| UnitName::fill(pattern, "cp-a", 1, "k8s").map(|name| name.file());
        assert_eq!(fill("etcd").unwrap(), "etcd.service");
        assert_eq!(fill("etcd-{{cluster}}-{{index}}").unwrap(), "etcd-k8s-1.service");
        assert_eq!(fill("{{node}}").unwrap(), "cp-a.service");
        let long = "x".repeat(MAX_NAME_BYTES + 1);
        for bad in [
            "",
            "etcd.service",
            "etcd@1",
            "etcd 1",
            "../x",
            "-x",
            ".x",
            "kiln-guard",
            "systemd-journald",
            "sshd",
            "{{host}}",
            "{{node",
            "x%n",
            "x\n",
            "kiln-{{node}}",
            long.as_str(),
        ] {
            assert!(fill(bad).is_err(), "{bad:?}");
        }
        assert!(SYSTEM_ACCOUNTS.is_sorted());
    }

    #[test]
    fn an_instance_has_names_of_its_own() {
        let first = InstanceName::default();
        assert_eq!((first.suffix().as_str(), first.directory().as_str()), ("", "kiln"));
        let events: InstanceName = "events".parse().unwrap();
        assert_eq!((events.suffix().as_str(), events.directory().as_str()), ("-events", "kiln/events"));
        assert!("etcd".parse::<InstanceName>().unwrap().owns_host() && !events.owns_host());
        for bad in ["", "Events", "a/b", "-a", "a-", "a.b", "formed", "served-1", &"x".repeat(21)] {
            assert!(bad.parse::<InstanceName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_account_is_etcds_alone() {
        for good in ["etcd", "etcd-k8s", "_etcd2"] {
            assert!(good.parse::<ServiceUser>().is_ok(), "{good}");
        }
        let long = "x".repeat(32);
        for bad in
            ["", "root", "nobody", "Etcd", "1x", "a b", "systemd-network", "wheel", "x:y", long.as_str()]
        {
            assert!(bad.parse::<ServiceUser>().is_err(), "{bad}");
        }
    }
}
