//! A bundle that another build replaces while it is rehearsed.

use std::fs;
use std::io::Read;

use super::fixture::Recipe;
use super::{Stage, wait_for};

#[test]
fn a_bundle_that_is_replaced_during_its_rehearsal_gets_no_verdict() {
    let (first, second) = (Recipe::new(), Recipe::new());
    let stage = Stage::new(&first);
    let other = stage.directory.path().join("other");
    second.write(&other);
    let mut child = stage.kiln("rehearse", &[]).spawn().unwrap();
    wait_for("the first member", || {
        let scratch = fs::read_dir(stage.tmp()).unwrap().next()?.ok()?.path();
        scratch.join("logs/cp-a.log").exists().then_some(())
    });
    fs::rename(stage.bundle(), stage.directory.path().join("aside")).unwrap();
    fs::rename(&other, stage.bundle()).unwrap();
    let (mut stdout, mut stderr) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(5), "{stdout}{stderr}");
    assert!(stderr.contains("was replaced during this run"), "{stderr}");
    assert_eq!(stdout, "", "no verdict");
    stage.assert_nothing_left();
}
