//! Machines on several hosts: two libvirts in namespaces of their own, joined by a link (ci/hosts), which share no file
//! with each other and with the machine that Kiln runs on.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{Workshop, is_inside, output, refused, root, run};

const DEADLINE: &str = "900";

fn uri(host: &str) -> String {
    format!("qemu+unix:///system?socket=/run/kiln-hosts/{host}/libvirt-sock")
}

fn virsh(host: &str, arguments: &[&str]) -> String {
    run(Command::new("virsh").args(["--quiet", "--connect", &uri(host)]).args(arguments))
}

/// The machines, pools and networks that the libvirt of a host has.
fn all(host: &str) -> String {
    let listings = ["list", "pool-list", "net-list"];
    listings.map(|listing| virsh(host, &[listing, "--all", "--name"]).trim().to_owned()).concat()
}

/// Starts both hosts, and puts this machine into the network of the clusters, 10.103.0.0/16.
fn two_hosts() {
    run(Command::new(root().join("ci/hosts")).args(["pve1", "pve2"]));
    run(Command::new("ip").args(["address", "add", "10.103.0.1/16", "dev", "host0"]));
}

/// Three nodes, `a` and `b` on pve1 and `c` on pve2, whose `connect` follows.
fn duo(link: &str, pve2: &str) -> Workshop {
    let mut text = format!(
        "schema = 1\n[cluster]\nname = \"duo\"\n[etcd]\nversion = \"3.5.16\"\n[network]\ncidr = \"10.103.0.0/16\"\n\
         [machine]\nmemory-mib = 512\nvcpus = 1\n{link}\n[[host]]\nname = \"pve1\"\nconnect = \"{}\"\n\
         [[host]]\nname = \"pve2\"\nconnect = \"{pve2}\"\n",
        uri("pve1")
    );
    for (at, (node, host)) in [("a", "pve1"), ("b", "pve1"), ("c", "pve2")].into_iter().enumerate() {
        text.push_str(&format!(
            "[[node]]\nname = \"{node}\"\naddress = \"10.103.0.{}\"\nhost = \"{host}\"\n",
            11 + at
        ));
    }
    let work = Workshop::new();
    work.file("duo.toml", text);
    work.build("./duo.toml");
    work
}

fn up(work: &Workshop, arguments: &[&str]) -> Command {
    work.kiln([&["up", "out/duo", "--accel", "tcg"], arguments].concat())
}

fn nothing_is_left(work: &Workshop) {
    assert_eq!((all("pve1"), all("pve2")), (String::new(), String::new()));
    assert!(!work.path().join("out/.duo.machines").exists());
}

#[test]
fn what_a_host_refuses_is_undone_on_the_other() {
    if !is_inside("two_hosts::what_a_host_refuses_is_undone_on_the_other", &["live"]) {
        return;
    }
    two_hosts();
    // A host that is off: nothing is made on the other.
    let gone = "qemu+unix:///system?socket=/run/kiln-hosts/pve9/libvirt-sock";
    let work = duo("bridge = \"br0\"", gone);
    let said = refused(&mut up(&work, &["--no-wait"]), 5);
    assert!(said.contains(&format!("the libvirt at pve2 ({gone}) does not answer")), "{said}");
    nothing_is_left(&work);
    // It is somewhere else today; what this driver cannot do is not begun either.
    let said = refused(&mut up(&work, &["--no-wait", "--driver", "qemu"]), 2);
    assert!(said.contains("--driver libvirt"), "{said}");
    let said = refused(&mut up(&work, &["--no-wait", "--connect", "pve3=qemu:///system"]), 2);
    assert!(said.contains("it has pve1, pve2"), "{said}");
    let said = refused(&mut up(&work, &["--connect", "pve2=qemu+ssh://root:hunter2@pve2/system"]), 2);
    assert!(said.contains("it has a password") && !said.contains("hunter2"), "{said}");

    // A bridge that only one of them has: the machines that were started there end with it.
    run(Command::new("ip").args(["-n", "pve1", "link", "add", "br7", "type", "bridge"]));
    let work = duo("bridge = \"br7\"", &uri("pve2"));
    let said = refused(&mut up(&work, &["--no-wait"]), 5);
    assert!(said.contains(&format!("at pve2 ({})", uri("pve2"))) && said.contains("br7"), "{said}");
    nothing_is_left(&work);
    // A network that neither has.
    let work = duo("network = \"lan\"", &uri("pve2"));
    let said = refused(&mut up(&work, &["--no-wait"]), 2);
    assert!(said.contains("has no active network lan"), "{said}");
    nothing_is_left(&work);
    // One that both have, on the bridge.
    fs::write(
        work.path().join("lan.xml"),
        "<network><name>lan</name><forward mode='bridge'/><bridge name='br0'/></network>",
    )
    .unwrap();
    for host in ["pve1", "pve2"] {
        virsh(host, &["net-define", &work.path().join("lan.xml").display().to_string()]);
        virsh(host, &["net-start", "lan"]);
    }
    run(&mut up(&work, &["--no-wait"]));
    assert_eq!(virsh("pve2", &["list", "--name"]).trim().lines().count(), 1);
    run(&mut work.kiln(["down", "out/duo", "--purge", "--yes"]));
    assert_eq!((all("pve1"), all("pve2")), ("lan".to_owned(), "lan".to_owned()));
}

/// The same with a `down` while one of the hosts is off, which the next one completes.
#[test]
fn a_cluster_on_two_hosts_forms_and_nothing_remains() {
    if !is_inside("two_hosts::a_cluster_on_two_hosts_forms_and_nothing_remains", &["live"]) {
        return;
    }
    two_hosts();
    let work = duo("bridge = \"br0\"", &uri("pve2"));
    let said = run(&mut up(&work, &["--deadline", DEADLINE]));
    assert!(said.starts_with("duo: 3 members formed after"), "{said}");
    let count = |host: &str| virsh(host, &["list", "--name"]).trim().lines().count();
    assert_eq!((count("pve1"), count("pve2")), (2, 1));
    assert!(run(&mut work.kiln(["verify", "out/duo"])).contains("the cluster matches the bundle"));
    // The consoles come through libvirt when somebody asks: the last message is printed after the member serves.
    for node in ["a", "b", "c"] {
        let file = work.path().join(format!("out/.duo.machines/nodes/{node}/console.log"));
        let begun = Instant::now();
        let console = loop {
            run(&mut work.kiln(["status", "out/duo"]));
            let console = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
            if console.contains(&format!("kiln: {node} serves as a member of duo")) {
                break console;
            }
            assert!(begun.elapsed() < Duration::from_secs(120), "{console}");
        };
        assert_eq!(console.matches("serves as a member").count(), 1, "{console}");
    }
    // Both libvirts have a directory of their own there; in this machine's is nothing.
    let here = fs::read_dir("/var/lib/libvirt/images").into_iter().flatten().flatten();
    let own: Vec<_> = here
        .map(|entry| entry.file_name())
        .filter(|name| name.to_string_lossy().starts_with("kiln-duo"))
        .collect();
    assert!(own.is_empty(), "{own:?}");
    // A machine is not started twice, here and there.
    let moved = format!("pve2={}", uri("pve1"));
    let said = refused(&mut up(&work, &["--no-wait", "--connect", &moved]), 6);
    assert!(said.contains("the VM of c with its disk is at") && said.contains("--connect pve2="), "{said}");

    // One of them does not answer: the other's part is done, and the rest later.
    let socket = Path::new("/run/kiln-hosts/pve2/libvirt-sock");
    fs::rename(socket, socket.with_extension("off")).unwrap();
    // The others are shown, and etcd itself still answers.
    let (code, shown, said) = output(&mut work.kiln(["status", "out/duo"]));
    assert_eq!((code, shown.matches("  formed").count()), (5, 3), "{shown}{said}");
    assert!(said.contains("the host of c does not answer: at pve2"), "{said}");
    let said = refused(&mut work.kiln(["down", "out/duo", "--purge", "--yes"]), 5);
    assert!(said.contains("at pve2 ("), "{said}");
    assert_eq!(all("pve1"), "");
    fs::rename(socket.with_extension("off"), socket).unwrap();
    assert_eq!(count("pve2"), 1);
    run(&mut work.kiln(["down", "out/duo", "--purge", "--yes"]));
    nothing_is_left(&work);
}

/// The ready profile, with the hosts' addresses on the command line.
#[test]
#[ignore = "six emulated machines take many minutes: ci/long runs it"]
fn six_members_form_on_two_hosts() {
    if !is_inside("two_hosts::six_members_form_on_two_hosts", &["live"]) {
        return;
    }
    two_hosts();
    let work = Workshop::new();
    let mut build = work.kiln(["build", "--profile", "six", "--artifacts"]);
    build.arg(crate::support::store());
    // The last two because an emulated processor takes seconds for a TLS handshake with five others beside it, and etcd
    // gives its peers a second more than the time of an election.
    let settings = [
        "etcd.version=3.5.16",
        "machine.memory-mib=1024",
        "machine.vcpus=1",
        "machine.bridge=br0",
        "etcd.config.heartbeat-interval=1000",
        "etcd.config.election-timeout=10000",
    ];
    run(build.args(settings.iter().flat_map(|setting| ["--set", setting])));
    let mut up = work.kiln(["up", "out/six", "--accel", "tcg", "--deadline", "2400"]);
    let said = run(up.args(
        ["pve1", "pve2"].iter().flat_map(|host| ["--connect".to_owned(), format!("{host}={}", uri(host))]),
    ));
    assert!(said.starts_with("six: 6 members formed after"), "{said}");
    for host in ["pve1", "pve2"] {
        assert_eq!(virsh(host, &["list", "--name"]).trim().lines().count(), 3, "{host}");
    }
    assert!(run(&mut work.kiln(["verify", "out/six"])).contains("the cluster matches the bundle"));
    for last in [101, 102, 103, 201, 202, 203] {
        let health = run(Command::new("curl").args([
            "-sS",
            "--max-time",
            "30",
            &format!("http://10.103.0.{last}:2381/health"),
        ]));
        assert!(health.contains("\"health\":\"true\""), "{last}: {health}");
    }
    run(&mut work.kiln(["down", "out/six", "--purge", "--yes"]));
    assert_eq!((all("pve1"), all("pve2")), (String::new(), String::new()));
}
