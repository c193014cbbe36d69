//! What machines print. libvirt writes it to a file on its host: on this machine to the one that everything here reads,
//! elsewhere to a volume, whose new bytes are brought here when somebody asks.

use super::Cluster;
use crate::disk;
use crate::failure::Result;
use crate::values::NodeName;

impl Cluster<'_> {
    /// A new console for a machine that is about to start: the path on the host of its libvirt.
    pub(super) fn begin_console(&self, node: &NodeName) -> Result<String> {
        self.state.begin_console(node)?;
        if self.connect.is_here() {
            return Ok(self.state.console(node).to_string_lossy().into_owned());
        }
        let volume = volume(node);
        if self.names(["vol-list", &self.name])?.contains(&volume) {
            self.virsh(["vol-delete", "--pool", &self.name, &volume]).must()?;
        }
        self.virsh(["vol-create-as", &self.name, &volume, "0", "--format", "raw"]).must()?;
        self.path(&volume)
    }

    /// Two runs may do this at once: both then write the same bytes to the same place.
    pub(super) fn hear(&self, node: &NodeName) -> Result<()> {
        if self.connect.is_here() {
            return Ok(());
        }
        let file = self.state.console(node);
        let at = disk::look(&file)?.map_or(0, |found| found.size);
        let offset = at.to_string();
        // The rest of a longer answer is not kept, and comes the next time.
        let arguments =
            ["vol-download", "--pool", &self.name, &volume(node), "/dev/stdout", "--offset", &offset];
        match self.virsh(arguments).must() {
            Ok(heard) if !heard.stdout.is_empty() => disk::write_at(&file, at, &heard.stdout),
            // Also where there is no such volume, because it was not started, or its pool is not active.
            _ => Ok(()),
        }
    }
}

fn volume(node: &NodeName) -> String {
    format!("{node}.console.log")
}
