//! The artifact store that tests build from: real releases, or stand-ins for them in the fast tier.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::UNIX_EPOCH;

use kiln::values::Digest;

use super::made::{AMD64, deb, node_program, program};
use super::{kiln, root, run};

/// The directory of `ci/setup` and `ci/etcd`, with files that tests need.
pub fn lab() -> PathBuf {
    std::env::var_os("KILN_LAB").map_or_else(|| root().join("target/lab"), PathBuf::from)
}

/// etcd's packages of a Debian suite.
pub fn debs(suite: &str) -> Vec<PathBuf> {
    let list = lab().join("debs").join(format!(".{suite}"));
    let text = fs::read_to_string(&list).unwrap_or_else(|_| panic!("run ci/setup and ci/etcd --tests first"));
    text.lines().map(|line| lab().join("debs").join(line[64..].trim())).collect()
}

/// etcd's packages of a version, whichever suite they are from.
pub fn debs_of(version: &str) -> Vec<PathBuf> {
    let half = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        ["client", "server"].iter().any(|half| name.starts_with(&format!("etcd-{half}_{version}-")))
    };
    let suites = ["trixie", "bookworm", "sid"];
    let mut found: Vec<_> = suites.iter().flat_map(|suite| debs(suite)).filter(half).collect();
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 2, "no packages of etcd {version} in {}: run ci/etcd --tests", lab().display());
    found
}

/// A store with etcd 3.4.23, 3.5.16 and a newer release. In the fast tier the programs are stand-ins, which contain
/// their release and do nothing; elsewhere they are those of bookworm, trixie and sid.
pub fn store() -> &'static Path {
    static STORE: OnceLock<PathBuf> = OnceLock::new();
    STORE.get_or_init(|| {
        let is_fast = ["fast", "cases"].contains(&env!("CARGO_CRATE_NAME"));
        if is_fast { stand_ins() } else { imported(lab().join("store"), &real()) }
    })
}

fn real() -> Vec<Vec<PathBuf>> {
    ["trixie", "bookworm", "sid"].map(debs).into_iter().chain([vec![node()]]).collect()
}

/// The program of nodes that renew their certificates, as `ci/node` makes it.
pub fn node() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let file = target.join("node/kiln-node-amd64");
    assert!(file.exists(), "{} is missing: run ci/node first", file.display());
    file
}

/// A store with packages in Debian's layout whose programs are stand-ins, and one for kiln-node.
fn stand_ins() -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stand-ins");
    fs::create_dir_all(&place).unwrap();
    let releases = ["3.5.16", "3.4.23", "3.5.30"].map(|release| {
        let [etcd, etcdutl, etcdctl] = ["etcd", "etcdutl", "etcdctl"].map(|name| stand_in(name, release));
        let server: &[_] = &[("etcd", &*etcd), ("etcdutl", &*etcdutl)];
        // etcdutl came with 3.5.
        let server = if release.starts_with("3.4") { &server[..1] } else { server };
        let halves = [("server", server), ("client", &[("etcdctl", &*etcdctl)])];
        halves.map(|(half, programs)| {
            let file = place.join(format!("etcd-{half}_{release}-1_amd64.deb"));
            keep(&file, &deb(half, &format!("{release}-1"), programs));
            file
        })
    });
    let node = place.join("kiln-node-amd64");
    keep(&node, &node_program(AMD64, env!("CARGO_PKG_VERSION"), 0));
    let files: Vec<_> = releases.map(Vec::from).into_iter().chain([vec![node]]).collect();
    imported(place.join("store"), &files)
}

/// Writes a file that other processes may be reading.
fn keep(file: &Path, bytes: &[u8]) {
    if fs::read(file).ok().as_deref() != Some(bytes) {
        let new = tempfile::NamedTempFile::new_in(file.parent().unwrap()).unwrap();
        fs::write(new.path(), bytes).unwrap();
        new.persist(file).unwrap();
    }
}

/// A different program for each name and release, which does not compress: 256 KiB.
fn stand_in(name: &str, release: &str) -> Vec<u8> {
    let mut bytes = program(release);
    let mut digest = Digest::of(format!("{name} {release}").as_bytes());
    while bytes.len() < 256 << 10 {
        let text = digest.to_string();
        bytes.extend(
            text.as_bytes()
                .chunks(2)
                .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()),
        );
        digest = Digest::of(text.as_bytes());
    }
    bytes
}

/// The store at this path, with these releases. Each build of Kiln adds them once, by the first test process.
fn imported(store: PathBuf, releases: &[Vec<PathBuf>]) -> PathBuf {
    fs::create_dir_all(store.parent().unwrap()).unwrap();
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let guard = fs::File::create(store.with_extension("guard")).unwrap();
    guard.lock().unwrap();
    let built = fs::metadata(env!("CARGO_BIN_EXE_kiln")).unwrap();
    let built = built.modified().unwrap().duration_since(UNIX_EPOCH).unwrap();
    let changed = |file: &PathBuf| fs::metadata(file).and_then(|found| found.modified()).unwrap();
    let changed: Vec<_> = releases.iter().flatten().map(changed).collect();
    let stamp = format!("{built:?} {} {releases:?} {changed:?}", store.display());
    let is_ours = store.starts_with(tmp);
    let stamped = tmp.join(if is_ours { "stand-ins.stamp" } else { "releases.stamp" });
    if store.is_dir() && fs::read_to_string(&stamped).is_ok_and(|old| old == stamp) {
        return store;
    }
    if is_ours {
        // Stand-ins of another build may have other bytes.
        let _ = fs::remove_dir_all(&store);
    }
    for files in releases {
        let mut command = kiln();
        // Another commit has another kiln-node.
        command.args(["artifacts", "add", "--quiet", "--trust", "--replace", "--artifacts"]);
        run(command.arg(&store).args(files));
    }
    fs::write(stamped, stamp).unwrap();
    store
}

/// The newest release in the store that is not trixie's: sid's changes.
pub fn newer_release() -> String {
    let mut command = kiln();
    command.args(["artifacts", "list", "--json", "--artifacts"]).arg(store());
    let listed: serde_json::Value = serde_json::from_str(&run(&mut command)).unwrap();
    let versions: Vec<_> =
        listed.as_array().unwrap().iter().map(|r| r["version"].as_str().unwrap()).collect();
    versions[0].to_owned()
}
