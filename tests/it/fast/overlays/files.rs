//! `[[file]]`: the rules of overlays for files of the profile's own, and the list of a node's files.

use std::fs;

use super::{Workshop, kiln, put, refusal, work};
use crate::support::{bundles::OVERLAID as PROFILE, output, run};

fn with(files: &str) -> Workshop {
    let work = work();
    work.file("site.toml", format!("{PROFILE}\n{files}"));
    work
}

fn file(path: &str, more: &str) -> String {
    format!("[[file]]\npath = \"{path}\"\n{more}\n")
}

#[test]
fn what_an_overlay_must_not_have_no_file_has() {
    let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\n-----END PRIVATE KEY-----\n";
    for (files, code, want) in [
        (file("/run/x", "text = 'x'"), 3, "files in /run are hidden or lost"),
        (file("/etc/x", "source = 'nothing'"), 3, "nothing does not exist"),
        (file("/etc/x", "source = 'mine'"), 3, "mine is not a file"),
        (file("/etc/motd", "text = 'x'"), 3, "comes from overlay"),
        (file("/etc/x", "text = '{{wibble}}'\ntemplate = true"), 3, "wibble"),
        (file("/etc/x", "link = '../../x'"), 3, "outside of the node's root"),
        (file("/var/lib/etcd/x", "text = 'x'"), 3, "etcd's data directory"),
        (file("/etc/x", "source = 'open.pem'"), 6, "write mode = \"0600\""),
        (file("/etc/x", "source = 'closed.pem'\nmode = '0644'"), 6, "holds a private key"),
        (file("/usr/local/bin/etcd", "text = 'x'"), 6, "would replace the release's"),
    ] {
        let work = with(&files);
        put(&work, "open.pem", key, 0o644);
        put(&work, "closed.pem", key, 0o600);
        let said = refusal(&work, code);
        assert!(said.contains(want) && said.contains("site.toml:"), "{files}{said}");
    }
}

#[test]
fn the_list_of_files_tells_the_source_of_each() {
    let files = file("/etc/site/a.conf", "source = 'a.conf.hbs'\nowner = 'etcd'")
        + &file("/etc/site/key.pem", "source = 'secret.txt'");
    let work = with(&files);
    put(&work, "a.conf.hbs", "{{node}}\n", 0o664);
    put(&work, "secret.txt", "x\n", 0o600);
    work.desk("site");
    run(&mut kiln(&work, "build", &["-q"]));
    let shown = run(&mut work.kiln(["show", "out/site", "a", "--files"]));
    for wants in [
        ["0644 etcd:etcd", "/etc/site/a.conf", "profile: [[file]]"],
        ["0600 root:root", "/etc/site/key.pem", "profile: [[file]]"],
        ["0644 root:root", "/etc/motd", "overlay: mine"],
        ["0600 etcd:etcd", "/etc/etcd/pki/peer-key.pem", "keystore: node/a/peer"],
        ["0644 root:root", "/etc/etcd/etcd.conf", "kiln: etcd's configuration"],
        ["0755 root:root", "/usr/local/bin/etcd", "etcd 3."],
    ] {
        let is_it = |line: &&str| wants.iter().all(|want| line.contains(want));
        assert!(shown.lines().any(|line| is_it(&line)), "{wants:?}\n{shown}");
    }
    let list = run(&mut work.kiln(["show", "out/site", "--files", "--json"]));
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let all = list.as_array().unwrap();
    let of = |path: &str| all.iter().find(|one| one["destination"] == *path).unwrap();
    assert_eq!(of("etc/site/a.conf")["owner"], "etcd");
    assert!(of("etc/site/a.conf")["sha256"].is_string());
    assert!(of("etc/site/key.pem")["sha256"].is_null(), "a digest of what only its owner may read");
}

/// A directory above Kiln's own files, as an account's: Kiln's lines for systemd-tmpfiles would fail there.
#[test]
fn a_directory_that_kiln_has_files_in_has_no_owner() {
    for (path, own) in [
        ("/etc/etcd", "/etc/etcd"),
        ("/etc/etcd/pki", "/etc/etcd/pki"),
        ("/etc", "/etc/etcd"),
        ("/var/lib", "/var/lib/etcd"),
        ("/var/lib/kiln", "/var/lib/kiln"),
        ("/usr", "/usr/local/bin"),
        ("/usr/local/bin", "/usr/local/bin"),
        ("/etc/systemd/system", "/etc/systemd/system/etcd.service"),
        ("/etc/kiln", "/etc/kiln"),
        ("/etc/tmpfiles.d", "/etc/tmpfiles.d/etcd.conf"),
    ] {
        for owner in ["owner = 'app'", "owner = 'root'\ngroup = 'app'"] {
            let said = refusal(&with(&file(path, &format!("directory = true\n{owner}"))), 3);
            let want = format!("[[file]] {path} has an owner, and Kiln's own {own} is there");
            assert!(said.contains(&want) && said.contains("site.toml:"), "{want}\n{said}");
        }
    }
    let logs = "[etcd.config]\nlog-outputs = ['/var/log/etcd/x.log']\n";
    let said = refusal(&with(&(logs.to_owned() + &file("/var/log/etcd/y", "text = 'x'\nowner = 'app'"))), 3);
    assert!(said.contains("everything in /var/log/etcd belongs to etcd"), "{said}");
    let said = refusal(&with(&(logs.to_owned() + &file("/var/log", "directory = true\nowner = 'app'"))), 3);
    assert!(said.contains("Kiln's own /var/log/etcd is there"), "{said}");
}

/// What all programs of a machine use stays as it is, and what root runs or reads stays root's.
#[test]
fn a_place_of_the_system_keeps_its_mode_and_its_owner() {
    for (path, mode) in [
        ("/etc", "0700"),
        ("/usr/local", "0750"),
        ("/opt", "0700"),
        ("/var/log", "0700"),
        ("/etc/systemd/system", "0750"),
        ("/root", "0755"),
    ] {
        let said = refusal(&with(&file(path, &format!("directory = true\nmode = '{mode}'"))), 3);
        let want = format!("{mode} would replace it");
        assert!(said.contains("base systems may have this directory") && said.contains(&want), "{said}");
    }
    run(&mut kiln(&with(&file("/root", "directory = true\nmode = '0700'")), "build", &["-q"]));
    for (path, more) in [
        ("/etc/sudoers.d/app", "text = 'x'\nowner = 'etcd'"),
        ("/etc/systemd/system/app.service", "text = 'x'\nowner = 'app'"),
        ("/usr/local/bin/app", "text = 'x'\nowner = 'app'"),
        ("/etc/passwd", "text = 'x'\nowner = 'app'"),
        ("/etc/cron.d/app", "text = 'x'\nmode = '0664'\nowner = 'root'\ngroup = 'app'"),
        ("/root/.ssh/authorized_keys", "text = 'x'\nowner = 'etcd'"),
        ("/root/keys/a", "text = 'x'\nowner = 'etcd'"),
        ("/etc/NetworkManager/dispatcher.d/10-app", "text = 'x'\nowner = 'etcd'"),
        ("/etc/network/if-up.d/app", "text = 'x'\nowner = 'etcd'"),
        ("/var/spool/cron/crontabs/root", "text = 'x'\nowner = 'etcd'"),
        ("/var/lib/cloud/scripts/per-boot/app", "text = 'x'\nowner = 'etcd'"),
        ("/var/lib/dpkg/info/app.postinst", "text = 'x'\nowner = 'etcd'"),
        ("/etc/environment", "text = 'x'\nowner = 'etcd'"),
        ("/etc/app.conf", "text = 'x'\nowner = 'app'"),
        ("/etc/ssl/certs/x.pem", "text = 'x'\nowner = 'etcd'"),
        ("/etc/cron.daily/app", "text = 'x'\nowner = 'etcd'"),
        ("/opt/bin/app", "text = 'x'\nowner = 'etcd'"),
    ] {
        let said = refusal(&with(&file(path, more)), 3);
        let want = format!("[[file]] {path} has an owner, and {path} is in a place of which root runs");
        assert!(said.contains(&want), "{said}");
    }
    let said = refusal(&with(&file("/opt", "directory = true\nowner = 'app'")), 3);
    assert!(said.contains("/opt is a directory that others use, too"), "{said}");
    let own = file("/etc/app/a.conf", "text = 'x'\nowner = 'app'")
        + &file("/opt/app/a", "text = 'x'\nowner = 'app'")
        + &file("/var/lib/app/a", "text = 'x'\nowner = 'app'");
    let of_group = file("/etc/sudoers.d/app", "text = 'x'\nmode = '0640'\nowner = 'root'\ngroup = 'app'");
    run(&mut kiln(&with(&(own + &of_group)), "build", &["-q"]));
}

/// tar would not replace them, and an initramfs would lose what is in them.
#[test]
fn nothing_takes_the_place_of_a_directory_that_base_systems_have() {
    for path in ["/etc/ssl", "/var/log", "/usr/bin", "/root", "/boot", "/etc/cron.d", "/usr/local/bin"] {
        for what in ["text = 'x'", "link = '/srv/x'"] {
            let said = refusal(&with(&file(path, what)), 3);
            assert!(
                said.contains(&format!("[[file]] {path}: base systems have a directory there")),
                "{said}"
            );
        }
    }
    let inside = file("/etc/systemd/system/a.service", "text = 'x'") + &file("/usr/lib/a/b", "text = 'x'");
    run(&mut kiln(&with(&inside), "build", &["-q"]));
}

#[test]
fn a_file_that_cannot_be_one_of_a_node_is_refused_at_its_place() {
    for (path, what, want) in [
        ("/srv/.git/config", "text = 'x'".to_owned(), "made by a version control system"),
        ("/etc/site/version", "source = '/proc/version'".to_owned(), "/proc/version cannot be read"),
        ("/etc/site/a", format!("link = '/{}'", "x/".repeat(2500)), "Linux allows 4095"),
    ] {
        let said = refusal(&with(&file(path, &what)), 3);
        assert!(said.contains(want) && said.contains(".toml:"), "{want}: {said}");
    }
}

/// systemd-tmpfiles does not go on from a directory of one account to an entry of another one.
#[test]
fn an_owner_that_tmpfiles_cannot_set_is_refused() {
    let app = "directory = true\nowner = 'app'";
    let inner = file("/srv/app", app) + &file("/srv/app/a/x", "text = 'x'\nowner = 'app'\ngroup = 'other'");
    for (files, path, of) in [
        (file("/srv/app", app) + &file("/srv/app/x", "text = 'x'\nowner = 'bob'"), "/srv/app/x", "bob"),
        (file("/srv/app", app) + &file("/srv/app/x", "text = 'x'\ngroup = 'app'"), "/srv/app/x", "root"),
        (inner.clone() + &file("/srv/app/b", "text = 'x'"), "/srv/app/b", "root"),
        (inner.clone() + &file("/srv/app/a", "directory = true"), "/srv/app/a", "root"),
    ] {
        let said = refusal(&with(&files), 3);
        let want = format!("[[file]] /srv/app belongs to app, and {path} from [[file]] {path} in it to {of}");
        assert!(said.contains(&want) && said.contains("site.toml:"), "{want}\n{said}");
    }
    // An overlay's file is root's; where nothing in the directory has an owner, it may stay so.
    let work = with(&file("/srv/app", app));
    put(&work, "mine/srv/app/b", "x", 0o644);
    run(&mut kiln(&work, "build", &["-q"]));
    let work = with(&inner);
    put(&work, "mine/srv/app/b", "x", 0o644);
    let said = refusal(&work, 3);
    assert!(said.contains("and /srv/app/b from overlay \"mine\" in it to root"), "{said}");
    run(&mut kiln(&with(&(inner + &file("/srv/app/b", "link = 'a/x'"))), "build", &["-q"]));
}

/// Two on one line: each is reported at its own place.
#[test]
fn findings_on_one_line_have_their_own_places() {
    let work = work();
    let one = |path: &str| format!("{{ path = \"{path}\", link = \"../../../x\" }}");
    let line = format!("file = [{}, {}]\n", one("/etc/a"), one("/etc/b"));
    work.file("site.toml", PROFILE.replace("[cluster]", &format!("{line}[cluster]")));
    let said = refusal(&work, 3);
    for (column, path) in [(18, "/etc/a"), (60, "/etc/b")] {
        let want = format!(
            "error: [[file]] {path}: it points at ../../../x, outside of the node's root\n --> site.toml:3:{column}\n"
        );
        assert!(said.contains(&want), "{want}{said}");
    }
    // The same for options, which may stand in one inline table.
    let options = "[etcd]\nconfig = { client-crl-file = \"/etc/a.crl\", peer-crl-file = \"/etc/b.crl\" }\nconfig-style = \"flags\"";
    work.file("site.toml", PROFILE.replace("[etcd]", options));
    let said = refusal(&work, 3);
    for (column, key, path) in [(30, "client-crl-file", "a"), (60, "peer-crl-file", "b")] {
        let want = format!(
            "{key} names /etc/{path}.crl, which no overlay contains; etcd would not start\n --> site.toml:7:{column}\n"
        );
        assert!(said.contains(&want), "{want}{said}");
    }
}

/// A list that is gone, or is another one, is a difference from the manifest, and the other lists are shown.
#[test]
fn a_list_of_files_that_is_missing_is_a_problem_of_its_own() {
    let work =
        with("[[node]]\nname = 'b'\naddress = '10.0.0.5'\n[[node]]\nname = 'c'\naddress = '10.0.0.6'\n");
    run(&mut kiln(&work, "build", &["-q"]));
    let list = |node: &str| work.path().join("out/site/nodes").join(node).join("files.json");
    fs::remove_file(list("a")).unwrap();
    fs::write(list("c"), "[").unwrap();
    let (code, shown, said) = output(&mut work.kiln(["show", "out/site", "--files"]));
    assert!(code == 1 && shown.contains("node b\n") && !shown.contains("node c\n"), "{code} {shown}");
    assert!(said.contains("nodes/a/files.json is missing"), "{said}");
    assert!(said.contains("nodes/c/files.json does not match the manifest"), "{said}");
}

/// The entry of the directory is the overlay's, and its owner on the node is that of the `[[file]]`.
#[test]
fn an_owned_directory_that_an_overlay_has_too_is_listed_with_its_owner() {
    let work = with(&file("/srv/site", "directory = true\nowner = 'app'\ngroup = 'web'"));
    fs::create_dir_all(work.path().join("mine/srv/site")).unwrap();
    work.desk("site");
    run(&mut kiln(&work, "build", &["-q"]));
    let shown = run(&mut work.kiln(["show", "out/site", "a", "--files"]));
    let line = shown.lines().find(|line| line.contains("/srv/site/")).unwrap_or_else(|| panic!("{shown}"));
    assert!(line.contains("0755 app:web"), "{line}");
}
