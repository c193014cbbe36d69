//! `ignition`: a config (specification 3.3.0), small, because Ignition reads fw_cfg a byte at a time; the
//! binaries travel on the seed.

use ignition_config::v3_3::{Config, File, Passwd, Resource, Storage, Systemd, Unit, User};

use super::row::{NodeParts, Row, Texts};
use super::scripts::Scripts;
use super::seed;
use crate::failure::{Failure, Result};
use crate::plan::{Node, Plan};
use crate::profile::Login;
use crate::tree::{Entry, Kind};
use crate::values::{At, CarrierFacts, CarrierFile, Firmware, Mode, Start};

const CONFIG: &str = "config.ign";

/// The file of `overlays/network` that configures the node's card.
const NETWORKD: &str = "etc/systemd/network/05-kiln.network";

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
        // Fedora CoreOS has NetworkManager.
        file("/etc/NetworkManager/system-connections/kiln.nmconnection", 0o600, &network_manager(plan, node)),
    ];
    // Flatcar and Debian have systemd-networkd. The file is also on the seed, but the node boots before that is unpacked.
    if let Some(Entry { kind: Kind::File(content), .. }) = tree.get(NETWORKD) {
        files.push(resource(&format!("/{NETWORKD}"), 0o644, content.bytes()?));
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

/// nm-settings-keyfile(5).
fn network_manager(plan: &Plan, node: &Node) -> String {
    let gateway = plan.network.gateway.map_or(String::new(), |gateway| format!(",{gateway}"));
    let list = |key: &str, values: Vec<String>| match values.is_empty() {
        true => String::new(),
        false => format!("{key}={};\n", values.join(";")),
    };
    let dns = list("dns", plan.network.dns.iter().map(ToString::to_string).collect());
    let search = list("dns-search", plan.network.dns_search.iter().map(ToString::to_string).collect());
    let mtu = plan.network.mtu.map_or(String::new(), |mtu| format!("mtu={mtu}\n"));
    let address = format!(
        "method=manual\naddress1={}/{}{gateway}\n{dns}{search}",
        node.address,
        plan.network.cidr.prefix_len()
    );
    let (ipv4, ipv6) = if node.address.is_ipv4() {
        (address.as_str(), "method=disabled\n")
    } else {
        ("method=disabled\n", address.as_str())
    };
    format!(
        "[connection]\nid=kiln\ntype=ethernet\n\n[ethernet]\nmac-address={}\n{mtu}\n[ipv4]\n{ipv4}\n[ipv6]\n{ipv6}",
        node.mac
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_urls_hold_any_text() {
        assert_eq!(data_url("a b\n%é".as_bytes()), "data:,a%20b%0A%25%C3%A9");
    }
}
