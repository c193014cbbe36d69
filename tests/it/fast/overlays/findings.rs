//! All findings about overlays are reported at once, and a plan and a build name the overlays.

use super::{kiln, refusal, work};
use crate::support::{bundles::OVERLAID as PROFILE, output, refused, run};

#[test]
fn mistakes_of_overlays_are_said_with_those_of_the_profile() {
    let work = work();
    work.file("mine/etc/one.hbs", "{{#if node}}\n");
    work.file("mine/etc/two.hbs", "ok\n{{nope}}\n");
    work.file("mine/etc/three.hbs", "{{also.not}}\n");
    work.file("mine/etc/kiln/guard.sh", "x");
    let text = PROFILE.replace("\"mine\"]", "\"mine\", \"missing\"]\nreplace = [\"/etc/nothing\"]");
    work.file("site.toml", &text);
    let message = refusal(&work, 3);
    for part in [
        "mine/etc/one.hbs:1:1: this block is not closed",
        "mine/etc/two.hbs:2:1: there is no variable nope",
        "mine/etc/three.hbs:1:1: there is no variable also.not",
        "the overlay missing is not a directory",
        "/etc/kiln/guard.sh comes from overlay \"etcd\" and again from overlay \"mine\"",
        "--> site.toml:15:21",
        "[bundle] replace names /etc/nothing",
        "6 mistakes",
    ] {
        assert!(message.contains(part), "{part}\n{message}");
    }
    // Findings that do not need a valid profile are reported beside its mistakes.
    work.file("site.toml", text.replace("10.0.0.4", "10.9.0.4"));
    let message = refusal(&work, 3);
    for part in ["10.9.0.4", "one.hbs:1:1", "the overlay missing is not a directory", "3 mistakes"] {
        assert!(message.contains(part), "{part}\n{message}");
    }
    let output = kiln(&work, "check", &["--json"]).output().unwrap();
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["error"]["mistakes"].as_array().unwrap().len(), 3, "{said}");
    // An overlay from the command line.
    work.file("site.toml", PROFILE);
    assert!(
        refused(&mut kiln(&work, "build", &["--overlays", "nowhere"]), 2)
            .contains("the directory nowhere for --overlays does not exist")
    );
}

#[test]
fn overlays_are_shown_in_the_plan_and_said_in_a_build() {
    let work = work();
    work.file("mine/etc/profile.d/etcdctl.sh", "x");
    work.file(
        "site.toml",
        PROFILE.replace("\"mine\"]", "\"mine\"]\nreplace = [\"/etc/profile.d/etcdctl.sh\"]"),
    );
    let planned = run(&mut kiln(&work, "plan", &[]));
    let want =
        "overlays\n  mine  2 files\n    /etc/profile.d/etcdctl.sh  replaces that of overlay \"etcd\"\n";
    assert!(planned.contains(want), "{planned}");
    let planned: serde_json::Value =
        serde_json::from_str(&run(&mut kiln(&work, "plan", &["--json"]))).unwrap();
    let want =
        serde_json::json!([{"directory": "mine", "files": 2, "replaces": ["/etc/profile.d/etcdctl.sh"]}]);
    assert_eq!(planned["overlays"], want);
    let output = kiln(&work, "build", &[]).output().unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("overlay mine: 2 files\n"));
}

/// A unit that nothing brings keeps the member from starting, and may be the base system's all the same.
#[test]
fn a_required_unit_that_nothing_brings_is_warned_of() {
    let work = work();
    let units = "\n[etcd.service.unit]\nRequires = [\"chronyd.service\", \"vault.service\"]\nBindsTo = \"srv-etcd.mount\"\n\
                 Requisite = \"site@1.service\"\nWants = \"nice.service\"\nAfter = \"later.service\"\n";
    let said = |text: &str| {
        work.file("site.toml", text);
        let (code, _, built) = output(&mut kiln(&work, "build", &["-q"]));
        let (_, _, checked) = output(&mut kiln(&work, "check", &["-q"]));
        assert_eq!(
            (code, checked.matches("nothing of this bundle").count()),
            (0, built.matches("nothing of this bundle").count()),
            "{built}"
        );
        built
    };
    let warned = said(&format!("{PROFILE}{units}"));
    for unit in ["Requires=vault.service", "BindsTo=srv-etcd.mount", "Requisite=site@1.service"] {
        assert!(warned.contains(&format!("etcd's unit has {unit}")), "{unit}\n{warned}");
    }
    assert_eq!(warned.matches("the member does not start without it").count(), 3, "{warned}");
    // Also without an overlay of the profile's own.
    let plain = PROFILE.replace("overlays = [\"mine\"]\n", "");
    assert_eq!(said(&format!("{plain}{units}")).matches("the member does not start without it").count(), 3);
    work.file("mine/etc/systemd/system/vault.service", "[Service]\nExecStart=/bin/true\n");
    work.file("mine/usr/lib/systemd/system/site@.service", "[Service]\nExecStart=/bin/true\n");
    let file = "[[file]]\npath = \"/etc/systemd/system/srv-etcd.mount\"\ntext = \"[Mount]\\nWhat=/dev/vdb\\nWhere=/srv/etcd\\n\"\n";
    let quiet = said(&format!("{PROFILE}{units}\n{file}"));
    assert!(!quiet.contains("nothing of this bundle"), "{quiet}");
}

/// What needs no valid profile is said in the same round as its mistakes.
#[test]
fn a_missing_file_and_a_missing_base_are_said_with_the_mistakes_of_the_profile() {
    let work = work();
    let more = "\n[machine]\nbase = \"/nowhere/base\"\n\n[[file]]\npath = \"/etc/site\"\nsource = \"gone\"\n";
    for (text, count) in [
        (format!("{PROFILE}{more}"), 2),
        (format!("{PROFILE}{more}").replace("10.0.0.4", "10.9.0.4"), 3),
        (format!("{PROFILE}{more}").replace("10.0.0.0/24", "10.0.0.0/99"), 3),
        // Beside an overlay that is not read at all.
        (
            format!("{PROFILE}{more}")
                .replace("\"mine\"]", "\"mine\", \"missing\"]")
                .replace("10.0.0.4", "x"),
            4,
        ),
    ] {
        work.file("site.toml", &text);
        let message = refusal(&work, 3);
        for part in ["gone does not exist", "/nowhere/base", &format!("{count} mistakes")] {
            assert!(message.contains(part), "{part}\n{message}");
        }
        assert_eq!(message.matches("--> site.toml:").count(), count, "{message}");
    }
    // A base system that no boot file is made from is not looked for.
    let tar =
        format!("{PROFILE}{more}").replace("\"tar\", \"initramfs\"", "\"tar\"").replace("10.0.0.4", "x");
    work.file("site.toml", &tar);
    assert!(!refusal(&work, 3).contains("/nowhere/base"));
}
