//! Members with names, ports, URLs and directories of the profile's own, in each style of etcd's configuration.

use std::fs;
use std::process::Command;

use super::running::{Running, failed};
use crate::support::{Workshop, newer_release, root, run};

/// The golden case `service`, with another release and style.
fn profile(release: &str, more: &str) -> String {
    let text = fs::read_to_string(root().join("tests/golden/service/profile.toml")).unwrap();
    let etcd = format!("version = \"{release}\"\naccept-risk = \"{release}\"\n{more}unit =");
    let (head, tail) = text.split_once("version = \"3.5.16\"\naccept-risk = \"3.5.16\"\nunit =").unwrap();
    format!("{head}{etcd}{tail}")
}

#[test]
fn names_ports_urls_and_directories_are_as_the_profile_says() {
    let newest = newer_release();
    for (release, style, initial) in
        [("3.5.16", "file", "address"), ("3.4.23", "flags", "fqdn"), (newest.as_str(), "env", "address")]
    {
        let work = Workshop::new();
        work.keystore("golden");
        let text = profile(release, &format!("config-style = \"{style}\"\n"));
        let text = text.replace("initial-cluster = \"address\"", &format!("initial-cluster = \"{initial}\""));
        work.file("p.toml", text);
        let bundle = work.build("./p.toml");
        let running = Running::new(&bundle);
        assert_eq!(failed(&running.report(&bundle)), Vec::<String>::new(), "{style}");
        let http = |url: &str| run(running.command("curl").args(["-sS", "--max-time", "20", url]));
        for last in 101..=103 {
            let health = http(&format!("http://10.103.0.{last}:2383/health"));
            assert!(health.contains("\"health\":\"true\""), "{style}: {health}");
        }
        let metrics = http("http://10.103.0.101:2383/metrics");
        assert!(
            metrics.contains(&format!("etcd_server_version{{server_version=\"{release}\"}} 1")),
            "{style}"
        );
        // As the members tell: the URLs for clients by name, those for peers as initial-cluster has them.
        let members = running.etcdctl(&["member", "list"]);
        assert!(members.contains("https://a.kloud.lan:2381"), "{style}: {members}");
        let peer = if initial == "fqdn" { "https://a.kloud.lan:2382" } else { "https://10.103.0.101:2382" };
        assert!(members.contains(peer), "{style}: {members}");
        running.etcdctl(&["endpoint", "health"]);
        let log = |place: &str| fs::read_dir(running.file("a", place)).unwrap().flatten().count();
        assert!(log("var/lib/etcd-wal/golden") > 0, "{style}: no log");
        assert!(running.file("a", "var/lib/etcd/golden/member/snap/db").exists());
        assert!(!running.file("a", "var/lib/etcd/golden/member/wal").exists(), "{style}: a log in the data");
        assert_eq!(style == "file", running.file("a", "etc/etcd/golden/etcd.conf").exists());
        assert_eq!(style == "env", running.file("a", "etc/etcd/golden/etcd.env").exists());
    }
}

#[test]
fn a_setting_of_the_command_line_reaches_the_members() {
    let work = Workshop::new();
    work.keystore("golden");
    work.file("p.toml", profile("3.5.16", ""));
    let set = ["etcd.version=3.4.23", "etcd.accept-risk=3.4.23", "etcd.client-port=2391"];
    let mut build = work.kiln(["build", "./p.toml", "--artifacts"]);
    build.arg(crate::support::store()).args(set.into_iter().flat_map(|set| ["--set", set]));
    run(&mut build);
    let bundle = work.path().join("out/p");
    let running = Running::new(&bundle);
    assert_eq!(failed(&running.report(&bundle)), Vec::<String>::new());
    let version = run(running.command("curl").args(["-sS", "http://10.103.0.102:2383/metrics"]));
    assert!(version.contains("server_version=\"3.4.23\""));
    assert!(running.etcdctl(&["member", "list"]).contains("https://b.kloud.lan:2391"));
}

/// The guard judges the log where the profile has it.
#[test]
fn the_guard_looks_for_the_log_in_its_own_directory() {
    let work = Workshop::new();
    work.keystore("golden");
    let text = profile("3.5.16", "");
    let single = text.split("[[node]]\nname = \"b\"").next().unwrap();
    work.file("p.toml", format!("{single}[bundle]\ncarriers = [\"tar\"]\n"));
    let bundle = work.build("./p.toml");
    let tree = work.path().join("tree");
    fs::create_dir(&tree).unwrap();
    run(Command::new("tar").arg("-xzf").arg(bundle.join("nodes/a/overlay.tar.gz")).arg("-C").arg(&tree));
    let [data, wal] = ["var/lib/etcd/golden", "var/lib/etcd-wal/golden"].map(|place| tree.join(place));
    fs::create_dir_all(data.join("member/wal")).unwrap();
    fs::create_dir_all(&wal).unwrap();
    let script = fs::read_to_string(tree.join("etc/kiln/guard.sh")).unwrap();
    let script = script.replace("/var/lib/", &format!("{}/var/lib/", tree.display()));
    let script = work.file("guard.sh", script.replace("/run/kiln", &format!("{}/run", tree.display())));
    let guard = || {
        let output = Command::new("sh").arg(&script).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(guard(), (0, String::new()), "nothing is there");
    fs::write(wal.join("0.wal"), [0; 512]).unwrap();
    let (code, said) = guard();
    assert!(code == 65 && said.contains("belongs to another cluster"), "{code} {said}");
    fs::remove_file(wal.join("0.wal")).unwrap();
    fs::write(data.join("member/wal/0.wal"), [0; 512]).unwrap();
    let (code, said) = guard();
    assert!(code == 65 && said.contains("was built with wal-dir"), "{code} {said}");
}
