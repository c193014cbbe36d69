//! What one member has left on its disk, as a snapshot.
//!
//! Its database alone is not enough, because what was written last is only in its log. So etcd itself reads a copy of
//! both to the end: started with `--force-new-cluster`, it drops what was never committed as far as this member knows,
//! and is ready once all before is in the database: it publishes its own name through the log first (`publish` in
//! server/etcdserver/server.go).
//! It has no network, and what it leaves is no member of anything: as it differs from the others
//! (etcd-io/etcd#14009), only the database is used, which a restore takes without members.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kiln_wire::{LOG_BEGIN, ids_of_log};
use rustix::process::Signal;

use super::plain::Plain;
use crate::bundle::Bundle;
use crate::bundle::manifest::EtcdProgram;
use crate::causes::{self, Fault};
use crate::cluster::{bundled_program, refuse_foreign};
use crate::digest;
use crate::disk::{self, Datagrams, Found, Input, Kind, Walked};
use crate::failure::{Doing, Exit, Failure, Result};
use crate::interrupt;
use crate::process::{self, Ended, Program};
use crate::values::{Mode, on_one_line, printable};

/// For a log of any length on a slow disk.
const MAX_REPLAY_TIME: Duration = Duration::from_secs(900);
/// To write the last of the database.
const MAX_STOP_TIME: Duration = Duration::from_secs(120);
/// Between looks at a program that may have ended.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Sockets in the directory in which etcd runs: the addresses of members are URLs with a host and a port.
const ADDRESSES: [&str; 2] = ["unix://client:0", "unix://peer:0"];
/// etcd asks for others to tell to clients and peers, of which there are none.
const UNUSED_URL: &str = "http://127.0.0.1:1";
const READY: &str = "ready";
const LOG: &str = "etcd.log";
/// In characters: of what etcd says about its own end.
const LONGEST_STORY: usize = 400;

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
    /// `Exit::Usage` where that is no data directory, `Exit::Locked` while etcd uses it, `Exit::Unsafe` where it is of
    /// another cluster, `Exit::Wrong` where etcd cannot read it, and of the system.
    pub fn snapshot(&self, bundle: &Bundle, scratch: &Path) -> Result<Plain> {
        let manifest = &bundle.manifest;
        refuse_foreign(manifest, "restore from data")?;
        let parts = self.parts()?;
        // Before gigabytes are copied.
        self.check_cluster(&parts, bundle)?;
        let copy = scratch.join("data");
        for part in &parts {
            part.copy(&copy.join("member"))?;
        }
        // Nobody has begun to write meanwhile.
        parts.iter().try_for_each(|part| part.open().map(drop))?;
        let program = bundled_program(&bundle.path, manifest, EtcdProgram::Etcd, scratch)?;
        self.read_to_the_end(&program, scratch)?;
        Plain::of_database(&copy.join("member/snap/db"))
    }

    fn parts(&self) -> Result<Vec<Part<'_>>> {
        let is_of_snap = |name: &str| name == "db" || name.ends_with(".snap") || name.ends_with(".snap.db");
        let is_segment = |name: &str| name.ends_with(".wal");
        let mut all = files(self.data, "member/snap", "snap", is_of_snap)?;
        if all.iter().all(|part| part.to != Path::new("snap/db")) {
            return Err(Failure::new(
                Exit::Usage,
                format!(
                    "{} has no member/snap/db: name etcd's data directory, or a copy",
                    on_one_line(self.data)
                ),
            ));
        }
        let segments = match self.log {
            None => files(self.data, "member/wal", "wal", is_segment)?,
            Some(log) => files(log, "", "wal", is_segment)?,
        };
        if segments.is_empty() {
            let text = match self.log {
                None => format!(
                    "{} has no log in member/wal: if the member had it elsewhere, name that directory with --wal-dir",
                    on_one_line(self.data)
                ),
                Some(log) => {
                    format!("{} has no *.wal: name etcd's wal-dir itself with --wal-dir", on_one_line(log))
                }
            };
            return Err(Failure::new(Exit::Usage, text));
        }
        all.extend(segments);
        Ok(all)
    }

    /// Whether all of the log is of one member of the bundle's cluster.
    fn check_cluster(&self, parts: &[Part<'_>], bundle: &Bundle) -> Result<()> {
        let cluster = &bundle.manifest.cluster;
        let mut member = None;
        for part in parts.iter().filter(|part| part.to.starts_with("wal")) {
            let mut begin = Vec::new();
            part.open()?
                .take(LOG_BEGIN)
                .read_to_end(&mut begin)
                .doing(|| format!("reading {}", part.shown()))?;
            let ids = ids_of_log(&begin).ok_or_else(|| {
                Failure::wrong(format!("{} is not a segment of etcd's log, or is damaged", part.shown()))
            })?;
            if ids.cluster.0 != cluster.id.0 {
                return Err(Failure::unsafe_to(format!(
                    "{} belongs to the cluster {:x}, and the bundle is of {}, generation {}, whose ID is {}: name the data of \
                     a member of that cluster, or the bundle that this member ran",
                    part.shown(),
                    ids.cluster,
                    cluster.name,
                    cluster.generation(),
                    cluster.id
                )));
            }
            if *member.get_or_insert(ids.member) != ids.member {
                return Err(Failure::wrong(format!(
                    "{} is of another member than the segments before it; name the log of one member",
                    part.shown()
                )));
            }
        }
        Ok(())
    }

    fn read_to_the_end(&self, etcd: &Path, scratch: &Path) -> Result<()> {
        let ready = Datagrams::bind(scratch, READY)?;
        let log = scratch.join(LOG);
        let mut running = alone(etcd, scratch)?.spawn_logging(&log)?;
        let until = Instant::now() + MAX_REPLAY_TIME;
        while !ready.next_within(POLL_INTERVAL)?.is_some_and(|said| said.starts_with(b"READY=1")) {
            interrupt::check()?;
            if let Some(ended) = running.ended()? {
                return Err(self.failed(&format!("ended with {ended}"), &log));
            }
            if Instant::now() > until {
                let late = format!("has not read it within {} min", MAX_REPLAY_TIME.as_secs() / 60);
                return Err(self.failed(&late, &log));
            }
        }
        match running.terminate(MAX_STOP_TIME)? {
            Ended::Code(0) => Ok(()),
            // etcd ends itself with the signal that it was sent (HandleInterrupts in pkg/osutil).
            Ended::Signal(signal) if signal == Signal::TERM.as_raw() => Ok(()),
            ended => Err(self.failed(&format!("was ready, and then ended with {ended}"), &log)),
        }
    }

    fn failed(&self, how: &str, log: &Path) -> Failure {
        let said = match disk::read_end(log, 64 << 10) {
            Ok((said, _)) => String::from_utf8_lossy(&said).into_owned(),
            Err(failure) => return failure,
        };
        let story = causes::tell(&said);
        let lines: String = story.lines.join("; ").chars().take(LONGEST_STORY).collect();
        let lines = if lines.is_empty() { "it said nothing".into() } else { printable(&lines) };
        let not_changed = format!("{} was not changed", on_one_line(self.data));
        if ["unshare: ", "setpriv: "].iter().any(|program| said.starts_with(program)) {
            return Failure::io(format!(
                "etcd cannot be started here, in a network of its own: {lines}. {not_changed}. Do this on a machine where root, \
                 or user namespaces, may do so, and with a TMPDIR that is not mounted noexec"
            ));
        }
        let text = format!("etcd {how}: {lines}. {not_changed}");
        match story.fault {
            Some(Fault::DiskFull) => Failure::io(format!("{text}; TMPDIR can be a directory with more room")),
            _ => Failure::wrong(format!(
                "{text}; name another member's data, or the newest snapshot with --snapshot newest"
            )),
        }
    }
}

impl Part<'_> {
    fn shown(&self) -> String {
        on_one_line(&self.root.join(&self.found.path))
    }

    /// # Errors
    /// `Exit::Locked` while another program has it open to write.
    fn open(&self) -> Result<Input> {
        let input = Input::open_found(self.root, &self.found)?;
        match input.is_locked()? {
            true => {
                Err(Failure::new(Exit::Locked, format!("{} is in use: stop etcd on it first", self.shown())))
            }
            false => Ok(input),
        }
    }

    fn copy(&self, to: &Path) -> Result<()> {
        let mut from = self.open()?;
        let to = to.join(&self.to);
        disk::make_directories(to.parent().unwrap_or(&to), Mode::SECRET_DIRECTORY)?;
        disk::stream_new(&to, Mode::SECRET, |file| {
            digest::each_piece_of(&mut from, |bytes| {
                file.write_all(bytes).doing(|| format!("copying to {}", to.display()))
            })
        })
    }
}

/// The files in a directory `below` root whose names are wanted, and nothing further below.
///
/// # Errors
/// `Exit::Usage` where it is missing, or one of them is no file: without it the rest is another state.
fn files<'p>(root: &'p Path, below: &str, to: &str, is_wanted: fn(&str) -> bool) -> Result<Vec<Part<'p>>> {
    let usage = |text: String| Err(Failure::new(Exit::Usage, text));
    let mut directory = root.to_owned();
    for part in Path::new(below) {
        directory.push(part);
        match disk::look(&directory)? {
            Some(found) if found.kind == Kind::Directory => {}
            Some(_) => {
                return usage(format!(
                    "{} is no directory; name the one that it leads to",
                    on_one_line(&directory)
                ));
            }
            None => {
                return usage(format!(
                    "there is no {}: name etcd's data directory, or a copy",
                    on_one_line(&directory)
                ));
            }
        }
    }
    if disk::look(&directory)?.is_none() {
        return usage(format!("there is no {}", on_one_line(&directory)));
    }
    let mut all = Vec::new();
    for name in disk::list_utf8(&directory)?.into_iter().filter(|name| is_wanted(name)) {
        let path = directory.join(&name);
        let Some(Found { kind, mode, size, owner }) = disk::look(&path)? else { continue };
        if kind != Kind::File {
            return usage(format!("{} is not a file; name a copy in which it is one", on_one_line(&path)));
        }
        let found = Walked { path: Path::new(below).join(&name), kind, mode, size, owner, target: None };
        all.push(Part { root, found, to: Path::new(to).join(&name) });
    }
    Ok(all)
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
        .args(["--listen-client-urls", client, "--advertise-client-urls", UNUSED_URL])
        .args(["--listen-peer-urls", peer, "--initial-advertise-peer-urls", UNUSED_URL])
        // Above its default quota it would raise the alarm NOSPACE while it reads, and the alarm would be restored, too.
        .arg("--quota-backend-bytes=-1")
        .env("NOTIFY_SOCKET", READY)
        .inside(directory))
}
