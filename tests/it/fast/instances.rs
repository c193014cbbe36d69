//! Two clusters on the same nodes: their files, and what is refused of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{Workshop, refused, run, store, with_store};

/// Three nodes on which every profile here has its members.
const NODES: &str = "\n[network]\ncidr = \"10.240.0.0/16\"\n\
    [[node]]\nname = \"cp-a\"\naddress = \"10.240.16.10\"\n\
    [[node]]\nname = \"cp-b\"\naddress = \"10.240.48.10\"\n\
    [[node]]\nname = \"cp-c\"\naddress = \"10.240.80.10\"\n";

const ETCD: &str = "version = \"3.5.16\"\naccept-risk = \"3.5.16\"\n";

fn profile(cluster: &str, etcd: &str) -> String {
    format!("schema = 1\n[cluster]\nname = \"{cluster}\"\n[etcd]\n{ETCD}{etcd}{NODES}")
}

const EVENTS: &str = "instance = \"events\"\nclient-port = 2381\npeer-port = 2382\n";

fn work(etcd: &str) -> Workshop {
    let work = Workshop::new();
    for (cluster, etcd) in [("k8s", ""), ("events", etcd)] {
        work.file(&format!("{cluster}.toml"), profile(cluster, etcd));
        work.keystore(cluster);
    }
    work
}

fn both(work: &Workshop, verb: &str) -> Command {
    let mut command = work.kiln([verb, "--quiet", "--artifacts"]);
    command.arg(store()).args(["--profile", "k8s.toml", "--profile", "events.toml"]);
    command
}

/// The files and links of a node by their paths, each with its mode.
fn files(bundle: &Path, node: &str, to: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    fs::create_dir_all(to).unwrap();
    let archive = bundle.join("nodes").join(node).join("overlay.tar.gz");
    run(Command::new("tar").arg("-xpzf").arg(archive).arg("-C").arg(to));
    crate::support::snapshot(to).into_iter().map(|(path, mode, bytes)| (path, (mode, bytes))).collect()
}

#[test]
fn two_instances_bring_no_path_that_differs() {
    let work = work(EVENTS);
    run(&mut both(&work, "build"));
    let out = work.path().join("out/fleet");
    for node in ["cp-a", "cp-b", "cp-c"] {
        let [first, second] = ["k8s", "events"]
            .map(|name| files(&out.join(name), node, &work.path().join("unpacked").join(name).join(node)));
        let common: Vec<_> = first.keys().filter(|path| second.contains_key(*path)).collect();
        for path in &common {
            assert_eq!(first[*path], second[*path], "{node}: {path}");
        }
        assert!(common.iter().any(|path| path.ends_with("usr/local/bin/etcd")), "{common:?}");
        // Outside of these, everything is named by the instance.
        let own = second.keys().filter(|path| !common.contains(path) && !path.ends_with('/'));
        own.for_each(|path| assert!(path.contains("events"), "{path}"));
        assert!(!second.keys().any(|path| path.contains("systemd/network") || path.contains("profile.d")));
    }
    let events = out.join("events");
    let carriers = fs::read_to_string(events.join("bundle.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&carriers).unwrap();
    assert_eq!(manifest["cluster"]["instance"], "events");
    assert_eq!(manifest["carriers"], serde_json::json!(["tar", "initramfs"]));
    assert!(!events.join("network.xml").exists() && !events.join("nodes/cp-a/domain.xml").exists());
    run(&mut work.kiln(["check", "out/fleet"]));
    let said = refused(&mut work.kiln(["up", "out/fleet/events"]), 2);
    assert!(said.contains("instance events") && said.contains("overlay.tar.gz"), "{said}");
    // The first cluster's machines are not its own, either.
    let disks = ["k8s", "events"].map(|name| {
        let script = if name == "k8s" { "etc/kiln" } else { "etc/kiln/events" };
        let at = work.path().join("unpacked").join(name).join("cp-a").join(script).join("data-disk.sh");
        let text = fs::read_to_string(at).unwrap();
        text.lines().find(|line| line.starts_with("disk=")).unwrap().to_owned()
    });
    assert_eq!(disks[0], "disk=/dev/disk/by-id/virtio-kiln-cp-a");
    assert!(disks[1].starts_with("disk=/dev/disk/by-id/virtio-kiln-events-"), "{disks:?}");
}

#[test]
fn an_instance_beside_another_has_no_boot_files() {
    let work = work(EVENTS);
    fs::create_dir(work.path().join("base")).unwrap();
    let mut command = work.kiln(["build", "./events.toml", "--base", "base"]);
    let said = refused(with_store(&mut command), 2);
    assert!(said.contains("omit --base"), "{said}");
}

/// Lines of the second profile, and what is said of them.
const CLASHES: [(&str, &[&str]); 14] = [
    (
        "instance = \"events\"\npeer-port = 2382\n",
        &["events.toml and k8s.toml: on cp-a (10.240.16.10)", "port 2379"],
    ),
    (
        "instance = \"events\"\nclient-port = 2381\npeer-port = 2379\n",
        &["events.toml:9 and k8s.toml", "port 2379"],
    ),
    (
        "instance = \"events\"\nclient-port = 2381\npeer-port = 2382\nmetrics-port = 2380\n",
        &["events.toml:10", "port 2380"],
    ),
    (
        "[etcd.config]\nlisten-metrics-urls = \"http://127.0.0.1:2379\"\n",
        &["events.toml:11 and k8s.toml", "port 2379"],
    ),
    ("unit = \"etcd\"\n", &["events.toml:10 and k8s.toml", "both the unit etcd.service"]),
    (
        "[etcd.service.install]\nAlias = \"etcd.service\"\n",
        &["events.toml:10 and k8s.toml:", "both have a unit etcd.service, by its name or by an Alias"],
    ),
    (
        "[etcd.service.install]\nAlias = [\"x.service\", \"kv.service\"]\n",
        &["both have a unit kv.service, by its name or by an Alias"],
    ),
    (
        "# other-name\n",
        &["on other-name (10.240.16.10)", "call the machine other-name and cp-a; give the node"],
    ),
    ("user = \"etcd\"\n", &["events.toml:10 and", "both run as etcd"]),
    ("data-dir = \"/var/lib/etcd\"\n", &["events.toml:10 and", "both use the directory /var/lib/etcd"]),
    ("data-dir = \"/var/lib/etcd/events\"\n", &["/var/lib/etcd/events and /var/lib/etcd, one in the other"]),
    ("config-dir = \"/etc/etcd\"\n", &["events.toml:10 and", "both use the directory /etc/etcd;"]),
    ("wal-dir = \"/var/lib/etcd/wal\"\n", &["events.toml:10 and", "both use the directory /var/lib/etcd;"]),
    (
        "[pki]\ndirectory = \"/etc/etcd/pki\"\n",
        &["events.toml:11 and", "both use the directory /etc/etcd/pki"],
    ),
];

#[test]
fn what_two_clusters_would_both_have_is_refused_with_both_places() {
    let other = "instance = \"events\"\nclient-port = 2381\npeer-port = 2382\n";
    for (at, (lines, wanted)) in CLASHES.into_iter().enumerate() {
        let etcd = if at < 3 { lines.to_owned() } else { format!("{other}{lines}") };
        let work = work(&etcd);
        if lines.contains("kv.service") {
            work.file("k8s.toml", profile("k8s", "[etcd.service.install]\nAlias = \"kv.service\"\n"));
        }
        if lines.contains("other-name") {
            let text = profile("events", EVENTS).replace("\"cp-a\"", "\"other-name\"");
            work.file("events.toml", text);
        }
        for verb in ["build", "check"] {
            let said = refused(&mut both(&work, verb), 3);
            wanted.iter().for_each(|want| assert!(said.contains(want), "{lines}: {want}: {said}"));
            // Once, and not again for each of the three nodes.
            assert!(!said.contains("cp-b"), "{said}");
        }
        assert!(!work.path().join("out").exists());
    }
}

/// Files of the profiles' own, and what the units of two clusters do with each other.
#[test]
// long: a row for each way to meet
fn files_and_units_of_two_clusters_do_not_meet() {
    let file = |path: &str, more: &str| format!("[[file]]\npath = \"{path}\"\n{more}\n");
    let log = |path: &str| format!("[etcd.config]\nlog-outputs = [\"/var/log/{path}\"]\n");
    let unit = |line: &str| format!("[etcd.service.unit]\n{line}\n");
    let text = |more: &str| file("/opt/a", &format!("text = \"1\"\n{more}"));
    let none = String::new;
    for (first, second, want) in [
        (log("e/a.log"), log("e/b.log"), "both write logs in /var/log/e;"),
        (log("e/a.log"), log("e/f/b.log"), "write logs in /var/log/e/f and /var/log/e;"),
        (file("/etc/etcd-events/pki", "directory = true\nowner = \"etcd\""), none(), "/etc/etcd-events"),
        (file("/var/lib/etcd-events/x", "text = \"1\""), none(), "at the other's /var/lib/etcd-events"),
        (none(), file("/etc/systemd/system/etcd.service.d/x.conf", "text = \"1\""), "etcd.service.d"),
        (text(""), text("").replace('1', "2"), "both have /opt/a, and differ in what is there"),
        (text("template = true"), text("template = true"), "differ in the values that each fills in"),
        (
            file("/srv/s", "text = \"1\""),
            file("/srv/s/x", "text = \"1\""),
            "/srv/s where the other needs a directory",
        ),
        (
            file("/srv/a/b", "text = \"1\"\nmode = \"0600\""),
            file("/srv/a", "directory = true\nowner = \"etcd-events\""),
            "/srv/a/b in the directory /srv/a, which belongs to another account",
        ),
        (text("mode = \"0600\""), text("mode = \"0644\""), "differ in its mode"),
        (text("owner = \"etcd\""), text("owner = \"etcd-events\""), "differ in its owner"),
        (
            unit("Before = \"etcd-events.service\""),
            unit("Before = \"etcd.service\""),
            "each have the other's unit in Before=, which is a cycle",
        ),
        (
            none(),
            unit("Conflicts = \"etcd.service\""),
            "cannot run together: Conflicts= of events names etcd.service",
        ),
    ] {
        let work = work(EVENTS);
        let whole = |name: &str, lines: &str, etcd: &str| {
            let text = profile(name, etcd);
            // A table of etcd's comes before the network, a file at the end.
            if lines.starts_with("[[") {
                text + "\n" + lines
            } else {
                profile(name, &format!("{etcd}{lines}"))
            }
        };
        work.file("k8s.toml", whole("k8s", &first, ""));
        work.file("events.toml", whole("events", &second, EVENTS));
        let said = refused(&mut both(&work, "build"), 3);
        assert!(
            said.contains(want) && said.contains("k8s.toml") && said.contains("events.toml"),
            "{want}: {said}"
        );
        assert!(!said.contains("cp-b") && !work.path().join("out").exists(), "{said}");
    }
    let work = work(EVENTS);
    for (name, etcd) in [("k8s", ""), ("events", EVENTS)] {
        work.file(&format!("{name}.toml"), profile(name, etcd) + "\n" + &text("mode = \"0644\""));
    }
    run(&mut both(&work, "check"));
}

/// The options of a node's own, which take the place of those for all nodes.
#[test]
fn options_of_a_node_clash_as_those_of_all_nodes_do() {
    let own = |text: &str, options: &str| {
        let node = "name = \"cp-b\"\naddress = \"10.240.48.10\"\n";
        text.replace(node, &format!("{node}[node.config]\n{options}\n"))
    };
    let work = work(EVENTS);
    let metrics = "listen-metrics-urls = \"http://0.0.0.0:2390\"";
    let log = "log-outputs = [\"/var/log/shared.log\"]";
    for (options, want) in [(metrics, "listen on port 2390"), (log, "write the log /var/log/shared.log")] {
        work.file("k8s.toml", own(&profile("k8s", ""), options));
        work.file("events.toml", own(&profile("events", EVENTS), options));
        let said = refused(&mut both(&work, "check"), 3);
        assert!(said.contains("events.toml:20 and k8s.toml:17: on cp-b (10.240.48.10)"), "{said}");
        assert!(said.contains(want), "{said}");
    }
    // Each node of the second cluster has a value of its own, so the common one is in force nowhere.
    let other = "listen-metrics-urls = \"http://0.0.0.0:2391\"";
    let mut text = profile("events", &format!("{EVENTS}[etcd.config]\n{metrics}\n"));
    for address in ["10.240.16.10", "10.240.48.10", "10.240.80.10"] {
        let line = format!("address = \"{address}\"\n");
        text = text.replace(&line, &format!("{line}[node.config]\n{other}\n"));
    }
    work.file("events.toml", text);
    work.file("k8s.toml", profile("k8s", &format!("[etcd.config]\n{metrics}\n")));
    run(&mut both(&work, "check"));
}

/// The cluster that sets up the nodes gives them their cards; another one cannot listen at addresses that these lack.
#[test]
fn a_cluster_beside_another_has_no_cards_of_its_own() {
    let with = |text: String, key: &str, node: &str, net: &str| {
        ["16", "48", "80"].iter().enumerate().fold(
            text.replace("[network]\n", &format!("[network]\n{key}\n")),
            |text, (at, n)| {
                let line = format!("address = \"10.240.{n}.10\"\n");
                text.replace(&line, &format!("{line}{node} = \"{net}{}\"\n", at + 10))
            },
        )
    };
    let peers = |text, net: &str| {
        let range = format!("peer.cidr = \"{net}0/24\"");
        with(text, &range, "peer-address", net)
    };
    let six = |text| with(text, "ipv6-cidr = \"fd00::/64\"", "ipv6-address", "fd00::");
    let [k8s, events] = [profile("k8s", ""), profile("events", EVENTS)];
    let work = work(EVENTS);
    let check = |[k8s, events]: [&str; 2]| {
        work.file("k8s.toml", k8s);
        work.file("events.toml", events);
        both(&work, "check")
    };
    for (first, second, places, what) in [
        (
            k8s.clone(),
            peers(events.clone(), "10.50.0."),
            "events.toml:12 and k8s.toml: on cp-a",
            "peer-address",
        ),
        (peers(k8s.clone(), "10.51.0."), peers(events.clone(), "10.50.0."), "and k8s.toml:9", "peer-address"),
        (k8s.clone(), six(events.clone()), "events.toml:12 and k8s.toml: on cp-a", "ipv6-address"),
    ] {
        let said = refused(&mut check([&first, &second]), 3);
        let want = format!("do not have the same {what}, and k8s, which sets up the node");
        assert!(said.contains(places) && said.contains(&want) && !said.contains("cp-b"), "{said}");
    }
    run(&mut check([&six(peers(k8s.clone(), "10.50.0.")), &six(peers(events.clone(), "10.50.0."))]));
    run(&mut check([&six(peers(k8s, "10.50.0.")), &events]));
    // The node is the same one by its second card, too.
    let on_peers = events.replace("10.240.0.0/16", "10.50.0.0/24").replace("10.240.16.10", "10.50.0.10");
    let on_peers = on_peers.replace("10.240.48.10", "10.50.0.11").replace("10.240.80.10", "10.50.0.12");
    let said = refused(
        &mut check([&peers(profile("k8s", ""), "10.50.0."), &on_peers.replace("client-port = 2381\n", "")]),
        3,
    );
    assert!(said.contains("both listen on port 2379"), "{said}");
}

/// Each sets up its own machines: sites whose networks are apart have the same addresses.
#[test]
fn two_sites_may_have_the_same_addresses() {
    let work = work("");
    run(&mut both(&work, "check"));
    // Neither of these does.
    work.file("k8s.toml", profile("k8s", EVENTS));
    work.file("events.toml", profile("events", EVENTS));
    let said = refused(&mut both(&work, "check"), 3);
    assert!(said.contains("are both the instance events") && said.contains("listen on port 2381"), "{said}");
}

#[test]
fn tokens_and_releases_of_two_clusters() {
    let token = |name: &str, etcd: &str| profile(name, etcd).replace("[etcd]", "token = \"same\"\n[etcd]");
    let work = work(EVENTS);
    work.file("k8s.toml", token("k8s", ""));
    work.file("events.toml", token("events", EVENTS));
    let said = refused(&mut both(&work, "check"), 3);
    assert!(said.contains("events.toml:4 and k8s.toml:4") && said.contains("the token same"), "{said}");
    work.file("k8s.toml", profile("k8s", "").replace("3.5.16", "3.4.23"));
    work.file("events.toml", profile("events", EVENTS));
    let said = refused(&mut both(&work, "check"), 3);
    assert!(said.contains("have etcd 3.5.16 and 3.4.23 in /usr/local/bin"), "{said}");
    // Other nodes have nothing to do with it.
    work.file("k8s.toml", profile("k8s", "").replace("10.240.", "10.241."));
    run(&mut both(&work, "check"));
}

/// As `[[file]]`, which a profile alone shows.
#[test]
fn overlays_of_two_clusters_that_bring_one_path_are_compared() {
    let work = work(EVENTS);
    for (cluster, etcd) in [("k8s", ""), ("events", EVENTS)] {
        let overlays = format!("[bundle]\noverlays = [\"{cluster}\", \"common\"]\n");
        work.file(&format!("{cluster}.toml"), profile(cluster, etcd) + &overlays);
        work.file(&format!("{cluster}/etc/{cluster}.conf"), "x\n");
    }
    work.file("common/etc/common.conf", "x\n");
    run(&mut both(&work, "check"));
    work.file("common/etc/issue.d/site.issue.hbs", "{{cluster}}\n");
    work.file("k8s/etc/motd", "one\n");
    work.file("events/etc/motd", "other\n");
    // A file of Kiln's own of the other cluster.
    work.file("k8s/etc/systemd/system/etcd-events.service", "[Service]\n");
    for verb in ["check", "build"] {
        let said = refused(&mut both(&work, verb), 3);
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        for want in [
            "events and k8s both bring /etc/motd to cp-a (10.240.16.10), from overlay \"events\" and overlay \"k8s\", and \
             differ in what is there; bring the same in both",
            "both bring /etc/issue.d/site.issue to cp-b",
            "both bring /etc/systemd/system/etcd-events.service to cp-c",
        ] {
            assert!(said.contains(want), "{want}: {said}");
        }
        assert!(!said.contains("common.conf") && !work.path().join("out").exists(), "{said}");
    }
}

/// They are the other cluster's, whose files set the machines up.
#[test]
fn keys_about_the_machines_are_warned_of_in_a_further_instance() {
    let work = Workshop::new();
    let idle = "gateway = \"10.240.0.1\"\ndns = [\"10.240.0.53\"]\n";
    let text = profile("events", EVENTS)
        .replace("cidr = \"10.240.0.0/16\"\n", &format!("cidr = \"10.240.0.0/16\"\n{idle}"))
        .replace("\"10.240.16.10\"\n", "\"10.240.16.10\"\nmac = \"52:54:00:00:00:01\"\n");
    let check = |text: &str| {
        work.file("events.toml", text);
        let mut command = work.kiln(["check", "--profile", "./events.toml", "--artifacts"]);
        let output = command.arg(store()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        said
    };
    let said = check(&format!("{text}[machine]\nvcpus = 4\n"));
    let want = "events.toml:13: [network] gateway, [network] dns, [[node]] mac and [machine] vcpus have no effect for the \
                instance events: the machines and their network are set up by the cluster of the instance etcd";
    assert!(said.split_whitespace().collect::<Vec<_>>().join(" ").contains(want), "{said}");
    // The cluster that sets up its machines uses all of them, and so may a base for both.
    assert!(!check(&text.replace("instance = \"events\"\n", "")).contains("for the instance"));
    work.file("base.toml", format!("[network]\n{idle}mtu = 1400\n"));
    let text = profile("events", EVENTS).replace("schema = 1\n", "schema = 1\nextends = \"base.toml\"\n");
    assert!(!check(&text).contains("for the instance"));
    let said = check(&text.replace("cidr = ", "mtu = 1300\ncidr = "));
    assert!(said.contains("[network] mtu has no effect") && !said.contains("gateway"), "{said}");
}
