//! The files of a bundle and a fleet, and their modes. The mode follows from the kind of a file, whatever the manifest
//! says.

use crate::carrier;
use crate::profile::BUCKET_CA;
use crate::values::{At, CA_FILES, Mode, NodeName, PEER_CA_FILES, PemFile};

/// A bundle's manifest, in its top directory.
pub const MANIFEST: &str = "bundle.json";

/// The list for `sha256sum -c`, in the top directory of a bundle or a fleet.
pub const SUMS: &str = "SHA256SUMS";

/// A fleet's index, in its top directory.
pub const INDEX: &str = "fleet.json";

/// The only schema of a manifest that this version of Kiln writes and reads.
pub const MANIFEST_SCHEMA: u32 = 1;

/// The only schema of an index that this version of Kiln writes and reads.
pub const INDEX_SCHEMA: u32 = 1;

/// The largest manifest, index or list of sums that is read, in bytes: ten thousand nodes take about 40 MB.
pub const MAX_MANIFEST_BYTES: u64 = 96 << 20;

/// An upper limit on the nodes of one cluster, or of all clusters of a fleet.
pub const MAX_NODES: usize = 100_000;

/// The files of a node in every bundle, below `nodes/NAME/`; early versions of Kiln 0.1 made no [`FILES`]. Files that
/// only their owner may read contain the node's keys.
const OF_NODES: [(&str, Mode); 4] =
    [(DOMAIN, Mode::FILE), (FILES, Mode::FILE), (LISTING, Mode::FILE), (NODE_ARCHIVE, Mode::SECRET)];

/// The files of a node as a tarball, its machine for libvirt, and two lists of the files; below `nodes/NAME/`.
pub const NODE_ARCHIVE: &str = "overlay.tar.gz";
pub const DOMAIN: &str = "domain.xml";
pub const LISTING: &str = "listing.txt";
pub const FILES: &str = "files.json";

/// The programs where all hosts share them, for all carriers.
pub const LAYER_ARCHIVE: &str = "layers/etcd.tar.gz";

/// The cluster's network for libvirt.
pub const NETWORK: &str = "network.xml";

/// The network of the peers, where they have one of their own.
pub const PEER_NETWORK: &str = "network-peer.xml";

/// The files of `client/` besides certificates and keys. Bundles of early versions of Kiln 0.1 have only the first two.
const CLIENT_FILES: [&str; 11] = [
    "etcdctl.env",
    "etcdctl.sh",
    "facts.json",
    "hosts",
    "kube-apiserver.args",
    "kube-apiserver.yaml",
    "kubeadm-v1beta3.yaml",
    "kubeadm.yaml",
    "patroni.yaml",
    "prometheus-alerts.yaml",
    "prometheus-scrape.yaml",
];

/// The mode of a bundle's file; `None` for a path that no build writes.
pub fn mode(path: &str) -> Option<Mode> {
    if let Some((node, file)) = path.strip_prefix("nodes/").and_then(|rest| rest.split_once('/')) {
        node.parse::<NodeName>().ok()?;
        let of_all = OF_NODES.iter().find(|(name, _)| *name == file).map(|(_, mode)| *mode);
        return of_all.or_else(|| of_carrier(&[At::Node, At::BootNode], file));
    }
    if let Some(file) = path.strip_prefix("client/") {
        if CLIENT_FILES.contains(&file) {
            return Some(Mode::FILE);
        }
        return match is_safe(file).then(|| PemFile::of(file))?? {
            PemFile::Certificate => Some(Mode::FILE),
            PemFile::Key => Some(Mode::SECRET),
        };
    }
    match path.split_once('/') {
        None => [NETWORK, PEER_NETWORK].contains(&path).then_some(Mode::FILE),
        Some(("layers", file)) => {
            (path == LAYER_ARCHIVE).then_some(Mode::FILE).or_else(|| of_carrier(&[At::Layers], file))
        }
        Some(("boot", file)) => of_carrier(&[At::Boot], file),
        Some(_) => None,
    }
}

/// Whether it is one name, of the characters that a profile may use in one.
fn is_safe(file: &str) -> bool {
    file.len() <= 128
        && file.starts_with(|c: char| c.is_ascii_alphanumeric())
        && file.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// Whether a file of the bundle is a certificate for clients, by its path. The CAs of a bucket's server are none of the
/// cluster's.
pub fn is_client_certificate(path: &str) -> bool {
    let file = path.strip_prefix("client/").filter(|file| *file != BUCKET_CA);
    file.and_then(PemFile::of) == Some(PemFile::Certificate)
}

/// The mode of a file that any of the carriers writes there.
fn of_carrier(at: &[At], name: &str) -> Option<Mode> {
    let mut files = carrier::all().iter().flat_map(|carrier| carrier.files);
    files.find(|file| at.contains(&file.at) && file.names.contains(&name)).map(|file| file.mode)
}

/// The mode of a directory in a bundle: only the owner may read those with keys in them.
pub fn directory_mode(path: &str) -> Mode {
    match path == "client" || path.starts_with("nodes/") {
        true => Mode::SECRET_DIRECTORY,
        false => Mode::DIRECTORY,
    }
}

/// A file of a node, as its path in the bundle.
pub fn node_file(node: &NodeName, name: &str) -> String {
    format!("nodes/{node}/{name}")
}

/// A file for operators' own machines, as its path in the bundle.
pub fn client_file(name: &str) -> String {
    format!("client/{name}")
}

/// Every bundle's files for etcdctl, in `client/`.
pub(crate) use crate::profile::{OPERATOR_CERT, OPERATOR_KEY};

/// The CA that clients trust, in `client/`.
pub const CLIENT_CA: &str = CA_FILES.cert;

/// The same of the peers' own CA, where there is one.
pub const CLIENT_PEER_CA: &str = PEER_CA_FILES.cert;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_their_owners() {
        for (path, want) in [
            ("network.xml", Some(Mode::FILE)),
            ("network-peer.xml", Some(Mode::FILE)),
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
            ("client/etcdctl.key", Some(Mode::SECRET)),
            ("client/etcdctl.crt", Some(Mode::FILE)),
            ("client/etcdctl.txt", None),
            ("client/..pem", None),
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
