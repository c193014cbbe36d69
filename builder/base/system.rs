//! The system that machines start from: a base system whose kernel QEMU starts, or a disk image that starts its own.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Base;
use crate::disk::{self, Input, Kind};
use crate::failure::{Doing, Exit, Failure, Result};
use crate::process::{self, Program};
use crate::values::{Carrier, Digest};

pub enum System {
    /// A directory as `ci/base` makes them, and the disk in it.
    Base(Base, Option<Image>),
    /// A whole disk with a boot loader, such as the cloud images of distributions.
    Image(Image),
}

/// A disk that all machines read and none writes to.
pub struct Image {
    pub file: PathBuf,
    /// `qcow2` or `raw`.
    pub format: String,
    /// In bytes, as the guest sees it.
    pub size: u64,
}

impl System {
    /// # Errors
    /// `Exit::Usage` when this carrier cannot start machines from what is at the path.
    pub fn open(path: &Path, carrier: Carrier) -> Result<Self> {
        let is_file = disk::look(path)?.is_some_and(|found| found.kind == Kind::File);
        if !is_file {
            let base = Base::open(path, carrier)?;
            let disk = base.disk.as_deref().map(Image::open).transpose()?;
            return Ok(Self::Base(base, disk));
        }
        if carrier.runs_from_ram() {
            let reason = format!(
                "{} is a disk image with its own kernel, but the carrier initramfs needs a separate one; use --carrier \
                 cloud-init or ignition, whichever the image supports",
                path.display()
            );
            return Err(Failure::new(Exit::Usage, reason));
        }
        Image::open(path).map(Self::Image)
    }

    /// The kernel that QEMU starts, with its initrd; `None` where the disk has its own.
    pub fn kernel(&self) -> Option<&Base> {
        match self {
            Self::Base(base, _) => Some(base),
            Self::Image(_) => None,
        }
    }

    /// Identifies the system: its files by path, size and time of change.
    ///
    /// # Errors
    /// `Exit::Io` when a file is missing.
    pub fn identity(&self) -> Result<Digest> {
        let files: Vec<&Path> = match self {
            Self::Base(base, _) => [Some(&base.kernel), Some(&base.initrd), base.disk.as_ref()]
                .into_iter()
                .flatten()
                .map(|f| &**f)
                .collect(),
            Self::Image(image) => vec![&image.file],
        };
        let mut text = String::new();
        for file in files {
            let input = Input::open(file)?;
            let (seconds, nanoseconds) = input.stamp().modified;
            text.push_str(&format!("{:?} {} {seconds}.{nanoseconds}\n", file, input.size()));
        }
        Ok(Digest::of(text.as_bytes()))
    }

    /// The backing image of the machines' own disks; `None` where they run from RAM.
    pub fn image(&self) -> Option<&Image> {
        match self {
            Self::Base(_, disk) => disk.as_ref(),
            Self::Image(image) => Some(image),
        }
    }
}

impl Image {
    /// # Errors
    /// `Exit::Usage` when it is neither qcow2 nor raw.
    fn open(path: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        struct Info {
            format: String,
            virtual_size: u64,
        }
        let file = std::path::absolute(path).doing(|| format!("finding {}", path.display()))?;
        let asking = || format!("asking qemu-img what {} is", file.display());
        let program = Program::new(process::find("qemu-img")?).args(["info", "--output=json"]).arg(&file);
        let finished = program.must().doing(asking)?;
        let info: Info = serde_json::from_slice(&finished.stdout)
            .map_err(|error| Failure::io(error.to_string()).while_doing(asking()))?;
        if !["qcow2", "raw"].contains(&info.format.as_str()) {
            let reason = format!(
                "{} is a {} image; turn it into qcow2 (qemu-img convert -O qcow2)",
                file.display(),
                info.format
            );
            return Err(Failure::new(Exit::Usage, reason));
        }
        Ok(Self { file, format: info.format, size: info.virtual_size })
    }
}
