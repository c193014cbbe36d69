//! What one member has left on its disk, as a snapshot.
//!
//! Its database alone is not enough, because what was written last is only in its log. So etcd itself reads a copy of
//! both to the end: started with `--force-new-cluster`, it drops what was never committed as far as this member knows,
//! and is ready once all before is in the database (`publishV3` in server/etcdserver/server.go goes through the log).
//! It has no network, and what it leaves is no member of anything: as it differs from the others
//! (etcd-io/etcd#14009), only the database is used, which a restore takes without members.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kiln_wire::{LOG_BEGIN, TRAILER, ids_of_log};

use super::plain::Plain;
use crate::bundle::Bundle;
use crate::bundle::manifest::EtcdProgram;
use crate::cluster::bundled_program;
use crate::digest;
use crate::disk::{self, Datagrams, Input, Kind, Walked};
use crate::failure::{Doing, Exit, Failure, Result};
use crate::interrupt;
use crate::process::{self, Ended, Program};
use crate::values::{Arch, Mode, printable};

/// To read a log of any length on a slow disk.
const PATIENCE: Duration = Duration::from_secs(900);
/// To write the last of the database.
const GRACE: Duration = Duration::from_secs(120);
/// Between looks at a program that may have ended.
const LOOK: Duration = Duration::from_millis(50);
const SIGTERM: i32 = 15;

/// Sockets in the directory in which etcd runs: the addresses of members are URLs with a host and a port.
const ADDRESSES: [&str; 2] = ["unix://client:0", "unix://peer:0"];
/// etcd asks for others to tell to clients and peers, of which there are none.
const NOWHERE: &str = "http://127.0.0.1:1";
const READY: &str = "ready";
const LOG: &str = "etcd.log";
/// Of what etcd says about its own end.
const LONGEST_LINE: usize = 400;

/// What is left of a member.
pub struct Survivor<'s> {
    /// Its data directory, or a copy of it.
    pub data: &'s Path,
    /// Its `wal-dir`, where it had one.
    pub log: Option<&'s Path>,
}

/// A file that etcd reads, below the directory in which it was found.
struct Part<'p> {
    root: &'p Path,
    found: Walked,
    /// Below `member`.
    to: PathBuf,
}

impl Survivor<'_> {
    /// All that was committed as far as this member knows, as a snapshot in `scratch`, which is an empty directory.
    /// Nothing of the member's own is written.
    ///
    /// # Errors
    /// `Exit::Locked` while etcd uses it, `Exit::Unsafe` where it is of another cluster, `Exit::Wrong` where etcd
    /// cannot read it, and of the system.
    pub fn snapshot(&self, bundle: &Bundle, scratch: &Path) -> Result<Plain> {
        let manifest = &bundle.manifest;
        if Some(manifest.etcd.arch) != Arch::host() {
            return Err(Failure::new(
                Exit::Usage,
                format!(
                    "the bundle's etcd is for {} and has to run here, which is {}; do this on a machine of its architecture",
                    manifest.etcd.arch,
                    std::env::consts::ARCH
                ),
            ));
        }
        let parts = self.parts()?;
        let copy = scratch.join("data");
        for part in &parts {
            part.copy(&copy.join("member"))?;
        }
        self.check_cluster(&parts, bundle, &copy)?;
        let program = bundled_program(&bundle.path, manifest, EtcdProgram::Etcd, scratch)?;
        self.read_to_the_end(&program, scratch)?;
        let database = copy.join("member/snap/db");
        with_trailer(&database)?;
        Plain::of(&database)
    }

    /// # Errors
    /// `Exit::Usage` where that is no data directory, `Exit::Locked` where it is in use.
    fn parts(&self) -> Result<Vec<Part<'_>>> {
        let mut all = Vec::new();
        let member = self.data.join("member");
        for found in walk(&member)? {
            let is_wanted = match found.path.to_str().and_then(|path| path.split_once('/')) {
                Some(("snap", name)) => name == "db" || name.ends_with(".snap") || name.ends_with(".snap.db"),
                Some(("wal", name)) => self.log.is_none() && name.ends_with(".wal"),
                _ => false,
            };
            if is_wanted {
                let to = found.path.clone();
                all.push(Part {
                    root: self.data,
                    found: Walked { path: Path::new("member").join(&found.path), ..found },
                    to,
                });
            }
        }
        if let Some(root) = self.log {
            let logs = walk(root)?.into_iter().filter(|found| {
                found.path.extension().is_some_and(|ending| ending == "wal")
                    && found.path.components().count() == 1
            });
            all.extend(logs.map(|found| Part { root, to: Path::new("wal").join(&found.path), found }));
        }
        let has = |of: &str| all.iter().any(|part| part.to.starts_with(of));
        let missing =
            [("snap/db", "member/snap/db", self.data), ("wal", "a log", self.log.unwrap_or(self.data))];
        if let Some((_, what, place)) = missing.iter().find(|(of, _, _)| !has(of)) {
            let way_out = match self.log {
                None => {
                    "; name etcd's data directory, and with --wal-dir the one of its log, if it had one of its own"
                }
                Some(_) => "",
            };
            return Err(Failure::new(
                Exit::Usage,
                format!("{} does not have {what}{way_out}", place.display()),
            ));
        }
        Ok(all)
    }

    fn check_cluster(&self, parts: &[Part<'_>], bundle: &Bundle, copy: &Path) -> Result<()> {
        let cluster = &bundle.manifest.cluster;
        for part in parts.iter().filter(|part| part.to.starts_with("wal")) {
            let at = || part.root.join(&part.found.path);
            let mut begin = Vec::new();
            let mut copied = Input::open(&copy.join("member").join(&part.to))?.take(LOG_BEGIN);
            copied.read_to_end(&mut begin).doing(|| format!("reading {}", at().display()))?;
            let ids = ids_of_log(&begin).ok_or_else(|| {
                Failure::wrong(format!("{} does not begin as a log of etcd's; it is damaged", at().display()))
            })?;
            if ids.cluster.0 != cluster.id.0 {
                return Err(Failure::unsafe_to(format!(
                    "{} is of the cluster {:x}, and the bundle is of {} (generation {}), whose ID is {}: name what is left \
                     of a member of that one, or the bundle that this member ran",
                    self.data.display(),
                    ids.cluster,
                    cluster.name,
                    cluster.generation(),
                    cluster.id
                )));
            }
        }
        Ok(())
    }

    fn read_to_the_end(&self, etcd: &Path, scratch: &Path) -> Result<()> {
        let ready = Datagrams::bind(scratch, READY)?;
        let log = scratch.join(LOG);
        let mut running = alone(etcd, scratch)?.spawn_logging(&log)?;
        let until = Instant::now() + PATIENCE;
        while !ready.next_within(LOOK)?.is_some_and(|said| said.starts_with(b"READY=1")) {
            interrupt::check()?;
            if let Some(ended) = running.ended()? {
                return Err(self.failed(&format!("ended with {ended}"), &log));
            }
            if Instant::now() > until {
                let late = format!("has not read it within {} min", PATIENCE.as_secs() / 60);
                return Err(self.failed(&late, &log));
            }
        }
        match running.terminate(GRACE)? {
            Ended::Code(0) | Ended::Signal(SIGTERM) => Ok(()),
            ended => Err(self.failed(&format!("was ready, and then ended with {ended}"), &log)),
        }
    }

    fn failed(&self, how: &str, log: &Path) -> Failure {
        let (said, _) = disk::read_end(log, 64 << 10).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("nothing").trim();
        let last: String = last.chars().take(LONGEST_LINE).collect();
        Failure::wrong(format!(
            "etcd {how}; it said last: {}. {} is as it was",
            printable(&last),
            self.data.display()
        ))
    }
}

impl Part<'_> {
    fn copy(&self, to: &Path) -> Result<()> {
        let mut from = Input::open_found(self.root, &self.found)?;
        if from.is_locked()? {
            return Err(Failure::new(
                Exit::Locked,
                format!("{} is in use: stop etcd on it first", self.root.join(&self.found.path).display()),
            ));
        }
        let to = to.join(&self.to);
        disk::make_directories(to.parent().unwrap_or(&to), Mode::SECRET_DIRECTORY)?;
        disk::stream_new(&to, Mode::SECRET, |file| {
            digest::each_piece_of(&mut from, |bytes| {
                file.write_all(bytes).doing(|| format!("copying to {}", to.display()))
            })
        })
    }
}

/// Files, at any depth; no link.
fn walk(directory: &Path) -> Result<Vec<Walked>> {
    if !disk::is_directory(directory) {
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "there is no directory {}: name etcd's data directory, with member in it",
                directory.display()
            ),
        ));
    }
    Ok(disk::walk(directory)?.into_iter().filter(|found| found.kind == Kind::File).collect())
}

/// etcd on `data` in the directory, with nobody to talk to: in a network of its own, which has no card, and gone when
/// this program is.
fn alone(etcd: &Path, directory: &Path) -> Result<Program> {
    let mut program = Program::new(process::find("unshare")?).arg("--net");
    if !rustix::process::geteuid().is_root() {
        program = program.args(["--user", "--map-root-user"]);
    }
    let [client, peer] = ADDRESSES;
    Ok(program
        .arg("--")
        .arg(process::find("setpriv")?)
        .args(["--pdeathsig", "KILL", "--"])
        .arg(etcd)
        .args(["--name", "survivor", "--data-dir", "data", "--force-new-cluster"])
        .args(["--listen-client-urls", client, "--advertise-client-urls", NOWHERE])
        .args(["--listen-peer-urls", peer, "--initial-advertise-peer-urls", NOWHERE])
        .env("NOTIFY_SOCKET", READY)
        .inside(directory))
}

/// Makes what etcd hands out as a snapshot of its database: its SHA-256 comes behind it.
fn with_trailer(database: &Path) -> Result<()> {
    let (size, digest) = digest::of_input(&mut Input::open(database)?)?;
    debug_assert_eq!(digest.bytes().len() as u64, TRAILER);
    disk::write_at(database, size, digest.bytes())
}
