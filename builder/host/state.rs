//! What `up` keeps of a bundle's machines, in a directory beside the bundle: `out/.ha3.machines` for `out/ha3`.
//! A bundle stays as it was built.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::plain::plain;
use super::record::Record;
use crate::bundle::{Bundle, Manifest};
use crate::disk::{self, Directory, Kind, Lock};
use crate::etcd::ids::ClusterId;
use crate::failure::{Doing, Failure, Result};
use crate::values::{Mode, NodeName};

const RECORD: &str = "machines.json";
const ENDING: &str = ".machines";
const LIMIT: u64 = 16 << 20;

/// As much of a console's end as is looked at, in bytes.
const CONSOLE: u64 = 64 << 10;

/// A bundle's machines, as `up` left them.
pub struct State {
    pub directory: PathBuf,
    pub record: Record,
}

/// Where a bundle's machines are remembered.
///
/// # Errors
/// `Exit::Io` when the bundle's path has no name to take, such as `..`.
pub fn directory(bundle: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(bundle).doing(|| format!("finding {}", bundle.display()))?;
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok(parent.join(format!(".{}{ENDING}", name.display()))),
        _ => {
            Err(Failure::io(format!("{} has no name; name the bundle's directory itself", bundle.display())))
        }
    }
}

/// Keeps a second `up` or `down` away.
pub fn lock(directory: &Path) -> Result<Lock> {
    Lock::exclusive(&directory.join("lock"))
}

/// `None` where there is no record.
fn read(directory: &Path) -> Result<Option<Record>> {
    let file = directory.join(RECORD);
    if disk::look(&file)?.is_none() {
        return Ok(None);
    }
    let record = Record::from_json(&disk::read(&file, LIMIT)?);
    record.map(Some).doing(|| format!("reading {}", file.display()))
}

/// Machines of the same cluster that another name's directory beside the bundle has.
struct Elsewhere {
    directory: PathBuf,
    record: Record,
    /// The bundle of that name.
    bundle: PathBuf,
    /// Whether something of that name is still there: else it was renamed.
    is_there: bool,
}

fn elsewhere(own: &Path, cluster_id: ClusterId) -> Result<Vec<Elsewhere>> {
    let Some(parent) = own.parent() else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for name in disk::list_utf8(parent)? {
        let Some(bundle) = name.strip_prefix('.').and_then(|rest| rest.strip_suffix(ENDING)) else {
            continue;
        };
        let directory = parent.join(&name);
        if directory == own || bundle.is_empty() {
            continue;
        }
        // One that cannot be read is not this bundle's trouble.
        let Ok(Some(record)) = read(&directory) else { continue };
        if record.names.id == cluster_id {
            let bundle = parent.join(bundle);
            let is_there = disk::look(&bundle)?.is_some();
            all.push(Elsewhere { directory, record, bundle, is_there });
        }
    }
    Ok(all)
}

impl State {
    /// The machines of this bundle: those beside it, or those of its cluster that were started before the bundle was
    /// renamed. `None` when there are none.
    ///
    /// # Errors
    /// `Exit::Unsafe` when another bundle beside it has the machines of this cluster; `Exit::Wrong` for a record that no
    /// Kiln up to this one writes.
    pub fn open(bundle: &Bundle) -> Result<Option<Self>> {
        let own = directory(&bundle.path)?;
        if let Some(record) = read(&own)? {
            return Ok(Some(Self { directory: own, record }));
        }
        let cluster = &bundle.manifest.cluster;
        let mut found = elsewhere(&own, cluster.id)?;
        if found.len() == 1 && !found[0].is_there {
            let Elsewhere { directory, record, .. } = found.remove(0);
            return Ok(Some(Self { directory, record }));
        }
        if found.is_empty() {
            return Ok(None);
        }
        let places: Vec<_> = found.iter().map(|one| one.directory.display().to_string()).collect();
        let way_out = match found.iter().find(|one| one.is_there) {
            Some(one) => format!("name that bundle: {}", one.bundle.display()),
            None => "rename the bundle back to the name that these machines were started with".to_owned(),
        };
        Err(Failure::unsafe_to(format!(
            "the machines of cluster {} with the ID {} are in {}; {way_out}",
            cluster.name,
            cluster.id,
            places.join(" and ")
        )))
    }

    /// The same, or a sentence about where machines come from.
    pub fn need(bundle: &Bundle) -> Result<Self> {
        let cluster = &bundle.manifest.cluster;
        Self::open(bundle)?.ok_or_else(|| {
            Failure::wrong(format!(
                "no VMs of cluster {} with the ID {} were started from {} or beside it; start them with kiln up {2}",
                cluster.name,
                cluster.id,
                bundle.path.display()
            ))
        })
    }

    /// What is there already, when it was made in the same way and for the same cluster; otherwise new, and not saved yet.
    /// `has_address`: whether the wanted driver is reached by one.
    ///
    /// # Errors
    /// `Exit::Unsafe` when the disks that are there are another cluster's, or were made in another way.
    pub fn begin(bundle: &Bundle, wanted: Record, has_address: bool) -> Result<Self> {
        let Some(state) = Self::open(bundle)? else {
            return Ok(Self { directory: directory(&bundle.path)?, record: wanted });
        };
        let there = &state.record;
        if there.names.id != wanted.names.id || there.names.cluster != wanted.names.cluster {
            return Err(Failure::unsafe_to(format!(
                "{} has the machines of cluster {} with the ID {}, and {} is cluster {} with the ID {}; bring the \
                 bundle that they were started from, or build this one under another name (--out)",
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
                "this bundle's machines in {} were made with --driver {driver} --carrier {carrier}{connect}; continue with \
                 kiln up {} --driver {driver} --carrier {carrier}{connect}",
                state.directory.display(),
                bundle.path.display(),
            )));
        }
        let Record { names, laid, nodes, .. } = state.record;
        Ok(Self { directory: state.directory, record: Record { names, laid, nodes, ..wanted } })
    }

    pub fn save(&self) -> Result<()> {
        disk::write_whole(&self.directory.join(RECORD), &self.record.to_json()?, Mode::SECRET)
    }

    /// The directory, for `forget`, when nothing but what `up` makes is in it: it may be a link to a disk with other things on
    /// it.
    ///
    /// # Errors
    /// `Exit::Unsafe` with the names of what else is there.
    pub fn to_forget(&self, manifest: &Manifest) -> Result<Directory> {
        let nodes = self.nodes(manifest);
        let is_own = |name: &str| {
            let name = name.strip_prefix('.').and_then(|name| name.strip_suffix(".partial")).unwrap_or(name);
            [RECORD, "ip-batch", "lock", "network.xml", "nodes"].contains(&name)
                || self.record.names.by_name && nodes.iter().any(|node| node.as_str() == name)
        };
        // Also where a link leads to it, as to a larger disk.
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
                "{} has something that kiln up did not make: {}; move it elsewhere, and nothing but the machines' disks is \
                 removed",
                held.path().display(),
                strangers.join(", ")
            ))),
        }
    }

    /// Removes the directory with all disks in it. Returns what links in it point at, which stays.
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
        if disk::look(&self.directory)?.is_some_and(|found| found.kind == Kind::Link) {
            disk::remove_file(&self.directory)?;
        }
        Ok(behind)
    }

    /// The nodes that may have a machine here: those that were started, whatever the bundle has by now. Kiln 0.1 wrote
    /// down only those that had formed.
    pub fn nodes(&self, manifest: &Manifest) -> BTreeSet<NodeName> {
        let mut all: BTreeSet<_> = self.record.nodes.keys().cloned().collect();
        if self.record.names.by_name {
            all.extend(manifest.nodes.iter().map(|node| node.name.clone()));
        }
        all
    }

    /// A node's own directory: its disks, its console, what it is started from.
    pub fn node(&self, name: &NodeName) -> PathBuf {
        match self.record.names.by_name {
            // As Kiln 0.1 laid them.
            true => self.directory.join(name.as_str()),
            false => self.directory.join("nodes").join(name.as_str()),
        }
    }

    pub fn console(&self, name: &NodeName) -> PathBuf {
        self.node(name).join("console.log")
    }

    /// Whether the host remembers that this node's member has served: its disk must not come back empty.
    pub fn has_formed(&self, name: &NodeName) -> bool {
        self.record.nodes.get(name).is_some_and(|started| started.formed)
    }

    /// Remembers that a node's member serves.
    pub fn note_formed(&mut self, name: &NodeName) -> Result<()> {
        let started = self.record.nodes.entry(name.clone()).or_default();
        match std::mem::replace(&mut started.formed, true) {
            true => Ok(()),
            false => self.save(),
        }
    }

    /// A console begins anew with its machine; the one before it stays beside it.
    pub fn begin_console(&self, name: &NodeName) -> Result<()> {
        let console = self.console(name);
        match disk::look(&console)? {
            Some(_) => disk::rename(&console, &console.with_extension("before.log")),
            None => Ok(()),
        }
    }

    /// The last lines of a node's console, fit for a terminal: a guest may write anything there.
    ///
    /// # Errors
    /// `Exit::Io`, also where the console belongs to libvirt and this account may not read it.
    pub fn console_end(&self, name: &NodeName, lines: usize) -> Result<Vec<String>> {
        let text = self.console_text(name)?;
        let all: Vec<_> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        Ok(all[all.len().saturating_sub(lines)..].iter().map(|line| (*line).to_owned()).collect())
    }

    /// What Kiln's units have last said of a node on its console, without its name; `None` where it is not read.
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
        let (bytes, begin) = disk::read_end(&file, CONSOLE)?;
        let text = plain(&bytes);
        // Of a line that began before, the beginning may be that of an escape sequence.
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
    }
}
