//! Where virtual machines run and what they are connected to: a libvirt's address, a bridge, a network.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{HostName, Invalid, deserialize_parsed, invalid, serialize_displayed, text_value};

/// The URI of a libvirt (libvirt.org, uri.html): `qemu:///system`, `qemu+ssh://root@pve1/system`. It reaches QEMU by a
/// local socket, by ssh or by TLS, never in the clear: the nodes' disks hold private keys. It has no password, and no
/// option that names a program to run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

    /// Whether it is the libvirt of this machine by its usual socket, which has the same files. Another socket may
    /// lead to a container, or through ssh to another machine.
    pub fn is_here(&self) -> bool {
        matches!(
            self.0.as_str(),
            "qemu:///system" | "qemu:///session" | "qemu+unix:///system" | "qemu+unix:///session"
        )
    }

    /// For virsh: ssh must not ask for a password, because nobody would see the question.
    pub fn unattended(&self) -> String {
        let joint = if self.0.contains('?') { '&' } else { '?' };
        match self.0.starts_with("qemu+ssh:") {
            true => format!("{}{joint}no_tty=1", self.0),
            false => self.0.clone(),
        }
    }
}

impl FromStr for Connect {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.len() > 255 || text.chars().any(|c| !c.is_ascii_graphic()) {
            return invalid("a libvirt URI has at most 255 characters, none of them blank or outside ASCII");
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return invalid("it is not a libvirt URI; write qemu:///system or qemu+ssh://root@HOST/system");
        };
        check_scheme(scheme)?;
        let (rest, options) =
            rest.split_once('?').map_or((rest, None), |(rest, options)| (rest, Some(options)));
        let Some((authority, path)) = rest.split_once('/') else {
            return invalid("it ends in /system or /session, as in qemu+ssh://root@HOST/system");
        };
        if !matches!(path, "system" | "session") {
            return invalid("it ends in /system or /session, as in qemu+ssh://root@HOST/system");
        }
        check_authority(scheme, authority)?;
        options.map_or(Ok(()), |options| check_options(scheme, options))?;
        Ok(Self(text.to_owned()))
    }
}

deserialize_parsed!(Connect);
serialize_displayed!(Connect);

impl fmt::Display for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

fn check_scheme(scheme: &str) -> Result<(), Invalid> {
    match scheme {
        "qemu" | "qemu+unix" | "qemu+ssh" | "qemu+tls" => Ok(()),
        "qemu+tcp" => {
            invalid("qemu+tcp sends the nodes' private keys in the clear; use qemu+ssh or qemu+tls")
        }
        "qemu+ext" => invalid("qemu+ext runs a program of your choice; use qemu+ssh or qemu+tls"),
        _ if scheme.starts_with("qemu") => invalid("use qemu, qemu+unix, qemu+ssh or qemu+tls"),
        _ => invalid("Kiln starts VMs by QEMU; use qemu, qemu+unix, qemu+ssh or qemu+tls"),
    }
}

/// `[USER@]HOST[:PORT]`, or nothing for a libvirt of this machine.
fn check_authority(scheme: &str, authority: &str) -> Result<(), Invalid> {
    let is_far = match scheme {
        "qemu+ssh" | "qemu+tls" => true,
        "qemu+unix" => false,
        _ => !authority.is_empty(),
    };
    match (is_far, authority.is_empty()) {
        (true, true) => return invalid(format!("it names no host; write {scheme}://HOST/system")),
        (false, true) => return Ok(()),
        (false, false) => return invalid("a local socket has no host; write qemu+unix:///system"),
        (true, false) => {}
    }
    let host = match authority.rsplit_once('@') {
        Some((user, _)) if user.contains(':') => {
            return invalid("it has a password; use a key of ssh, or certificates with qemu+tls");
        }
        Some(_) if scheme != "qemu+ssh" => return invalid("only qemu+ssh has a user before the host"),
        Some((user, host)) => {
            check_word(user).map_err(|()| Invalid("its user is not a name such as root".into()))?;
            host
        }
        None => authority,
    };
    let (host, port) = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((address, rest)) => {
            let address = address.parse::<std::net::Ipv6Addr>();
            address.map_err(|_| Invalid("what is in brackets is no IPv6 address".into()))?;
            ("", rest.strip_prefix(':').or((!rest.is_empty()).then_some("?")))
        }
        None => host.split_once(':').map_or((host, None), |(host, port)| (host, Some(port))),
    };
    if port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0)) {
        return invalid("its port is not a number from 1 to 65535");
    }
    if !host.is_empty() {
        let named = host.parse::<HostName>();
        named.map_err(|Invalid(why)| Invalid(format!("its host is not the name of one: {why}")))?;
    }
    Ok(())
}

/// A word that no program takes for an option.
fn check_word(text: &str) -> Result<(), ()> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    (begins && text.len() <= 64 && text.chars().all(is_fine)).then_some(()).ok_or(())
}

/// Those that say where something is or how it is reached. libvirt reads more, among them `command` and `netcat`, which
/// run a program, and `no_verify`, which trusts any host.
fn check_options(scheme: &str, options: &str) -> Result<(), Invalid> {
    for option in options.split('&') {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let is_path = |value: &str| {
            let fine = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
            value.starts_with('/') && value.chars().all(fine)
        };
        match name {
            "socket" | "keyfile" | "pkipath" if !is_path(value) => {
                return invalid(format!(
                    "its option {name} is an absolute path of A-Z, a-z, 0-9, '.', '_' and '-'"
                ));
            }
            "socket" if scheme != "qemu+tls" => {}
            "keyfile" if scheme == "qemu+ssh" => {}
            "pkipath" if matches!(scheme, "qemu" | "qemu+tls") => {}
            "socket" | "keyfile" | "pkipath" => return invalid(format!("{scheme} has no option {name}")),
            "command" | "netcat" | "proxy" => {
                return invalid(format!("its option {name} decides what is run; leave it out"));
            }
            "no_verify" | "known_hosts_verify" => {
                return invalid(format!(
                    "its option {name} may trust any host; leave it out, and let ssh learn the host's key"
                ));
            }
            _ => return invalid("of its options, Kiln takes only socket, keyfile and pkipath"),
        }
    }
    Ok(())
}

text_value!(
    /// A network interface by its name in Linux: at most 15 characters (IFNAMSIZ), of those that need no quotes.
    Interface,
    |text| match check_word(text) {
        Ok(()) if text.starts_with("kiln-") => {
            invalid("kiln up gives such names to bridges of its own, and removes them; name one of yours")
        }
        Ok(()) if text.len() <= 15 => Ok(()),
        _ => invalid("an interface has 1 to 15 characters of A-Z, a-z, 0-9, '.', '_' and '-', as in br0"),
    }
);
text_value!(
    /// A network of libvirt by its name.
    LibvirtNetwork,
    |text| match check_word(text) {
        Ok(()) => Ok(()),
        Err(()) => invalid("a network has 1 to 64 characters of A-Z, a-z, 0-9, '.', '_' and '-', as in default"),
    }
);

/// What the network cards of a cluster's machines are connected to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Link {
    /// A network that `kiln up` makes for this cluster alone.
    #[default]
    Own,
    /// A bridge that the hosts have.
    Bridge(Interface),
    /// A network that each host's libvirt has.
    Network(LibvirtNetwork),
}

impl Link {
    pub fn is_own(&self) -> bool {
        *self == Self::Own
    }
}

/// Where the nodes of a host run, or those without one: `[HOST=]URI`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectTo {
    pub host: Option<HostName>,
    pub connect: Connect,
}

impl FromStr for ConnectTo {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        // A URI has a colon before its first equals sign, and the name of a host has none.
        match text.split_once('=').filter(|(host, _)| !host.contains(':')) {
            Some((host, connect)) => Ok(Self { host: Some(host.parse()?), connect: connect.parse()? }),
            None => Ok(Self { host: None, connect: text.parse()? }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_libvirt_is_reached_safely_or_not_at_all() {
        for good in [
            "qemu:///system",
            "qemu:///session",
            "qemu+unix:///system?socket=/run/x-1/libvirt.sock",
            "qemu+ssh://root@pve1/system",
            "qemu+ssh://pve1.kloud.lan:2222/session?keyfile=/root/.ssh/id_kiln",
            "qemu+ssh://root@[fd00::1]:22/system?socket=/run/libvirt/libvirt-sock&keyfile=/k",
            "qemu+tls://10.0.0.4/system?pkipath=/etc/pki/x",
            "qemu://pve1/system",
        ] {
            assert!(good.parse::<Connect>().is_ok(), "{good}");
        }
        for (bad, why) in [
            ("", "not a libvirt URI"),
            ("system", "not a libvirt URI"),
            ("xen:///system", "by QEMU"),
            ("qemu+libssh2://h/system", "use qemu, qemu+unix"),
            ("qemu+tcp://h/system", "in the clear"),
            ("qemu+ext:///system?command=/bin/sh", "program of your choice"),
            ("qemu:///system\n", "blank"),
            ("qemu:///embed?root=/x", "/system or /session"),
            ("qemu+ssh://h", "/system or /session"),
            ("qemu+ssh:///system", "names no host"),
            ("qemu+unix://h/system", "has no host"),
            ("qemu+ssh://-oProxyCommand=x/system", "its host"),
            ("qemu+ssh://-oProxyCommand@h/system", "its user"),
            ("qemu+ssh://root@-h/system", "its host"),
            ("qemu+ssh://root:secret@h/system", "a password"),
            ("qemu+tls://root@h/system", "a user before"),
            ("qemu+ssh://h:0/system", "its port"),
            ("qemu+ssh://[fd00::1]x/system", "its port"),
            ("qemu+ssh://[x]/system", "no IPv6"),
            ("qemu:///system?command=/bin/sh", "decides what is run"),
            ("qemu+ssh://h/system?netcat=/bin/sh", "decides what is run"),
            ("qemu+ssh://h/system?no_verify=1", "trust any host"),
            ("qemu:///system?socket=/x&command=/bin/sh", "decides what is run"),
            ("qemu+unix:///system?socket=x", "absolute path"),
            ("qemu+tls://h/system?socket=/x", "no option socket"),
            ("qemu:///system?mode=auto", "takes only"),
        ] {
            let said = bad.parse::<Connect>().expect_err(bad).to_string();
            assert!(said.contains(why), "{bad}: {said}");
            assert!(!said.contains("secret"), "{said}");
        }
    }

    #[test]
    fn ssh_asks_nothing_and_only_the_usual_socket_is_here() {
        let connect = |text: &str| text.parse::<Connect>().unwrap();
        assert_eq!(connect("qemu+ssh://h/system").unattended(), "qemu+ssh://h/system?no_tty=1");
        assert_eq!(
            connect("qemu+ssh://h/system?keyfile=/k").unattended(),
            "qemu+ssh://h/system?keyfile=/k&no_tty=1"
        );
        assert_eq!(connect("qemu:///system").unattended(), "qemu:///system");
        assert!(connect("qemu:///system").is_here() && Connect::default().is_here());
        for far in ["qemu+unix:///system?socket=/x", "qemu://h/system", "qemu+ssh://h/system"] {
            assert!(!connect(far).is_here(), "{far}");
        }
    }

    #[test]
    fn a_host_may_stand_before_its_address() {
        let to = |text: &str| text.parse::<ConnectTo>().unwrap();
        let socket = "qemu+unix:///system?socket=/x";
        assert_eq!(to(socket), ConnectTo { host: None, connect: socket.parse().unwrap() });
        let named = to(&format!("pve1={socket}"));
        assert_eq!(named, ConnectTo { host: "pve1".parse().ok(), connect: socket.parse().unwrap() });
        assert!("PVE1=qemu:///system".parse::<ConnectTo>().is_err());
    }

    #[test]
    fn interfaces_and_networks_have_names_that_programs_take() {
        for good in ["br0", "vmbr0.10", "ovs-br_1"] {
            assert!(good.parse::<Interface>().is_ok() && good.parse::<LibvirtNetwork>().is_ok(), "{good}");
        }
        for bad in ["", "-br0", ".", "..", "br 0", "br/0", "br0,x", "é", "br0\n"] {
            assert!(bad.parse::<Interface>().is_err() && bad.parse::<LibvirtNetwork>().is_err(), "{bad}");
        }
        assert!("kiln-01234567".parse::<Interface>().is_err());
        assert!("a23456789012345x".parse::<Interface>().is_err());
    }
}
