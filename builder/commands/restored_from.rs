//! What `kiln restore` restores: a snapshot of a node's, a file, or what members have left.

use std::path::{Path, PathBuf};

use super::named;
use super::output::Output;
use super::snapshot_files::{age, copied, decrypted, place};
use crate::backup::{self, Chosen, Plain, Reader, Survivor};
use crate::bundle::Bundle;
use crate::cli;
use crate::clock;
use crate::disk;
use crate::failure::{Doing, Exit, Failure, Result};
use crate::pki::{Keystore, RestoredFrom};
use crate::values::{Epoch, Mode, RestoreFrom, on_one_line};

/// What was read of members' data, in the directory that is made: reading it again gives other bytes, and the run that
/// goes on with a restore needs the same.
pub const KEPT: &str = "from-data.db";

/// What is restored.
pub struct Source {
    pub plain: Plain,
    pub revision: u64,
    /// As messages have it.
    pub called: String,
}

impl Source {
    /// As the keystore counts it.
    pub fn counted(&self, old: &Bundle) -> RestoredFrom {
        RestoredFrom {
            sha256: self.plain.sha256,
            revision: self.revision,
            date: clock::now(),
            release: old.manifest.etcd.version,
        }
    }

    /// Keeps what was read of members' data for a run that goes on with this one.
    ///
    /// # Errors
    /// `Exit::Unsafe` where there is what another run has kept.
    pub fn keep(&self, root: &Path) -> Result<()> {
        let kept = root.join(KEPT);
        if self.plain.path == kept {
            return Ok(());
        }
        if disk::look(&kept)?.is_some() {
            return Err(Failure::unsafe_to(format!(
                "{0} was read by an earlier run that did not come to its end, and may be the only copy: restore it with --snapshot \
                 {0} --accept-unsigned, or move it elsewhere",
                kept.display()
            )));
        }
        disk::make_directories(root, Mode::DIRECTORY)?;
        disk::copy_new(&self.plain.path, &kept, Mode::SECRET)
    }
}

/// `root`: the directory that is made.
///
/// # Errors
/// Where there is no such snapshot, it is damaged, or nobody says that it may be taken.
pub fn source(
    old: &Bundle,
    args: &cli::RestoreCluster,
    root: &Path,
    scratch: &Path,
    out: &Output,
) -> Result<Source> {
    match &args.snapshot {
        None => match begun(old, args, root, scratch, out)? {
            Some(source) => Ok(source),
            None => survived(old, args, scratch, out),
        },
        Some(RestoreFrom::Plain(path)) if !args.accept_unsigned => Err(Failure::unsafe_to(format!(
            "{} has no record that a node of {} has signed, so that it may be anything; name a snapshot of its nodes, or, if \
             you know where the file is from, add --accept-unsigned",
            path.display(),
            old.manifest.cluster.name
        ))),
        Some(RestoreFrom::Plain(path)) => {
            named::refuse_missing(path)?;
            let own = scratch.join("plain.db");
            disk::copy_new(path, &own, Mode::SECRET)?;
            let plain = Plain::of(&own)?;
            let revision = Reader::new(old, scratch)?.revision(&plain)?;
            Ok(Source { plain, revision, called: format!("{}, which no node has signed", path.display()) })
        }
        Some(RestoreFrom::Taken(choice)) => {
            let place = place(old, &args.from)?;
            let Chosen { record, passed, .. } = backup::chosen(&place, &old.manifest, choice, clock::now())?;
            passed.iter().for_each(|why| out.warn(format_args!("passed over {why}")));
            let body = copied(&place, &record, scratch)?;
            let plain = decrypted(old, &body, &record, scratch)?;
            let taken = Epoch::from_seconds(record.taken).unwrap_or(Epoch::START);
            let called = format!("{}, {}", record.name, age(taken, clock::now()));
            Ok(Source { plain, revision: record.revision, called })
        }
    }
}

/// What an earlier run has kept, if the keystore has counted it.
fn begun(
    old: &Bundle,
    args: &cli::RestoreCluster,
    root: &Path,
    scratch: &Path,
    out: &Output,
) -> Result<Option<Source>> {
    let kept = root.join(KEPT);
    if disk::look(&kept)?.is_none() {
        return Ok(None);
    }
    let cluster = &old.manifest.cluster;
    let plain = Plain::of(&kept).doing(|| format!("reading {}", kept.display()))?;
    let revision = Reader::new(old, scratch)?.revision(&plain)?;
    let source = Source { plain, revision, called: "what was read before of members' data".to_owned() };
    let keystore = named::keystore_path(args.inputs.keys.keystore.as_ref(), &cluster.name);
    let is_begun =
        Keystore::open(&keystore, &cluster.name)?.has_begun(&cluster.token, &source.counted(old))?;
    if is_begun {
        out.warn(format_args!(
            "this goes on with the restore from {}, and reads --from-data not again; for other data, first take that one back \
             with kiln restore --abandon",
            kept.display()
        ));
    }
    Ok(is_begun.then_some(source))
}

/// Of what members have left, that with the highest revision: they have the same history, as far as each goes.
fn survived(old: &Bundle, args: &cli::RestoreCluster, scratch: &Path, out: &Output) -> Result<Source> {
    if !args.wal_dir.is_empty() && args.wal_dir.len() != args.from_data.len() {
        let text = "--wal-dir must be given once for each --from-data, in the same order";
        return Err(Failure::new(Exit::Usage, text));
    }
    let reader = Reader::new(old, scratch)?;
    let mut best: Option<Source> = None;
    for (at, data) in args.from_data.iter().enumerate() {
        let shown = on_one_line(data);
        out.say(format_args!("reading a copy of {shown} with etcd {}", old.manifest.etcd.version));
        let survivor = Survivor { data, log: args.wal_dir.get(at).map(PathBuf::as_path) };
        let own = scratch.join(format!("survivor-{at}"));
        disk::make_directories(&own, Mode::SECRET_DIRECTORY)?;
        let plain = survivor.snapshot(old, &own)?;
        let revision = reader.revision(&plain)?;
        out.say(format_args!("{shown} has revision {revision}"));
        let called = format!("what is left in {shown}");
        let other = match &best {
            Some(best) if best.revision >= revision => Some(plain.path),
            _ => best.replace(Source { plain, revision, called }).map(|other| other.plain.path),
        };
        // Each may be as large as the database.
        other.map_or(Ok(()), |other| disk::remove_file(&other))?;
    }
    best.ok_or_else(|| Failure::new(Exit::Usage, "name what to restore with --snapshot or --from-data"))
}
