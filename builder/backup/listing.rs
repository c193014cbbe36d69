//! Which snapshots there are, and which of them can be believed.

use std::fmt;

use kiln_wire::{AHEAD, Id, Name, Record, Signer, SnapshotName};
use serde::Serialize;

use super::entry::{Entry, Found};
use super::place::Place;
use crate::bundle::Manifest;
use crate::bundle::manifest::Snapshots;
use crate::failure::{Exit, Failure, Result};
use crate::values::{Epoch, SnapshotChoice as Choice};

/// A snapshot, judged.
pub struct Snapshot {
    pub name: SnapshotName,
    pub state: State,
}

/// Whether it can be believed.
pub enum State {
    /// A node of the cluster has signed its record, and the file has the size that the record says. With the record as
    /// it lies there.
    Sound(Box<Record>, Vec<u8>),
    /// With the reason.
    Unsound(String),
}

impl Snapshot {
    /// Its record, where it can be believed.
    pub fn record(&self) -> Option<&Record> {
        match &self.state {
            State::Sound(record, _) => Some(record),
            State::Unsound(_) => None,
        }
    }
}

/// The keys by which a bundle's snapshots are known: those of its nodes, and the desk's.
///
/// # Errors
/// `Exit::Usage` where its nodes take none.
pub fn signers(manifest: &Manifest) -> Result<Vec<Signer>> {
    let snapshots = of_bundle(manifest)?;
    let node = Name::try_from(DESK.to_owned()).map_err(|why| Failure::io(why.to_string()))?;
    Ok(snapshots.signers.iter().cloned().chain([Signer { node, key: snapshots.desk }]).collect())
}

/// In place of a node's name, for snapshots that the desk takes.
pub const DESK: &str = "desk";

/// # Errors
/// `Exit::Usage` where its nodes take none.
pub fn of_bundle(manifest: &Manifest) -> Result<&Snapshots> {
    manifest.snapshots.as_ref().ok_or_else(|| {
        let why =
            "the nodes of this bundle take no snapshots; add [backup] to its profile and build it again";
        Failure::new(Exit::Usage, why)
    })
}

/// All that a place has of this cluster, the newest first.
///
/// # Errors
/// Those of reading the place.
pub fn all(place: &Place, manifest: &Manifest) -> Result<Vec<Snapshot>> {
    let signers = signers(manifest)?;
    let cluster = manifest.cluster.name.as_str();
    let entries = place.entries()?.into_iter().filter(|entry| entry.name.cluster().as_str() == cluster);
    entries.map(|entry| judged(place, entry, manifest, &signers)).collect()
}

fn judged(place: &Place, entry: Entry, manifest: &Manifest, signers: &[Signer]) -> Result<Snapshot> {
    let Entry { name, size, has_record } = entry;
    let unsound = |why: String| State::Unsound(why);
    let state = match (has_record, size) {
        (false, _) => unsound("it has no record, which is written last".into()),
        (true, None) => unsound("its file is not there, only its record".into()),
        (true, Some(size)) => match place.record(&name)? {
            Found::Nothing => unsound("it has no record, which is written last".into()),
            Found::Unreadable(why) => unsound(format!("its record cannot be read: {why}")),
            Found::Bytes(bytes) => match kiln_wire::open(&bytes, &name, signers) {
                Err(why) => unsound(why.to_string()),
                Ok(record) if generation_of(&record, manifest).is_none() => {
                    unsound(format!("it is of the cluster {}, which had the same name", record.cluster_id))
                }
                Ok(record) if record.size != size => {
                    unsound(format!("its file has {size} bytes, and its record says {}", record.size))
                }
                Ok(record) => State::Sound(Box::new(record), bytes),
            },
        },
    };
    Ok(Snapshot { name, state })
}

/// The generation of the bundle's cluster that the record is of: its snapshots outlive a restore.
fn generation_of(record: &Record, manifest: &Manifest) -> Option<u32> {
    let cluster = &manifest.cluster;
    let earlier = cluster.restored.iter().flat_map(|restored| &restored.earlier);
    let mut all = (1..).zip(earlier.chain([&cluster.id]));
    all.find(|(_, id)| record.cluster_id == Id(id.0)).map(|(generation, _)| generation)
}

/// A snapshot that can be believed.
pub struct Chosen {
    pub record: Record,
    /// The same as it lies there, signed.
    pub envelope: Vec<u8>,
    /// What was passed over, each with the reason.
    pub passed: Vec<String>,
}

/// The one that is named, or the newest sound one. A clock that was ahead makes none of them the newest, and neither
/// does a node that was left behind by a restore: those of the present generation come first.
///
/// # Errors
/// `Exit::Wrong` where there is none, or it cannot be believed; those of reading the place.
pub fn chosen(place: &Place, manifest: &Manifest, choice: &Choice, now: Epoch) -> Result<Chosen> {
    let signers = signers(manifest)?;
    let cluster = manifest.cluster.name.as_str();
    let mut passed = Vec::new();
    let mut earlier = None;
    for entry in place.entries()?.into_iter().filter(|entry| entry.name.cluster().as_str() == cluster) {
        if let Choice::Named(name) = choice
            && entry.name != *name
        {
            continue;
        }
        let snapshot = judged(place, entry, manifest, &signers)?;
        let is_ahead = snapshot.name.taken() > now.seconds().saturating_add(AHEAD);
        match (snapshot.state, choice) {
            (State::Sound(..), Choice::Newest) if is_ahead => {
                passed.push(format!("{}: its time has not come yet; a clock is wrong", snapshot.name));
            }
            (State::Sound(record, envelope), Choice::Newest)
                if generation_of(&record, manifest) != Some(manifest.cluster.generation()) =>
            {
                earlier = earlier.or(Some((*record, envelope)));
            }
            (State::Sound(record, envelope), _) => return Ok(Chosen { record: *record, envelope, passed }),
            (State::Unsound(why), Choice::Named(name)) => {
                return Err(Failure::wrong(format!("{name} in {} is not used: {why}", place.shown())));
            }
            (State::Unsound(why), Choice::Newest) => passed.push(format!("{}: {why}", snapshot.name)),
        }
    }
    if let Some((record, envelope)) = earlier {
        return Ok(Chosen { record, envelope, passed });
    }
    let few: String = passed.iter().take(3).map(|why| format!("\n  {why}")).collect();
    Err(Failure::wrong(match choice {
        Choice::Named(name) => format!("{} has no snapshot {name}", place.shown()),
        Choice::Newest if few.is_empty() => format!("{} has no snapshot of {cluster}", place.shown()),
        Choice::Newest => format!("{} has no sound snapshot of {cluster}:{few}", place.shown()),
    }))
}

/// A snapshot in JSON.
#[derive(Serialize)]
pub struct Row<'a> {
    name: String,
    taken: String,
    revision: u64,
    node: &'a str,
    sound: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    etcd: Option<&'a str>,
}

impl Snapshot {
    /// When it was taken, as its name says.
    pub fn taken(&self) -> Epoch {
        Epoch::from_seconds(self.name.taken()).unwrap_or(Epoch::START)
    }

    /// For `--json`.
    pub fn row(&self) -> Row<'_> {
        let record = self.record();
        Row {
            name: self.name.to_string(),
            taken: self.taken().to_string(),
            revision: self.name.revision(),
            node: self.name.node().as_str(),
            sound: record.is_some(),
            why: match &self.state {
                State::Unsound(why) => Some(why),
                State::Sound(..) => None,
            },
            size: record.map(|record| record.size),
            etcd: record.map(|record| record.etcd.as_str()),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sound(..) => f.write_str("signed"),
            Self::Unsound(why) => f.write_str(why),
        }
    }
}
