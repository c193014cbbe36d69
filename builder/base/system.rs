//! What machines are started from: a base system whose kernel QEMU starts, or a disk image that starts its own.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Base;
use crate::disk::{self, Input, Kind};
use crate::failure::{Doing, Exit, Failure, Result};
use crate::process::{self, Program};
use crate::values::{Carrier, Digest};

pub enum System {
    /// A directory as `ci/base` makes them.
    Base(Base),
    /// A whole disk with a boot loader, as distributions publish theirs for clouds.
    Image(Image),
}

/// A disk that all machines read and none writes.
#[derive(Clone)]
pub struct Image {
    pub file: PathBuf,
    /// `qcow2` or `raw`.
    pub format: String,
    /// In bytes, as the guest sees it.
    pub size: u64,
}

impl System {
    /// # Errors
    /// `Exit::Usage` when machines cannot be started from what is at the path by this carrier.
    pub fn open(path: &Path, carrier: Carrier) -> Result<Self> {
        let is_file = disk::look(path)?.is_some_and(|found| found.kind == Kind::File);
        if !is_file {
            return Base::open(path, carrier).map(Self::Base);
        }
        if carrier.runs_from_ram() {
            let reason = format!(
                "{} is a disk image, which starts its own kernel, and the carrier initramfs has its files beside a \
                 kernel; choose --carrier cloud-init or ignition, whichever the image is for",
                path.display()
            );
            return Err(Failure::new(Exit::Usage, reason));
        }
        Image::open(path).map(Self::Image)
    }

    /// The kernel that QEMU starts, with its initrd; `None` where the disk has its own.
    pub fn kernel(&self) -> Option<&Base> {
        match self {
            Self::Base(base) => Some(base),
            Self::Image(_) => None,
        }
    }

    /// What tells it from another: its files by path, size and time of change.
    ///
    /// # Errors
    /// `Exit::Io` when a file is not there any more.
    pub fn identity(&self) -> Result<Digest> {
        let files: Vec<&Path> = match self {
            Self::Base(base) => [Some(&base.kernel), Some(&base.initrd), base.disk.as_ref()]
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

    /// The disk that the machines' own are differences to; `None` where they run from RAM.
    ///
    /// # Errors
    /// As `Image::open`.
    pub fn image(&self) -> Result<Option<Image>> {
        match self {
            Self::Base(base) => base.disk.as_deref().map(Image::open).transpose(),
            Self::Image(image) => Ok(Some(image.clone())),
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
