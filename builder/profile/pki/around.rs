//! What certificates are judged with.

use toml::Spanned;

use super::types::{Client, Pki};
use crate::profile::nodes::Nodes;
use crate::profile::{Cluster, Span};

/// The profile so far.
pub struct Around<'a> {
    pub pki: &'a Pki,
    pub nodes: &'a Nodes<'a>,
    pub clients: &'a [Spanned<Client>],
    pub cluster: &'a Cluster,
    /// Whether nodes take snapshots.
    pub has_backup: bool,
    /// The place of `[pki]`.
    pub place: Option<Span>,
}
