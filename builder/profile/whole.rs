//! A whole profile as values.

use super::backup::Backup;
use super::file_spec::FileSpec;
use super::pki::{Client, Pki};
use super::topology::{Network, Node};
use super::types::{Bundle, Cluster, Etcd, Host, Machine, OptionSet};
use super::written::Written;
use crate::values::ClusterName;

/// A profile, validated: every value checked, and every default filled in that depends only on the profile.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The file's stem, which also names the bundle: `ha3`.
    pub name: ClusterName,
    /// `[cluster]`.
    pub cluster: Cluster,
    /// `[etcd]`, with the options of `[etcd.config]`.
    pub etcd: Etcd,
    /// `[network]`.
    pub network: Network,
    /// At least one, in the order of the file.
    pub nodes: Vec<Node>,
    /// Those that nodes run on; none where the profile does not say.
    pub hosts: Vec<Host>,
    /// Each `[[file]]`, in the order of the file.
    pub files: Vec<FileSpec>,
    /// Besides the one for etcdctl.
    pub clients: Vec<Client>,
    /// `[pki]`.
    pub pki: Pki,
    /// `[backup]`; absent where nodes take no snapshots.
    pub backup: Option<Backup>,
    /// `[machine]`.
    pub machine: Machine,
    /// `[bundle]`.
    pub bundle: Bundle,
    /// Its text, for mistakes that are found later.
    pub written: Written,
}

impl Profile {
    /// Whether its nodes have Kiln's own program.
    pub fn has_node_program(&self) -> bool {
        self.pki.renewal.is_some() || self.backup.is_some()
    }

    /// Whether they need it whatever a profile could say of renewals: it is said there, a keystore has decided it, or
    /// nodes take snapshots.
    pub fn needs_node_program(&self) -> bool {
        let is_decided = |renewal: &super::pki::Renewal| renewal.is_of_keystore || self.pki.says_who_renews;
        self.backup.is_some() || self.pki.renewal.as_ref().is_some_and(is_decided)
    }

    /// The options that it sets for a node: the node's own ones take the place of those for all nodes.
    pub fn options<'p>(&'p self, node: &'p Node) -> Vec<&'p OptionSet> {
        merged(&self.etcd.options, &node.options, |option| &option.key)
    }
}

/// Options for all nodes in their order, each replaced by one of a node's own with the same key, and then the others of
/// the node.
pub(super) fn merged<'o, T>(common: &'o [T], own: &'o [T], key: impl Fn(&T) -> &str) -> Vec<&'o T> {
    let of_node = |option: &T| own.iter().find(|one| key(one) == key(option));
    let is_new = |option: &&T| common.iter().all(|other| key(other) != key(option));
    common.iter().map(|option| of_node(option).unwrap_or(option)).chain(own.iter().filter(is_new)).collect()
}
