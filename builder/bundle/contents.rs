//! Which files a bundle has, and who may read them. It follows from what a file is, whatever a manifest says of it.

use super::manifest::{Carrier, Manifest};
use crate::values::{ClientName, Mode, NodeName};

/// Below `nodes/NAME/`: for everyone, and for the owner alone, because a node's keys are in them.
const OPEN: [&str; 6] =
    ["config.ign", "domain.xml", "listing.txt", "meta-data", "network-config", "user-data"];
const SECRET: [&str; 5] = ["initrd.img", "overlay.cpio.gz", "overlay.cpio.zst", "overlay.tar.gz", "seed.iso"];

/// Others than those of nodes and clients.
const COMMON: [&str; 8] = [
    "boot/boot.ipxe",
    "boot/cmdline",
    "boot/vmlinuz",
    "layers/etcd.cpio.gz",
    "layers/etcd.cpio.zst",
    "layers/etcd.tar.gz",
    "layers/layer.iso",
    "network.xml",
];

/// The mode of a bundle's file; `None` where no build puts one.
pub fn mode(path: &str) -> Option<Mode> {
    if let Some((node, file)) = path.strip_prefix("nodes/").and_then(|rest| rest.split_once('/')) {
        node.parse::<NodeName>().ok()?;
        return match file {
            _ if OPEN.contains(&file) => Some(Mode::FILE),
            _ if SECRET.contains(&file) => Some(Mode::SECRET),
            _ => None,
        };
    }
    if let Some(file) = path.strip_prefix("client/") {
        if ["etcdctl.env", "etcdctl.sh"].contains(&file) {
            return Some(Mode::FILE);
        }
        let stem = file.strip_suffix(".pem")?;
        let key = stem.strip_suffix("-key");
        key.unwrap_or(stem).parse::<ClientName>().ok()?;
        return Some(if key.is_some() { Mode::SECRET } else { Mode::FILE });
    }
    COMMON.contains(&path).then_some(Mode::FILE)
}

/// The mode of a directory that a bundle's file lies in: those with keys in them are their owner's alone.
pub fn directory_mode(path: &str) -> Mode {
    match path == "client" || path.starts_with("nodes/") {
        true => Mode::SECRET_DIRECTORY,
        false => Mode::DIRECTORY,
    }
}

/// What a bundle cannot do without, each as the names of which one has to be there.
pub fn needed(manifest: &Manifest) -> Vec<Vec<String>> {
    let has = |carrier| manifest.carriers.contains(&carrier);
    let has_seed = has(Carrier::CloudInit) || has(Carrier::Ignition);
    let one = |path: &str| vec![path.to_owned()];
    let cpio = |stem: &str| vec![format!("{stem}.cpio.gz"), format!("{stem}.cpio.zst")];
    let mut all = vec![one("client/ca.pem"), one("client/etcdctl.pem"), one("client/etcdctl-key.pem")];
    if manifest.shares_binaries() {
        all.push(one("layers/etcd.tar.gz"));
        if has(Carrier::Initramfs) {
            all.push(cpio("layers/etcd"));
        }
        if has_seed {
            all.push(one("layers/layer.iso"));
        }
    }
    if manifest.base.is_some() {
        all.extend(["boot/vmlinuz", "boot/cmdline"].map(one));
    }
    for node in &manifest.nodes {
        let of_node = |file: &str| one(&format!("nodes/{}/{file}", node.name));
        all.push(of_node("overlay.tar.gz"));
        if has(Carrier::Initramfs) {
            all.push(cpio(&format!("nodes/{}/overlay", node.name)));
        }
        if has_seed {
            all.push(of_node("seed.iso"));
        }
        if has(Carrier::CloudInit) {
            all.extend(["user-data", "meta-data", "network-config"].map(of_node));
        }
        if has(Carrier::Ignition) {
            all.push(of_node("config.ign"));
        }
        if manifest.base.is_some() {
            all.push(of_node("initrd.img"));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_their_owners() {
        for (path, want) in [
            ("network.xml", Some(Mode::FILE)),
            ("client/ca.pem", Some(Mode::FILE)),
            ("client/etcdctl.env", Some(Mode::FILE)),
            ("client/etcdctl.sh", Some(Mode::FILE)),
            ("client/etcdctl.pem", Some(Mode::FILE)),
            ("client/etcdctl-key.pem", Some(Mode::SECRET)),
            ("nodes/a/overlay.tar.gz", Some(Mode::SECRET)),
            ("nodes/a/overlay.cpio.zst", Some(Mode::SECRET)),
            ("nodes/a/seed.iso", Some(Mode::SECRET)),
            ("nodes/a/initrd.img", Some(Mode::SECRET)),
            ("nodes/a/user-data", Some(Mode::FILE)),
            ("layers/etcd.tar.gz", Some(Mode::FILE)),
            ("boot/vmlinuz", Some(Mode::FILE)),
            ("bundle.json", None),
            ("SHA256SUMS", None),
            ("nodes/a/notes", None),
            ("nodes/A/seed.iso", None),
            ("nodes/a/b/seed.iso", None),
            ("nodes/seed.iso", None),
            ("client/etcdctl.key", None),
            ("client/sub/etcdctl.pem", None),
            ("client/-key.pem", None),
            ("layers/x", None),
            ("x", None),
        ] {
            assert_eq!(mode(path), want, "{path}");
        }
        let directories =
            ["boot", "client", "layers", "nodes", "nodes/a"].map(|path| directory_mode(path).to_string());
        assert_eq!(directories, ["0755", "0700", "0755", "0755", "0700"]);
    }
}
