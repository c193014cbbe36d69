//! `[pki]` and `[[client]]` as values.

use serde::Serialize;

use super::pattern::{AltName, Pattern};
use super::subject::Subject;
use crate::profile::Span;
use crate::profile::types::{Algorithm, Certificates, NodeCaConstraints};
use crate::values::{ClientName, GuestPath, Lifetime, Mode, NodeName};

/// `[pki]`.
#[derive(Clone, Debug, Serialize)]
pub struct Pki {
    /// Of the keys of members and clients.
    pub leaf_algorithm: Algorithm,
    /// From the date of issue; shortened by the end of the CA.
    pub leaf_lifetime: Lifetime,
    /// Their directory in the guest: `etc/etcd/pki`.
    pub directory: GuestPath,
    /// The number of certificates of a node.
    pub certificates: Certificates,
    /// Of every leaf, besides its common name.
    pub subject: Subject,
    /// `[pki.server]`, for members' client ports.
    pub server: Leaf,
    /// `[pki.peer]`, for members' peer ports.
    pub peer: Leaf,
    /// `[pki.client]`, for root's etcdctl on a node.
    pub client: Leaf,
    /// `[pki.node]`, where a node has one certificate for all uses.
    pub node: Leaf,
    /// `[pki.ca]`.
    pub ca: Ca,
    /// `[pki.peer-ca]`, which issues peers' certificates; otherwise `ca` does.
    pub peer_ca: Option<Ca>,
    /// `[pki.links]`: symbolic links in the directory, by name.
    pub links: Vec<Link>,
    /// Whether `[pki] renewal` is written. Otherwise the keystore decides.
    #[serde(skip)]
    pub says_who_renews: bool,
    /// Why nodes cannot renew what a new keystore issues, so that the desk does.
    #[serde(skip)]
    pub desk_because: Option<String>,
    /// `[pki] renewal = "node"`; otherwise the desk renews.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewal: Option<Renewal>,
}

/// How each node renews the certificates of its member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Renewal {
    /// Where the profile says it.
    #[serde(skip)]
    pub place: Option<Span>,
    /// Whether the keystore has decided it, and the profile says nothing of it.
    #[serde(skip)]
    pub is_of_keystore: bool,
    /// Of what it makes.
    pub leaf_lifetime: Lifetime,
    /// Of its own CAs, from the date of issue.
    pub ca_lifetime: Lifetime,
    /// Of the one for the client port; the other one's are always strict.
    pub constraints: NodeCaConstraints,
}

/// A kind of certificate on every node.
#[derive(Clone, Debug, Serialize)]
pub struct Leaf {
    /// The name of its file in the directory.
    pub cert: Pattern,
    pub key: Pattern,
    pub common_name: Pattern,
    /// Besides the common name: that of all leaves, with what the kind has of its own.
    pub subject: Subject,
    pub lifetime: Lifetime,
    pub cert_mode: Mode,
    pub key_mode: Mode,
    /// Subject alternative names besides Kiln's own.
    pub names: Vec<Pattern>,
}

/// A CA, as Kiln makes it unless one was imported.
#[derive(Clone, Debug, Serialize)]
pub struct Ca {
    /// Whether the keystore must have an imported one.
    pub is_imported: bool,
    /// Whether the profile says that Kiln makes it.
    #[serde(skip)]
    pub is_derived: bool,
    /// Whether the profile says of which algorithm or how long.
    #[serde(skip)]
    pub is_described: bool,
    /// Of the derived CA's key; an imported CA has its own.
    pub algorithm: Algorithm,
    /// Of the derived CA, from the first date of issue.
    pub lifetime: Lifetime,
    /// Of the CA and of its intermediate, besides the common name.
    pub subject: Subject,
    /// Otherwise it follows from the cluster's name.
    pub common_name: Option<String>,
    /// A CA below it, which issues instead.
    pub intermediate: Option<Intermediate>,
    /// What advice calls its keys, as this profile writes them.
    #[serde(skip)]
    pub keys: CaKeys,
    /// Whether it may only issue for the names and addresses of this cluster.
    pub is_constrained: bool,
    /// The name of the file with the certificate that members trust.
    pub file: String,
    /// The name of another file, with the certificate that clients trust.
    pub root_file: Option<String>,
}

impl Ca {
    /// Of the one that issues: the CA below the root, where there is one. An imported one is as it is.
    pub(super) fn issuing_lifetime(&self) -> Lifetime {
        self.intermediate.as_ref().map_or(self.lifetime, |below| below.lifetime)
    }
}

/// The keys of a CA, with their table: `[pki] ca-lifetime` where the profile has that, else `[pki.ca] lifetime`.
#[derive(Clone, Debug, Default)]
pub struct CaKeys {
    pub algorithm: String,
    pub lifetime: String,
}

/// An issuing CA below a root that Kiln makes.
#[derive(Clone, Debug, Serialize)]
pub struct Intermediate {
    pub common_name: Option<String>,
    pub lifetime: Lifetime,
}

/// A symbolic link in the directory of the certificates.
#[derive(Clone, Debug, Serialize)]
pub struct Link {
    /// The name of the link.
    pub name: Pattern,
    /// The file that it leads to, in the same directory.
    pub target: Pattern,
}

/// A `[[client]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The key derives from it.
    pub name: ClientName,
    pub common_name: String,
    /// Besides the common name: instead of the attributes of `[pki.subject]`, where there are any.
    pub subject: Subject,
    pub cert: String,
    pub key: String,
    pub lifetime: Option<Lifetime>,
    pub names: Vec<AltName>,
    /// The names of further pairs of files with the same certificate and key.
    pub copies: Vec<(String, String)>,
    /// The nodes that have its files, too.
    pub nodes: OnNodes,
}

/// The nodes that have a client's files, or one of a `[[file]]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OnNodes {
    All,
    Some(Vec<NodeName>),
}

impl OnNodes {
    pub fn has(&self, node: &NodeName) -> bool {
        match self {
            OnNodes::All => true,
            OnNodes::Some(names) => names.contains(node),
        }
    }
}
