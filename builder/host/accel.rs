//! Whether guests run on the processor itself, found out by starting one.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::emulator::{option, without_name};
use crate::disk::{self, Scratch};
use crate::failure::{Failure, Result};
use crate::process::{Ended, Program};
use crate::values::Mode;

/// The BIOS and a boot sector take a fifth of a second, emulated or not. Where KVM itself is emulated they take five,
/// and Linux does not get to its first line.
const PROBE: Duration = Duration::from_secs(2);

const DONE: i32 = 0x21;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Accel {
    Auto,
    Kvm,
    Tcg,
}

impl Accel {
    pub fn as_str(self) -> &'static str {
        match self {
            Accel::Auto => "auto",
            Accel::Kvm => "kvm",
            Accel::Tcg => "tcg",
        }
    }
}

/// What `auto` comes to on this machine, and why it is not KVM.
///
/// # Errors
/// `Exit::Io` when KVM was asked for and no guest runs in it.
pub fn choose(wanted: Accel, qemu: &Path) -> Result<(Accel, Option<String>)> {
    if wanted == Accel::Tcg {
        return Ok((Accel::Tcg, None));
    }
    match trouble(qemu)? {
        None => Ok((Accel::Kvm, None)),
        Some(why) if wanted == Accel::Kvm => Err(Failure::io(format!(
            "no guest runs in KVM here ({why}); leave --accel away to have the machines emulated"
        ))),
        Some(why) => Ok((Accel::Tcg, Some(why))),
    }
}

/// Why no guest runs in KVM. That /dev/kvm is there and opens says nothing, nor does a QEMU that goes on running: in
/// a virtual machine that is not allowed to have guests of its own, one dies and another stands still. So a guest is
/// started whose only work is to end.
fn trouble(qemu: &Path) -> Result<Option<String>> {
    if disk::look(Path::new("/dev/kvm"))?.is_none() {
        return Ok(Some("there is no /dev/kvm".to_owned()));
    }
    let scratch = Scratch::swept("probe")?;
    let sector = scratch.write("boot.img", &boot_sector(), Mode::SECRET)?;
    let guest = Program::new(qemu)
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-accel", "kvm", "-cpu", "host"])
        .args(["-M", "pc", "-m", "32", "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-drive"])
        .arg(option("if=ide,format=raw,file=", &sector))
        .within(PROBE);
    let finished = guest.run()?;
    match finished.ended {
        Ended::Code(DONE) => Ok(None),
        Ended::Deadline => Ok(Some("a guest hardly moves in it".to_owned())),
        _ => {
            let said = finished.stderr_text();
            let line = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("a guest ends at once");
            let line = without_name(line);
            Ok(Some(line.trim().to_owned()))
        }
    }
}

/// mov al, 0x10; out 0xf4, al; hlt: QEMU's debug port ends it with twice the value and one.
fn boot_sector() -> Vec<u8> {
    let mut sector = vec![0; 512];
    sector[..5].copy_from_slice(&[0xb0, 0x10, 0xe6, 0xf4, 0xf4]);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}
