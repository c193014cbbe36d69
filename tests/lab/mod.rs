//! What the tests that run `kiln` share: a directory of their own, and a store with real etcd releases.
#![allow(dead_code, reason = "every test program uses another part of it")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where ci/etcd puts Debian's packages.
pub fn lab() -> PathBuf {
    std::env::var_os("KILN_LAB").map_or_else(|| root().join("target/lab"), PathBuf::from)
}

/// etcd's packages of a Debian suite.
pub fn debs(suite: &str) -> Vec<PathBuf> {
    let list = lab().join("debs").join(format!(".{suite}"));
    let text = fs::read_to_string(&list).unwrap_or_else(|_| panic!("run ci/setup and ci/etcd --tests first"));
    text.lines().map(|line| lab().join("debs").join(line[64..].trim())).collect()
}

/// A store with the releases of trixie (3.5.16), bookworm (3.4) and sid (newer), made once per machine.
pub fn store() -> &'static Path {
    static STORE: OnceLock<PathBuf> = OnceLock::new();
    STORE.get_or_init(|| {
        let path = lab().join("store");
        fs::create_dir_all(lab()).unwrap();
        let guard = fs::File::create(lab().join("store.guard")).unwrap();
        guard.lock().unwrap();
        for suite in ["trixie", "bookworm", "sid"] {
            let mut command = kiln();
            command
                .args(["artifacts", "add", "--quiet", "--trust", "--artifacts"])
                .arg(&path)
                .args(debs(suite));
            run(&mut command);
        }
        path
    })
}

/// The newest release in the store that is not trixie's: sid's moves.
pub fn newer_release() -> String {
    let mut command = kiln();
    command.args(["artifacts", "list", "--json", "--artifacts"]).arg(store());
    let listed: serde_json::Value = serde_json::from_str(&run(&mut command)).unwrap();
    let versions: Vec<_> =
        listed.as_array().unwrap().iter().map(|r| r["version"].as_str().unwrap()).collect();
    versions[0].to_owned()
}

pub fn kiln() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    // Without a cache, so that what a test sees is what its own build made.
    command.env_remove("SOURCE_DATE_EPOCH").env("NO_COLOR", "1").env("KILN_NO_CACHE", "1");
    command
}

/// Runs a program that must succeed; its stdout.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    let output =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; run ci/setup --tests first"));
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, both(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a program that must exit with this code; its stderr.
#[track_caller]
pub fn refused(command: &mut Command, code: i32) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{command:?}\n{}", both(&output));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn both(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// One node, binaries apart: the least that a build writes.
pub const SMALL: &str = r#"
schema = 1
cluster = { name = "small" }
etcd = { version = "3.5.16" }
network = { cidr = "10.0.0.0/24" }
bundle = { carriers = ["tar"], binaries = "shared" }
[[node]]
name = "a"
address = "10.0.0.4"
"#;

/// Says to a test that it runs inside `ci/lab`.
const INSIDE: &str = "KILN_TEST_INSIDE";

/// One at a time: three emulated machines are enough for a small computer.
static TURN: Mutex<()> = Mutex::new(());

/// Outside `ci/lab`: runs the test of this name again in there and returns false. It needs QEMU and these base systems.
pub fn is_inside(test: &str, bases: &[&str]) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let qemu = std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .any(|directory| directory.join("qemu-system-x86_64").exists());
    let base = |kind: &&str| lab().join("base").join(kind).join("initrd.img").exists();
    assert!(qemu && bases.iter().all(base), "run ci/setup --tests first");
    store();
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let mut command = Command::new(root().join("ci/lab"));
    command.current_dir(root()).arg("env").arg(format!("{INSIDE}=1")).arg(std::env::current_exe().unwrap());
    run(command.args(["--exact", test, "--nocapture"]).env("KILN_LAB", lab()));
    false
}

/// Waits for a minute at most.
#[track_caller]
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A directory in which a user works: profiles, keystores, bundles. Below the target directory, which is on a
/// real file system.
pub struct Workshop {
    directory: tempfile::TempDir,
}

impl Workshop {
    pub fn new() -> Self {
        let directory =
            tempfile::Builder::new().prefix("workshop-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Self { directory }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// `kiln` in this directory; verbs that take a store are given the shared one with `build` and the like.
    pub fn kiln<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, arguments: I) -> Command {
        let mut command = kiln();
        command.current_dir(self.path()).args(arguments);
        command
    }

    /// `kiln` in this directory without a network: for verbs that would talk to a bundle's addresses if what they are to
    /// refuse were let through.
    pub fn kiln_without_network<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, arguments: I) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", env!("CARGO_BIN_EXE_kiln")]).args(arguments);
        command.env_remove("SOURCE_DATE_EPOCH").env("NO_COLOR", "1").env("KILN_NO_CACHE", "1");
        command.current_dir(self.path());
        command
    }

    /// A keystore that is the same everywhere. Its secret is one that `keystore init --seed-file` refuses, for good reason.
    pub fn keystore(&self, cluster: &str) {
        self.keystore_at(&format!("keystore/{cluster}"), cluster);
    }

    /// The same at another place.
    pub fn keystore_at(&self, path: &str, cluster: &str) {
        let (path, cluster) = (self.path().join(path), cluster.parse().unwrap());
        let issued = "2026-01-01".parse().unwrap();
        kiln::pki::Keystore::create(&path, &cluster, Some(&[7; 32]), issued).unwrap();
    }

    /// Builds a profile from the shared store and returns the bundle.
    pub fn build(&self, profile: &str) -> PathBuf {
        let mut command = self.kiln(["build", "--profile", profile, "--artifacts"]);
        command.arg(store());
        let printed = run(&mut command);
        self.path().join(printed.split(':').next().unwrap())
    }
}

/// The largest resident size of a `kiln` that must succeed, in KiB, from wait4(2).
pub fn peak(work: &Workshop, arguments: &[&str]) -> u64 {
    let mut command = Command::new("python3");
    let script = "import resource,subprocess,sys; subprocess.run(sys.argv[1:],check=True,stdout=subprocess.DEVNULL,\
                  stderr=subprocess.DEVNULL); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";
    command.args(["-c", script, env!("CARGO_BIN_EXE_kiln")]).args(arguments).current_dir(work.path());
    run(command.env("HOME", work.path())).trim().parse().unwrap()
}

/// Every file and directory below, with mode, size and content.
pub fn snapshot(path: &Path) -> Vec<(String, u32, Vec<u8>)> {
    let mut all: Vec<_> = walkdir::WalkDir::new(path)
        .into_iter()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let name = entry.path().strip_prefix(path).unwrap().display().to_string();
            let content =
                if entry.file_type().is_file() { fs::read(entry.path()).unwrap() } else { Vec::new() };
            (name, entry.metadata().unwrap().permissions().mode(), content)
        })
        .collect();
    all.sort();
    all
}

/// Changes the manifest's words, then has it and SHA256SUMS tell the sizes and digests of the files that are there: a bundle that
/// is whole, and wrong.
pub fn reseal(bundle: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let path = bundle.join("bundle.json");
    let mut manifest: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut manifest);
    let mut sums = std::collections::BTreeMap::new();
    for (name, file) in manifest["files"].as_object_mut().unwrap() {
        let Ok(bytes) = fs::read(bundle.join(name)) else { continue };
        file["size"] = bytes.len().into();
        file["sha256"] = kiln::values::Digest::of(&bytes).to_string().into();
        sums.insert(name.clone(), kiln::values::Digest::of(&bytes));
    }
    let text = serde_json::to_vec_pretty(&manifest).unwrap();
    sums.insert("bundle.json".to_owned(), kiln::values::Digest::of(&text));
    let sums: String = sums.iter().map(|(name, digest)| format!("{digest}  {name}\n")).collect();
    for (name, bytes) in [("bundle.json", text), ("SHA256SUMS", sums.into_bytes())] {
        // Another file, not the same one with other bytes: bundles of a test may share it.
        let _ = fs::remove_file(bundle.join(name));
        fs::write(bundle.join(name), bytes).unwrap();
        fs::set_permissions(bundle.join(name), fs::Permissions::from_mode(0o644)).unwrap();
    }
}

/// Three members with one change to the text of the embedded profile: every pair is (from, to).
pub fn ha3_with(changes: &[(&str, &str)]) -> String {
    let mut text = fs::read_to_string(root().join("profiles/ha3.toml")).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "{from:?} is not in profiles/ha3.toml");
        text = text.replace(from, to);
    }
    text
}
