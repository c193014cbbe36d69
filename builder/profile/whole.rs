//! A whole profile as values.

use super::pki::{Client, Pki};
use super::topology::{Network, Node};
use super::types::{Bundle, Cluster, Etcd, Host, Machine};
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
    /// Besides the one for etcdctl.
    pub clients: Vec<Client>,
    /// `[pki]`.
    pub pki: Pki,
    /// `[machine]`.
    pub machine: Machine,
    /// `[bundle]`.
    pub bundle: Bundle,
    /// Its text, for mistakes that are found later.
    pub written: Written,
}
