//! The address of a libvirt.

use std::fmt;
use std::str::FromStr;

use crate::values::{Invalid, deserialize_parsed, serialize_displayed};

/// The URI of a libvirt on this machine: its disks, consoles and kernels are files of this machine, which a remote one
/// would not find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect(String);

impl Default for Connect {
    fn default() -> Self {
        Self("qemu:///system".to_owned())
    }
}

impl Connect {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Connect {
    type Err = Invalid;
    fn from_str(text: &str) -> std::result::Result<Self, Invalid> {
        let invalid = |reason: &str| Err(Invalid(reason.to_owned()));
        let Some((scheme, rest)) = text.split_once("://") else {
            return invalid("it is not a libvirt URI; use qemu:///system or qemu:///session");
        };
        if !rest.starts_with('/') || !matches!(scheme, "qemu" | "qemu+unix") {
            return invalid(
                "Kiln starts VMs on this host only, because libvirt has to find their disks here; use \
                 qemu:///system or qemu:///session, or run kiln on that host",
            );
        }
        let (path, query) = rest.split_once('?').unwrap_or((rest, "socket=/"));
        let socket = query.strip_prefix("socket=/").unwrap_or("&");
        let fine = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        if !matches!(path, "/system" | "/session") || !socket.chars().all(fine) {
            return invalid("use qemu:///system or qemu:///session");
        }
        Ok(Self(text.to_owned()))
    }
}

deserialize_parsed!(Connect);
serialize_displayed!(Connect);

impl fmt::Display for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libvirt_on_another_host_is_refused() {
        for good in ["qemu:///system", "qemu:///session", "qemu+unix:///system?socket=/run/x-1/libvirt.sock"]
        {
            assert!(good.parse::<Connect>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "system",
            "qemu+ssh://root@host/system",
            "qemu://host/system",
            "qemu+tls://host/system",
            "xen:///system",
            "qemu:///system\n",
            "qemu:///embed?root=/x",
            "qemu:///system?command=/bin/sh",
            "qemu:///system?socket=/x&command=/bin/sh",
        ] {
            assert!(bad.parse::<Connect>().is_err(), "{bad}");
        }
        let said = "qemu+ssh://host/system".parse::<Connect>().unwrap_err().to_string();
        assert!(said.contains("on this host only"), "{said}");
    }
}
