//! Which files a bundle has, and who may read them. It follows from what a file is, whatever a manifest says of it.

use super::manifest::Manifest;
use crate::carrier;
use crate::values::{At, Carrier, CarrierFile, ClientName, Mode, NodeName};

/// What every bundle has of a node, below `nodes/NAME/`: what is its owner's alone has the node's keys in it.
const OF_NODES: [(&str, Mode); 3] =
    [("domain.xml", Mode::FILE), ("listing.txt", Mode::FILE), (NODE_ARCHIVE, Mode::SECRET)];
const NODE_ARCHIVE: &str = "overlay.tar.gz";

/// The programs where all hosts share them, whatever the carriers.
const LAYER_ARCHIVE: &str = "layers/etcd.tar.gz";

/// The mode of a bundle's file; `None` where no build puts one.
pub fn mode(path: &str) -> Option<Mode> {
    if let Some((node, file)) = path.strip_prefix("nodes/").and_then(|rest| rest.split_once('/')) {
        node.parse::<NodeName>().ok()?;
        let of_all = OF_NODES.iter().find(|(name, _)| *name == file).map(|(_, mode)| *mode);
        return of_all.or_else(|| of_carrier(&[At::Node, At::BootNode], file));
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
    match path.split_once('/') {
        None => (path == "network.xml").then_some(Mode::FILE),
        Some(("layers", file)) => {
            (path == LAYER_ARCHIVE).then_some(Mode::FILE).or_else(|| of_carrier(&[At::Layers], file))
        }
        Some(("boot", file)) => of_carrier(&[At::Boot], file),
        Some(_) => None,
    }
}

/// The mode of a file that one of all carriers puts there.
fn of_carrier(at: &[At], name: &str) -> Option<Mode> {
    let mut files = carrier::all().into_iter().flat_map(|carrier| carrier.files);
    files.find(|file| at.contains(&file.at) && file.names.contains(&name)).map(|file| file.mode)
}

/// The archives of a node whose members can be listed, the shared ones first, as paths in the bundle.
pub fn archives(manifest: &Manifest, node: &str) -> Vec<String> {
    let files = distinct(&carrier::all());
    let of = |at: &[At]| -> Vec<&str> {
        let files = files.iter().filter(|file| file.is_archive && at.contains(&file.at));
        files.flat_map(|file| file.names.iter().copied()).collect()
    };
    let shared = of(&[At::Layers]);
    let is_shared = |path: &str| {
        path == LAYER_ARCHIVE || path.strip_prefix("layers/").is_some_and(|name| shared.contains(&name))
    };
    let shared = manifest.files.keys().map(ToString::to_string).filter(|path| is_shared(path));
    let own = std::iter::once(NODE_ARCHIVE).chain(of(&[At::Node, At::BootNode]));
    let own = own.map(|name| format!("nodes/{node}/{name}"));
    shared.chain(own.filter(|path| manifest.files.contains_key(path.as_str()))).collect()
}

/// The files of these carriers, each once: two may have one in common.
fn distinct(carriers: &[Carrier]) -> Vec<&'static CarrierFile> {
    let mut all: Vec<&CarrierFile> = Vec::new();
    for file in carriers.iter().flat_map(|carrier| carrier.files) {
        if !all.iter().any(|there| (there.at, there.names) == (file.at, file.names)) {
            all.push(file);
        }
    }
    all
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
    let one = |path: &str| vec![path.to_owned()];
    let (is_shared, boots) = (manifest.shares_binaries(), manifest.base.is_some());
    let files = distinct(&manifest.carriers);
    let below = |directory: &str, at: At| -> Vec<Vec<String>> {
        let files = files.iter().filter(|file| file.is_needed && file.at == at);
        files.map(|file| file.names.iter().map(|name| format!("{directory}/{name}")).collect()).collect()
    };
    let mut all = vec![one("client/ca.pem"), one("client/etcdctl.pem"), one("client/etcdctl-key.pem")];
    if is_shared {
        all.push(one(LAYER_ARCHIVE));
        all.extend(below("layers", At::Layers));
    }
    if boots {
        all.extend(below("boot", At::Boot));
    }
    for node in &manifest.nodes {
        let directory = format!("nodes/{}", node.name);
        all.push(one(&format!("{directory}/{NODE_ARCHIVE}")));
        all.extend(below(&directory, At::Node));
        if boots {
            all.extend(below(&directory, At::BootNode));
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
