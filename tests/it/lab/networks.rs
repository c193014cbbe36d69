//! Nodes with two cards, subnets and addresses of both families: the kernel's choice of source addresses against the
//! one at the desk, and clusters of real members.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use kiln::plan::{self, Plan};
use kiln::values::{self, Arch};
use serde_json::Value;

use crate::support::{Workshop, root, run, turn};

/// The kinds of networks that have a golden case.
pub const KINDS: [&str; 10] = [
    "bond",
    "card-names",
    "dhcp",
    "dual-stack",
    "on-link",
    "one-bond",
    "one-card",
    "subnets",
    "two-cards",
    "vlan",
];

fn profile(kind: &str) -> String {
    fs::read_to_string(root().join("tests/golden").join(kind).join("profile.toml")).unwrap()
}

pub fn plan(kind: &str) -> Plan {
    let source = kiln::profile::Source::file("a.toml".as_ref(), profile(kind).into_bytes());
    let releases = [(kiln::etcd::Release::new(3, 5, 16), Arch::Amd64)];
    let read = kiln::profile::read(&source, &releases, kiln::carrier::all());
    let (profile, _) = read.unwrap_or_else(|mistakes| panic!("{kind}: {}", mistakes.render(false)));
    plan::resolve(&profile, &plan::Named::by(&"a-00000000".parse().unwrap()))
}

/// `ip` in a network namespace that has a node's cards; it prints the route to each of the destinations.
fn kernel_routes(node: &plan::Node, to: &[std::net::IpAddr]) -> Vec<String> {
    let mut lines = String::from("link set lo up\n");
    for (at, card) in node.cards.iter().enumerate() {
        writeln!(
            lines,
            "link add eth{at} type veth peer name far{at}\nlink set eth{at} up\nlink set far{at} up"
        )
        .unwrap();
        for link in &card.addresses {
            let nodad = if link.addr().is_ipv6() { " nodad" } else { "" };
            writeln!(lines, "address add {link} dev eth{at}{nodad}").unwrap();
        }
        for route in &card.routes {
            let on_link = if route.on_link { " onlink" } else { "" };
            writeln!(lines, "route add {} via {} dev eth{at}{on_link}", route.to, route.via).unwrap();
        }
    }
    to.iter().for_each(|to| writeln!(lines, "route get {to}").unwrap());
    let work = Workshop::new();
    work.file("batch", &lines);
    let said = run(Command::new("unshare")
        .args(["--net", "ip", "-oneline", "-batch", "batch"])
        .current_dir(work.path()));
    said.lines().map(str::to_owned).collect()
}

#[test]
fn the_kernel_chooses_the_source_addresses_of_the_plan() {
    let mut compared = 0;
    for kind in KINDS {
        let plan = plan(kind);
        assert_eq!(plan::refused(&plan), Vec::<String>::new(), "{kind}");
        for node in &plan.nodes {
            let mut to: Vec<_> = plan.nodes.iter().map(|node| node.peer_address).collect();
            to.extend(
                plan.nodes
                    .iter()
                    .flat_map(|node| &node.cards)
                    .flat_map(|card| &card.addresses)
                    .map(|a| a.addr()),
            );
            let kernel = kernel_routes(node, &to);
            assert_eq!(kernel.len(), to.len(), "{kernel:?}");
            for (to, line) in to.iter().zip(kernel) {
                let source = values::source(&node.cards, *to).map(|source| source.to_string());
                let words: Vec<_> = line.split_whitespace().collect();
                let at = words.iter().position(|word| *word == "src").unwrap_or_else(|| panic!("{line}"));
                assert_eq!(source.as_deref(), Some(words[at + 1]), "{kind}, {} to {to}: {line}", node.name);
                compared += 1;
            }
        }
    }
    assert!(compared > 30, "{compared}");
}

#[test]
fn each_kind_of_network_forms_and_is_what_it_promises() {
    let _turn = turn::cluster();
    for kind in KINDS {
        let work = Workshop::new();
        work.file(&format!("{kind}.toml"), profile(kind));
        let bundle = work.build(&format!("./{kind}.toml"));
        let said = run(work.kiln(["rehearse", "--quiet", "--allow-unverified", "--json"]).arg(&bundle));
        let report: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(report["passed"], true, "{kind}: {said}");
        let skipped =
            report["checks"].as_array().unwrap().iter().filter(|check| check["outcome"] == "skipped");
        assert_eq!(skipped.count(), 0, "{kind}: {said}");
    }
}

/// The member that no route leads to is known before anything is built.
#[test]
fn a_peer_that_would_come_from_another_address_is_refused() {
    let mut plan = plan("two-cards");
    // As if clients and peers had changed places in one certificate.
    let address = plan.nodes[0].address;
    plan.nodes[0].certificates.iter_mut().for_each(|spec| spec.ips = vec![address]);
    let said = plan::refused(&plan);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with("a connects to b (172.20.0.12) from 172.20.0.11"), "{said:?}");
    plan.nodes[2].cards.truncate(1);
    plan.nodes[2].cards[0].routes.clear();
    assert!(plan::refused(&plan).iter().any(|said| said.starts_with("c has no route to a")));
}

/// Networks of one address each: what is outside of them is reached over a router on the link.
#[test]
fn nodes_with_networks_of_one_address_form() {
    let _turn = turn::cluster();
    let head = "schema = 1\n[cluster]\nname = \"alone\"\n[etcd]\nversion = \"3.5.16\"\naccept-risk = \"3.5.16\"\n[network]\n";
    let node = |at: u8| format!("[[node]]\nname = \"n{at}\"\naddress = \"10.0.{at}.4\"\n");
    let subnet = |at: u8| {
        format!("[[network.subnet]]\ncidr = \"10.0.{at}.4/32\"\ngateway = \"10.0.{at}.1\"\non-link = true\n")
    };
    let one = format!("cidr = \"10.0.1.4/32\"\ngateway = \"10.0.0.1\"\non-link = true\n{}", node(1));
    let all = |of: &dyn Fn(u8) -> String| (1..4).map(of).collect::<String>();
    let three = format!("cidr = \"10.0.0.0/16\"\n{}{}", all(&subnet), all(&node));
    for network in [one, three] {
        let work = Workshop::new();
        work.file("alone.toml", format!("{head}{network}"));
        let bundle = work.build("./alone.toml");
        let said = run(work.kiln(["rehearse", "--quiet", "--allow-unverified", "--json"]).arg(&bundle));
        let report: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(report["passed"], true, "{said}");
    }
}
