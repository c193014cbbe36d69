//! The state of a bundle's machines, in a directory beside the bundle: `out/.ha3.machines` for `out/ha3`. The bundle
//! itself is not modified.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::memory::Memory;
use super::plain::plain;
use super::record::{MachinesRecord, Started};
use crate::bundle::{Bundle, Manifest};
use crate::disk::{self, Directory, Kind, Lock};
use crate::etcd::ids::ClusterId;
use crate::failure::{Doing, Failure, Result};
use crate::values::{Mode, NodeName};

const RECORD: &str = "machines.json";
const ENDING: &str = ".machines";
const MAX_RECORD_BYTES: u64 = 16 << 20;

/// The number of bytes read from the end of a console.
const MAX_CONSOLE_BYTES: u64 = 64 << 10;

/// A bundle's machines, as `up` left them.
pub struct State {
    /// Disks, consoles and the record; beside the bundle, and private to its user.
    pub directory: PathBuf,
    /// As read; [`State::save`] writes it back.
    pub record: MachinesRecord,
}

/// A state that no other run changes until this is dropped.
pub struct Held {
    pub state: State,
    _lock: Lock,
}

/// The directory of a bundle's machines.
///
/// # Errors
/// `Exit::Io` when the bundle's path does not end in a name, such as `..`.
pub fn directory(bundle: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(bundle).doing(|| format!("finding {}", bundle.display()))?;
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok(parent.join(format!(".{}{ENDING}", name.display()))),
        _ => {
            Err(Failure::io(format!("{} has no name; name the bundle's directory itself", bundle.display())))
        }
    }
}

/// Excludes a second `up` or `down`.
pub fn lock(directory: &Path) -> Result<Lock> {
    Lock::exclusive(&directory.join("lock"))
}

/// `None` where there is no record.
fn read(directory: &Path) -> Result<Option<MachinesRecord>> {
    let file = directory.join(RECORD);
    if disk::look(&file)?.is_none() {
        return Ok(None);
    }
    let record = MachinesRecord::from_json(&disk::read(&file, MAX_RECORD_BYTES)?);
    record.map(Some).doing(|| format!("reading {}", file.display()))
}

/// Machines of the same cluster in the directory of another bundle.
struct Elsewhere {
    directory: PathBuf,
    record: MachinesRecord,
    /// The bundle that the directory is beside.
    bundle: PathBuf,
    /// Whether that bundle still exists: otherwise it was renamed or moved.
    is_there: bool,
}

/// Those beside this one, and those that the host has recorded.
fn elsewhere(own: &Path, cluster_id: ClusterId) -> Result<Vec<Elsewhere>> {
    let Some(parent) = own.parent() else { return Ok(Vec::new()) };
    let beside = disk::list_utf8(parent)?.into_iter().map(|name| parent.join(name));
    let directories: BTreeSet<_> = beside.chain(Memory::of_user().machines(cluster_id)).collect();
    let mut all = Vec::new();
    for directory in directories {
        let Some(bundle) = bundle_of(&directory).filter(|_| directory != own) else { continue };
        // An unreadable one does not concern this bundle.
        let Ok(Some(record)) = read(&directory) else { continue };
        if record.names.id == cluster_id {
            let is_there = match Bundle::open(&bundle) {
                Ok(there) => there.manifest.cluster.id == cluster_id,
                Err(_) => disk::look(&bundle)?.is_some(),
            };
            all.push(Elsewhere { directory, record, bundle, is_there });
        }
    }
    Ok(all)
}

/// The reverse of `directory`.
fn bundle_of(machines: &Path) -> Option<PathBuf> {
    let name = machines.file_name()?.to_str()?.strip_prefix('.')?.strip_suffix(ENDING)?;
    (!name.is_empty()).then(|| machines.with_file_name(name))
}

impl State {
    /// The machines of this bundle: those beside it, or those of its cluster that were started before the bundle was
    /// renamed or moved. `None` when there are none.
    ///
    /// # Errors
    /// `Exit::Unsafe` when another bundle has the machines of this cluster; `Exit::Wrong` for a record that neither
    /// this nor an earlier version of Kiln writes.
    pub fn open(bundle: &Bundle) -> Result<Option<Self>> {
        let own = directory(&bundle.path)?;
        let cluster = &bundle.manifest.cluster;
        let beside = read(&own)?.map(|record| Self { directory: own.clone(), record });
        if beside.as_ref().is_some_and(|state| state.record.names.id == cluster.id) {
            return Ok(beside);
        }
        let mut found = elsewhere(&own, cluster.id)?;
        if found.len() == 1 && !found[0].is_there {
            let Elsewhere { directory, record, .. } = found.remove(0);
            return Ok(Some(Self { directory, record }));
        }
        if found.is_empty() {
            // Those beside it are of a bundle that this one has replaced.
            return Ok(beside);
        }
        let places: Vec<_> = found.iter().map(|one| one.directory.display().to_string()).collect();
        let way_out = match found.iter().find(|one| one.is_there) {
            Some(one) => format!("name that bundle: {}", one.bundle.display()),
            None => "rename the bundle back to the name that these VMs were started with".to_owned(),
        };
        Err(Failure::unsafe_to(format!(
            "the VMs of cluster {} with the ID {} are in {}; {way_out}",
            cluster.name,
            cluster.id,
            places.join(" and ")
        )))
    }

    /// The same, or an error that says how to start machines.
    pub fn need(bundle: &Bundle) -> Result<Self> {
        let cluster = &bundle.manifest.cluster;
        Self::open(bundle)?.ok_or_else(|| {
            Failure::wrong(format!(
                "no VMs of cluster {} with the ID {} were started on this host; start them with kiln up {}",
                cluster.name,
                cluster.id,
                bundle.path.display()
            ))
        })
    }

    /// The same, locked against another `up` or `down`.
    ///
    /// # Errors
    /// As [`State::need`]; `Exit::Locked` when another run holds the lock.
    pub fn hold(bundle: &Bundle) -> Result<Held> {
        let lock = lock(&Self::need(bundle)?.directory)?;
        // Another run may have changed or removed it before it was locked.
        Ok(Held { state: Self::need(bundle)?, _lock: lock })
    }

    /// The existing state, when it was made in the same way and for the same cluster; otherwise a new one, not yet
    /// saved. `has_address`: whether the wanted driver has an address to connect to.
    ///
    /// # Errors
    /// `Exit::Unsafe` when the existing disks are another cluster's, or were made in another way.
    pub fn begin(bundle: &Bundle, wanted: MachinesRecord, has_address: bool) -> Result<Self> {
        let Some(state) = Self::open(bundle)? else {
            return Ok(Self { directory: directory(&bundle.path)?, record: wanted });
        };
        let there = &state.record;
        if there.names.id != wanted.names.id || there.names.cluster != wanted.names.cluster {
            return Err(Failure::unsafe_to(format!(
                "{} has the VMs of cluster {} with the ID {}, but {} is cluster {} with the ID {}; use the bundle \
                 that they were started from, or build this one under another name (--out)",
                state.directory.display(),
                there.names.cluster,
                there.names.id,
                bundle.path.display(),
                wanted.names.cluster,
                wanted.names.id,
            )));
        }
        let elsewhere = has_address && there.driver == wanted.driver && there.connect != wanted.connect;
        if (&there.driver, there.carrier) != (&wanted.driver, wanted.carrier) || elsewhere {
            let (driver, carrier) = (&there.driver, there.carrier);
            let connect = match elsewhere {
                true => format!(" --connect {}", there.connect),
                false => String::new(),
            };
            return Err(Failure::unsafe_to(format!(
                "this bundle's VMs in {} were created with --driver {driver} --carrier {carrier}{connect}; continue with \
                 kiln up {} --driver {driver} --carrier {carrier}{connect}",
                state.directory.display(),
                bundle.path.display(),
            )));
        }
        there.refuse_move(&wanted, &bundle.path)?;
        let MachinesRecord { names, laid, laid_at, nodes, mut places, .. } = state.record;
        // Also those of nodes that the bundle no longer has.
        places.extend(wanted.places);
        let record = MachinesRecord { names, laid, laid_at, nodes, places, ..wanted };
        Ok(Self { directory: state.directory, record })
    }

    /// Writes the record atomically, and its path into the user's record of machines.
    ///
    /// # Errors
    /// `Exit::Io` when the record cannot be written.
    pub fn save(&self) -> Result<()> {
        disk::write_whole(&self.directory.join(RECORD), &self.record.to_json()?, Mode::SECRET)
    }

    /// Remembers of nodes what was remembered before, because nothing was begun with them.
    pub(crate) fn take_back(
        &mut self,
        nodes: &[&NodeName],
        before: &BTreeMap<NodeName, Started>,
    ) -> Result<()> {
        for node in nodes {
            match before.get(*node) {
                Some(was) => self.record.nodes.insert((*node).clone(), was.clone()),
                None => self.record.nodes.remove(*node),
            };
        }
        self.save()
    }

    /// The directory, for `forget`, when it contains only what `up` makes: it may be a link to a disk with other files
    /// on it.
    ///
    /// # Errors
    /// `Exit::Unsafe` with the names of other files.
    pub fn to_forget(&self, manifest: &Manifest) -> Result<Directory> {
        let nodes = self.nodes(manifest);
        let is_own = |name: &str| {
            let name = name.strip_prefix('.').and_then(|name| name.strip_suffix(".partial")).unwrap_or(name);
            [RECORD, "ip-batch", "lock", "network.xml", "nodes"].contains(&name)
                || self.record.names.by_name && nodes.iter().any(|node| node.as_str() == name)
        };
        // Resolved, because it may be a link, for example to a larger disk.
        let held = Directory::open(&disk::resolved(&self.directory))?;
        let strangers: Vec<_> = held
            .entries()?
            .into_iter()
            .map(|(name, _)| name.to_string_lossy().into_owned())
            .filter(|name| !is_own(name))
            .collect();
        match strangers.is_empty() {
            true => Ok(held),
            false => Err(Failure::unsafe_to(format!(
                "{} contains files not created by kiln up: {}; move them elsewhere, so that only the VMs' disks are \
                 removed",
                held.path().display(),
                strangers.join(", ")
            ))),
        }
    }

    /// Removes the directory with all disks in it. Returns the targets of links in it, which are kept.
    pub fn forget(&self, held: &Directory) -> Result<Vec<PathBuf>> {
        let real = held.path();
        let links = disk::walk(real)?.into_iter().filter_map(|entry| {
            let target = entry.target?;
            let at = real.join(&entry.path);
            Some(at.parent().unwrap_or(real).join(target))
        });
        let mut behind = Vec::new();
        for target in links {
            if disk::look(&target)?.is_some() {
                behind.push(target);
            }
        }
        held.remove_itself()?;
        Memory::of_user().forget_machines(self.record.names.id);
        if disk::look(&self.directory)?.is_some_and(|found| found.kind == Kind::Link) {
            disk::remove_file(&self.directory)?;
        }
        Ok(behind)
    }

    /// The nodes that may have a machine here: those that were started, whatever nodes the bundle has now. Kiln 0.1
    /// recorded only those that had formed.
    pub fn nodes(&self, manifest: &Manifest) -> BTreeSet<NodeName> {
        let mut all: BTreeSet<_> = self.record.nodes.keys().cloned().collect();
        if self.record.names.by_name {
            all.extend(manifest.nodes.iter().map(|node| node.name.clone()));
        }
        all
    }

    /// A node's own directory: its disks, its console, and the files that it is started from.
    pub fn node(&self, name: &NodeName) -> PathBuf {
        match self.record.names.by_name {
            // The layout of Kiln 0.1.
            true => self.directory.join(name.as_str()),
            false => self.directory.join("nodes").join(name.as_str()),
        }
    }

    /// The console output of this node's machine since it was made.
    pub fn console(&self, name: &NodeName) -> PathBuf {
        self.node(name).join("console.log")
    }

    /// Whether the host has recorded that this node's member has served: its disk must not come back empty.
    pub fn has_formed(&self, name: &NodeName) -> bool {
        self.record.nodes.get(name).is_some_and(|started| started.formed)
    }

    /// Records that a node's member serves.
    pub fn note_formed(&mut self, name: &NodeName) -> Result<()> {
        let started = self.record.nodes.entry(name.clone()).or_default();
        match std::mem::replace(&mut started.formed, true) {
            true => Ok(()),
            false => self.save(),
        }
    }

    /// Whether the machine of a node has a disk with what its member is restored from.
    pub fn has_restore_disk(&self, name: &NodeName) -> bool {
        self.record.nodes.get(name).is_some_and(|started| started.restores)
    }

    /// Records that it has none any more.
    pub fn note_restore_disk_gone(&mut self, name: &NodeName) -> Result<()> {
        match self.record.nodes.get_mut(name).map(|started| std::mem::take(&mut started.restores)) {
            Some(true) => self.save(),
            _ => Ok(()),
        }
    }

    /// Begins a new console file with the machine; the previous one is kept beside it.
    pub fn begin_console(&self, name: &NodeName) -> Result<()> {
        let console = self.console(name);
        match disk::look(&console)? {
            Some(_) => disk::rename(&console, &console.with_extension("before.log")),
            None => Ok(()),
        }
    }

    /// The last lines of a node's console, made printable: a guest may write anything there.
    ///
    /// # Errors
    /// `Exit::Io`, also where the console belongs to libvirt and this account may not read it.
    pub fn console_end(&self, name: &NodeName, lines: usize) -> Result<Vec<String>> {
        let text = self.console_text(name)?;
        let all: Vec<_> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        Ok(all[all.len().saturating_sub(lines)..].iter().map(|line| (*line).to_owned()).collect())
    }

    /// The last message of Kiln's units about a node on its console, without the node's name; `None` where the console
    /// is not read.
    pub fn said(&self, name: &NodeName) -> Option<String> {
        let text = self.console_text(name).ok()?;
        let of_it = |line: &str| {
            // systemd or the kernel may have been in the middle of a line.
            let (_, said) = line.split_once(&format!("kiln: {name} "))?;
            Some(said.trim_end().to_owned())
        };
        text.lines().rev().find_map(of_it)
    }

    fn console_text(&self, name: &NodeName) -> Result<String> {
        let file = self.console(name);
        if disk::look(&file)?.is_none() {
            return Ok(String::new());
        }
        let (bytes, begin) = disk::read_end(&file, MAX_CONSOLE_BYTES)?;
        let text = plain(&bytes);
        // The first line may be incomplete, and begin within an escape sequence.
        Ok(match text.split_once('\n') {
            Some((_, rest)) if begin > 0 => rest.to_owned(),
            _ => text,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_remembered_beside_the_bundle() {
        assert_eq!(directory(Path::new("/srv/out/ha3")).unwrap(), Path::new("/srv/out/.ha3.machines"));
        assert_eq!(directory(Path::new("/srv/out/ha3/.")).unwrap(), Path::new("/srv/out/.ha3.machines"));
        assert!(directory(Path::new("/")).is_err());
        assert!(directory(Path::new("a/..")).is_err());
        let back = |path: &str| bundle_of(Path::new(path));
        assert_eq!(back("/srv/out/.ha3.machines").as_deref(), Some(Path::new("/srv/out/ha3")));
        assert_eq!((back("/srv/out/..machines"), back("/srv/ha3.machines"), back("/")), (None, None, None));
    }
}
