//! `kiln-node` for nodes that renew their certificates: from beside Kiln's own program, or from the artifact store.

use std::path::Path;
use std::sync::Arc;

use super::beside::{self, NodeProgram, Origin};
use super::note::Note;
use super::session::Session;
use crate::artifact::{self, NodeRecord};
use crate::failure::{Exit, Failure, Result};
use crate::values::{Arch, NODE_PROGRAM, Version};

impl Session<'_> {
    /// The program for an architecture, looked up once.
    ///
    /// # Errors
    /// `Exit::Untrusted` when there is none, with the way to get one.
    pub fn node_program(&self, arch: Arch) -> Result<Arc<NodeProgram>> {
        self.node_programs.get(arch, || {
            let path = beside::path(arch);
            let unfit = match beside::look(&path, arch) {
                Ok(Some(program)) => return Ok(program),
                Ok(None) => None,
                Err(failure) if failure.exit() == Exit::Interrupted => return Err(failure),
                Err(failure) => Some(format!("{} is not used: {failure}", path.display())),
            };
            match self.store.find_node(&Version::own(), arch)? {
                Some(record) => {
                    unfit.into_iter().for_each(|why| (self.tell)(Note::warning(why)));
                    self.stored(record)
                }
                None => Err(self.missing_program(arch, &path, unfit)?),
            }
        })
    }

    fn stored(&self, record: NodeRecord) -> Result<NodeProgram> {
        let blob = self.store.load_node(&record)?;
        let NodeRecord { version, source, .. } = record;
        Ok(NodeProgram { version, blob, origin: Origin::Store(source.trust), file: source.file })
    }

    fn missing_program(&self, arch: Arch, beside: &Path, unfit: Option<String>) -> Result<Failure> {
        let directory = self.store.directory().display();
        let there: Vec<_> = self.store.nodes()?.iter().map(|(v, a)| format!("{v} ({a})")).collect();
        let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
        let beside = unfit.unwrap_or_else(|| format!("beside kiln there is no {}", beside.display()));
        Ok(Failure::untrusted(format!(
            "{NODE_PROGRAM} {} for {arch}, which nodes run to renew, to take snapshots and to be restored, is missing: \
             {beside}; and the artifact store {directory} has {there}. Build it with {} in Kiln's source, and put it beside \
             kiln, or add it: kiln artifacts add --artifacts {directory} {NODE_PROGRAM}-{arch} --allow-unverified",
            Version::own(),
            artifact::node_script(arch),
        )))
    }
}
