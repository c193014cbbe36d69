//! `prepare`: the snapshot becomes a data directory beside the one that etcd uses, which is not touched.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use kiln_wire::{Digest, LogIds, Restore};
use rustix::fs::{Mode, OFlags};

use super::attached::Attached;
use super::dir::Dir;
use super::judge::{State, judge};
use super::log::segments;
use super::place::{PREPARING, Place};
use super::staged;
use crate::disk::own;
use crate::failure::{Failure, Result};
use crate::large;
use crate::snapshot::command::Program;
use crate::snapshot::trailer::{sound, whole};
use crate::steps::reached;

/// Writing a database of 8 GiB, the largest that etcd suggests, on a slow disk.
const PATIENCE: Duration = Duration::from_secs(3600);
/// A segment of etcd's log.
const SEGMENT: u64 = 64 << 20;

/// Where the snapshot is.
pub enum Snapshot<'s> {
    /// A file of root's.
    At(&'s Path),
    /// On a disk.
    Attached(&'s Attached),
}

/// What was done is returned, as said after the node's name.
///
/// # Errors
/// Why not; etcd's data is as it was.
pub fn prepare(place: &Place<'_>, orders: Digest, snapshot: &Snapshot<'_>) -> Result<String> {
    let policy = place.policy;
    match judge(place)? {
        State::Switched => {
            return Ok(format!("is switched to generation {} already", policy.generation));
        }
        State::Switching(_) => {
            return Err(Failure::new("the switch has begun; end it: kiln-node restore switch"));
        }
        State::Before(_) => place.can_rename()?,
    }
    if staged::is_prepared(place, orders)? {
        return Ok(format!("has prepared generation {} already", policy.generation));
    }
    let program = check_program(policy)?;
    let from = match snapshot {
        Snapshot::At(path) => {
            let from = check(policy, path)?;
            staged::clear(place)?;
            room(place, 0)?;
            from
        }
        Snapshot::Attached(disk) => {
            staged::clear(place)?;
            room(place, policy.snapshot.size)?;
            let from = disk.snapshot(place)?;
            is_meant(policy, &from, "the snapshot that is attached")?;
            from
        }
    };
    reached("checked");
    let made = make(place, orders, [&program, &from]);
    if made.is_err() {
        // What cannot be removed now is removed by the next run.
        let _ = staged::clear(place);
    }
    made.map(|()| {
        format!(
            "has prepared generation {} of {} from the snapshot of revision {}; etcd's own data is unchanged until \
             kiln-node restore switch",
            policy.generation, policy.cluster, policy.snapshot.revision
        )
    })
}

/// The snapshot, if it is the one of the orders.
fn check(policy: &Restore, path: &Path) -> Result<File> {
    let (file, size) = large::open(path)?;
    if size != policy.snapshot.size {
        return Err(Failure::new(format!(
            "{}: it has {size} bytes, and the snapshot of the orders {}",
            path.display(),
            policy.snapshot.size
        )));
    }
    is_meant(policy, &file, &path.display().to_string())?;
    Ok(file)
}

/// Whether the file, of the size that the orders say, is sound and theirs.
fn is_meant(policy: &Restore, file: &File, name: &str) -> Result<()> {
    let size = policy.snapshot.size;
    match sound(file, size).map_err(|why| Failure::new(format!("{name}: {why}")))? == policy.snapshot.sha256 {
        true => Ok(()),
        false => Err(Failure::new(format!("{name}: it is another snapshot than the orders are for"))),
    }
}

/// etcd's program, if it is the one of the orders. It is run by its open file, so that no other one is.
fn check_program(policy: &Restore) -> Result<File> {
    let path = Path::new(policy.program.as_str());
    let failed = |error: rustix::io::Errno| Failure::io("opening", path, &error.into());
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::RDONLY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(failed)?);
    let found = rustix::fs::fstat(&file).map_err(failed)?;
    let wrong =
        |why: &str| Failure::new(format!("{} {why}; deliver this node's files again", path.display()));
    if found.st_uid != own() || found.st_mode & 0o022 != 0 {
        return Err(wrong("can be changed by other accounts than root"));
    }
    let (_, digest) = whole(&file).map_err(|error| Failure::io("reading", path, &error))?;
    match digest == policy.program_sha256 {
        true => Ok(file),
        false => Err(wrong("is another program than the orders are for")),
    }
}

/// The database is written once, and grows when etcd opens it; its log begins with a segment, and etcd prepares the
/// next. `more`: bytes beside it.
fn room(place: &Place<'_>, more: u64) -> Result<()> {
    let database = place.policy.snapshot.size.saturating_mul(2).saturating_add(SEGMENT).saturating_add(more);
    for side in &place.sides {
        let needed = if side.is_log { 2 * SEGMENT } else { database };
        let free = side.dir.free()?;
        if free < needed {
            return Err(Failure::new(format!(
                "{} has {free} bytes free, and {needed} are needed beside etcd's data, which stays; make room there",
                side.dir.path().display()
            )));
        }
    }
    Ok(())
}

fn make(place: &Place<'_>, orders: Digest, files: [&File; 2]) -> Result<()> {
    let tops = staged::make(place)?;
    reached("begun");
    restore(place, &tops, files)?;
    reached("restored");
    for side in &place.sides {
        let made = side.staged(PREPARING)?.ok_or_else(|| incomplete(place.policy))?;
        check_made(place.policy, &made, side.is_log || place.sides.len() == 1, !side.is_log)?;
        made.give(place.owner)?;
        if let Some(parent) = side.made_in(PREPARING)? {
            parent.sync()?;
        }
    }
    reached("given");
    staged::finish(place, &tops, orders)
}

fn incomplete(policy: &Restore) -> Failure {
    Failure::new(format!(
        "{} has not made what a member of cluster {} begins with; nothing was changed",
        policy.program, policy.cluster_id
    ))
}

/// What was made is the log of the member, or its database, or both.
fn check_made(policy: &Restore, made: &Dir, has_log: bool, has_database: bool) -> Result<()> {
    let within = |name: &str| made.sub(name)?.ok_or_else(|| incomplete(policy));
    let wanted = LogIds { member: policy.member_id, cluster: policy.cluster_id };
    if has_log {
        let found = match has_database {
            true => segments(&within("wal")?)?,
            false => segments(made)?,
        };
        if found != [wanted] {
            return Err(match found.first() {
                Some(ids) => Failure::new(format!(
                    "{} has made member {} of cluster {}, and the orders are for {} of {}; nothing was changed",
                    policy.program, ids.member, ids.cluster, wanted.member, wanted.cluster
                )),
                None => incomplete(policy),
            });
        }
    }
    match has_database && within("snap")?.file("db")?.is_none() {
        true => Err(incomplete(policy)),
        false => Ok(()),
    }
}

/// Runs etcd's program in the first directory. It gets the others by their open files, so that none of its paths leads
/// through a directory that another account can change.
fn restore(place: &Place<'_>, tops: &[Dir], [program, from]: [&File; 2]) -> Result<()> {
    let policy = place.policy;
    let shared = |fd: rustix::io::Result<OwnedFd>| {
        fd.map_err(|error| Failure::new(format!("sharing a file with {}: {error}", policy.program)))
    };
    let snapshot = shared(rustix::io::dup(from))?;
    let log = tops.get(1).map(|top| shared(rustix::io::dup(top.fd()))).transpose()?;
    let url = policy.peer_url().map(ToString::to_string).unwrap_or_default();
    let members: Vec<_> =
        policy.members.iter().map(|member| format!("{}={}", member.name, member.peer_url)).collect();
    let mut arguments: Vec<String> = [
        "snapshot",
        "restore",
        &path(snapshot.as_fd()),
        "--name",
        policy.node.as_str(),
        "--initial-cluster",
        &members.join(","),
        "--initial-cluster-token",
        policy.token.as_str(),
        "--initial-advertise-peer-urls",
        &url,
        "--data-dir",
        "data",
    ]
    .map(str::to_owned)
    .into();
    if let Some(log) = &log {
        arguments.extend(["--wal-dir".to_owned(), format!("{}/wal", path(log.as_fd()))]);
    }
    if let Some(bump) = policy.bump {
        arguments.extend(["--bump-revision".to_owned(), bump.to_string(), "--mark-compacted".to_owned()]);
    }
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let (directory, file) = (path(tops[0].fd()), path(program.as_fd()));
    let program = Program { file: &file, name: policy.program.as_str(), directory: &directory };
    program.run(&arguments, PATIENCE).map(|_| ())
}

/// Of an open file, for this process and those that it starts.
fn path(file: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}
