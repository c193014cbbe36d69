//! One node of a rehearsal: its files in a directory of its own, and etcd started in it as its unit would.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Resource, Rlimit};

use super::journald::{self, Journal};
use super::mounts;
use super::network;
use super::restored;
use super::service::{self, Service};
use super::together::{self, Cluster, Machine};
use super::{life, linkage};
use crate::bundle::{Manifest, NODE_ARCHIVE, manifest, node_file};
use crate::disk::{self, Datagrams, Kind};
use crate::failure::{Doing, Failure, Result};
use crate::process::{self, Program, Running};
use crate::values::{GuestPath, Mode, NodeName};

/// Unpacking 65 MB takes a second; a disk that needs longer than this is broken.
const UNPACK_TIMEOUT: Duration = Duration::from_secs(120);

/// The programs that create the node's accounts and set owners, as at its boot.
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

/// A node that is ready to start.
pub struct Stage {
    /// Of its node.
    name: String,
    /// The same for people, with its cluster where there are several.
    pub label: String,
    /// The place of its cluster in the rehearsal.
    pub cluster: usize,
    root: PathBuf,
    service: Service,
    journal: Datagrams,
    /// Its etcd uses the libraries of this machine.
    pub borrows_libraries: bool,
}

/// A started node.
pub struct Member {
    /// Of its node.
    pub name: String,
    /// As that of its stage.
    pub label: String,
    pub cluster: usize,
    pub log: PathBuf,
    pub running: Running,
    pub journal: Journal,
}

/// Unpacks a machine's nodes and prepares its directory as a root directory, for each member on it.
pub fn prepare(
    scratch: &Path,
    clusters: &[Cluster],
    machine: &Machine<'_>,
    accounts: Option<&Accounts>,
) -> Result<Vec<Stage>> {
    let name = &machine.node.name;
    let root = scratch.join("nodes").join(name.as_str());
    make(&root)?;
    let units = unpack_all(scratch, clusters, machine, &root)?;
    match accounts {
        Some(accounts) => {
            accounts.apply(&root).doing(|| format!("giving the files of {name} their owners"))?
        }
        None => mounts::tmpfiles(&root).doing(|| format!("making the directories of {name}"))?,
    }
    for of in &machine.clusters {
        let own = clusters[*of].manifest.nodes.iter().find(|node| node.name == *name);
        own.map_or(Ok(()), |node| restored::restore(&root, &clusters[*of], node))?;
    }
    let (mut services, mut borrows) = (Vec::new(), Vec::new());
    for (of, unit) in machine.clusters.iter().zip(&units) {
        // Read before any mounts of this machine cover the node's own files.
        services.push(service::service(&root, name.as_str(), unit, accounts.is_some())?);
        let program = program(&clusters[*of].manifest)?;
        let binary = root.join(program.as_str());
        if !disk::look(&binary)?.is_some_and(|found| found.kind == Kind::File) {
            return Err(Failure::wrong(format!("{name} has no /{program}")));
        }
        borrows.push(linkage::is_dynamic(&binary)?);
    }
    check_accounts(clusters, machine, &services)?;
    mounts::own(&root)?;
    mounts::furnish(&root, &names(clusters, machine), borrows.contains(&true))?;
    life::open(scratch, clusters, machine, &root)?;
    // All of them before the first is restricted: a new mount inherits the restrictions of what it shows.
    let mut views = vec![root.clone()];
    for of in machine.clusters.iter().skip(1) {
        let view = scratch.join("views").join(of.to_string()).join(name.as_str());
        make(&view)?;
        mounts::show(&root, &view)?;
        views.push(view);
    }
    let mut stages = Vec::new();
    for (at, (service, root)) in services.into_iter().zip(views).enumerate() {
        let of = machine.clusters[at];
        let spare = scratch.join("spare").join(of.to_string()).join(name.as_str());
        let journal = journald::bind(&root, (at > 0).then_some(&spare))?;
        mounts::protect(&root, &spare, &service.sandbox, &service.account)
            .doing(|| format!("applying the unit's sandbox to the files of {name}"))?;
        let label = match clusters {
            [_] => name.to_string(),
            all => format!("{name} of {}", all[of].manifest.cluster.name),
        };
        let (name, borrows_libraries) = (name.to_string(), borrows[at]);
        stages.push(Stage { name, label, cluster: of, root, service, journal, borrows_libraries });
    }
    Ok(stages)
}

/// # Errors
/// `Exit::Unsafe` when two clusters have one account on a machine: each could read the other's keys.
fn check_accounts(clusters: &[Cluster], machine: &Machine<'_>, services: &[Service]) -> Result<()> {
    let all: Vec<_> =
        machine.clusters.iter().zip(services.iter().map(|service| service.user.as_deref())).collect();
    for (at, (one, user)) in all.iter().enumerate() {
        let Some(user) = user.filter(|user| *user != "root") else { continue };
        if let Some((other, _)) = all[at + 1..].iter().find(|(_, theirs)| *theirs == Some(user)) {
            let name = |of: &usize| &clusters[*of].manifest.cluster.name;
            return Err(Failure::unsafe_to(format!(
                "{} and {} both run as {user} on {}; set another [etcd] user in the profile of one of them, and build it \
                 again",
                name(one),
                name(other),
                machine.node.name
            )));
        }
    }
    Ok(())
}

/// The directory becomes /, which etcd's account must be able to enter, whatever the umask.
fn make(root: &Path) -> Result<()> {
    disk::make_directories(root, Mode::DIRECTORY)?;
    mounts::permit(root, 0o755)
}

fn program(manifest: &Manifest) -> Result<&GuestPath> {
    let program = manifest.etcd.binaries.get(&manifest::EtcdProgram::Etcd);
    program
        .map(|program| &program.path)
        .ok_or_else(|| Failure::wrong("the bundle has no etcd; build it again with one"))
}

/// Unpacks what each cluster brings to a machine, and returns the name of each one's unit of etcd.
///
/// # Errors
/// `Exit::Unsafe` when two of them bring one path and not the same there.
fn unpack_all(
    scratch: &Path,
    clusters: &[Cluster],
    machine: &Machine<'_>,
    root: &Path,
) -> Result<Vec<String>> {
    let name = &machine.node.name;
    let mut units = Vec::new();
    for (at, of) in machine.clusters.iter().enumerate() {
        let Cluster { bundle, manifest, .. } = &clusters[*of];
        let program = program(manifest)?.absolute();
        if at == 0 {
            unpack(bundle, manifest, name, root)?;
            units.push(service::unit_of(root, name.as_str(), &program)?);
            continue;
        }
        let apart = scratch.join("apart").join(name.as_str());
        disk::make_directories(&apart, Mode::DIRECTORY)?;
        unpack(bundle, manifest, name, &apart)?;
        units.push(service::unit_of(&apart, name.as_str(), &program)?);
        let before = machine.clusters[..at].iter().map(|of| clusters[*of].manifest.cluster.name.as_str());
        let before = before.collect::<Vec<_>>().join(" or ");
        together::check_files(root, &apart, name, [&before, manifest.cluster.name.as_str()])?;
        disk::remove_directory(&apart)?;
        unpack(bundle, manifest, name, root)?;
    }
    Ok(units)
}

/// The lines of the node's hosts file: its own name, and the names in the members' URLs, which it gets at its boot.
fn names(clusters: &[Cluster], machine: &Machine<'_>) -> String {
    let mut lines = format!("127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {}\n", machine.node.name);
    for node in machine.clusters.iter().flat_map(|of| &clusters[*of].manifest.nodes) {
        let names: BTreeSet<_> =
            node.peer_urls.iter().chain(&node.client_urls).filter_map(|url| url.name()).collect();
        names.into_iter().for_each(|name| lines.push_str(&format!("{} {name}\n", node.address)));
    }
    lines
}

/// As an operator would: the layers that all nodes share, then the node's own overlay on top.
fn unpack(bundle: &Path, manifest: &Manifest, node: &NodeName, root: &Path) -> Result<()> {
    let tar = process::find("tar")?;
    let mut archives = Vec::new();
    if manifest.shares_binaries() {
        let layers = bundle.join("layers");
        let names = disk::list(&layers)?.into_iter().filter(|name| name.ends_with(".tar.gz"));
        archives.extend(names.map(|name| layers.join(name)));
    }
    archives.push(bundle.join(node_file(node, NODE_ARCHIVE)));
    for archive in archives {
        if disk::look(&archive)?.is_none() {
            return Err(Failure::wrong(format!(
                "{} is not there; a rehearsal unpacks the carrier \"tar\", so build the bundle with it",
                archive.display()
            )));
        }
        let tar = Program::new(&tar).arg("-xpzf").arg(&archive).arg("-C").arg(root).within(UNPACK_TIMEOUT);
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

/// Runs a program on the bundle's files: its failure is the bundle's fault.
fn baked_well(program: &Program, root: &Path) -> Result<()> {
    let finished = program.run()?;
    if finished.success() {
        return Ok(());
    }
    // With the paths that the node has.
    let said = finished.stderr_text().replace(&root.display().to_string(), "");
    Err(Failure::wrong(format!("{} ended with {}: {said}", program.name(), finished.ended)))
}

/// The highest limit that this process may set; `None` where there is none. It is found by trying: root of a container
/// or a user namespace may have the capability only in name.
fn highest(resource: Resource) -> Option<u64> {
    let now = rustix::process::getrlimit(resource);
    let most = now.maximum?;
    let more = Rlimit { current: now.current, maximum: Some(most.saturating_add(1)) };
    match rustix::process::setrlimit(resource, more) {
        Ok(()) => {
            // Restored: lowering a limit is always allowed.
            let _ = rustix::process::setrlimit(resource, now);
            // The kernel allows no process more open files than this; systemd then uses the highest possible number
            // (setrlimit_closest).
            (resource == Resource::Nofile).then(most_files).flatten()
        }
        Err(_) => Some(most),
    }
}

fn most_files() -> Option<u64> {
    let text = disk::read(Path::new("/proc/sys/fs/nr_open"), 64).ok()?;
    String::from_utf8_lossy(&text).trim().parse().ok()
}

impl Stage {
    /// The account that etcd runs as.
    pub fn user(&self) -> &str {
        &self.service.account.name
    }

    /// For a process that may not raise its own limits.
    pub fn fit_limits(&mut self) {
        self.service.sandbox.fit(|name| {
            let resource = match name {
                "as" => Resource::As,
                "core" => Resource::Core,
                "cpu" => Resource::Cpu,
                "data" => Resource::Data,
                "fsize" => Resource::Fsize,
                "locks" => Resource::Locks,
                "memlock" => Resource::Memlock,
                "msgqueue" => Resource::Msgqueue,
                "nice" => Resource::Nice,
                "nofile" => Resource::Nofile,
                "nproc" => Resource::Nproc,
                "rss" => Resource::Rss,
                "rtprio" => Resource::Rtprio,
                "sigpending" => Resource::Sigpending,
                "stack" => Resource::Stack,
                _ => return None,
            };
            highest(resource)
        });
    }

    /// Settings of its unit that this rehearsal does not imitate.
    pub fn not_imitated(&self) -> &BTreeSet<String> {
        &self.service.sandbox.not_imitated
    }

    /// Starts etcd in the node's network, with the node's directory as its root, as the unit's account.
    pub fn start(self, scratch: &Path) -> Result<Member> {
        let account = &self.service.account;
        let directory = self.root.join(self.service.working_directory.trim_start_matches('/'));
        let sandbox = &self.service.sandbox;
        let nsenter = process::find("nsenter")?;
        let mut program = Program::new(&nsenter);
        if !sandbox.limits.is_empty() {
            // Without a resource, prlimit would print all of them.
            let limits = sandbox.limits.iter().map(|(name, pair)| format!("--{name}={pair}"));
            program = Program::new(process::find("prlimit")?).args(limits).arg("--").arg(&nsenter);
        }
        program = program
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
        let log = scratch.join("logs").join(format!("{}.log", self.label));
        let journal = journald::read(self.journal, &log)?;
        // No other thread of this process creates files meanwhile.
        let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(sandbox.umask));
        let running = program.spawn_logging(&log).doing(|| format!("starting {}", self.label));
        rustix::process::umask(before);
        let running = running?;
        let Self { name, label, cluster, .. } = self;
        Ok(Member { name, label, cluster, log, running, journal })
    }
}
