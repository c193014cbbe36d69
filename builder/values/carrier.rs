//! A carrier: a way in which a machine gets its files. This module has the facts that do not depend on a plan; the
//! rows are in `carrier::TABLE`.

use std::fmt;

use super::Mode;

/// The facts about a carrier.
pub struct CarrierFacts {
    /// Its name in profiles, manifests and `--carrier`.
    pub name: &'static str,
    /// A noun phrase for the help and the README.
    pub about: &'static str,
    /// How a machine starts with it.
    pub start: Start,
    /// Whether the program that reads its files creates the profile's account.
    pub makes_accounts: bool,
    /// It sets up the machine itself: its name, network and accounts.
    pub sets_up_host: bool,
    /// Whether systems that are set up only by it have a read-only /usr, so that programs are in /opt/bin.
    pub has_read_only_usr: bool,
    /// Its files in a bundle, besides those that every bundle has.
    pub files: &'static [CarrierFile],
}

/// How a machine starts with a carrier's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Not by Kiln: the operator unpacks the files.
    ByHand,
    /// From RAM: the node's files are in its initrd, after those of a base system.
    Ram {
        /// The default base system of `ci/base`.
        base: &'static str,
    },
    /// From a disk whose system reads `seed.iso`.
    Disk {
        /// The default base system of `ci/base`.
        base: &'static str,
        /// A file that the machine's firmware passes to the guest.
        firmware: Option<Firmware>,
    },
}

/// A file of a node that its machine's firmware passes to the guest (QEMU's docs/specs/fw_cfg.rst).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Firmware {
    pub key: &'static str,
    /// Below `nodes/NAME/`.
    pub file: &'static str,
    /// The serial of the disk that contains it where the firmware cannot pass it.
    pub serial: &'static str,
}

/// A file of a bundle, or a choice of files of which it has one.
pub struct CarrierFile {
    pub at: At,
    /// It has one of these names.
    pub names: &'static [&'static str],
    pub mode: Mode,
    /// Whether a bundle without it is incomplete.
    pub is_needed: bool,
    /// Whether it is an archive with members to list.
    pub is_archive: bool,
}

/// The directory of a carrier's file in a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// In `nodes/NAME/`.
    Node,
    /// In `nodes/NAME/` of bundles with boot files.
    BootNode,
    /// In `layers/`, of bundles in which all hosts share the programs.
    Layers,
    /// In `boot/`, of bundles with boot files.
    Boot,
}

impl CarrierFile {
    pub const fn new(at: At, names: &'static [&'static str], mode: Mode) -> Self {
        Self { at, names, mode, is_needed: true, is_archive: false }
    }

    /// With members to list.
    pub const fn archive(self) -> Self {
        Self { is_archive: true, ..self }
    }

    /// A file that bundles of earlier versions of Kiln do not have.
    pub const fn optional(self) -> Self {
        Self { is_needed: false, ..self }
    }
}

/// One carrier of the table.
#[derive(Clone, Copy)]
pub struct Carrier(&'static CarrierFacts);

impl Carrier {
    /// For the table of carriers.
    pub const fn new(facts: &'static CarrierFacts) -> Self {
        Self(facts)
    }

    /// The base system of `ci/base` that its machines start from; `None` where Kiln starts none.
    pub fn base(self) -> Option<&'static str> {
        match self.start {
            Start::ByHand => None,
            Start::Ram { base } | Start::Disk { base, .. } => Some(base),
        }
    }

    /// Whether its machines run from RAM.
    pub fn runs_from_ram(self) -> bool {
        matches!(self.start, Start::Ram { .. })
    }

    /// Whether its machines find their files on `seed.iso`.
    pub fn has_seed(self) -> bool {
        matches!(self.start, Start::Disk { .. })
    }

    /// The file that its machines' firmware passes to them.
    pub fn firmware(self) -> Option<Firmware> {
        match self.start {
            Start::Disk { firmware, .. } => firmware,
            Start::ByHand | Start::Ram { .. } => None,
        }
    }
}

impl std::ops::Deref for Carrier {
    type Target = CarrierFacts;
    fn deref(&self) -> &CarrierFacts {
        self.0
    }
}

impl PartialEq for Carrier {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Carrier {}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}

impl fmt::Debug for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl serde::Serialize for Carrier {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

/// Carriers for tests that read profiles.
#[cfg(test)]
pub fn examples() -> Vec<Carrier> {
    const fn example(name: &'static str, makes_accounts: bool, has_read_only_usr: bool) -> CarrierFacts {
        let start = Start::ByHand;
        let sets_up_host = makes_accounts;
        CarrierFacts { name, about: "", start, makes_accounts, sets_up_host, has_read_only_usr, files: &[] }
    }
    static TAR: CarrierFacts = example("tar", false, false);
    static CLOUD_INIT: CarrierFacts = example("cloud-init", true, false);
    static IGNITION: CarrierFacts = example("ignition", true, true);
    vec![Carrier(&TAR), Carrier(&CLOUD_INIT), Carrier(&IGNITION)]
}
