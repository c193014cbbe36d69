//! The files of a node's network, as systemd-networkd itself reads them, in a network namespace with the node's cards.
//! This kernel may have neither bonds nor VLANs: then networkd reads their files, but makes none.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use kiln::values::{By, Card};

use crate::support::{Workshop, root, run};

use super::networks::{KINDS, plan};

/// Cards, each with its address: `ens0`, or its own name.
fn devices(cards: &[Card]) -> Vec<(String, Option<String>)> {
    let mut all = Vec::new();
    for card in cards.iter().filter(|card| !card.shared) {
        let named: Vec<String> = match &card.by {
            By::Mac => vec![card.mac.to_string()],
            By::Name(name) => vec![name.to_string()],
            By::Bond(bond) => bond.cards.iter().map(ToString::to_string).collect(),
        };
        for one in named {
            let has_mac = one.contains(':');
            let name = if has_mac { format!("ens{}", all.len()) } else { one.clone() };
            all.push((name, has_mac.then_some(one)));
        }
    }
    all
}

/// Runs networkd with these files in namespaces of its own, that of processes among them, so that all end with the
/// script. Returns what it says, and what the commands print: those `before` it starts, and `then`.
fn networkd(work: &Workshop, before: &str, then: &str) -> String {
    let script = format!(
        r#"set -e
mount --make-rprivate /
mount -t proc none /proc
mount -t tmpfs none /run
mkdir -p /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp
chown -R systemd-network:systemd-network /run/systemd/netif
mount -t sysfs -o ro none /sys
mount --bind files /etc/systemd/network
ip link set lo up
{before}
networkd=/usr/lib/systemd/systemd-networkd
[ -x $networkd ] || networkd=/lib/systemd/systemd-networkd
$networkd 2>&1 &
networkd=$!
trap 'kill $networkd $(jobs -p) 2>/dev/null || true' EXIT
{then}
"#
    );
    work.file("script", script);
    run(Command::new("unshare")
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "bash", "script"])
        .current_dir(work.path()))
}

fn files(work: &Workshop, from: &std::path::Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        work.file(&format!("files/{}", entry.file_name().to_str().unwrap()), fs::read(entry.path()).unwrap());
    }
}

#[test]
fn networkd_takes_every_file() {
    for kind in KINDS {
        let plan = plan(kind);
        let node = &plan.nodes[1];
        let work = Workshop::new();
        files(&work, &root().join(format!("tests/golden/{kind}/want/b/etc/systemd/network")));
        work.file("files/90-control.network", "[Match]\nName=none\n\n[Network]\nNoSuchKey=yes\n");
        let devices = devices(&node.cards);
        let (mut before, mut then) = (String::new(), String::from("sleep 3\n"));
        for (at, (name, mac)) in devices.iter().enumerate() {
            let mac = mac.as_ref().map_or(String::new(), |mac| format!("address {mac} "));
            writeln!(before, "ip link add {name} {mac}type veth peer name far{at}\nip link set far{at} up")
                .unwrap();
            writeln!(then, "echo \"{name} $(grep NETWORK_FILE /run/systemd/netif/links/$(cat /sys/class/net/{name}/ifindex))\"")
                .unwrap();
        }
        then += "ip -oneline address show\nip route\nip -6 route\n";
        let said = networkd(&work, &before, &then);
        // What it says of a file with a mistake is there, so it would be there of the others, too.
        let (control, of_kiln): (Vec<_>, Vec<_>) =
            said.lines().partition(|line| line.contains("90-control.network"));
        assert!(control.iter().any(|line| line.contains("Unknown key")), "{kind}: {control:?}\n{said}");
        let of_kiln = of_kiln.join("\n");
        for word in ["Unknown key", "Unknown section", "Failed to parse", "ignoring", "Invalid", "rejected"] {
            assert!(!of_kiln.contains(word), "{kind}: {word}\n{said}");
        }
        for (name, _) in &devices {
            let file = said.lines().find(|line| line.starts_with(&format!("{name} NETWORK_FILE")));
            assert!(file.is_some_and(|line| line.contains("/0")), "{kind}: {name} has no file\n{said}");
        }
        // Where it can make no VLAN, it leaves the card of that without routes.
        let is_plain = |at: usize, card: &Card| {
            card.vlan.is_none() && !matches!(card.by, By::Bond(_)) && Card::carried(&node.cards, at).is_none()
        };
        for (_, card) in node.cards.iter().enumerate().filter(|(at, card)| is_plain(*at, card)) {
            for link in &card.addresses {
                assert!(said.contains(&format!("{link} ")), "{kind}: no {link}\n{said}");
            }
            for route in &card.routes {
                assert!(said.contains(&format!("via {} ", route.via)), "{kind}: no {}\n{said}", route.via);
            }
        }
    }
}

/// The server gives addresses in a part of the nodes' own link: its routes are longer than the link's, and only the
/// way to each peer is longer still.
#[test]
fn an_address_of_dhcp_is_no_source_towards_peers() {
    for (cidr, link, range, [own, other, bystander]) in [
        (
            "10.113.0.0/24",
            "10.113.0.1/24",
            "10.113.0.100,10.113.0.120,255.255.255.128",
            ["10.113.0.12", "10.113.0.13", "10.113.0.14"],
        ),
        (
            "fd00:113::/64",
            "fd00:113::1/64",
            "fd00:113::100,fd00:113::1ff,64",
            ["fd00:113::12", "fd00:113::13", "fd00:113::14"],
        ),
    ] {
        let work = Workshop::new();
        work.file(
            "t.toml",
            format!(
                "schema = 1\n[cluster]\nname = \"t\"\nallow-two-members = true\n[etcd]\nversion = \"3.5.16\"\n\
                 [network]\ncidr = \"{cidr}\"\ndhcp = \"both\"\n[bundle]\ncarriers = \"tar\"\n\
                 [[node]]\nname = \"a\"\naddress = \"{own}\"\nmac = \"52:54:00:11:03:12\"\n\
                 [[node]]\nname = \"b\"\naddress = \"{other}\"\n"
            ),
        );
        work.keystore("t");
        let bundle = work.build("./t.toml");
        run(Command::new("tar")
            .arg("-xzf")
            .arg(bundle.join("nodes/a/overlay.tar.gz"))
            .arg("etc/systemd/network")
            .current_dir(work.path()));
        files(&work, &work.path().join("etc/systemd/network"));
        let before = format!(
            "ip link add eth0 address 52:54:00:11:03:12 type veth peer name far\n\
             touch /run/server; unshare --net=/run/server true; ip link set far netns /run/server\n\
             server() {{ nsenter --net=/run/server \"$@\"; }}\n\
             server ip link set lo up; server ip address add {link} dev far nodad; server ip link set far up\n\
             server dnsmasq --keep-in-foreground --conf-file=/dev/null --port=0 --dhcp-range={range} --user=root \
             --pid-file= --dhcp-leasefile=/run/leases --log-facility=- &\n"
        );
        let then = format!(
            "for _ in $(seq 100); do ip address show dev eth0 | grep -q 'scope global dynamic' && break; sleep 0.2; done\n\
             ip -oneline address show dev eth0\necho peer $(ip route get {other})\necho bystander $(ip route get {bystander})\n"
        );
        let said = networkd(&work, &before, &then);
        assert!(said.contains("scope global dynamic"), "no address by DHCP:\n{said}");
        let source = |of: &str| {
            let line = said.lines().find(|line| line.starts_with(of)).unwrap_or_else(|| panic!("{said}"));
            line.split_whitespace().skip_while(|word| *word != "src").nth(1).unwrap().to_owned()
        };
        assert_eq!(source("peer "), own, "{said}");
        // Without a way of its own it would be the other one: the test tests something.
        assert_ne!(source("bystander "), own, "{said}");
    }
}
