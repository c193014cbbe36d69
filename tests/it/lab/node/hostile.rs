//! What others may have put where this program, which is root, reads and writes.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use super::machine::{Machine, UID};

#[test]
fn a_link_that_leads_elsewhere_is_replaced() {
    let machine = Machine::new();
    machine.renewed();
    machine.shell("cp -a /mnt/var/pki/1 /mnt/elsewhere");
    for (number, target) in
        ["/mnt/elsewhere", "../../elsewhere", "01", "+1", "1/", "./1", "1/../1", "9", "."].iter().enumerate()
    {
        machine.point(target);
        let (code, said) = machine.renew(&[]);
        assert!(code == 0 && said.contains("uses an earlier generation"), "{target}: {code}: {said}");
        assert_eq!(machine.live(), "1", "{number}");
    }
    assert_eq!(machine.names(), ["1", "live", "lock"]);
    assert!(machine.at("elsewhere/server.pem").exists());
}

/// No generation is one that is a link, even to the files of a sound one; none of its targets is touched.
#[test]
fn a_generation_that_is_a_link_is_none() {
    let machine = Machine::new();
    machine.renewed();
    machine.shell("mv /mnt/var/pki/1 /mnt/elsewhere; ln -s /mnt/elsewhere /mnt/var/pki/1");
    let (code, said) = machine.renew(&[]);
    assert!(
        code == 0 && said.contains("/mnt/var/pki/1 is not a directory that only root can change"),
        "{code}: {said}"
    );
    assert_eq!(machine.live(), "2");
    for number in 3..6 {
        machine.another_subject(&number.to_string());
        machine.renewed();
    }
    assert_eq!(machine.names(), ["3", "4", "5", "live", "lock"]);
    assert_eq!(fs::read_dir(machine.at("elsewhere")).unwrap().count(), 4);
    // Also what a killed run seems to have left.
    machine
        .shell("ln -s /mnt/elsewhere /mnt/var/pki/.6.partial; ln -s /mnt/etc/ca.pem /mnt/var/pki/live.new");
    machine.another_subject("6");
    machine.renewed();
    assert_eq!(fs::read_dir(machine.at("elsewhere")).unwrap().count(), 4);
    assert!(machine.read("etc/ca.pem").starts_with("-----BEGIN"));
}

#[test]
fn a_number_beyond_the_last_is_no_crash() {
    let machine = Machine::new();
    machine.renewed();
    fs::create_dir(machine.at("var/pki/4294967295")).unwrap();
    machine.another_subject("other");
    machine.keeps_what_it_has("there is a generation with the highest number");
}

#[test]
fn directories_that_others_can_change_are_not_written_to() {
    let machine = Machine::new();
    machine.renewed();
    machine.another_subject("other");
    let give = |name: &str| chown(machine.at(name), Some(UID), None).unwrap();
    let keep = |name: &str| chown(machine.at(name), Some(0), None).unwrap();
    let mode = |name: &str, mode: u32| {
        fs::set_permissions(machine.at(name), fs::Permissions::from_mode(mode)).unwrap()
    };
    give("var/pki");
    machine.keeps_what_it_has("/mnt/var/pki is not a directory that only root can change");
    keep("var/pki");
    mode("var/pki", 0o777);
    machine.keeps_what_it_has("/mnt/var/pki is not a directory that only root can change");
    mode("var/pki", 0o711);
    // Whoever can change the one above can replace it.
    give("var");
    machine.keeps_what_it_has("/mnt/var can be changed by other accounts");
    keep("var");
    mode("var", 0o775);
    machine.keeps_what_it_has("/mnt/var can be changed by other accounts");
    mode("var", 0o755);
    fs::rename(machine.at("var/pki"), machine.at("var/real")).unwrap();
    symlink("real", machine.at("var/pki")).unwrap();
    machine.keeps_what_it_has("/mnt/var/pki is not a directory that only root can change");
    fs::remove_file(machine.at("var/pki")).unwrap();
    fs::rename(machine.at("var/real"), machine.at("var/pki")).unwrap();
    machine.renewed();
    // A generation that is the account's is none.
    give("var/pki/2");
    let (code, said) = machine.renew(&[]);
    assert!(code == 0 && said.contains("/mnt/var/pki/2 is not a directory"), "{code}: {said}");
    assert_eq!(machine.live(), "3");
}

#[test]
fn a_lock_that_is_a_link_is_refused() {
    let machine = Machine::new();
    machine.renewed();
    machine.another_subject("other");
    fs::remove_file(machine.at("var/pki/lock")).unwrap();
    symlink("/mnt/planted", machine.at("var/pki/lock")).unwrap();
    machine.keeps_what_it_has("opening /mnt/var/pki/lock: Too many levels of symbolic links");
    assert!(!machine.at("planted").exists());
}

#[test]
fn names_that_are_no_links_are_said() {
    let machine = Machine::new();
    machine.renewed();
    fs::create_dir(machine.at("var/pki/before")).unwrap();
    machine.keeps_what_it_has("reading the link /mnt/var/pki/before");
    fs::remove_dir(machine.at("var/pki/before")).unwrap();
    machine.shell("cd /mnt/var/pki; rm live; cp -a 1 live");
    for options in [&[][..], &["--ensure"]] {
        let (code, said) = machine.renew(options);
        assert!(code == 1 && said.contains("reading the link /mnt/var/pki/live"), "{code}: {said}");
    }
}

/// What a renewal was to return to, before the node got other files.
#[test]
fn a_stale_return_leads_nowhere() {
    let machine = Machine::new();
    machine.renewed();
    for target in ["9", "/mnt/etc", "01", "1"] {
        let _ = fs::remove_file(machine.at("var/pki/before"));
        symlink(target, machine.at("var/pki/before")).unwrap();
        let (code, said) = machine.renew(&[]);
        assert_eq!(code, 0, "{target}: {said}");
        assert_eq!(machine.live(), "1", "{target}");
    }
    // The old one is damaged by now.
    machine.another_subject("other");
    machine.renewed();
    fs::write(machine.at("var/pki/1/server.pem"), "").unwrap();
    symlink("1", machine.at("var/pki/before")).unwrap();
    machine.another_subject("third");
    machine.renewed();
    assert_eq!((machine.live().as_str(), machine.at("var/pki/before").exists()), ("3", false));
}

#[test]
fn a_status_directory_that_is_a_link_is_not_followed() {
    let machine = Machine::new();
    machine.shell("mkdir -p /mnt/run /mnt/planted; ln -s /mnt/planted /mnt/run/kiln");
    let (code, said) = machine.renew(&[]);
    assert!(
        code == 1 && said.contains("cannot write its status: /mnt/run/kiln is not a directory"),
        "{code}: {said}"
    );
    assert_eq!(machine.renew(&["--ensure"]).0, 0);
    assert_eq!(fs::read_dir(machine.at("planted")).unwrap().count(), 0);
    // A link where the file will be made is replaced, and its target is not written to.
    machine.shell("rm /mnt/run/kiln; mkdir /mnt/run/kiln; cd /mnt/run/kiln; touch /mnt/planted/x");
    for name in ["renew.json", "renew.json.new", "renew.prom"] {
        symlink("/mnt/planted/x", machine.at("run/kiln").join(name)).unwrap();
    }
    assert_eq!(machine.renew(&[]).0, 0);
    assert_eq!(machine.read("planted/x"), "");
    assert!(fs::symlink_metadata(machine.at("run/kiln/renew.json")).unwrap().is_file());
}

#[test]
fn policies_are_roots_and_are_understood() {
    let machine = Machine::new();
    let refuse = |reason: &str| {
        for options in [&[][..], &["--ensure"]] {
            let (code, said) = machine.renew(options);
            let words = "<3>kiln: the policy cannot be used: ";
            assert!(code == 1 && said.starts_with(words) && said.contains(reason), "{code}: {said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
        assert!(!machine.at("var/pki").exists() && !machine.at("run").exists());
    };
    machine.policy(|policy| policy["pairs"][0]["unknown"] = 1.into());
    refuse("unknown field `unknown`");
    machine.policy(|policy| policy["schema"] = 2.into());
    refuse("schema 2 is not one that this program reads");
    machine.policy(|policy| policy["pairs"][1]["cert"] = "server.pem".into());
    refuse("two files of a generation have the same name");
    machine.policy(|policy| policy["pairs"][1]["ips"][0] = "::ffff:127.0.0.1".into());
    refuse("an IPv4 address is written as such");
    machine.policy(|_| {});
    let path = machine.at("etc/renew.json");
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(10 << 30).unwrap();
    refuse("is too long");
    machine.policy(|_| {});
    chown(&path, Some(UID), None).unwrap();
    refuse("belongs to another account");
    chown(&path, Some(0), None).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
    refuse("can be written by other accounts");
    machine.shell("cd /mnt/etc; chmod 644 renew.json; mv renew.json x; ln -s x renew.json");
    refuse("Too many levels of symbolic links");
    machine.shell("cd /mnt/etc; rm renew.json; mkfifo renew.json");
    refuse("is not a file");
    machine.shell("rm /mnt/etc/renew.json");
    refuse("No such file");
}

#[test]
fn a_machine_without_the_account_is_told_so() {
    let machine = Machine::new();
    machine.renewed();
    machine.policy(|policy| policy["account"] = "etcd2".into());
    for options in [&[][..], &["--ensure"]] {
        let (code, said) = machine.renew(options);
        assert!(code == 1 && said.contains("there is no account etcd2 in /etc/passwd"), "{code}: {said}");
    }
    assert!(machine.status()["error"].as_str().unwrap().contains("no account etcd2"));
    assert_eq!(machine.names(), ["1", "live", "lock"]);
    assert_eq!(fs::metadata(machine.at("var/pki/1/server-key.pem")).unwrap().uid(), UID);
}

/// etcd's account owns its keys, so it may change them: they are made anew.
#[test]
fn keys_that_the_account_has_changed_are_replaced() {
    let machine = Machine::new();
    machine.renewed();
    let key = "/mnt/var/pki/live/server-key.pem";
    let as_etcd = |script: &str| {
        machine.shell(&format!("setpriv --reuid={UID} --regid=61002 --clear-groups sh -ec '{script}'"));
    };
    for (live, script) in
        [("2", format!("chmod 644 {key}")), ("3", format!("chmod 600 {key}; echo x >{key}; chmod 400 {key}"))]
    {
        as_etcd(&script);
        machine.renewed();
        assert_eq!(machine.live(), live);
    }
    // It cannot add anything, nor see the issuers.
    for script in [
        "touch /mnt/var/pki/x",
        "touch /mnt/var/pki/3/x",
        "rm -f /mnt/var/pki/3/server.pem",
        "cat /mnt/etc/issuer/server.pem",
    ] {
        as_etcd(&format!("! {script} 2>/dev/null"));
    }
}
