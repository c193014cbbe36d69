//! `ignition`: a config (specification 3.3.0), small, because Ignition reads fw_cfg a byte at a time; the
//! binaries travel on the seed.

use ignition_config::v3_3::{Config, File, Passwd, Resource, Storage, Systemd, Unit, User};

use super::row::{NodeParts, Row, Texts};
use super::scripts::Scripts;
use super::seed;
use crate::failure::{Failure, Result};
use crate::profile::{Login, Network};
use crate::tree::{Entry, Kind};
use crate::values::{At, Card, CarrierFacts, CarrierFile, Firmware, Mode, Start};

const CONFIG: &str = "config.ign";

/// The files of `overlays/network` that configure the node's cards.
const NETWORKD: [&str; 6] = [
    "etc/systemd/network/05-kiln-vlan.netdev",
    "etc/systemd/network/05-kiln-vlan.network",
    "etc/systemd/network/05-kiln.network",
    "etc/systemd/network/06-kiln-peer-vlan.netdev",
    "etc/systemd/network/06-kiln-peer-vlan.network",
    "etc/systemd/network/06-kiln-peer.network",
];

const FACTS: CarrierFacts = CarrierFacts {
    name: "ignition",
    about: "a config that Ignition reads, and a disk with the files",
    start: Start::Disk {
        base: "ignition",
        // Ignition, internal/providers/qemu: qemu_fwcfg.go, and qemu_blockdev.go for machines without fw_cfg.
        firmware: Some(Firmware { key: "opt/com.coreos/config", file: CONFIG, serial: "ignition" }),
    },
    makes_accounts: true,
    sets_up_host: true,
    has_read_only_usr: true,
    files: &[CarrierFile::new(At::Node, &[CONFIG], Mode::FILE), seed::SEED, seed::LAYER],
};

pub const ROW: Row = Row::new(&FACTS).seed(files).layer(&seed::PROGRAMS);

fn files(parts: &NodeParts<'_>, scripts: &Scripts) -> Result<Texts> {
    let config = config(parts, &scripts.script, &scripts.unit)?;
    Ok(Texts { named: vec![(CONFIG, config)], on_disk: false })
}

/// # Errors
/// Those of reading the node's tree.
fn config(parts: &NodeParts<'_>, script: &str, unit: &str) -> Result<Vec<u8>> {
    let NodeParts { plan, node, tree, .. } = parts;
    let mut files = vec![
        file("/etc/hostname", 0o644, &format!("{}\n", node.name)),
        file("/etc/kiln/unpack-seed.sh", 0o755, script),
    ];
    // Fedora CoreOS has NetworkManager.
    files.extend(node.cards.iter().enumerate().map(|(at, card)| {
        let name = if at == 0 { "kiln" } else { "kiln-peer" };
        let path = format!("/etc/NetworkManager/system-connections/{name}.nmconnection");
        file(&path, 0o600, &network_manager((at, name), card, (at == 0).then_some(&plan.network)))
    }));
    files.extend(node.cards.iter().enumerate().filter(|(_, card)| card.vlan.is_some()).map(|(at, card)| {
        let path = format!("/etc/NetworkManager/system-connections/kiln{at}.nmconnection");
        file(&path, 0o600, &carrying(&format!("kiln{at}"), card))
    }));
    // Flatcar and Debian have systemd-networkd. The files are also on the seed, but the node boots before that is
    // unpacked.
    for path in NETWORKD {
        if let Some(Entry { kind: Kind::File(content), .. }) = tree.get(path) {
            files.push(resource(&format!("/{path}"), 0o644, content.bytes()?));
        }
    }
    let login = plan.machine.login.as_ref();
    let passwd = login.map(|login| Passwd { users: Some(vec![user(login)]), ..Passwd::default() });
    // No group: the one that may use sudo differs between distributions, and Ignition stops at a group that does not
    // exist.
    files.extend(login.map(|login| {
        file("/etc/sudoers.d/90-kiln", 0o440, &format!("{} ALL=(ALL) NOPASSWD:ALL\n", login.user))
    }));
    let storage = Storage { files: Some(files), ..Storage::default() };
    let mut seed = Unit::new("kiln-seed.service".to_owned());
    seed.enabled = Some(true);
    seed.contents = Some(unit.to_owned());
    let systemd = Systemd { units: Some(vec![seed]) };
    let config = Config { passwd, storage: Some(storage), systemd: Some(systemd), ..Config::default() };
    let mut bytes = serde_json::to_vec_pretty(&config)
        .map_err(|error| Failure::io(format!("writing the Ignition config of {}: {error}", node.name)))?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn user(login: &Login) -> User {
    let mut user = User::new(login.user.to_string());
    user.ssh_authorized_keys = Some(login.keys.iter().map(|key| key.as_str().to_owned()).collect());
    user
}

fn file(path: &str, mode: i64, text: &str) -> File {
    resource(path, mode, text.as_bytes())
}

fn resource(path: &str, mode: i64, bytes: &[u8]) -> File {
    let mut file = File::new(path.to_owned());
    file.mode = Some(mode);
    file.overwrite = Some(true);
    file.contents = Some(Resource { source: Some(data_url(bytes)), ..Resource::default() });
    file
}

/// RFC 2397, everything but RFC 3986's unreserved characters percent-encoded.
fn data_url(bytes: &[u8]) -> String {
    let mut url = String::from("data:,");
    for &byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => url.push(char::from(byte)),
            other => url.push_str(&format!("%{other:02X}")),
        }
    }
    url
}

/// nm-settings-keyfile(5). `network`: whose servers it has, too.
fn network_manager((at, name): (usize, &str), card: &Card, network: Option<&Network>) -> String {
    let mtu = card.mtu.map_or(String::new(), |mtu| format!("mtu={mtu}\n"));
    let [ipv4, ipv6] = [true, false].map(|is_ipv4| method(card, network, is_ipv4));
    // A VLAN without a parent is on the card with the MAC address of [ethernet] (nm-settings-nmcli(5)).
    let (kind, vlan) = match (card.vlan, card.vlan_name(at)) {
        (Some(id), Some(name)) => (format!("vlan\ninterface-name={name}"), format!("[vlan]\nid={id}\n\n")),
        _ => ("ethernet".to_owned(), String::new()),
    };
    format!(
        "[connection]\nid={name}\ntype={kind}\n\n{vlan}[ethernet]\nmac-address={}\n{mtu}\n[ipv4]\n{ipv4}\n[ipv6]\n{ipv6}",
        card.mac
    )
}

/// The same for a card that carries a VLAN: without it NetworkManager asks for an address by DHCP there, and the card
/// keeps an MTU that its VLAN cannot exceed.
fn carrying(name: &str, card: &Card) -> String {
    let mtu = card.mtu.map_or(String::new(), |mtu| format!("mtu={mtu}\n"));
    format!(
        "[connection]\nid={name}\ntype=ethernet\n\n[ethernet]\nmac-address={}\n{mtu}\n\
         [ipv4]\nmethod=disabled\n\n[ipv6]\nmethod=disabled\n",
        card.mac
    )
}

/// The section of one family.
fn method(card: &Card, network: Option<&Network>, is_ipv4: bool) -> String {
    let addresses: Vec<_> = card.addresses.iter().filter(|link| link.addr().is_ipv4() == is_ipv4).collect();
    if addresses.is_empty() {
        return "method=disabled\n".to_owned();
    }
    let mut text = String::from("method=manual\n");
    let mut routes: Vec<_> = card.routes.iter().filter(|route| route.via.is_ipv4() == is_ipv4).collect();
    // The gateway of the first address.
    let default = routes.iter().position(|route| route.to.prefix_len() == 0).map(|at| routes.remove(at));
    for (at, address) in (1..).zip(addresses) {
        let gateway = default.filter(|_| at == 1).map_or(String::new(), |route| format!(",{}", route.via));
        text += &format!("address{at}={address}{gateway}\n");
    }
    for (at, route) in (1..).zip(routes) {
        text += &format!("route{at}={},{}\n", route.to, route.via);
        // That of a gateway NetworkManager finds out itself.
        if route.on_link {
            text += &format!("route{at}_options=onlink=true\n");
        }
    }
    let Some(network) = network else { return text };
    let mut list = |key: &str, values: Vec<String>| {
        if !values.is_empty() {
            text += &format!("{key}={};\n", values.join(";"));
        }
    };
    let dns = network.dns.iter().filter(|server| server.is_ipv4() == is_ipv4);
    list("dns", dns.map(ToString::to_string).collect());
    list("dns-search", network.dns_search.iter().map(ToString::to_string).collect());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_urls_hold_any_text() {
        assert_eq!(data_url("a b\n%é".as_bytes()), "data:,a%20b%0A%25%C3%A9");
    }
}
