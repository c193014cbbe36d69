//! `keystore.toml`: the cluster of the keystore, and the rounds of certificates that were issued from it.

use serde::Deserialize;

use super::copies::{Encrypted, Exported, RawEncrypted, RawExported};
use super::damage::changed;
use super::record::{Fixed, Formed, RawFixed, RawFormed};
use super::restores::{RawRestore, Restore};
use crate::failure::{Failure, Result};
use crate::plan::PEER_CA;
use crate::values::Epoch;

/// The keystore schemas that this version of Kiln writes and reads: without a record of issued CAs and formed
/// clusters, and with one. A version of Kiln that does not know the record must not build from a keystore that has
/// one.
pub const SCHEMA: u32 = 1;
pub const SCHEMA_WITH_RECORD: u32 = 2;
/// The same, with a record of CAs that need more than an algorithm and a lifetime.
pub const SCHEMA_WITH_AUTHORITIES: u32 = 3;
/// The same, with an imported CA for peers.
pub const SCHEMA_WITH_PEER_CA: u32 = 4;
/// The same, with CAs that follow, and nodes that renew.
pub const SCHEMA_WITH_SUCCESSORS: u32 = 5;
/// The same, with a record of the last export, or of how its secrets are encrypted.
pub const SCHEMA_WITH_EXPORT: u32 = 6;
/// The same, with the restores of its cluster.
pub const SCHEMA_WITH_RESTORES: u32 = 7;

/// One round of leaf certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Issue {
    /// From 1.
    pub number: u32,
    pub date: Epoch,
}

impl Issue {
    /// A part of the label of every key of this round.
    pub fn label(&self) -> String {
        format!("issue {}", self.number)
    }
}

/// Numbered from 1 without a gap, in the order of their dates.
#[derive(Clone)]
pub(super) struct Issues {
    first: Issue,
    later: Vec<Issue>,
}

impl Issues {
    pub fn begin(date: Epoch) -> Self {
        Self { first: Issue { number: 1, date }, later: Vec::new() }
    }

    pub fn first(&self) -> &Issue {
        &self.first
    }

    pub fn latest(&self) -> &Issue {
        self.later.last().unwrap_or(&self.first)
    }

    pub fn all(&self) -> impl Iterator<Item = &Issue> {
        std::iter::once(&self.first).chain(&self.later)
    }

    /// Adds one.
    ///
    /// # Errors
    /// `Exit::Unsafe` when its date is before the latest.
    pub fn and(mut self, date: Epoch) -> Result<Self> {
        let last = self.latest();
        if date < last.date {
            return Err(Failure::unsafe_to(format!(
                "the keystore's latest issue is dated {}, after {date}; check the clock, or give a later date",
                last.date
            )));
        }
        let number = last.number.checked_add(1).ok_or_else(changed)?;
        self.later.push(Issue { number, date });
        Ok(self)
    }
}

/// `keystore.toml`, as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    #[serde(rename = "schema")]
    _schema: u32,
    pub cluster: String,
    ca: Origin,
    /// Absent unless it was imported.
    #[serde(default, rename = "peer-ca")]
    peer_ca: Origin,
    /// Absent until the first cluster is sealed.
    #[serde(default)]
    pub sealed: Vec<String>,
    #[serde(rename = "check")]
    _check: String,
    /// Absent until the first build.
    issued: Option<RawFixed>,
    /// Absent until the first cluster is sealed, and for those that were sealed before there was a record.
    #[serde(default)]
    formed: Vec<RawFormed>,
    issue: Vec<RawIssue>,
    /// Absent until the first restore.
    #[serde(default)]
    restored: Vec<RawRestore>,
    /// Absent until the first export.
    exported: Option<RawExported>,
    /// Absent where its secrets lie in plain.
    encrypted: Option<RawEncrypted>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Origin {
    #[default]
    Derived,
    Imported,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawIssue {
    number: u32,
    date: String,
}

impl List {
    pub fn parse(text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Schema {
            schema: u32,
        }
        let Schema { schema } = toml::from_str(text).map_err(|_| changed())?;
        if !(SCHEMA..=SCHEMA_WITH_RESTORES).contains(&schema) {
            return Err(Failure::untrusted(format!(
                "keystore schema {schema} is not supported; this version of Kiln reads the schemas {SCHEMA} to {SCHEMA_WITH_RESTORES}"
            )));
        }
        toml::from_str(text).map_err(|_| changed())
    }

    /// Of the authority with this name.
    pub fn origin(&self, authority: &str) -> Origin {
        if authority == PEER_CA { self.peer_ca } else { self.ca }
    }

    /// The issuing CA and the formed clusters.
    pub fn record(&self) -> Result<(Option<Fixed>, Vec<Formed>)> {
        let fixed = self.issued.as_ref().map(RawFixed::read).transpose()?;
        Ok((fixed, self.formed.iter().map(RawFormed::read).collect::<Result<_>>()?))
    }

    /// The restores of its clusters.
    pub fn restores(&self) -> Result<Vec<Restore>> {
        self.restored.iter().map(RawRestore::read).collect()
    }

    /// The last export, and how its secrets are encrypted.
    pub fn copies(&self) -> Result<(Option<Exported>, Option<Encrypted>)> {
        let exported = self.exported.as_ref().map(RawExported::read).transpose()?;
        Ok((exported, self.encrypted.as_ref().map(RawEncrypted::read).transpose()?))
    }

    pub fn issues(&self) -> Result<Issues> {
        let mut issues: Option<Issues> = None;
        for raw in &self.issue {
            let date: Epoch = raw.date.parse().map_err(|_| changed())?;
            let next = match issues {
                None => Issues::begin(date),
                Some(issues) => issues.and(date).map_err(|_| changed())?,
            };
            if next.latest().number != raw.number {
                return Err(changed());
            }
            issues = Some(next);
        }
        issues.ok_or_else(changed)
    }
}
