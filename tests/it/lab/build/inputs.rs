//! Inputs that a build refuses, and the keystore that it makes, or cannot write to.

use std::process::Command;

use super::{build, small};
use crate::support::{SMALL, Workshop, refused, run, snapshot, store};

#[test]
fn a_date_of_issue_that_is_still_to_come_is_refused() {
    let work = small();
    for verb in ["init", "renew"] {
        let cluster = if verb == "init" { "other" } else { "small" };
        let message = refused(&mut work.kiln(["keystore", verb, cluster, "--issued", "2062-01-01"]), 6);
        assert!(message.contains("in the future"), "{message}");
    }
    run(&mut build(&work));
}

#[test]
fn a_keystore_on_a_read_only_mount_can_be_used() {
    let work = small();
    let script = format!(
        "mount --bind keystore keystore && mount -o remount,bind,ro keystore && \
         exec {} build --quiet --profile small.toml --artifacts {}",
        env!("CARGO_BIN_EXE_kiln"),
        store().display()
    );
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]).env("KILN_NO_CACHE", "1");
    run(command.current_dir(work.path()));
    assert!(work.path().join("out/small/bundle.json").exists());
}

#[test]
fn a_keystore_is_made_only_with_a_bundle() {
    let work = Workshop::new();
    work.file("site/etc/broken.hbs", "ok\n{{nope}}\n");
    work.file("small.toml", SMALL.replace("carriers", "overlays = [\"site\"], carriers"));
    let message = refused(&mut build(&work), 3);
    assert!(message.contains("site/etc/broken.hbs:2:") && message.contains("nope"), "{message}");
    assert!(!work.path().join("keystore/small").exists() && !work.path().join("out/small").exists());
    work.file("site/etc/broken.hbs", "{{node}}\n");
    run(&mut build(&work));
    assert!(work.path().join("keystore/small/secret").exists());
    let first = snapshot(&work.path().join("out/small"));
    run(&mut build(&work));
    assert_eq!(snapshot(&work.path().join("out/small")), first);
}

#[test]
fn a_collision_of_overlays_needs_the_profiles_word() {
    let work = Workshop::new();
    let unit = "etc/systemd/system/etcd.service";
    work.file(&format!("site/{unit}"), "[Service]\n");
    work.file("small.toml", SMALL.replace("carriers", "overlays = [\"site\"], carriers"));
    let message = refused(&mut build(&work), 3);
    assert!(message.contains(unit) && message.contains("replace"), "{message}");
    let allowed = format!("overlays = [\"site\"], replace = [\"/{unit}\"], carriers");
    work.file("small.toml", SMALL.replace("carriers", &allowed));
    run(&mut build(&work));
}
