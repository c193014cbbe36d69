//! A snapshot as the data of a rehearsal's members, in place of none.

use std::path::Path;
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Gid, Stat, Uid};

use super::together::Cluster;
use crate::bundle::Manifest;
use crate::bundle::manifest::{self, EtcdProgram};
use crate::causes::Fault;
use crate::cluster::{self, Etcdctl, StatusRow};
use crate::disk;
use crate::failure::{Doing, Failure, Result};
use crate::process::Program;
use crate::report::Check;
use crate::verify;

/// Writing a database of 8 GiB, the largest that etcd suggests, on a slow disk.
const PATIENCE: Duration = Duration::from_secs(900);

/// Restores it as the data of a member whose files are in `root`, for the account that its data directory belongs to.
///
/// # Errors
/// `Exit::Wrong` where the bundle has no program for it, `Exit::Io` where that fails.
pub fn restore(root: &Path, cluster: &Cluster, node: &manifest::Node) -> Result<()> {
    let Some(snapshot) = &cluster.snapshot else { return Ok(()) };
    let manifest = &cluster.manifest;
    let options = verify::baked_options(&cluster.bundle, manifest, node)?.unwrap_or_default();
    let of = |flag: &str| options.get(flag).map(|path| path.trim_start_matches('/').to_owned());
    let data = root.join(of("data-dir").ok_or_else(|| Failure::wrong("etcd has no data-dir"))?);
    let owner = rustix::fs::lstat(&data).map_err(std::io::Error::from);
    let owner = owner.doing(|| format!("looking at {}", data.display()))?;
    let program = [EtcdProgram::Etcdutl, EtcdProgram::Etcdctl].into_iter().find_map(|program| {
        manifest.etcd.binaries.get(&program).map(|binary| root.join(binary.path.as_str()))
    });
    let program =
        program.ok_or_else(|| Failure::wrong("the bundle has no program that restores a snapshot"))?;
    let urls = |node: &manifest::Node| node.peer_urls.iter().map(ToString::to_string).collect::<Vec<_>>();
    // The directory itself is there already, which etcdctl 3.4 refuses.
    let apart = root.join("restored");
    let mut call = Program::new(program)
        .env("ETCDCTL_API", "3")
        .args(["snapshot", "restore"])
        .arg(&snapshot.path)
        .args(["--name", node.name.as_str(), "--initial-cluster", &initial_cluster(manifest)])
        .args(["--initial-cluster-token", manifest.cluster.token.as_str()])
        .args(["--initial-advertise-peer-urls", &urls(node).join(",")])
        .arg("--data-dir")
        .arg(&apart)
        .within(PATIENCE);
    let wal = of("wal-dir").map(|wal| root.join(wal));
    if let Some(wal) = &wal {
        call = call.arg("--wal-dir").arg(wal);
    }
    call.must_telling(|said| said.lines().last().unwrap_or_default().to_owned())
        .doing(|| format!("restoring the snapshot as the data of {}", node.name))?;
    let member = |of: &Path| of.join("member");
    rustix::fs::rename(member(&apart), member(&data))
        .map_err(std::io::Error::from)
        .doing(|| format!("moving what was restored to {}", data.display()))?;
    disk::remove_directory(&apart)?;
    for directory in [Some(data), wal].into_iter().flatten() {
        give(&directory, &owner)?;
    }
    Ok(())
}

/// A row for each member: whether it has the revision of the snapshot. None without one.
///
/// # Errors
/// When the manifest's endpoints cannot be used.
pub fn check(cluster: &Cluster, etcdctl: &Etcdctl) -> Result<Vec<Check>> {
    const CHECK: &str = "snapshot restored";
    let Some(snapshot) = &cluster.snapshot else { return Ok(Vec::new()) };
    let endpoints = cluster::endpoints(&cluster.manifest)?;
    let row = |(node, endpoint): (&manifest::Node, &String)| {
        let name = Some(node.name.as_str());
        match etcdctl.ask::<Vec<StatusRow>>(endpoint, &["endpoint", "status"]) {
            Ok(rows) => {
                let found = rows.first().map_or(0, |row| row.status.header.revision);
                let wanted = snapshot.revision;
                let detail = format!("revision {found}");
                match found == wanted {
                    true => Check::ok(CHECK, name, detail),
                    false => Check::failed(
                        CHECK,
                        name,
                        Fault::OtherRevision,
                        format!("{detail}; the snapshot has {wanted}"),
                    ),
                }
            }
            Err(trouble) => Check::failed(CHECK, name, trouble.fault, trouble.said),
        }
    };
    Ok(cluster.manifest.nodes.iter().zip(&endpoints).map(row).collect())
}

fn initial_cluster(manifest: &Manifest) -> String {
    let of = |node: &manifest::Node| {
        let urls = node.peer_urls.iter();
        urls.map(|url| format!("{}={url}", node.name)).collect::<Vec<_>>()
    };
    manifest.nodes.iter().flat_map(of).collect::<Vec<_>>().join(",")
}

/// The directory and all in it; etcdutl writes as whoever runs it.
fn give(directory: &Path, owner: &Stat) -> Result<()> {
    let (user, group) = (Uid::from_raw(owner.st_uid), Gid::from_raw(owner.st_gid));
    let below = disk::walk(directory)?.into_iter().map(|found| directory.join(found.path));
    for path in std::iter::once(directory.to_owned()).chain(below) {
        rustix::fs::chownat(CWD, &path, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(std::io::Error::from)
            .doing(|| format!("giving {} its owner", path.display()))?;
    }
    Ok(())
}
