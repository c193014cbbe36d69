//! What `up` remembers of a bundle's machines, in a directory beside the bundle: `out/.ha3.machines` for `out/ha3`.
//! A bundle stays as it was built.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::accel::Accel;
use super::base::Carrier;
use crate::bundle::Manifest;
use crate::disk::{self, Lock};
use crate::failure::{Doing, Failure, Result};
use crate::values::Mode;

const RECORD: &str = "machines.json";
const LIMIT: u64 = 1 << 20;

/// As much of a console's end as is looked at, in bytes.
const CONSOLE: u64 = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    Qemu,
    Libvirt,
}

impl Driver {
    pub fn as_str(self) -> &'static str {
        match self {
            Driver::Qemu => "qemu",
            Driver::Libvirt => "libvirt",
        }
    }
}

/// How the machines were made: a second `up` must not mix two ways.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub schema: u32,
    pub cluster: String,
    pub cluster_id: String,
    pub driver: Driver,
    pub carrier: Carrier,
    pub accel: Accel,
    /// libvirt's address.
    pub connect: String,
    /// What libvirt has under the cluster's name was made by `up`.
    pub defined: bool,
    /// The members that have been seen healthy.
    pub formed: BTreeSet<String>,
}

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
        (Some(parent), Some(name)) => Ok(parent.join(format!(".{}.machines", name.display()))),
        _ => {
            Err(Failure::io(format!("{} has no name; name the bundle's directory itself", bundle.display())))
        }
    }
}

/// Keeps a second `up` or `down` away.
pub fn lock(directory: &Path) -> Result<Lock> {
    Lock::exclusive(&directory.join("lock"))
}

impl State {
    /// `None` when there are no machines of this bundle.
    pub fn open(bundle: &Path) -> Result<Option<Self>> {
        let directory = directory(bundle)?;
        let file = directory.join(RECORD);
        if disk::look(&file)?.is_none() {
            return Ok(None);
        }
        let record = serde_json::from_slice(&disk::read(&file, LIMIT)?)
            .map_err(|error| Failure::io(format!("reading {}: {error}", file.display())))?;
        Ok(Some(Self { directory, record }))
    }

    /// The same, or a sentence about where machines come from.
    pub fn need(bundle: &Path) -> Result<Self> {
        Self::open(bundle)?.ok_or_else(|| {
            Failure::wrong(format!("{} has no machines here; kiln up {0} starts them", bundle.display()))
        })
    }

    /// What is there already, when it was made in the same way and for the same cluster; otherwise new.
    ///
    /// # Errors
    /// `Exit::Unsafe` when the disks that are there are another cluster's, or were made in another way.
    pub fn begin(bundle: &Path, wanted: Record) -> Result<Self> {
        let Some(mut state) = Self::open(bundle)? else {
            let state = Self { directory: directory(bundle)?, record: wanted };
            state.save()?;
            return Ok(state);
        };
        let there = &state.record;
        let differs = if (&there.cluster, &there.cluster_id) != (&wanted.cluster, &wanted.cluster_id) {
            Some(format!("hold the disks of cluster {} with the ID {}", there.cluster, there.cluster_id))
        } else if (there.driver, there.carrier) != (wanted.driver, wanted.carrier) {
            Some(format!(
                "were made with --driver {} --carrier {}",
                there.driver.as_str(),
                there.carrier.as_str()
            ))
        } else {
            None
        };
        if let Some(differs) = differs {
            return Err(Failure::unsafe_to(format!(
                "this bundle's machines in {} {differs}; continue with those, or remove them and their data with \
                 kiln down --purge",
                state.directory.display()
            )));
        }
        let formed = std::mem::take(&mut state.record.formed);
        state.record = Record { formed, defined: state.record.defined, ..wanted };
        state.save()?;
        Ok(state)
    }

    pub fn save(&self) -> Result<()> {
        let mut json = serde_json::to_vec_pretty(&self.record)
            .map_err(|error| Failure::io(format!("writing {RECORD}: {error}")))?;
        json.push(b'\n');
        disk::write_whole(&self.directory.join(RECORD), &json, Mode::SECRET)
    }

    pub fn forget(&self) -> Result<()> {
        disk::remove_directory(&self.directory)
    }

    /// A node's own directory: its disks, its console, what it is started from.
    pub fn node(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub fn console(&self, name: &str) -> PathBuf {
        self.node(name).join("console.log")
    }

    /// Whether the host remembers that this node's member has served: its disk must not come back empty.
    pub fn has_formed(&self, name: &str) -> bool {
        self.record.formed.contains(name)
    }

    /// Remembers that a node's member serves.
    pub fn note_formed(&mut self, name: &str) -> Result<()> {
        match self.record.formed.insert(name.to_owned()) {
            true => self.save(),
            false => Ok(()),
        }
    }

    /// A console begins anew with its machine; the one before it stays beside it.
    pub fn begin_console(&self, name: &str) -> Result<()> {
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
    pub fn console_end(&self, name: &str, lines: usize) -> Result<Vec<String>> {
        let text = self.console_text(name)?;
        let all: Vec<_> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        Ok(all[all.len().saturating_sub(lines)..].iter().map(|line| (*line).to_owned()).collect())
    }

    /// What Kiln's units have last said of a node on its console, without its name; `None` where it is not read.
    pub fn said(&self, name: &str) -> Option<String> {
        let text = self.console_text(name).ok()?;
        let of_it = |line: &str| {
            // systemd or the kernel may have been in the middle of a line.
            let (_, said) = line.split_once(&format!("kiln: {name} "))?;
            Some(said.trim_end().to_owned())
        };
        text.lines().rev().find_map(of_it)
    }

    fn console_text(&self, name: &str) -> Result<String> {
        let file = self.console(name);
        if disk::look(&file)?.is_none() {
            return Ok(String::new());
        }
        let (bytes, _) = disk::read_end(&file, CONSOLE)?;
        Ok(plain(&String::from_utf8_lossy(&bytes)))
    }
}

/// The record of what is about to be made.
pub fn wanted(manifest: &Manifest, driver: Driver, carrier: Carrier, accel: Accel, connect: &str) -> Record {
    Record {
        schema: 1,
        cluster: manifest.cluster.name.to_string(),
        cluster_id: manifest.cluster.id.to_string(),
        driver,
        carrier,
        accel,
        connect: connect.to_owned(),
        defined: false,
        formed: BTreeSet::new(),
    }
}

/// Without what a terminal would obey: escape sequences (ECMA-48) and other control characters.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' if rest.next_if_eq(&'[').is_some() => {
                // Parameters and intermediates, up to the final byte.
                while rest.next_if(|c| (' '..='?').contains(c)).is_some() {}
                rest.next();
            }
            '\u{1b}' => {
                rest.next();
            }
            '\n' | '\t' => out.push(c),
            c if c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c) => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_writes_is_no_command_to_a_terminal() {
        let cases = [
            ("a\r\nb", "a\nb"),
            ("\u{1b}[0;32mok\u{1b}[0m done", "ok done"),
            ("\u{1b}c\u{1b}[2J\u{1b}[1;1Hx", "x"),
            ("bell\u{7} back\u{8} \u{202e}turned", "bell back turned"),
            ("ends in \u{1b}", "ends in "),
            ("ends in \u{1b}[12", "ends in "),
        ];
        for (text, want) in cases {
            assert_eq!(plain(text), want, "{text:?}");
        }
    }

    #[test]
    fn machines_are_remembered_beside_the_bundle() {
        assert_eq!(directory(Path::new("/srv/out/ha3")).unwrap(), Path::new("/srv/out/.ha3.machines"));
        assert_eq!(directory(Path::new("/srv/out/ha3/.")).unwrap(), Path::new("/srv/out/.ha3.machines"));
        assert!(directory(Path::new("/")).is_err());
        assert!(directory(Path::new("a/..")).is_err());
    }
}
