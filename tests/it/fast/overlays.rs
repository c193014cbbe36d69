//! Overlays through the program: what never gets to a node, what a node gets of modes, and how all of it is said at once.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Workshop, bundles::OVERLAID as PROFILE, refused, run, snapshot, store};

/// A profile with an overlay in which one file is right.
fn work() -> Workshop {
    let work = Workshop::new();
    work.file("site.toml", PROFILE);
    put(&work, "mine/etc/motd", "hello\n", 0o644);
    work
}

fn put(work: &Workshop, name: &str, text: impl AsRef<[u8]>, mode: u32) -> PathBuf {
    let path = work.file(name, text);
    set(&path, mode);
    path
}

fn set(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn kiln(work: &Workshop, verb: &str, more: &[&str]) -> Command {
    let mut command = work.kiln([verb, "--profile", "site.toml", "--artifacts"]);
    command.arg(store()).args(more);
    command
}

/// What a build is refused with; a check says the same, and nothing is left behind.
#[track_caller]
fn refusal(work: &Workshop, code: i32) -> String {
    let message = refused(&mut kiln(work, "build", &["-q"]), code);
    assert_eq!(refused(&mut kiln(work, "check", &["-q"]), code), message);
    assert!(!work.path().join("out/site").exists() && !work.path().join("keystore").exists(), "{message}");
    message
}

fn listing(work: &Workshop) -> String {
    run(&mut kiln(work, "build", &["-q"]));
    fs::read_to_string(work.path().join("out/site/nodes/a/listing.txt")).unwrap()
}

/// Mode and path, as GNU cpio reads the archive that a kernel unpacks.
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
fn overlay_that_holds_or_lies_in_a_place_of_kilns_is_refused() {
    let work = work();
    let with = |overlay: &str| drop(work.file("site.toml", PROFILE.replace("mine", overlay)));
    // Before there is a keystore, and through a link.
    symlink(".", work.path().join("here")).unwrap();
    for overlay in [".", "here"] {
        with(overlay);
        let message = refusal(&work, 6);
        assert!(message.contains("holds --keystore (keystore/site)"), "{message}");
        assert!(message.contains("--> site.toml:15:13"), "{message}");
    }
    fs::create_dir(work.path().join("kept")).unwrap();
    with("kept");
    for (place, what) in [
        (["--keystore", "kept/keys"], "--keystore (kept/keys)"),
        (["--out", "kept/out"], "--out (kept/out)"),
        (["--cache", "kept/cache"], "the cache (kept/cache)"),
        (["--out", "here/kept/x"], "--out (here/kept/x)"),
    ] {
        let message = refused(&mut kiln(&work, "build", &["-q", place[0], place[1]]), 6);
        assert!(message.contains(&format!("holds {what}")), "{message}");
    }
    with(&store().display().to_string());
    assert!(refused(&mut kiln(&work, "build", &["-q"]), 6).contains(" is --artifacts ("));
    // The other way round, and as a fleet.
    with("out/site/nodes");
    assert!(refused(&mut kiln(&work, "build", &["-q"]), 6).contains("lies in --out (out/site)"));
    work.file("fleet/one.toml", PROFILE.replace("mine", "../keystore/mine"));
    let mut command = work.kiln(["build", "-q", "--fleet", "fleet", "--artifacts"]);
    assert!(refused(command.arg(store()), 6).contains("lies in --keystore (keystore)"));
    assert!(!work.path().join("out").exists() && !work.path().join("keystore").exists());
}

#[test]
fn overlay_with_a_secret_of_kilns_is_refused() {
    let work = work();
    run(&mut kiln(&work, "build", &["-q", "--keystore", "elsewhere/keys", "--out", "elsewhere/out"]));
    let secret = fs::read(work.path().join("elsewhere/keys/secret")).unwrap();
    for (from, to, what) in [
        ("elsewhere/keys", "mine/srv/backup", "this is a keystore"),
        ("elsewhere/out", "mine/srv/bundle", "this is a bundle"),
    ] {
        run(Command::new("cp").arg("-r").args([from, to].map(|path| {
            fs::create_dir_all(work.path().join("mine/srv")).unwrap();
            work.path().join(path)
        })));
        let message = refusal(&work, 6);
        assert!(message.contains(&format!("{to}: {what}")) && message.contains("1 mistake"), "{message}");
        fs::remove_dir_all(work.path().join(to)).unwrap();
    }
    put(&work, "mine/etc/site/secret", &secret, 0o600);
    let message = refusal(&work, 6);
    assert!(message.contains("mine/etc/site/secret: this is the secret of a keystore"), "{message}");
    assert!(!message.contains(std::str::from_utf8(&secret).unwrap().trim()));
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
    // A base system has it: its mode is the base system's.
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
    // What a umask that lets everyone read makes of a checkout does not matter.
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
            .contains("no file in the overlay mine may be read by others")
    };
    assert!(!warned(&work), "the directory is open");
    set(&work.path().join("mine"), 0o750);
    assert!(warned(&work));
}

#[test]
fn overlay_strange_paths() {
    let work = work();
    for name in [
        "var/lib/etcd/member/snap/db",
        "run/x",
        "tmp/x",
        "var/run/x",
        "dev/x",
        "proc/x",
        "sys/x",
        "var/lock/x",
        "var/tmp/x",
        ".git/config",
        "etc/.DS_Store",
        "etc/a~",
        "etc/.a.swp",
        "etc/#a#",
        "etc/two\u{202e}",
    ] {
        work.file(&format!("mine/{name}"), "x");
    }
    work.file("mine/etc/systemd/system/x.service", "[Service]\n");
    let raw = std::ffi::OsStr::from_bytes(b"raw\xff");
    fs::write(work.path().join("mine/etc").join(raw), "x").unwrap();
    run(Command::new("mkfifo").arg(work.path().join("mine/etc/pipe")));
    let host = work.path().join("mine/etc/motd");
    symlink(&host, work.path().join("mine/etc/host")).unwrap();
    symlink("../../../etc/passwd", work.path().join("mine/etc/out")).unwrap();
    let message = refusal(&work, 3);
    // The data directory is looked at with the whole of a node's files, as far as those are right.
    for part in [
        "mine/run: what an overlay",
        "mine/tmp: what",
        "mine/var/run: what",
        "mine/dev: what",
        "mine/proc: what",
        "mine/sys: what",
        "mine/var/lock: what",
        "mine/var/tmp: what",
        "mine/.git: this is a version",
        "etc/.DS_Store: this is a desktop's",
        "etc/a~: this is an editor's",
        "etc/.a.swp: this",
        "etc/#a#: this",
        "etc/two\u{fffd}: its name",
        "raw\u{fffd}: its name",
        "etc/pipe: this is a device",
        "/mine/etc/motd, which is on this machine",
        "outside of the node's root",
        "is etcd's data directory, or in it",
        "19 mistakes",
    ] {
        assert!(message.contains(part), "{part}\n{message}");
    }
    assert!(!message.contains('\u{202e}'));
}

#[test]
fn links_to_what_nobody_brings_are_warned_of() {
    let work = work();
    for (link, target) in [
        ("etc/there", "motd"),
        ("etc/unit", "/usr/lib/systemd/system/x"),
        ("etc/null", "/dev/null"),
        ("etc/etcd-is", "/usr/local/bin/etcd"),
        ("etc/up", "../etc/systemd"),
        ("etc/gone", "/srv/gone"),
        ("etc/home", "../home/me/x"),
    ] {
        symlink(target, work.path().join("mine").join(link)).unwrap();
    }
    let output = kiln(&work, "build", &["-q"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let warned: Vec<_> = said.lines().filter(|line| line.contains("which no overlay brings")).collect();
    assert_eq!(warned.len(), 2, "{said}");
    assert!(
        warned[0].contains("/etc/gone in overlay \"mine\" points at /srv/gone")
            && warned[1].contains("/home/me/x")
    );
}

#[test]
fn initramfs_merged_usr() {
    let work = work();
    work.file("mine/lib/systemd/system/site.service", "[Service]\n");
    work.file("mine/sbin/site-tool", "x");
    let message = refusal(&work, 3);
    assert!(
        message.contains("mine/lib: /lib is a link to /usr/lib") && message.contains("help: write usr/lib/"),
        "{message}"
    );
    assert!(message.contains("mine/sbin: /sbin is a link") && message.contains("2 mistakes"), "{message}");
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

#[test]
fn overlay_shared_overwrites() {
    let work = work();
    put(&work, "own/usr/local/bin/etcd", "#!/bin/sh\n", 0o755);
    fs::create_dir(work.path().join("linked")).unwrap();
    symlink("/x", work.path().join("linked/usr")).unwrap();
    for binaries in ["shared", "embedded"] {
        for (overlay, place) in [("own", "/usr/local/bin/etcd in"), ("linked", "/usr in")] {
            for replace in ["", "\nreplace = [\"/usr/local/bin/etcd\"]"] {
                let text = PROFILE.replace("\"mine\"]", &format!("\"{overlay}\"]{replace}"));
                work.file("site.toml", text.replace("shared", binaries));
                let message = refusal(&work, 6);
                assert!(
                    message.contains(place) && message.contains("the release's /usr/local/bin/etcd"),
                    "{message}"
                );
            }
        }
    }
}

#[test]
fn template_overflow() {
    let work = work();
    let nested = format!("{}x{}", "{{#if node}}".repeat(5000), "{{/if}}".repeat(5000));
    let grows = format!(
        "{}{}{}",
        "{{#each @root.nodes}}".repeat(4),
        "{{@root.token}}".repeat(4000),
        "{{/each}}".repeat(4)
    );
    for text in [
        "{{#*inline \"a\"}}{{> a}}{{/inline}}{{> a}}",
        "{{#*inline \"a\"}}x{{> b}}{{/inline}}{{#*inline \"b\"}}y{{> a}}{{/inline}}{{> a}}",
        &nested,
        &grows.repeat(5),
        &"x".repeat((1 << 20) + 1),
    ] {
        work.file("mine/etc/x.hbs", text);
        let message = refusal(&work, 3);
        assert!(message.contains("mine/etc/x.hbs") && message.contains("--> site.toml:15:13"), "{message}");
    }
    // As long as a template may be, of as many values as it may have.
    work.file("mine/etc/x.hbs", "{{ipv4}}\n".repeat((1 << 20) / 9));
    assert!(listing(&work).contains(&format!(" {} etc/x\n", (1 << 20) / 9 * 5)));
}

#[test]
fn overlays_that_are_too_large_are_refused_before_they_are_read() {
    let work = work();
    let file = fs::File::create(work.path().join("mine/etc/image")).unwrap();
    file.set_len(10 << 30).unwrap();
    let message = refusal(&work, 3);
    assert!(message.contains("may have 1024 MiB of files together; mine has 10241 MiB"), "{message}");
    assert!(message.contains("--> site.toml:15:13"), "{message}");

    // Each by itself would do.
    file.set_len(900 << 20).unwrap();
    work.file("second/etc/image", "");
    let second = fs::File::options().write(true).open(work.path().join("second/etc/image")).unwrap();
    second.set_len(900 << 20).unwrap();
    work.file("site.toml", PROFILE.replace("\"mine\"]", "\"mine\", \"second\"]"));
    let message = refusal(&work, 3);
    assert!(message.contains("second has 900 MiB, and the others 901 MiB"), "{message}");
}

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
    // What can be told without a whole profile is told beside what is wrong in it.
    work.file("site.toml", text.replace("10.0.0.4", "10.9.0.4"));
    let message = refusal(&work, 3);
    for part in ["10.9.0.4", "one.hbs:1:1", "the overlay missing is not a directory", "3 mistakes"] {
        assert!(message.contains(part), "{part}\n{message}");
    }
    let output = kiln(&work, "check", &["--json"]).output().unwrap();
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["error"]["mistakes"].as_array().unwrap().len(), 3, "{said}");
    // The command line's own.
    work.file("site.toml", PROFILE);
    assert!(
        refused(&mut kiln(&work, "build", &["--overlays", "nowhere"]), 2)
            .contains("there is no directory nowhere for --overlays")
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
