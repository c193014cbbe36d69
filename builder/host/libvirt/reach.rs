//! Whether the libvirts answer that are to run machines, and what their hosts offer.

use std::collections::BTreeSet;
use std::time::Duration;

use super::virsh::Virsh;
use crate::bundle::Manifest;
use crate::failure::{Exit, Failure, Result};
use crate::host::accel::{self, Accel};
use crate::host::emulator;
use crate::host::record::MachinesRecord;
use crate::parallel;
use crate::process;
use crate::values::{Connect, LibvirtNetwork, Link};

/// A libvirt answers within a tenth of a second, behind ssh within a few.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Asks all of them, so that nothing is made on one host when another is off.
///
/// # Errors
/// `Exit::Io` when one does not answer or cannot run machines; `Exit::Usage` when it lacks the profile's network.
pub fn check(wanted: &MachinesRecord, manifest: &Manifest) -> Result<()> {
    let connects = wanted.connects(manifest);
    let answers = parallel::all(&connects, connects.len(), |connect| {
        answers(wanted, connect)?;
        match manifest.machine().link {
            Link::Network(network) => has_network(wanted, connect, &network),
            Link::Own | Link::Bridge(_) => Ok(()),
        }
    });
    answers.into_iter().collect()
}

fn answers(wanted: &MachinesRecord, connect: &Connect) -> Result<()> {
    let virsh = |arguments: &[&str]| -> Result<Virsh> {
        Ok(Virsh::new(&process::find("virsh")?, connect).args(arguments).within(ANSWER_TIMEOUT))
    };
    virsh(&["uri"])?.must().map_err(|failure| match failure.exit() {
        Exit::Interrupted => failure,
        _ => Failure::io(format!(
            "the libvirt at {} does not answer: {failure}; nothing was started; try virsh -c {connect} uri",
            wanted.called(connect)
        )),
    })?;
    let offers = virsh(&["domcapabilities", "--virttype", "qemu", "--arch", "x86_64", "--machine", "q35"])?;
    offers.must().map(|_| ()).map_err(|failure| match failure.exit() {
        Exit::Interrupted => failure,
        _ => Failure::io(format!(
            "the libvirt at {} runs no VMs for amd64 ({failure}); install QEMU there, on Debian qemu-system-x86",
            wanted.called(connect)
        )),
    })
}

fn has_network(wanted: &MachinesRecord, connect: &Connect, network: &LibvirtNetwork) -> Result<()> {
    let finished = Virsh::new(&process::find("virsh")?, connect).args(["net-list", "--name"]).must()?;
    let listed = String::from_utf8_lossy(&finished.stdout).into_owned();
    let active: BTreeSet<_> = listed.lines().map(str::trim).collect();
    if active.contains(network.as_str()) {
        return Ok(());
    }
    let reason = format!(
        "the libvirt at {} has no active network {network} ([machine] network); start it there (virsh -c {connect} \
         net-start {network}), or name another one in the profile and build again",
        wanted.called(connect)
    );
    Err(Failure::new(Exit::Usage, reason))
}

/// KVM, if every one of them has it; on this machine also if a guest runs with it.
///
/// # Errors
/// `Exit::Io` when KVM was requested and does not work.
pub fn accel(accel: Accel, wanted: &MachinesRecord, manifest: &Manifest) -> Result<(Accel, Option<String>)> {
    if accel == Accel::Tcg {
        return Ok((Accel::Tcg, None));
    }
    for connect in wanted.connects(manifest) {
        if let (true, Some(qemu)) = (connect.is_here(), emulator::look_for()) {
            match accel::choose(accel, &qemu)? {
                (Accel::Kvm, _) => continue,
                other => return Ok(other),
            }
        }
        let asked = ["domcapabilities", "--virttype", "kvm", "--arch", "x86_64", "--machine", "q35"];
        let Err(failure) = Virsh::new(&process::find("virsh")?, &connect).args(asked).must() else {
            continue;
        };
        let why = format!("{} offers no KVM", wanted.called(&connect));
        return match (failure.exit(), accel) {
            (Exit::Interrupted, _) => Err(failure),
            (_, Accel::Kvm) => {
                Err(Failure::io(format!("{why} ({failure}); omit --accel to run the VMs under emulation")))
            }
            _ => Ok((Accel::Tcg, Some(why))),
        };
    }
    Ok((Accel::Kvm, None))
}
