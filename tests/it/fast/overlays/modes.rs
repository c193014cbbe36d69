//! The modes of files and directories, on the build machine and on a node.

use std::fs;
use std::process::Command;

use super::{kiln, listing, put, refusal, set, work};
use crate::support::{Workshop, run, snapshot};

/// Mode and path, as GNU cpio lists the archive that a kernel unpacks.
fn unpacked(work: &Workshop) -> Vec<(String, String)> {
    let archive = work.path().join("out/site/nodes/a/overlay.cpio.gz");
    let script = format!("zcat {} | cpio --quiet -itv", archive.display());
    let listed = run(Command::new("sh").args(["-c", &script]));
    let entry = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        (words[0].to_owned(), words[8..].join(" "))
    };
    listed.lines().map(entry).collect()
}

#[test]
fn overlay_modes() {
    let work = work();
    let connection = "etc/NetworkManager/system-connections/storage.nmconnection";
    put(&work, &format!("mine/{connection}"), "[wifi-security]\npsk=x\n", 0o600);
    put(&work, "mine/etc/ssh/ssh_host_ed25519_key", "-----BEGIN OPENSSH PRIVATE KEY-----\n", 0o600);
    put(&work, "mine/usr/local/bin/site", "#!/bin/sh\n", 0o775);
    put(&work, "mine/etc/site/group.hbs", "{{node}}\n", 0o640);
    put(&work, "mine/etc/private/file", "x\n", 0o644);
    set(&work.path().join("mine/etc/private"), 0o700);
    // A base system has it: the mode is that of the base system.
    set(&work.path().join("mine/etc/ssh"), 0o700);
    let listed = listing(&work);
    for line in [
        format!("0600 root root        22 {connection}"),
        "0600 root root        36 etc/ssh/ssh_host_ed25519_key".into(),
        "0755 root root        10 usr/local/bin/site".into(),
        "0640 root root         2 etc/site/group".into(),
        "0644 root root         6 etc/motd".into(),
        "0700 root root         0 etc/private/".into(),
    ] {
        assert!(listed.lines().any(|listed| listed == line), "{line}\n{listed}");
    }
    assert!(!listed.contains(" etc/ssh/\n") && !listed.contains(" etc/site/\n"), "{listed}");
    // The mode of a checkout under any umask that lets everyone read makes no difference.
    let first = snapshot(&work.path().join("out/site"));
    set(&work.path().join("mine/etc/motd"), 0o664);
    set(&work.path().join("mine/etc/site"), 0o2775);
    set(&work.path().join("mine"), 0o2775);
    listing(&work);
    assert!(snapshot(&work.path().join("out/site")) == first);
}

#[test]
fn overlay_modes_that_give_rights_or_open_a_key_are_refused() {
    let work = work();
    put(&work, "mine/usr/local/bin/su", "x", 0o4755);
    put(&work, "mine/etc/d/x", "x", 0o644);
    set(&work.path().join("mine/etc/d"), 0o1777);
    put(&work, "mine/etc/key.pem", "-----BEGIN EC PRIVATE KEY-----\nAAA\n", 0o640);
    let message = refusal(&work, 3);
    for part in [
        "bin/su: mode 4755 has a setuid",
        "etc/d: mode 1777",
        "etc/key.pem: this holds a private key",
        "3 mistakes",
    ] {
        assert!(message.contains(part), "{part}\n{message}");
    }
    fs::remove_file(work.path().join("mine/usr/local/bin/su")).unwrap();
    set(&work.path().join("mine/etc/d"), 0o755);
    let message = refusal(&work, 6);
    assert!(message.contains("chmod go=") && message.contains("1 mistake"), "{message}");
}

#[test]
fn overlay_that_a_umask_has_closed_is_warned_of() {
    let work = work();
    set(&work.path().join("mine/etc/motd"), 0o640);
    let warned = |work: &Workshop| {
        let output = kiln(work, "build", &["-q"]).output().unwrap();
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("no file in the overlay mine can be read by others")
    };
    assert!(!warned(&work), "the directory is open");
    set(&work.path().join("mine"), 0o750);
    assert!(warned(&work));
}

#[test]
fn initramfs_parent_modes() {
    let work = work();
    work.file("mine/root/keys/a", "x");
    work.file("mine/var/spool/cron/crontabs/x", "x");
    work.file("mine/opt/site/x", "x");
    fs::create_dir(work.path().join("mine/opt/closed")).unwrap();
    set(&work.path().join("mine/opt/closed"), 0o700);
    fs::create_dir_all(work.path().join("mine/var/mail")).unwrap();
    listing(&work);
    let entries = unpacked(&work);
    for (path, mode) in [
        ("root", "drwx------"),
        ("root/keys", "drwxr-xr-x"),
        ("etc", "drwxr-xr-x"),
        ("var/spool/cron/crontabs", "drwx-wx--T"),
        ("opt/site", "drwxr-xr-x"),
        ("opt/closed", "drwx------"),
        ("var/mail", "drwxrwsr-x"),
    ] {
        let entry =
            entries.iter().find(|(_, name)| name == path).unwrap_or_else(|| panic!("{path}: {entries:?}"));
        assert_eq!(entry.0, mode, "{path}");
    }
}
