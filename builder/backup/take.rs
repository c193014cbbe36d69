//! A snapshot taken from here: of the leader, encrypted, and signed with the desk's key.

use std::path::{Path, PathBuf};

use kiln_wire::{BODY, EtcdVersion, Id, Name, RECORD, Record, SCHEMA, SnapshotName};
use ring::signature::Ed25519KeyPair;
use zeroize::Zeroizing;

use super::listing::{DESK, of_bundle};
use super::plain::{Counted, Plain};
use super::reader::{Reader, Status};
use crate::bundle::{Bundle, client_file};
use crate::clock;
use crate::cluster::{self, Etcdctl, Range, StatusRow};
use crate::disk;
use crate::failure::{Doing, Failure, Result};
use crate::interrupt;
use crate::pki::snapshot_signing;
use crate::profile::DESK_KEY;
use crate::values::{Mode, printable};

/// A key's file has some hundred bytes.
const MAX_KEY_BYTES: u64 = 16 << 10;

/// A snapshot in plain, in a private directory.
pub struct Taken {
    plain: Plain,
    status: Status,
    before: Before,
    name: SnapshotName,
    cluster: Name,
}

/// # Errors
/// `Exit::Wrong` where no member leads, or the snapshot is older than what the leader had before; `Exit::Io`.
pub fn take(bundle: &Bundle, etcdctl: &Etcdctl, scratch: &Path) -> Result<Taken> {
    of_bundle(&bundle.manifest)?;
    let endpoint = leader(bundle, etcdctl)?;
    let before = before(etcdctl, &endpoint, bundle.manifest.cluster.id.0)?;
    let taken = clock::now().seconds();
    let plain = save(etcdctl, &endpoint, scratch)?;
    let status = Reader::new(bundle, scratch)?.status(&plain)?;
    if status.revision < before.revision {
        return Err(Failure::wrong(format!(
            "the snapshot holds revision {}, and the leader had {} before it was taken; take another",
            status.revision, before.revision
        )));
    }
    let cluster = word(bundle.manifest.cluster.name.as_str())?;
    let name = SnapshotName::new(cluster.clone(), taken, status.revision, word(DESK)?)
        .ok_or_else(|| Failure::wrong("the clock or the revision is out of range"))?;
    Ok(Taken { plain, status, before, name, cluster })
}

impl Taken {
    /// The highest revision in it.
    pub fn revision(&self) -> u64 {
        self.status.revision
    }

    /// Writes `NAME.db` into a directory, as it is.
    ///
    /// # Errors
    /// `Exit::Unsafe` where it is there already; `Exit::Io`.
    pub fn keep_plain(&self, into: &Path) -> Result<PathBuf> {
        let path = into.join(format!("{}.db", self.name));
        disk::copy_new(&self.plain.path, &path, Mode::SECRET)?;
        Ok(path)
    }

    /// Writes `NAME.db.age` and then `NAME.json` into a directory.
    ///
    /// # Errors
    /// `Exit::Unsafe` where one of them is there already; `Exit::Io`.
    pub fn keep(&self, bundle: &Bundle, into: &Path) -> Result<PathBuf> {
        let snapshots = of_bundle(&bundle.manifest)?;
        let key = signer(bundle)?;
        let recipients = snapshots.recipients.iter().map(|one| one.as_str().parse::<kiln_age::Recipient>());
        let recipients = recipients.collect::<std::result::Result<Vec<_>, _>>();
        let recipients =
            recipients.map_err(|why| Failure::wrong(format!("a recipient of the bundle: {why}")))?;
        let body = into.join(format!("{}{BODY}", self.name));
        let mut written = None;
        disk::stream_new(&body, Mode::SECRET, |to| {
            let mut to = Counted::new(to);
            kiln_age::encrypt(&recipients, disk::Input::open(&self.plain.path)?, &mut to)
                .map_err(|error| Failure::io(error.to_string()))
                .doing(|| format!("encrypting {}", self.name))?;
            written = Some((to.size(), to.digest()));
            Ok(())
        })?;
        let (size, sha256) = written.ok_or_else(|| Failure::io("nothing was written"))?;
        let record = Record {
            schema: SCHEMA,
            cluster: self.cluster.clone(),
            cluster_id: Id(self.before.cluster_id),
            generation: bundle.manifest.cluster.generation(),
            node: word(DESK)?,
            member_id: Id(self.before.member_id),
            taken: self.name.taken(),
            revision: self.status.revision,
            etcd: self.before.version.clone(),
            name: self.name.clone(),
            size,
            sha256: kiln_wire::Digest(*sha256.bytes()),
            plain_size: self.plain.size,
            plain_sha256: kiln_wire::Digest(*self.plain.sha256.bytes()),
            hash: self.status.hash,
            recipients: snapshots.recipients.clone(),
        };
        let envelope = kiln_wire::seal(&record, &key).map_err(|why| Failure::wrong(why.to_string()))?;
        disk::write_new(&into.join(format!("{}{RECORD}", self.name)), &envelope, Mode::FILE)?;
        Ok(body)
    }
}

fn word(text: &str) -> Result<Name> {
    Name::try_from(text.to_owned()).map_err(|why| Failure::io(format!("{text:?}: {why}")))
}

fn signer(bundle: &Bundle) -> Result<Ed25519KeyPair> {
    let file = bundle.path.join(client_file(DESK_KEY));
    let reading = || format!("reading {}", file.display());
    let pem = Zeroizing::new(disk::read(&file, MAX_KEY_BYTES).doing(reading)?);
    snapshot_signing(&pem).doing(reading)
}

/// What a member says of itself before a snapshot is taken of it.
struct Before {
    cluster_id: u64,
    member_id: u64,
    revision: u64,
    version: EtcdVersion,
}

/// The leader alone surely has everything: a follower that is cut off gives an old snapshot, with exit code 0.
fn leader(bundle: &Bundle, etcdctl: &Etcdctl) -> Result<String> {
    let endpoints = cluster::endpoints(&bundle.manifest)?;
    let leader = etcdctl.leader(&endpoints);
    interrupt::check()?;
    leader.ok_or_else(|| {
        Failure::wrong(format!(
            "no member of {} says that it leads, so that a snapshot could be old: {}",
            bundle.manifest.cluster.name,
            endpoints.join(", ")
        ))
    })
}

fn before(etcdctl: &Etcdctl, endpoint: &str, cluster_id: u64) -> Result<Before> {
    let asking = || format!("asking {endpoint}");
    let trouble = |trouble: cluster::Trouble| Failure::wrong(trouble.said).while_doing(asking());
    let rows: Vec<StatusRow> = asked(etcdctl.ask(endpoint, &["endpoint", "status"]))?.map_err(trouble)?;
    let row = rows.into_iter().next().ok_or_else(|| Failure::wrong("it says nothing of itself"))?;
    let found = row.status.header.cluster_id;
    if found != cluster_id {
        return Err(Failure::wrong(format!(
            "{endpoint} serves the cluster {}, and this bundle is of {}; name the bundle that its nodes run",
            cluster::hex_id(found),
            cluster::hex_id(cluster_id)
        )));
    }
    if let Some(error) = row.status.errors.first() {
        return Err(Failure::wrong(format!("{endpoint} has an error or an alarm: {}", printable(error))));
    }
    // Linearizable: answered only by a leader that still is one.
    let read: Range = asked(etcdctl.ask(endpoint, &["get", "kiln/snapshot"]))?.map_err(trouble)?;
    let version = EtcdVersion::try_from(row.status.version.clone())
        .map_err(|why| Failure::wrong(format!("{:?}: {why}", printable(&row.status.version))))?;
    let header = row.status.header;
    Ok(Before {
        cluster_id: header.cluster_id,
        member_id: header.member_id,
        revision: read.header.revision,
        version,
    })
}

/// # Errors
/// `Exit::Interrupted`: then nothing is to be said of the member.
fn asked<T>(answered: cluster::Answered<T>) -> Result<cluster::Answered<T>> {
    interrupt::check().map(|()| answered)
}

fn save(etcdctl: &Etcdctl, endpoint: &str, scratch: &Path) -> Result<Plain> {
    let path = scratch.join("snapshot.db");
    etcdctl.save(endpoint, &path)?;
    Plain::of(&path)
}
