//! The record of a keystore: the CA under which it has issued, and the clusters that have formed from it.
//!
//! A build must not change either by accident: members refuse each other's certificates under two CAs, and a cluster's
//! identity follows from its members.

use std::fmt::{self, Write};
use std::str::FromStr;

use serde::Deserialize;

use super::damage::changed;
use super::recorded::{self, RawAuthority, Recorded};
use crate::etcd::Release;
use crate::etcd::ids::{ClusterId, MemberId, cluster_id, member_id};
use crate::failure::{Failure, Result};
use crate::plan::{CA, Made, PEER_CA};
use crate::profile::Algorithm;
use crate::values::{Digest, Invalid, Lifetime, NodeName, Token, Url};

/// The CA that signs. Together with the secret and the first date of issue it determines every byte of the CA's
/// certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signer {
    Derived {
        algorithm: Algorithm,
        lifetime: Lifetime,
    },
    /// The SHA-256 of the issuing CA's certificate, DER.
    Imported(Digest),
}

/// A minor release with all its patches, `3.5`: etcd's data cannot be downgraded to an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    major: u16,
    minor: u16,
}

impl Series {
    /// Whether etcd can be upgraded from one to the other in one step: the same minor release, or the next.
    pub(super) fn leads_to(self, other: Series) -> bool {
        other == self || other == Series { minor: self.minor.saturating_add(1), ..self }
    }

    pub(super) fn next(self) -> Self {
        Series { minor: self.minor.saturating_add(1), ..self }
    }
}

impl From<Release> for Series {
    fn from(release: Release) -> Self {
        Self { major: release.major, minor: release.minor }
    }
}

impl FromStr for Series {
    type Err = Invalid;
    fn from_str(text: &str) -> std::result::Result<Self, Invalid> {
        format!("{text}.0").parse::<Release>().map(Self::from)
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The choices that the first build has fixed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fixed {
    pub signer: Signer,
    /// The SHA-256 of the issuing certificate, DER, of an imported CA for peers.
    pub peers: Option<Digest>,
    /// CAs that need more than an algorithm and a lifetime.
    pub authorities: Vec<Recorded>,
    /// The SHA-256 of the file of each CA that follows one of these; none where the desk renews.
    pub successors: Vec<(&'static str, Digest)>,
    /// The newest release that was built with.
    pub etcd: Series,
}

impl Fixed {
    /// Whether nodes renew their certificates, with CAs below those of the cluster.
    pub fn renews_on_nodes(&self) -> bool {
        !self.successors.is_empty()
    }

    /// The first authority, where it needs more than an algorithm and a lifetime.
    pub fn made(&self) -> Option<&Made> {
        self.authorities.iter().find(|(name, _)| *name == CA).map(|(_, made)| made)
    }
}

/// A cluster that has formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formed {
    pub token: Token,
    pub id: ClusterId,
    /// The release of the bundle that last sealed it.
    pub release: Release,
    pub(super) signer: Signer,
    /// Sorted by name; never empty.
    pub members: Vec<Member>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    pub name: NodeName,
    pub id: MemberId,
    pub peer_url: Url,
}

impl Formed {
    /// The cluster that these members, by name and peer URL, bootstrap with this token.
    ///
    /// # Errors
    /// `Exit::Wrong` when there are none, or a name or a URL is a duplicate.
    pub(super) fn of(
        token: &Token,
        release: Release,
        signer: Signer,
        members: &[(NodeName, Url)],
    ) -> Result<Self> {
        let mut members: Vec<Member> = members
            .iter()
            .map(|(name, url)| Member {
                name: name.clone(),
                id: member_id(&[url.to_string()], token.as_str()),
                peer_url: url.clone(),
            })
            .collect();
        members.sort();
        let mut urls: Vec<&Url> = members.iter().map(|member| &member.peer_url).collect();
        urls.sort_unstable();
        let is_twice = members.windows(2).any(|pair| pair[0].name == pair[1].name)
            || urls.windows(2).any(|pair| pair[0] == pair[1]);
        if members.is_empty() || is_twice {
            return Err(Failure::wrong("it has no members, or lists one twice"));
        }
        let ids: Vec<MemberId> = members.iter().map(|member| member.id).collect();
        Ok(Self { token: token.clone(), id: cluster_id(&ids), release, signer, members })
    }
}

/// `[issued]` in `keystore.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawFixed {
    ca_algorithm: Option<String>,
    ca_lifetime: Option<String>,
    ca_sha256: Option<String>,
    peer_ca_sha256: Option<String>,
    ca_next_sha256: Option<String>,
    peer_ca_next_sha256: Option<String>,
    etcd: String,
    /// Absent where the two lines say it all.
    #[serde(default)]
    authority: Vec<RawAuthority>,
}

/// `[[formed]]` in `keystore.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawFormed {
    token: String,
    id: String,
    etcd: String,
    ca_algorithm: Option<String>,
    ca_lifetime: Option<String>,
    ca_sha256: Option<String>,
    member: Vec<RawMember>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawMember {
    name: String,
    id: String,
    peer_url: String,
}

fn parsed<T: FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| changed())
}

fn signer(algorithm: &Option<String>, lifetime: &Option<String>, sha256: &Option<String>) -> Result<Signer> {
    match (algorithm, lifetime, sha256) {
        (Some(algorithm), Some(lifetime), None) => {
            Ok(Signer::Derived { algorithm: parsed(algorithm)?, lifetime: parsed(lifetime)? })
        }
        (None, None, Some(sha256)) => Ok(Signer::Imported(parsed(sha256)?)),
        _ => Err(changed()),
    }
}

impl RawFixed {
    pub fn read(&self) -> Result<Fixed> {
        let signer = signer(&self.ca_algorithm, &self.ca_lifetime, &self.ca_sha256)?;
        let authorities = self.authority.iter().map(RawAuthority::read).collect::<Result<_>>()?;
        let peers = self.peer_ca_sha256.as_deref().map(parsed).transpose()?;
        let mut successors = Vec::new();
        for (name, sha256) in [(CA, &self.ca_next_sha256), (PEER_CA, &self.peer_ca_next_sha256)] {
            if let Some(sha256) = sha256 {
                successors.push((name, parsed(sha256)?));
            }
        }
        Ok(Fixed { signer, peers, authorities, successors, etcd: parsed(&self.etcd)? })
    }
}

impl RawFormed {
    pub fn read(&self) -> Result<Formed> {
        let signer = signer(&self.ca_algorithm, &self.ca_lifetime, &self.ca_sha256)?;
        let members: Vec<(NodeName, Url)> = self
            .member
            .iter()
            .map(|raw| Ok((parsed(&raw.name)?, parsed(&raw.peer_url)?)))
            .collect::<Result<_>>()?;
        let formed = Formed::of(&parsed(&self.token)?, parsed(&self.etcd)?, signer, &members)
            .map_err(|_| changed())?;
        let ids_as_written = formed.id.to_string() == self.id
            && formed.members.iter().zip(&self.member).all(|(member, raw)| member.id.to_string() == raw.id);
        if ids_as_written { Ok(formed) } else { Err(changed()) }
    }
}

/// The record as a part of `keystore.toml`; empty where nothing is recorded.
pub(super) fn render(fixed: Option<&Fixed>, formed: &[Formed]) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    if let Some(fixed) = fixed {
        let peers = fixed.peers.map(|sha256| format!("peer-ca-sha256 = \"{sha256}\"\n")).unwrap_or_default();
        let next =
            fixed.successors.iter().map(|(name, sha256)| format!("{name}-next-sha256 = \"{sha256}\"\n"));
        let next: String = next.collect();
        let _ = write!(text, "\n[issued]\n{}{peers}{next}etcd = \"{}\"\n", lines(&fixed.signer), fixed.etcd);
        text += &recorded::render(&fixed.authorities);
    }
    for cluster in formed {
        let Formed { token, id, release, signer, members } = cluster;
        let _ = write!(
            text,
            "\n[[formed]]\ntoken = \"{token}\"\nid = \"{id}\"\netcd = \"{release}\"\n{}",
            lines(signer)
        );
        for Member { name, id, peer_url } in members {
            let _ = write!(
                text,
                "\n[[formed.member]]\nname = \"{name}\"\nid = \"{id}\"\npeer-url = \"{peer_url}\"\n"
            );
        }
    }
    text
}

fn lines(signer: &Signer) -> String {
    match signer {
        Signer::Derived { algorithm, lifetime } => {
            format!("ca-algorithm = \"{algorithm}\"\nca-lifetime = \"{lifetime}\"\n")
        }
        Signer::Imported(sha256) => format!("ca-sha256 = \"{sha256}\"\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_compared_by_their_steps() {
        let series = |text: &str| text.parse::<Series>().unwrap();
        for (from, to, good) in [
            ("3.5", "3.5", true),
            ("3.5", "3.6", true),
            ("3.5", "3.4", false),
            ("3.4", "3.6", false),
            ("3.6", "4.0", false),
            ("3.6", "4.7", false),
        ] {
            assert_eq!(series(from).leads_to(series(to)), good, "{from} {to}");
        }
        assert_eq!(Series::from(Release::new(3, 5, 16)).to_string(), "3.5");
        for bad in ["", "3", "3.5.1", "3.05", "v3.5"] {
            assert!(bad.parse::<Series>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_cluster_has_members_and_each_once() {
        let token: Token = "t".parse().unwrap();
        let signer = Signer::Imported(Digest::of(b""));
        let of = |members: &[(&str, &str)]| {
            let members: Vec<_> = members
                .iter()
                .map(|(name, url)| (name.parse().unwrap(), format!("https://{url}:2380").parse().unwrap()))
                .collect();
            Formed::of(&token, Release::new(3, 5, 16), signer, &members)
        };
        let formed = of(&[("b", "10.0.0.2"), ("a", "10.0.0.1")]).unwrap();
        assert_eq!(formed.members[0].name.as_str(), "a");
        assert_eq!(formed.id, of(&[("a", "10.0.0.1"), ("b", "10.0.0.2")]).unwrap().id);
        for bad in [&[][..], &[("a", "10.0.0.1"), ("a", "10.0.0.2")], &[("a", "10.0.0.1"), ("b", "10.0.0.1")]]
        {
            assert!(of(bad).is_err(), "{bad:?}");
        }
    }
}
