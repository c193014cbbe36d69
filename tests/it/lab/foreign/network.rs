//! The network of a node, as cloud-init renders it for each family of distributions.

use std::fs;
use std::process::Command;

use crate::support::{Workshop, lab, root, run};

const MAC: &str = "52:54:00:00:00:01";

/// A network, with these keys besides `cidr`, of three nodes, the first of which has a card with the address `MAC`;
/// returns its bundle.
fn three_nodes(cidr: &str, network: &str, addresses: [&str; 3]) -> (Workshop, std::path::PathBuf) {
    let nodes: String = addresses
        .iter()
        .zip(1..)
        .map(|(address, at)| {
            format!("[[node]]\nname = \"n{at}\"\naddress = \"{address}\"\nmac = \"52:54:00:00:00:0{at}\"\n")
        })
        .collect();
    let work = Workshop::new();
    work.file(
        "t.toml",
        format!(
            "schema = 1\n[cluster]\nname = \"t\"\n[etcd]\nversion = \"3.5.16\"\n[network]\ncidr = \"{cidr}\"\n\
             {network}\n{nodes}"
        ),
    );
    work.keystore("t");
    let bundle = work.build("./t.toml");
    (work, bundle)
}

fn ipv4() -> (Workshop, std::path::PathBuf) {
    three_nodes("10.77.0.0/24", "gateway = \"10.77.0.1\"", ["10.77.0.11", "10.77.0.12", "10.77.0.13"])
}

fn ipv6() -> (Workshop, std::path::PathBuf) {
    three_nodes("fd77:1::/64", "gateway = \"fd77:1::1\"", ["fd77:1::11", "fd77:1::12", "fd77:1::13"])
}

/// cloud-init's output for the first node's network-config, for each family of distributions; `schema` does not check
/// that.
fn rendered(work: &Workshop, bundle: &std::path::Path) -> Vec<(&'static str, String)> {
    rendered_of(work, &bundle.join("nodes/n1/network-config"), &[format!("ens3,{MAC}")])
}

/// The releases of cloud-init that ci/cloud-init unpacks, and this system's own. 20.4 has fewer renderers.
const RELEASES: [Option<&str>; 4] = [Some("bullseye"), None, Some("trixie"), Some("sid")];

/// `cloud-init devel net-convert` for several renderers in one process: starting Python takes most of the time.
const CONVERT: &str = "
import sys
from cloudinit.cmd.main import main
config, directory, cards = sys.argv[1:4]
cards = [word for card in cards.split() for word in ('-m', card)]
for renderer, distribution in map(str.split, sys.argv[4:]):
    sys.argv = ['cloud-init', 'devel', 'net-convert', '-k', 'yaml', '-D', distribution, '-O', renderer, '-p', config,
                '-d', directory + '/' + renderer] + cards
    main(sys.argv)
";

/// The same for a file, on a machine with these cards: `ens3,52:54:00:00:00:01`.
fn rendered_of(work: &Workshop, config: &std::path::Path, cards: &[String]) -> Vec<(&'static str, String)> {
    let renderers = [
        ("eni", "debian"),
        ("sysconfig", "rhel"),
        ("netplan", "debian"),
        ("networkd", "debian"),
        ("network-manager", "rhel"),
    ];
    let mut all = Vec::new();
    for release in RELEASES {
        // It has neither of the last two, and its sysconfig fails for every IPv6 route (cloud-init 22.2 has the fix).
        let has_ipv6_routes = fs::read_to_string(config).unwrap().contains("::/");
        let is_there = |renderer: &str| match release {
            Some("bullseye") => {
                ["eni", "netplan"].contains(&renderer) || renderer == "sysconfig" && !has_ipv6_routes
            }
            _ => true,
        };
        let there: Vec<_> = renderers.iter().filter(|(renderer, _)| is_there(renderer)).collect();
        let mut python = Command::new("/usr/bin/python3");
        if let Some(suite) = release {
            let packages = lab().join("cloud-init").join(suite).join("usr/lib/python3/dist-packages");
            assert!(packages.join("cloudinit").is_dir(), "run ci/setup --tests first");
            python.env("PYTHONPATH", packages);
        }
        let name = release.unwrap_or("here");
        python.args(["-c", CONVERT]).arg(config).arg(work.path().join(name)).arg(cards.join(" "));
        run(python.args(there.iter().map(|(renderer, distribution)| format!("{renderer} {distribution}"))));
        all.extend(there.iter().map(|(renderer, _)| {
            (
                *renderer,
                format!("(cloud-init of {name})\n{}", written(&work.path().join(name).join(renderer))),
            )
        }));
    }
    all
}

/// The contents of all files below a directory.
fn written(directory: &std::path::Path) -> String {
    walkdir::WalkDir::new(directory)
        .into_iter()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| fs::read_to_string(entry.path()).unwrap())
        .collect()
}

#[test]
fn cloud_init_default_route() {
    for ((work, bundle), address, gateway) in
        [(ipv4(), "10.77.0.11", "10.77.0.1"), (ipv6(), "fd77:1::11", "fd77:1::1")]
    {
        for (renderer, text) in rendered(&work, &bundle) {
            for wanted in [address, gateway] {
                assert!(text.contains(wanted), "{renderer} has no {wanted}:\n{text}");
            }
            // A renderer of 22.4 made ::/64 of ::/0.
            let halves = ["::/1", "8000::/1"].into_iter().all(|half| text.contains(half));
            assert!(address.contains('.') || halves && !text.contains("::/64"), "{renderer}:\n{text}");
        }
    }
}

/// The device that a renderer names is the one that the card is renamed to.
#[test]
fn cloud_init_no_set_name() {
    let (work, bundle) = ipv4();
    let config = fs::read_to_string(bundle.join("nodes/n1/network-config")).unwrap();
    assert!(config.contains(MAC) && config.contains("set-name: \"kiln0\""), "{config}");
    for (renderer, text) in rendered(&work, &bundle) {
        let named = match renderer {
            "eni" => "iface kiln0 inet static",
            "sysconfig" => "DEVICE=kiln0",
            "networkd" => "Name=kiln0",
            "netplan" => "set-name: kiln0",
            _ => MAC,
        };
        assert!(text.contains(named) || text.to_lowercase().contains(named), "{renderer}:\n{text}");
    }
}

#[test]
fn ipv6_router_advertisements() {
    let (work, bundle) = ipv6();
    // eni of cloud-init 26 writes accept-ra, which ifupdown does not know; for inet6 static it takes no address from an
    // advertisement anyhow (interfaces(5)).
    let off = ["accept_ra 0", "accept-ra 0", "IPV6_FORCE_ACCEPT_RA=no", "accept-ra: false", "method=manual"];
    for (renderer, text) in rendered(&work, &bundle) {
        // cloud-init's networkd renderer respects accept-ra from 24.1 on; before that Kiln's own file sets it.
        let is_off = renderer == "networkd" || off.iter().any(|off| text.contains(off));
        assert!(is_off, "{renderer} takes advertisements:\n{text}");
    }
    let mut tar = Command::new("tar");
    tar.arg("-xzOf").arg(bundle.join("nodes/n1/overlay.tar.gz")).arg("etc/systemd/network/05-kiln.network");
    assert!(run(&mut tar).contains("\nIPv6AcceptRA=no\n"));
    let ignition = fs::read_to_string(bundle.join("nodes/n1/config.ign")).unwrap();
    assert!(ignition.contains("IPv6AcceptRA%3Dno%0A"), "{ignition}");
}

#[test]
fn dns_servers_search_domains_and_mtu_are_rendered() {
    for (cidr, server, addresses) in [
        ("10.77.0.0/24", "10.77.0.53", ["10.77.0.11", "10.77.0.12", "10.77.0.13"]),
        ("fd77:1::/64", "fd77:1::53", ["fd77:1::11", "fd77:1::12", "fd77:1::13"]),
    ] {
        let network = format!("dns = [\"{server}\"]\ndns-search = [\"kloud.lan\"]\nmtu = 1400\n");
        let (work, bundle) = three_nodes(cidr, &network, addresses);
        for (renderer, text) in rendered(&work, &bundle) {
            for wanted in [server, "kloud.lan", "1400"] {
                assert!(text.contains(wanted), "{renderer} has no {wanted}:\n{text}");
            }
        }
    }
}

/// Second cards, subnets' routes and addresses of both families get through every renderer.
#[test]
fn cloud_init_renders_each_kind_of_network() {
    for (kind, wanted) in [
        ("two-cards", &["10.104.0.12", "172.20.0.12", "10.104.0.1", "9000"][..]),
        ("subnets", &["10.105.2.11", "10.105.2.1", "172.21.2.11", "172.21.2.1", "172.21.0.0"]),
        ("bond", &["10.110.0.12", "fd00:110::12", "802.3ad", "active-backup", "9000", "20", "172.25.0.12"]),
        ("card-names", &["fd00:111::12", "172.26.0.12", "enp129s0f0np0", "enp129s0f1np1", "20"]),
        ("on-link", &["10.109.0.12", "172.31.1.1", "fd00:109::12", "fe80::1"]),
        ("one-bond", &["10.114.0.12", "fd00:114::12", "802.3ad", "9000", "20", "172.27.0.12", "30"]),
        ("one-card", &["10.115.0.12", "10.115.0.1", "9000", "172.28.2.12", "172.28.2.1", "4094"]),
        ("vlan", &["10.108.0.12", "172.24.0.12", "10.108.0.1", "9000", "20", "4094"]),
        ("dual-stack", &["10.106.0.12", "10.106.0.1", "fd00:106::12", "fd00:106::1", "fd00:106::2"]),
    ] {
        let work = Workshop::new();
        let profile =
            fs::read_to_string(root().join("tests/golden").join(kind).join("profile.toml")).unwrap();
        work.file("t.toml", profile);
        work.keystore("golden");
        let bundle = work.build("./t.toml");
        let network = fs::read_to_string(bundle.join("nodes/b/network-config")).unwrap();
        let macs: Vec<_> =
            network.lines().filter_map(|line| line.trim().strip_prefix("macaddress: ")).collect();
        let cards: Vec<_> = macs
            .iter()
            .zip(["ens3", "ens4", "ens5", "ens6"])
            .map(|(mac, name)| format!("{name},{}", mac.trim_matches('"')))
            .collect();
        for (renderer, text) in rendered_of(&work, &bundle.join("nodes/b/network-config"), &cards) {
            // The renderer for networkd makes no bond before 26; the one for NetworkManager gives neither a bond nor a
            // VLAN an MTU.
            let is_made = |word: &str| match renderer {
                "networkd" => !["802.3ad", "active-backup"].contains(&word),
                "network-manager" => !kind.contains("bond") || word != "9000",
                _ => true,
            };
            for wanted in wanted.iter().filter(|word| is_made(word)) {
                assert!(text.contains(wanted), "{kind}: {renderer} has no {wanted}:\n{text}");
            }
        }
    }
}
