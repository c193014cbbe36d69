//! kiln-node killed at each of its steps: etcd serves on, and the next run repairs.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;

use super::machine::{Machine, PLAIN, Start};
use crate::support::root;

/// What has to happen for a step to be reached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// Certificates are made anew.
    Renewing,
    /// etcd does not present them.
    TakingBack,
    /// An earlier run was killed before its proof.
    Settling,
}

const STEPS: &[(&str, When)] = &[
    ("locked", When::Renewing),
    ("decided", When::Renewing),
    ("minted", When::Renewing),
    ("half-written", When::Renewing),
    ("written", When::Renewing),
    ("named", When::Renewing),
    ("prepared", When::Renewing),
    ("remembered", When::Renewing),
    ("linked", When::Renewing),
    ("proven", When::Renewing),
    ("forgotten", When::Renewing),
    ("pruned", When::Renewing),
    ("acted", When::Renewing),
    ("stated", When::Renewing),
    ("settled", When::Settling),
    ("returned", When::TakingBack),
];

#[test]
fn each_step_of_the_source_is_in_the_table() {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(root().join("builder/node")).unwrap() {
        let Ok(text) = fs::read_to_string(entry.unwrap().path()) else { continue };
        found.extend(text.split("reached(\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
    }
    let listed: BTreeSet<_> = STEPS.iter().map(|(step, _)| (*step).to_owned()).collect();
    assert_eq!(found, listed);
}

#[track_caller]
fn kill(machine: &Machine, options: &[&str], step: &str) {
    let output = machine.renewing(options, Some(step)).output().unwrap();
    // nsenter ends as its program has ended.
    let is_aborted = output.status.signal() == Some(6) || output.status.code() == Some(134);
    assert!(is_aborted, "{step}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
}

/// Of a run that goes on to its end: nothing unfinished is left.
#[track_caller]
fn is_tidy(machine: &Machine, step: &str) {
    let names = machine.names();
    let is_plain = |name: &&String| *name == "live" || *name == "lock" || name.parse::<u32>().is_ok();
    assert!(names.iter().all(|name| is_plain(&name)) && names.len() <= 5, "{step}: {names:?}");
}

#[test]
fn a_killed_renewal_is_repaired_by_the_next_run() {
    let machine = Machine::new();
    machine.renewed();
    machine.etcd(&PLAIN);
    for (number, (step, when)) in STEPS.iter().enumerate().filter(|(_, (_, when))| *when != When::TakingBack)
    {
        for options in [&[][..], &["--ensure"]] {
            // Nothing is proven with --ensure, and so nothing is forgotten.
            if !options.is_empty() && ["proven", "forgotten"].contains(step) {
                continue;
            }
            machine.another_subject(&format!("{number}-{}", options.len()));
            if *when == When::Settling {
                kill(&machine, &[], "linked");
            }
            kill(&machine, options, step);
            machine.serves();
            let (code, said) = machine.renew(&[]);
            assert_eq!(code, 0, "{step}: {said}");
            is_tidy(&machine, step);
            machine.serves();
            let (code, said) = machine.renew(&[]);
            assert!(code == 0 && said.is_empty(), "{step}: the run after that has nothing to do: {said}");
        }
    }
}

#[test]
fn a_killed_return_is_repaired_by_the_next_run() {
    let machine = Machine::new();
    machine.renewed();
    machine.shell("cp -a /mnt/var/pki/1 /mnt/copies");
    machine.etcd(&Start { pki: "/mnt/copies", ..PLAIN });
    for (step, _) in STEPS.iter().filter(|(_, when)| *when == When::TakingBack) {
        machine.another_subject(step);
        kill(&machine, &[], step);
        machine.serves();
        // etcd reads its copies still.
        let (code, said) = machine.renew(&[]);
        assert!(
            code == 1 && said.contains("the certificates from before are back"),
            "{step}: {code}: {said}"
        );
        assert_eq!(machine.live(), "1", "{step}");
        is_tidy(&machine, step);
        machine.serves();
    }
    // With the links, all is well again.
    machine.stop_etcd();
    machine.etcd(&PLAIN);
    assert_eq!(machine.renew(&[]).0, 0);
    machine.serves();
}
