//! The options that a profile sets, and the context in which they are checked.

use ipnet::IpNet;

use crate::etcd::Value;
use crate::profile::{ConfigStyle, Node, OptionSet, Pki, Service, Span};
use crate::values::GuestPath;

/// The context in which the options of a profile are checked. `None` for a part that could not be read.
pub struct Around<'a> {
    pub style: ConfigStyle,
    pub pki: Option<&'a Pki>,
    pub data_dir: Option<&'a GuestPath>,
    pub service: Option<&'a Service>,
    /// Those that the options are for.
    pub nodes: &'a [Node],
    /// The only one of them, where the options are those of one node.
    pub node: Option<&'a Node>,
    /// Those of the network, in which the nodes' addresses are: no other machine's is one of theirs.
    pub ranges: &'a [IpNet],
}

/// Each option with its place in the profile.
pub type Set = [(OptionSet, Span)];

pub fn find<'s>(set: &'s Set, key: &str) -> Option<&'s (OptionSet, Span)> {
    set.iter().find(|(option, _)| option.key == key)
}

pub fn text<'s>(set: &'s Set, key: &str) -> Option<(&'s str, &'s Span)> {
    match find(set, key) {
        Some((OptionSet { value: Value::Text(text), .. }, span)) => Some((text, span)),
        _ => None,
    }
}

/// An option with its table, for messages: `[etcd.config] log-outputs`.
pub fn named(set: &Set, key: &str) -> String {
    format!("{} {key}", find(set, key).map_or("[etcd.config]", |(option, _)| option.table))
}

/// The place where an option is set to true.
pub fn on<'s>(set: &'s Set, key: &str) -> Option<&'s Span> {
    match find(set, key) {
        Some((OptionSet { value: Value::Bool(true), .. }, span)) => Some(span),
        _ => None,
    }
}

pub fn list<'s>(set: &'s Set, key: &str) -> Option<(&'s [String], &'s Span)> {
    match find(set, key) {
        Some((OptionSet { value: Value::List(items), .. }, span)) => Some((items, span)),
        _ => None,
    }
}
