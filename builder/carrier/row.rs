//! The parts of a carrier, and the inputs of its files.

use std::cell::RefCell;
use std::sync::Arc;

use super::scripts::{Scripts, SeedTemplates};
use crate::base::BootFiles;
use crate::failure::Result;
use crate::format::gzip::Compressor;
use crate::format::{Piece, Stream};
use crate::plan::{Node, Plan};
use crate::profile::Compression;
use crate::tree::Tree;
use crate::values::{CarrierFacts, Digest, Epoch, Mode};

/// A carrier, and the functions that make its files. `None` for what it does not need.
pub struct Row {
    /// Name, words for `--help`, files and how a machine starts from it.
    pub facts: &'static CarrierFacts,
    /// The files of one node.
    pub node: Option<Make>,
    /// The files of one node by which its system finds the archive on `seed.iso`.
    pub seed: Option<Seed>,
    /// The form that the programs have for it where all hosts share them.
    pub layer: Option<&'static Layer>,
    /// The files of all nodes, in bundles with boot files.
    pub boot: Option<Boot>,
}

type Make = fn(&NodeParts<'_>, &Files<'_>) -> Result<()>;
pub type Seed = fn(&NodeParts<'_>, &Scripts) -> Result<Texts>;
type Boot = fn(&Plan, &BootFiles, &Files<'_>) -> Result<()>;

impl Row {
    /// A carrier without files of its own.
    pub const fn new(facts: &'static CarrierFacts) -> Self {
        Self { facts, node: None, seed: None, layer: None, boot: None }
    }

    /// With files of its own for each node.
    pub const fn node(self, node: Make) -> Self {
        Self { node: Some(node), ..self }
    }

    /// With files beside the archive on `seed.iso`.
    pub const fn seed(self, seed: Seed) -> Self {
        Self { seed: Some(seed), ..self }
    }

    /// With a form of its own for programs that all hosts share.
    pub const fn layer(self, layer: &'static Layer) -> Self {
        Self { layer: Some(layer), ..self }
    }

    /// With files that all nodes boot.
    pub const fn boot(self, boot: Boot) -> Self {
        Self { boot: Some(boot), ..self }
    }
}

/// A carrier's own files of a node whose archive is on `seed.iso`.
pub struct Texts {
    /// Name and content of each.
    pub named: Vec<(&'static str, Vec<u8>)>,
    /// Whether they are on the disk as well.
    pub on_disk: bool,
}

/// The programs as a file in `layers/`.
pub struct Layer {
    /// Its name.
    pub name: fn(&Packer<'_>) -> String,
    /// From the programs as a tree, and as the tarball that every layer has.
    pub make: fn(&Packer<'_>, &Tree, &Stream) -> Result<Stream>,
}

/// Settings for making archives.
pub struct Packer<'a> {
    /// Compresses each content once for the whole run.
    pub compressor: &'a Compressor,
    /// The time of every entry in an archive.
    pub epoch: Epoch,
    /// The compression of initramfs segments.
    pub compression: Compression,
}

/// The inputs of a node's files.
pub struct NodeParts<'a> {
    /// The cluster's decisions.
    pub plan: &'a Plan,
    /// The node whose files are made.
    pub node: &'a Node,
    /// How archives are compressed and dated.
    pub packer: Packer<'a>,
    /// For the texts on `seed.iso`.
    pub templates: &'a SeedTemplates,
    /// All its files, without the programs where all hosts share them.
    pub tree: &'a Tree,
    /// All but the programs.
    pub without_programs: &'a Tree,
    /// The tree as the tarball that every bundle has, and its SHA-256.
    pub archive: Stream,
    pub archive_sha256: Digest,
    /// The SHA-256 of the tarball of the programs, where all hosts share them.
    pub shared: Option<Digest>,
    /// The programs in one of their forms, made once.
    pub layer: &'a dyn Fn(&'static Layer) -> Result<Arc<Stream>>,
    /// Kernel and initrd; `None` where the bundle has no boot files.
    pub boot: Option<&'a BootFiles>,
}

/// Writes a file, by its name in the directory that is being made.
type Put<'a> = dyn Fn(&str, Mode, &[Piece]) -> Result<()> + 'a;

/// Takes the files of one directory.
pub struct Files<'a> {
    put: &'a Put<'a>,
    names: RefCell<Vec<String>>,
}

impl<'a> Files<'a> {
    pub fn new(put: &'a Put<'a>) -> Self {
        Self { put, names: RefCell::default() }
    }

    pub fn put(&self, name: &str, mode: Mode, stream: &[Piece]) -> Result<()> {
        self.names.borrow_mut().push(name.to_owned());
        (self.put)(name, mode, stream)
    }

    pub fn text(&self, name: &str, text: impl Into<Vec<u8>>) -> Result<()> {
        self.put(name, Mode::FILE, &[Piece::Own(text.into())])
    }

    /// The names of those that were put.
    pub fn names(self) -> Vec<String> {
        self.names.into_inner()
    }
}
