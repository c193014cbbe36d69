//! `ignition`: a config (specification 3.3.0), small, because Ignition reads fw_cfg a byte at a time; the
//! binaries travel on the seed.

use ignition_config::v3_3::{Config, File, Passwd, Resource, Storage, Systemd, Unit, User};

use super::network_manager;
use super::row::{NodeParts, Row, Texts};
use super::scripts::Scripts;
use super::seed;
use crate::failure::{Failure, Result};
use crate::profile::Login;
use crate::tree::Kind;
use crate::values::{At, CarrierFacts, CarrierFile, Firmware, GuestPath, Mode, Start};

const CONFIG: &str = "config.ign";

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
    files.extend(network_manager::connections(plan, node).into_iter().map(|(name, text)| {
        file(&format!("/etc/NetworkManager/system-connections/{name}.nmconnection"), 0o600, &text)
    }));
    // Flatcar and Debian have systemd-networkd. The files are also on the seed, but the node boots before that is
    // unpacked.
    for (path, entry) in tree.iter().filter(|(path, _)| is_of_card(path)) {
        if let Kind::File(content) = &entry.kind {
            files.push(resource(&path.absolute(), 0o644, content.bytes()?));
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

/// Whether it is a file of systemd-networkd for the node's cards, which have names as in 05-kiln.network.
fn is_of_card(path: &GuestPath) -> bool {
    let name = path.as_str().strip_prefix("etc/systemd/network/").unwrap_or_default();
    name.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with("-kiln")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_urls_hold_any_text() {
        assert_eq!(data_url("a b\n%é".as_bytes()), "data:,a%20b%0A%25%C3%A9");
    }
}
