//! `kiln-node wipe`: takes a host back. What is Kiln's goes, by the list that the build has left on the node, and
//! nothing else does. Each step may be the last one: the next run goes on.

mod hosts;
mod quorum;
mod remove;
mod units;

use std::io::{BufRead, IsTerminal};
use std::path::Path;
use std::time::Duration;

use kiln_wire::{FilePath, Wipe};

use crate::disk;
use crate::failure::{Failure, Result};
use crate::instances;
use crate::say::{Level, print, say};
use crate::steps::reached;

/// Made before anything goes.
const MARKER: &str = "wiping";
/// Another run is surely at work, and nobody waits for it.
const PATIENCE: Duration = Duration::from_secs(1);

/// What was given on the command line.
#[derive(Default)]
pub struct Asked {
    /// In place of what is typed.
    pub cluster: Option<String>,
    /// Whether or not the cluster needs the member.
    pub force: bool,
}

/// Takes the host back. Whether that is done is returned; the reason why not has been said.
pub fn wipe(list: &Wipe, path: &Path, asked: &Asked) -> bool {
    let done = disk::lock(path, PATIENCE).and_then(|_lock| Run { list, path }.act(asked));
    if let Err(why) = &done {
        say(Level::Error, &list.node, &format!("is not wiped: {why}"));
    }
    done.is_ok()
}

struct Run<'r> {
    list: &'r Wipe,
    path: &'r Path,
}

impl Run<'_> {
    fn tell(&self, level: Level, text: &str) {
        say(level, &self.list.node, text);
    }

    fn act(&self, asked: &Asked) -> Result<()> {
        let list = self.list;
        let marker = Path::new(list.own.as_str()).join(MARKER);
        let goes_on = disk::is_there(&marker);
        self.confirm(asked.cluster.as_deref())?;
        match () {
            () if goes_on => self.tell(Level::Info, "goes on with a wipe that did not end"),
            () if asked.force => {
                self.tell(Level::Warning, "does not ask whether its member is needed (--force)")
            }
            () => self.tell(Level::Info, &quorum::can_go(list)?),
        }
        remove::check(list)?;
        if !units::stop(&list.units)? {
            self.tell(Level::Warning, "has no systemd that runs: no unit is stopped or disabled");
        }
        reached("stopped");
        remove::is_closed(list)?;
        // From now on the member cannot come back, so that nobody asks again whether it is needed.
        disk::replace(&marker, format!("{}\n", list.cluster_id).as_bytes())?;
        reached("marked");
        let (units, files): (Vec<_>, Vec<_>) =
            list.files.iter().partition(|file| file.as_str().starts_with(units::DIRECTORY));
        let mut left = self.files(units)?;
        units::reload()?;
        reached("disabled");
        for tree in &list.trees {
            left.extend(remove::tree(tree, &list.account)?);
            reached("emptied");
        }
        if list.hosts {
            left.extend(hosts::without(&list.cluster)?);
        }
        let keeps = |file: &&FilePath| Path::new(file.as_str()) != self.path;
        left.extend(self.files(files.into_iter().filter(keeps))?);
        remove::served(&list.state)?;
        reached("removed");
        let shared = self.shared()?;
        let (program, others) =
            shared.split_last().map_or((None, shared), |(last, others)| (Some(last), others));
        left.extend(self.files(others)?);
        self.end(program, &marker, left)
    }

    /// The directories, the list itself, and this program.
    fn end(&self, program: Option<&FilePath>, marker: &Path, mut left: Vec<String>) -> Result<()> {
        let has = |path: &Path, directory: &FilePath| path.starts_with(directory.as_str());
        let has_list = |directory: &&FilePath| has(self.path, directory) || has(marker, directory);
        let (last, first): (Vec<_>, Vec<_>) = self.list.directories.iter().partition(has_list);
        for directory in first {
            left.extend(remove::directory(directory)?);
        }
        reached("emptied-all");
        disk::remove_file(marker)?;
        disk::remove_file(self.path)?;
        reached("forgotten");
        for directory in last {
            left.extend(remove::directory(directory)?);
        }
        left.extend(self.files(program)?);
        for what in &left {
            self.tell(Level::Warning, &format!("leaves {what}"));
        }
        let account = &self.list.account;
        self.tell(
            Level::Info,
            &format!(
                "is wiped. The account {account} stays, as files elsewhere may be its own (userdel {account}), and so \
                 do the files of the network. Before this machine starts again, detach what gave it its files: its \
                 seed, or its entry where it boots from the network"
            ),
        );
        Ok(())
    }

    /// Removes each; those that stay are returned, with the reason.
    fn files<'f>(&self, files: impl IntoIterator<Item = &'f FilePath>) -> Result<Vec<String>> {
        let mut left = Vec::new();
        for file in files {
            left.extend(remove::file(file)?);
        }
        Ok(left)
    }

    /// The programs, unless another instance uses them.
    fn shared(&self) -> Result<&[FilePath]> {
        let own = Path::new(self.list.own.as_str());
        let all = instances::directories()?;
        match all
            .iter()
            .filter(|place| place.as_path() != own)
            .find(|place| disk::is_there(&place.join("guard.sh")))
        {
            None => Ok(&self.list.shared),
            Some(other) => {
                let text =
                    format!("leaves etcd's programs and this one to the instance in {}", other.display());
                self.tell(Level::Info, &text);
                Ok(&[])
            }
        }
    }

    /// Says what goes, and has the cluster's name typed.
    fn confirm(&self, given: Option<&str>) -> Result<()> {
        let list = self.list;
        let trees: Vec<_> = list.trees.iter().map(FilePath::as_str).collect();
        let text = format!(
            "This removes the member {} of the cluster {} from this host, with all that is in\n  {}\nand {} files of \
             Kiln's, its keys among them ({} has all their names).\nThe data and the snapshots there may be the only \
             copies that are left: nothing brings them back.\n",
            list.node,
            list.cluster,
            trees.join("\n  "),
            list.files.len() + list.shared.len(),
            self.path.display()
        );
        let typed = match given {
            Some(name) => {
                print(&text);
                name.to_owned()
            }
            None if !std::io::stdin().is_terminal() => {
                return Err(Failure::new(
                    "there is no terminal to ask at; give the cluster's name with --cluster",
                ));
            }
            None => {
                print(&format!("{text}Type the cluster's name to go on: "));
                let mut line = String::new();
                let read = std::io::stdin().lock().read_line(&mut line);
                read.map_err(|error| Failure::new(format!("reading what is typed: {error}")))?;
                line.trim().to_owned()
            }
        };
        match typed == list.cluster.as_str() {
            true => Ok(()),
            false => Err(Failure::new("this is not the name of its cluster; nothing is changed")),
        }
    }
}
