//! `[[file]]`: the rules of overlays for files of the profile's own, and the list of a node's files.

use super::{Workshop, kiln, put, refusal, work};
use crate::support::{bundles::OVERLAID as PROFILE, run};

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
