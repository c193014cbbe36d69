//! Whether guests can run with KVM, found out by starting one.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::emulator::{option, without_name};
use super::memory::{KvmAnswer, KvmKey, Memory};
use crate::disk::{self, Input, Scratch};
use crate::failure::{Failure, Result};
use crate::process::{Ended, Program};
use crate::values::Mode;

/// The BIOS and a boot sector take a fifth of a second, emulated or not. Where KVM itself is emulated they take five,
/// and Linux does not reach its first line.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

const PROBE_EXIT_CODE: i32 = 0x21;

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

/// The result of `auto` on this machine, and a clause that says why it is not KVM. `kvm` always probes again, and its
/// result is recorded.
///
/// # Errors
/// `Exit::Io` when KVM was requested and no guest runs with it.
pub fn choose(wanted: Accel, qemu: &Path) -> Result<(Accel, Option<String>)> {
    if wanted == Accel::Tcg {
        return Ok((Accel::Tcg, None));
    }
    match trouble(qemu, wanted == Accel::Auto)? {
        None => Ok((Accel::Kvm, None)),
        Some(why) if wanted == Accel::Kvm => Err(Failure::io(format!(
            "KVM does not work here ({why}); omit --accel to run the VMs under emulation"
        ))),
        Some(why) => Ok((Accel::Tcg, Some(format!("KVM does not work here ({why})")))),
    }
}

/// The reason why no guest runs with KVM. It proves nothing that /dev/kvm exists and can be opened, nor that QEMU
/// keeps running: in a virtual machine without nested virtualization, a guest may die or hang. So a guest is started
/// that ends at once.
fn trouble(qemu: &Path, remembers: bool) -> Result<Option<String>> {
    if disk::look(Path::new("/dev/kvm"))?.is_none() {
        return Ok(Some("there is no /dev/kvm".to_owned()));
    }
    let (memory, key) = (Memory::of_user(), key(qemu));
    if let Some(known) = key.as_ref().filter(|_| remembers).and_then(|key| memory.kvm(key)) {
        let again = |why| format!("{why} when it was tried since this host booted; --accel kvm tries again");
        return Ok(known.trouble.map(again));
    }
    let (trouble, lasts) = probe(qemu)?;
    match key {
        Some(depends_on) if lasts => {
            memory.note_kvm(&KvmAnswer { depends_on, trouble: trouble.clone() });
        }
        _ => memory.forget_kvm(),
    }
    Ok(trouble)
}

/// `None` where a part of it cannot be determined; the probe is then repeated each time.
fn key(qemu: &Path) -> Option<KvmKey> {
    let boot = disk::read(Path::new("/proc/sys/kernel/random/boot_id"), 4096).ok()?;
    let qemu_file = Input::open(qemu).ok()?;
    Some(KvmKey {
        boot: String::from_utf8(boot).ok()?.trim().to_owned(),
        user: disk::user(),
        qemu: qemu.to_owned(),
        size: qemu_file.size(),
        modified: qemu_file.stamp().modified,
    })
}

/// Starts a guest; returns the reason why it does not run, and whether that lasts until the host boots again. An error
/// of QEMU's, such as that another program uses the processor's virtualization, may be gone a minute later, and costs
/// no time to see again.
fn probe(qemu: &Path) -> Result<(Option<String>, bool)> {
    let scratch = Scratch::swept("probe")?;
    let sector = scratch.write("boot.img", &boot_sector(), Mode::SECRET)?;
    let guest = Program::new(qemu)
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-accel", "kvm", "-cpu", "host"])
        .args(["-M", "pc", "-m", "32", "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-drive"])
        .arg(option("if=ide,format=raw,file=", &sector))
        .within(PROBE_TIMEOUT);
    let finished = guest.run()?;
    Ok(match finished.ended {
        Ended::Code(PROBE_EXIT_CODE) => (None, true),
        Ended::Deadline => (Some("a test guest makes no progress".to_owned()), true),
        _ => {
            let said = finished.stderr_text();
            let line =
                said.lines().find(|line| !line.trim().is_empty()).unwrap_or("a test guest exits at once");
            (Some(without_name(line).trim().to_owned()), false)
        }
    })
}

/// mov al, 0x10; out 0xf4, al; hlt: QEMU's debug port exits with twice the value plus one.
fn boot_sector() -> Vec<u8> {
    let mut sector = vec![0; 512];
    sector[..5].copy_from_slice(&[0xb0, 0x10, 0xe6, 0xf4, 0xf4]);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}
