//! The programs of a bundle's nodes: etcd's, and Kiln's own where it is among them.

use super::manifest::{EtcdProgram, Manifest};
use super::problem::Problem;
use crate::values::{Digest, GuestPath, NODE_PROGRAM};

/// A program on every node.
#[derive(Clone, Copy)]
pub struct Program<'m> {
    pub name: &'m str,
    /// In the guest.
    pub path: &'m GuestPath,
    /// In bytes.
    pub size: u64,
    /// Of its content.
    pub sha256: Digest,
    /// `None` for Kiln's own.
    pub of_etcd: Option<EtcdProgram>,
}

impl Manifest {
    /// Every program that nodes have, Kiln's own last.
    pub fn programs(&self) -> impl Iterator<Item = Program<'_>> {
        let of_etcd = self.etcd.binaries.iter().map(|(program, binary)| Program {
            name: program.as_str(),
            path: &binary.path,
            size: binary.size,
            sha256: binary.sha256,
            of_etcd: Some(*program),
        });
        let own = self.kiln_node.iter().map(|own| Program {
            name: NODE_PROGRAM,
            path: &own.path,
            size: own.size,
            sha256: own.sha256,
            of_etcd: None,
        });
        of_etcd.chain(own)
    }
}

/// Programs whose place no build gives them, and programs of the release that are missing.
pub(super) fn mislaid(manifest: &Manifest) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut problem = |program: &str, problem: String| {
        problems.push(Problem { path: program.to_owned(), problem });
    };
    for Program { name, path, .. } in manifest.programs() {
        if path.contains(|c: char| !(c.is_ascii_alphanumeric() || "/._+-".contains(c))) {
            problem(name, format!("has the path {path}, which is not valid for a program"));
        } else if path.file_name() != name {
            problem(name, format!("has the path {path}, whose last part is another name"));
        }
    }
    let etcd = &manifest.etcd;
    let has = |program: &EtcdProgram| etcd.binaries.contains_key(program);
    for program in EtcdProgram::ALL.iter().filter(|program| program.is_part_of(etcd.version) && !has(program))
    {
        problem(program.as_str(), format!("is part of etcd {} but not in the manifest", etcd.version));
    }
    problems
}
