//! The CAs with which a node renews its own certificates: one below the CA of its clients, and one below that of the
//! peers, each for its own names only.

use std::net::IpAddr;

use kiln_wire::Kind;
use serde::Serialize;

use super::permits::Permits;
use super::subject::fitted;
use super::usage::Usage;
use crate::profile::{NodeCaConstraints, Renewal};
use crate::values::{ClusterName, Lifetime, PEER_FILES, SERVER_FILES};

/// A node's own CA, below the authority that its leaf names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IssuerSpec {
    /// The port whose certificates it is for, which also names its files.
    pub kind: Kind,
    /// For key derivation: `node/cp-a/issuer/server`.
    pub label: String,
    /// `ha3 cp-a server CA`.
    pub common_name: String,
    /// No certificate below it may have others: Go and OpenSSL hold a chain to that, although RFC 5280 does not ask it.
    pub usages: Vec<Usage>,
    /// Without addresses where it is not bound to any.
    pub permits: Permits,
    /// From the date of issue.
    pub lifetime: Lifetime,
}

/// What is in the certificates that it makes.
pub struct Inside<'a> {
    pub dns: &'a [String],
    pub ips: &'a [IpAddr],
    pub usages: &'a [Usage],
}

impl IssuerSpec {
    /// The one that makes these.
    pub fn of(
        kind: Kind,
        leaf: &Inside<'_>,
        (cluster, node): (&ClusterName, &str),
        renewal: &Renewal,
    ) -> Self {
        let mut permits = Permits {
            dns: leaf.dns.iter().map(|name| name.strip_prefix("*.").unwrap_or(name).to_owned()).collect(),
            ips: leaf.ips.to_vec(),
        };
        if kind == Kind::Server && renewal.constraints == NodeCaConstraints::Names {
            permits.ips.clear();
        }
        permits.sort();
        Self {
            kind,
            label: label(node, kind),
            common_name: fitted(&format!("{cluster} {node}"), &format!(" {} CA", kind.as_str())),
            usages: leaf.usages.to_vec(),
            permits,
            lifetime: renewal.ca_lifetime,
        }
    }

    /// The names of the certificate's file and of the key's, in each of the directories that have them.
    pub fn files(&self) -> (&'static str, &'static str) {
        match self.kind {
            Kind::Server => (SERVER_FILES.cert, SERVER_FILES.key),
            Kind::Peer => (PEER_FILES.cert, PEER_FILES.key),
        }
    }
}

/// For key derivation.
pub fn label(node: &str, kind: Kind) -> String {
    format!("node/{node}/issuer/{}", kind.as_str())
}
