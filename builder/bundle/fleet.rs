//! A fleet: many bundles in one directory, with an index.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};

use super::check::ProgramFindings;
use super::inside::Memory;
use super::json;
use super::layout::{INDEX, INDEX_SCHEMA, MANIFEST, MAX_MANIFEST_BYTES, MAX_NODES, SUMS};
use super::manifest;
use super::problem::{MAX_PROBLEMS_SHOWN, Problem, listed};
use super::read::Bundle;
use crate::digest;
use crate::disk;
use crate::etcd::ids::ClusterId;
use crate::failure::{Doing, Exit, Failure, Result};
use crate::values::{ClusterName, Digest, Line, Shard, Token};

/// The contents of a fleet's directory. It names its bundles by the digests of their manifests, which cover everything
/// else.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// 1 so far; an index of any other schema is refused.
    pub schema: u32,
    /// `kiln 0.1.0`.
    pub builder: Line,
    /// The SHA-256 of all its profiles: the shards of one fleet have the same.
    pub profiles: Digest,
    /// Which shard of the fleet this is; absent when it is the whole fleet.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub shard: Option<Shard>,
    /// Sorted by name.
    #[serde(deserialize_with = "crate::values::list::<_, _, MAX_NODES>")]
    pub bundles: Vec<IndexEntry>,
}

/// A bundle of the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexEntry {
    /// Of the profile, and of the bundle's directory.
    pub name: ClusterName,
    /// The name of the cluster; unique in the fleet.
    pub cluster: ClusterName,
    /// `initial-cluster-token`.
    pub token: Token,
    /// As etcd computes it; 16 hex digits in JSON.
    pub id: ClusterId,
    /// The number of its nodes; at least 1.
    #[serde(deserialize_with = "nodes")]
    pub nodes: usize,
    /// The SHA-256 of the bundle's manifest and of its list of sums.
    pub manifest: Digest,
    pub sums: Digest,
}

fn nodes<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<usize, D::Error> {
    let nodes: u32 = crate::values::number(deserializer, (1, MAX_NODES as u32))?;
    Ok(nodes as usize)
}

impl Index {
    /// An index that this version of Kiln writes. The bundles may come in any order.
    pub fn new(profiles: Digest, shard: Option<Shard>, mut bundles: Vec<IndexEntry>) -> Self {
        bundles.sort_by(|a, b| a.name.cmp(&b.name));
        Self { schema: INDEX_SCHEMA, builder: manifest::builder(), profiles, shard, bundles }
    }

    /// Pretty JSON with a newline at its end.
    ///
    /// # Errors
    /// `Exit::Io`, when it cannot be written as JSON.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        json::written(self)
    }

    /// The text of the fleet's SHA256SUMS.
    ///
    /// # Errors
    /// As [`Index::to_json`].
    pub fn sums(&self) -> Result<String> {
        let index = format!("{}  {INDEX}\n", Digest::of(&self.to_json()?));
        let bundles = self.bundles.iter().map(|bundle| format!("{}  {}/{SUMS}\n", bundle.sums, bundle.name));
        Ok(std::iter::once(index).chain(bundles).collect())
    }

    /// # Errors
    /// `Exit::Wrong` when there is no index, or none of this schema; `Exit::Usage` when the directory is missing, or
    /// is a bundle.
    pub fn read(directory: &Path) -> Result<Self> {
        let path = directory.join(INDEX);
        if disk::look(&path)?.is_none() {
            let shown = directory.display();
            let usage = |text: String| Err(Failure::new(Exit::Usage, text));
            if disk::look(directory)?.is_none() {
                return usage(format!("there is no {shown}"));
            }
            if disk::look(&directory.join(MANIFEST))?.is_some() {
                return usage(format!("{shown} is one bundle, not a fleet of them"));
            }
            return Err(Failure::wrong(format!(
                "{shown} is not a fleet directory: it has no {INDEX}; kiln build --fleet creates one"
            )));
        }
        let bytes = disk::read(&path, MAX_MANIFEST_BYTES)?;
        Self::from_json(&bytes).doing(|| format!("reading {}", path.display()))
    }

    /// # Errors
    /// `Exit::Wrong` when it is not an index of this schema, or is inconsistent.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        json::check_schema(bytes, "a fleet's index", INDEX_SCHEMA)?;
        let index: Self =
            serde_json::from_slice(bytes).map_err(|error| json::not_written("fleet's index", &error))?;
        let mut problems = Vec::new();
        let mut problem = |entry: &IndexEntry, problem: String| {
            problems.push(Problem { path: format!("bundle {}", entry.name), problem });
        };
        let mut clusters = BTreeMap::new();
        for (entry, before) in
            index.bundles.iter().zip(std::iter::once(None).chain(index.bundles.iter().map(Some)))
        {
            if before.is_some_and(|before| before.name >= entry.name) {
                problem(entry, "is listed twice, or not sorted by name".into());
            }
            if let Some(other) = clusters.insert(&entry.cluster, &entry.name) {
                problem(entry, format!("is of the cluster {}, as {other} is", entry.cluster));
            }
        }
        if problems.is_empty() {
            return Ok(index);
        }
        Err(Failure::wrong(format!("the index is inconsistent{}", listed(&problems, MAX_PROBLEMS_SHOWN))))
    }
}

/// A fleet on disk.
pub struct Fleet {
    pub path: PathBuf,
    pub index: Index,
}

impl Fleet {
    /// # Errors
    /// `Exit::Wrong` when it is not a fleet's directory.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self { path: path.to_owned(), index: Index::read(path)? })
    }

    pub fn bundle(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Every bundle against the index, and every file against its bundle's manifest.
    ///
    /// # Errors
    /// `Exit::Io` only when a directory cannot be read; the problems with the fleet are in the result.
    pub fn check(&self) -> Result<Vec<Problem>> {
        let mut problems = Vec::new();
        let memory = Memory::default();
        let mut known = ProgramFindings::default();
        let listed: BTreeSet<&str> = self.index.bundles.iter().map(|entry| entry.name.as_str()).collect();
        for name in disk::list(&self.path)? {
            if name != INDEX && name != SUMS && !listed.contains(name.as_str()) {
                problems.push(Problem { path: name, problem: "is not in the index".into() });
            }
        }
        let sums = disk::read(&self.path.join(SUMS), MAX_MANIFEST_BYTES);
        if sums.ok().as_deref() != Some(self.index.sums()?.as_bytes()) {
            let problem = "does not list exactly the index and the bundles in it".into();
            problems.push(Problem { path: SUMS.into(), problem });
        }
        for entry in &self.index.bundles {
            match self.check_one(entry, &memory, &mut known) {
                Ok(found) => {
                    problems.extend(found.into_iter().map(|problem| Problem {
                        path: format!("{}/{}", entry.name, problem.path),
                        ..problem
                    }))
                }
                Err(failure) if failure.exit() == Exit::Interrupted => return Err(failure),
                Err(failure) => {
                    problems.push(Problem { path: entry.name.to_string(), problem: failure.to_string() });
                }
            }
        }
        Ok(problems)
    }

    fn check_one(
        &self,
        entry: &IndexEntry,
        memory: &Memory,
        known: &mut ProgramFindings,
    ) -> Result<Vec<Problem>> {
        let path = self.bundle(&entry.name);
        let bundle = Bundle::open(&path)?;
        let mut problems = bundle.check_with(memory, Some(known))?;
        let cluster = &bundle.manifest.cluster;
        let told = (&entry.cluster, &entry.token, entry.id, entry.nodes);
        if told != (&cluster.name, &cluster.token, cluster.id, bundle.manifest.nodes.len()) {
            let problem = "is of another cluster than in the index".into();
            problems.push(Problem { path: MANIFEST.into(), problem });
        }
        for (file, want) in [(MANIFEST, entry.manifest), (SUMS, entry.sums)] {
            match digest::of_file(&path.join(file)) {
                Ok((_, found)) if found == want => {}
                Ok(_) => problems
                    .push(Problem { path: file.into(), problem: "is not the one in the index".into() }),
                Err(_) => {}
            }
        }
        Ok(problems)
    }
}

/// The index of the fleet that these shards make up.
///
/// # Errors
/// `Exit::Wrong` when a shard is missing, a duplicate, of another fleet, or made by another version of Kiln.
pub fn join(parts: &[Fleet]) -> Result<Index> {
    let Some(first) = parts.first() else { return Err(Failure::wrong("there are no shards to join")) };
    let mut numbers = BTreeMap::new();
    let mut places = BTreeMap::new();
    let mut bundles = Vec::new();
    for part in parts {
        let shown = part.path.display();
        let Some(shard) = part.index.shard else {
            return Err(Failure::wrong(format!("{shown} is a whole fleet, not a shard; use it as it is")));
        };
        let same = |what: &str, a: &str, b: &str| match a == b {
            true => Ok(()),
            false => Err(Failure::wrong(format!(
                "{shown} and {} have {what}; build all shards of a fleet from the same profiles with the same version of Kiln",
                first.path.display()
            ))),
        };
        same("different profiles", &part.index.profiles.to_string(), &first.index.profiles.to_string())?;
        same("different builders", &part.index.builder, &first.index.builder)?;
        let of = |index: &Index| index.shard.map(|shard| shard.of.to_string()).unwrap_or_default();
        same("different numbers of shards", &of(&part.index), &of(&first.index))?;
        if let Some(other) = numbers.insert(shard.number, &part.path) {
            return Err(Failure::wrong(format!("{shown} and {} are both shard {shard}", other.display())));
        }
        for entry in &part.index.bundles {
            if let Some(other) = places.insert(entry.name.clone(), part.bundle(&entry.name)) {
                return Err(Failure::wrong(format!(
                    "the bundle {} is both in {shown} and in {}",
                    entry.name,
                    other.display()
                )));
            }
            bundles.push(entry.clone());
        }
    }
    let of = first.index.shard.map_or(1, |shard| shard.of);
    let missing: Vec<_> =
        (1..=of).filter(|number| !numbers.contains_key(number)).map(|n| format!("{n}/{of}")).collect();
    if !missing.is_empty() {
        return Err(Failure::wrong(format!("shard {} is missing", missing.join(", "))));
    }
    bundles.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Index { shard: None, bundles, ..first.index.clone() })
}
