//! Shared by the tests: directories to work in, `kiln` and other programs run there, stores, and locks for tests that
//! must not run at the same time.
#![allow(dead_code, unused_imports, reason = "each tier uses another part of it")]

pub mod bundles;
pub mod golden;
pub mod made;
pub mod namespaces;
pub mod node;
mod releases;
pub mod test_store;
pub mod turn;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

pub use releases::{debs, debs_of, lab, newer_release, node, store};
pub use turn::is_inside;

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn kiln() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    // Without a cache, so that every result is from the test's own build.
    command.env_remove("SOURCE_DATE_EPOCH").env("NO_COLOR", "1").env("KILN_NO_CACHE", "1");
    command
}

/// For the fast tier: whether an independent program is installed; without it its check is left out. With `CI` set it
/// is required.
pub fn have(program: &str) -> bool {
    let found = have_optional(program);
    assert!(found || std::env::var_os("CI").is_none(), "{program} is missing; run ci/setup --tests first");
    if !found {
        eprintln!("{program} is missing; what it would say is not tested");
    }
    found
}

/// Whether a program is installed that is optional even with `CI` set.
pub fn have_optional(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':').any(|directory| Path::new(directory).join(program).is_file())
}

/// For tests of operations that only root may do: mounts, devices, other users' files.
#[track_caller]
pub fn needs_root() {
    assert!(rustix::process::geteuid().is_root(), "this test needs root; run the lab tier as root");
}

/// Runs a program that must succeed; returns its stdout.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    let output =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; run ci/setup --tests first"));
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, both(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a program that must exit with this code; returns its stderr.
#[track_caller]
pub fn refused(command: &mut Command, code: i32) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{command:?}\n{}", both(&output));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Exit code, stdout and stderr.
pub fn output(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

fn both(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// One node, binaries in a layer: the smallest bundle.
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

/// One member that builds from the store, with every default.
pub const ONE: &str = "schema = 1\n[cluster]\nname = \"one\"\n[network]\ncidr = \"10.77.0.0/24\"\n[[node]]\nname = \"a\"\n\
                   address = \"10.77.0.11\"\n[etcd]\nversion = \"3.5.16\"\n";

/// The command, with the shared store.
pub fn with_store(command: &mut Command) -> &mut Command {
    command.arg("--artifacts").arg(store())
}

/// Waits for at most a minute.
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

/// A directory in which a user works: profiles, keystores, bundles. It is below the target directory, which is on a
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

    /// `kiln` in this directory, without the shared store: see `with_store` and `build`.
    pub fn kiln<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, arguments: I) -> Command {
        let mut command = kiln();
        // Its record of a host's machines is not that of the user who runs the tests.
        command.current_dir(self.path()).args(arguments).env("XDG_STATE_HOME", self.path().join(".state"));
        command
    }

    /// `kiln` in this directory without a network: for verbs that would contact a bundle's addresses if they wrongly
    /// accepted it.
    pub fn kiln_without_network<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, arguments: I) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", env!("CARGO_BIN_EXE_kiln")]).args(arguments);
        command.env_remove("SOURCE_DATE_EPOCH").env("NO_COLOR", "1").env("KILN_NO_CACHE", "1");
        command.current_dir(self.path()).env("XDG_STATE_HOME", self.path().join(".state"));
        command
    }

    /// A keystore that is the same in every test, as they were before nodes could renew. Its secret is one that
    /// `keystore init --seed-file` refuses, for good reason.
    pub fn keystore(&self, cluster: &str) {
        self.keystore_at(&format!("keystore/{cluster}"), cluster);
    }

    /// The same at another place.
    pub fn keystore_at(&self, path: &str, cluster: &str) {
        let (path, cluster) = (self.path().join(path), cluster.parse().unwrap());
        let issued = "2026-01-01".parse().unwrap();
        kiln::pki::Keystore::draft(&cluster, Some(&[7; 32]), issued).unwrap().save(&path).unwrap();
    }

    /// The same for nodes that renew their certificates, as `keystore init` makes it: with the secret of the CAs that
    /// follow.
    pub fn keystore_of_renewal(&self, cluster: &str) {
        let path = self.path().join(format!("keystore/{cluster}"));
        let (cluster, issued) = (cluster.parse().unwrap(), "2026-01-01".parse().unwrap());
        kiln::pki::Keystore::create(&path, &cluster, Some(&[7; 32]), issued).unwrap();
    }

    /// A new keystore, as they were before nodes could renew, so that the desk does; those of today have tests of their
    /// own.
    pub fn desk(&self, cluster: &str) {
        let (path, cluster) = (self.path().join("keystore").join(cluster), cluster.parse().unwrap());
        let issued = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let issued = kiln::values::Epoch::from_seconds(issued).unwrap();
        kiln::pki::Keystore::draft(&cluster, None, issued).unwrap().save(&path).unwrap();
    }

    /// Builds a profile from the shared store and returns the bundle. Without a keystore it is for the desk.
    pub fn build(&self, profile: &str) -> PathBuf {
        if !self.path().join("keystore").exists() {
            let text = fs::read_to_string(self.path().join(profile)).unwrap_or_default();
            let name = text.lines().find_map(|line| line.split_once("name = \"")?.1.split('"').next());
            let stem = Path::new(profile).file_stem().unwrap().to_str().unwrap();
            self.desk(
                name.filter(|_| text.contains("[cluster]") || text.contains("cluster = ")).unwrap_or(stem),
            );
        }
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

/// Every file and directory below it, with mode, size and content.
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

/// Changes the manifest, then updates it and SHA256SUMS with the sizes and digests of the actual files: a bundle that
/// is consistent, and wrong.
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
        // A new file, not the same one with other bytes: bundles of a test may share it.
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
