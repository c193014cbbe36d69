//! One node of a rehearsal: its files in a directory of its own, and etcd started in there as its unit would.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::mount::{MountFlags, MountPropagationFlags};

use super::elf;
use super::network;
use super::service::{self, Service};
use crate::bundle::Manifest;
use crate::bundle::manifest;
use crate::disk::{self, Kind};
use crate::failure::{Doing, Failure, Result};
use crate::process::{self, Program, Running};
use crate::values::Mode;

/// Unpacking 65 MB takes a second; a disk that needs longer than this is broken.
const UNPACKING: Duration = Duration::from_secs(120);

/// Where programs that are linked to this machine's C library find it and its dynamic linker.
const LIBRARIES: [&str; 7] =
    ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib/ld64.so.1", "/usr/lib/ld64.so.1"];

/// What a program may expect in /dev.
const DEVICES: [&str; 5] = ["full", "null", "random", "urandom", "zero"];

/// The programs that give the node its accounts and owners, as they do at its boot.
pub struct Accounts {
    sysusers: PathBuf,
    tmpfiles: PathBuf,
}

impl Accounts {
    /// `None` when this machine has no systemd.
    pub fn find() -> Option<Self> {
        let sysusers = process::look_for("systemd-sysusers")?;
        Some(Self { sysusers, tmpfiles: process::look_for("systemd-tmpfiles")? })
    }
}

/// A node that is ready to be started.
pub struct Stage {
    pub name: String,
    root: PathBuf,
    service: Service,
    /// Its etcd uses the libraries of this machine.
    pub borrows_libraries: bool,
}

/// A started node.
pub struct Member {
    pub name: String,
    pub log: PathBuf,
    pub running: Running,
}

/// Unpacks a node and prepares its directory to be a root.
pub fn prepare(
    bundle: &Path,
    scratch: &Path,
    manifest: &Manifest,
    node: &manifest::Node,
    accounts: Option<&Accounts>,
) -> Result<Stage> {
    let root = scratch.join("nodes").join(node.name.as_str());
    disk::make_directories(&root, Mode::DIRECTORY)?;
    // The directory becomes /, which etcd's account has to be able to enter whatever the umask is.
    permit(&root, 0o755)?;
    unpack(bundle, manifest, node, &root)?;
    if let Some(accounts) = accounts {
        accounts.apply(&root).doing(|| format!("giving the files of {} their owners", node.name))?;
    }
    let program = manifest
        .etcd
        .binaries
        .get(&manifest::Program::Etcd)
        .ok_or_else(|| Failure::wrong("the bundle has no etcd; build it again with one"))?;
    // Read before anything of this machine covers the node's own files.
    let service = service::service(&root, &node.name, &format!("/{}", program.path), accounts.is_some())?;
    let binary = root.join(program.path.as_str());
    if !disk::look(&binary)?.is_some_and(|found| found.kind == Kind::File) {
        return Err(Failure::wrong(format!("{} has no /{}", node.name, program.path)));
    }
    let borrows_libraries = elf::is_dynamic(&binary)?;
    furnish(&root, &node.name, borrows_libraries)?;
    Ok(Stage { name: node.name.to_string(), root, service, borrows_libraries })
}

/// As an operator would: the layers that all nodes share, then the node's own overlay on top.
fn unpack(bundle: &Path, manifest: &Manifest, node: &manifest::Node, root: &Path) -> Result<()> {
    let tar = process::find("tar")?;
    let mut archives = Vec::new();
    if manifest.shares_binaries() {
        let layers = bundle.join("layers");
        let names = disk::list(&layers)?.into_iter().filter(|name| name.ends_with(".tar.gz"));
        archives.extend(names.map(|name| layers.join(name)));
    }
    archives.push(bundle.join("nodes").join(node.name.as_str()).join("overlay.tar.gz"));
    for archive in archives {
        if disk::look(&archive)?.is_none() {
            return Err(Failure::wrong(format!(
                "{} is not there; a rehearsal unpacks the carrier \"tar\", so build the bundle with it",
                archive.display()
            )));
        }
        let tar = Program::new(&tar).arg("-xpzf").arg(&archive).arg("-C").arg(root).within(UNPACKING);
        baked_well(&tar, root).doing(|| format!("unpacking {}", archive.display()))?;
    }
    Ok(())
}

impl Accounts {
    fn apply(&self, root: &Path) -> Result<()> {
        let on = |program: &Path| Program::new(program).arg(format!("--root={}", root.display()));
        baked_well(&on(&self.sysusers), root)?;
        baked_well(&on(&self.tmpfiles).args(["--create", "--boot"]), root)
    }
}

/// Runs what works on the baked files: that it goes wrong is the bundle's fault.
fn baked_well(program: &Program, root: &Path) -> Result<()> {
    let finished = program.run()?;
    if finished.success() {
        return Ok(());
    }
    // With the paths as the node has them.
    let said = finished.stderr_text().replace(&root.display().to_string(), "");
    Err(Failure::wrong(format!("{} ended with {}: {said}", program.name(), finished.ended)))
}

/// What a booted system has besides the baked files: /proc, /dev, /tmp, /run, a hosts file, and for a program that
/// is linked dynamically this machine's libraries. All mounts are seen in this process's namespace only.
fn furnish(root: &Path, name: &str, libraries: bool) -> Result<()> {
    for (directory, mode) in
        [("proc", 0o555), ("dev", 0o755), ("run", 0o755), ("tmp", 0o1777), ("var/tmp", 0o1777)]
    {
        let path = root.join(directory);
        if disk::look(&path)?.is_none() {
            disk::make_directories(&path, Mode::DIRECTORY)?;
            permit(&path, mode)?;
        }
    }
    let hosts = root.join("etc/hosts");
    if disk::look(&hosts)?.is_none() {
        let text = format!("127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {name}\n");
        disk::write_whole(&hosts, text.as_bytes(), Mode::FILE)?;
    }
    mount("/proc", &root.join("proc"))?;
    let dev = root.join("dev");
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    rustix::mount::mount("tmpfs", &dev, "tmpfs", flags, c"mode=0755,size=64k")
        .map_err(std::io::Error::from)
        .doing(|| format!("mounting {}", dev.display()))?;
    for device in DEVICES {
        let path = dev.join(device);
        disk::write_whole(&path, b"", Mode::FILE)?;
        mount(&format!("/dev/{device}"), &path)?;
    }
    if libraries {
        for library in LIBRARIES {
            borrow(root, library)?;
        }
    }
    Ok(())
}

/// Puts a directory of this machine's libraries where the node has none of its own.
fn borrow(root: &Path, library: &str) -> Result<()> {
    let path = root.join(library.trim_start_matches('/'));
    let here = Path::new(library);
    if !here.is_dir() || disk::look(&path)?.is_some_and(|found| found.kind != Kind::Directory) {
        return Ok(());
    }
    disk::make_directories(&path, Mode::DIRECTORY)?;
    mount(library, &path)?;
    // Nobody may write there: etcd's account cannot, and as root of a user namespace the files are not ours.
    Ok(())
}

fn mount(what: &str, on: &Path) -> Result<()> {
    let mounting = || format!("mounting {what} on {}", on.display());
    rustix::mount::mount_bind_recursive(what, on).map_err(std::io::Error::from).doing(mounting)?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change(on, private).map_err(std::io::Error::from).doing(mounting)
}

fn permit(path: &Path, bits: u32) -> Result<()> {
    rustix::fs::chmod(path, rustix::fs::Mode::from_raw_mode(bits))
        .map_err(std::io::Error::from)
        .doing(|| format!("setting the mode of {}", path.display()))
}

impl Stage {
    /// Who etcd runs as.
    pub fn user(&self) -> &str {
        &self.service.account.name
    }

    /// Starts etcd in the node's network, with the node's directory as its root, as the unit's account.
    pub fn start(self, scratch: &Path) -> Result<Member> {
        let account = &self.service.account;
        let directory = self.root.join(self.service.working_directory.trim_start_matches('/'));
        let mut program = Program::new(process::find("nsenter")?)
            .bare_environment()
            .arg(format!("--net={}", network::namespace_of(scratch, &self.name).display()))
            .arg(format!("--root={}", self.root.display()))
            .arg(format!("--wd={}", directory.display()));
        if account.uid != 0 {
            program =
                program.arg(format!("--setgid={}", account.gid)).arg(format!("--setuid={}", account.uid));
        }
        program = program.arg("--").args(&self.service.command);
        for (name, value) in &self.service.environment {
            program = program.env(name, value);
        }
        let log = scratch.join("logs").join(format!("{}.log", self.name));
        let running = program.spawn_logging(&log).doing(|| format!("starting {}", self.name))?;
        Ok(Member { name: self.name, log, running })
    }
}
