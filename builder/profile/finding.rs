//! Faults of something that a profile names, found after the profile itself was read: an overlay, a path of the node.
//! They are reported like every other mistake, at their place in the profile.

use std::path::PathBuf;

use super::file_spec::FileSpec;
use super::span::Span;
use crate::etcd::Release;
use crate::values::{Arch, BaseSystem, Carrier, GuestPath, InstanceName};

/// The part of a profile that a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// A directory of `[bundle] overlays`, or one that only the command line names.
    Overlay(PathBuf),
    /// A `[[file]]`, by where its path is: a line may have several.
    File(usize),
    /// A path of `[bundle] replace`.
    Replace(GuestPath),
    /// `[etcd] data-dir`.
    DataDirectory,
    /// `[etcd] version`.
    Release,
    /// `[machine] base`.
    Base,
    /// An option of etcd's, by where its value is.
    Option(usize),
}

/// A fault. Ordered by what it is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub about: About,
    /// A sentence that names the file.
    pub reason: String,
    /// The suggested fix.
    pub help: Option<String>,
    /// Whether it is refused because a secret or the wrong program would get to the nodes.
    pub is_unsafe: bool,
}

impl Finding {
    pub fn new(about: About, reason: impl Into<String>) -> Self {
        Self { about, reason: reason.into(), help: None, is_unsafe: false }
    }

    pub fn unsafe_to(about: About, reason: impl Into<String>) -> Self {
        Self { is_unsafe: true, ..Self::new(about, reason) }
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Places in the text of a profile at which something may turn out wrong later.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    /// As the profile names them, relative to its own directory.
    pub overlays: Vec<(PathBuf, Span)>,
    /// Of the path of each [`FileSpec`].
    pub files: Vec<Span>,
    pub replace: Vec<(GuestPath, Span)>,
    pub data_dir: Option<Span>,
    /// The release that the profile names, and the machines that it is for.
    pub release: Option<(Release, Arch, Span)>,
    pub base: Option<Span>,
    /// Each `[[file]]` that could be read.
    pub specs: Vec<FileSpec>,
    /// The base system that boot files are made from.
    pub boots: Option<BaseSystem>,
    /// Of the value of each [`OptionSet`](super::OptionSet).
    pub options: Vec<Span>,
    /// Of keys that two clusters on the same nodes must not have the same.
    pub keys: Vec<(&'static str, Span)>,
}

impl Marks {
    /// Keeps the base system of a profile whose machines run from RAM, and are set up by this cluster.
    pub fn keep_base(&mut self, base: Option<&BaseSystem>, carriers: &[Carrier], instance: &InstanceName) {
        let is_used = instance.owns_host() && carriers.iter().any(|carrier| carrier.runs_from_ram());
        self.boots = base.filter(|_| is_used).cloned();
    }

    pub fn place(&self, about: &About) -> Option<Span> {
        match about {
            About::Overlay(path) => place(&self.overlays, path),
            About::File(at) => at_start(&self.files, *at),
            About::Replace(path) => place(&self.replace, path),
            About::DataDirectory => self.data_dir.clone(),
            About::Release => self.release.as_ref().map(|(.., span)| span.clone()),
            About::Base => self.base.clone(),
            About::Option(at) => at_start(&self.options, *at),
        }
    }
}

fn place<T: PartialEq>(marks: &[(T, Span)], of: &T) -> Option<Span> {
    marks.iter().find(|(marked, _)| marked == of).map(|(_, span)| span.clone())
}

fn at_start(marks: &[Span], at: usize) -> Option<Span> {
    marks.iter().find(|span| span.start == at).cloned()
}
