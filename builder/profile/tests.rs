//! Accepted profiles and their warnings; and that no input makes the reader panic.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::diagnostics::Warning;
use super::*;
use crate::etcd::{Release, Value};
use crate::values::{Arch, example_carriers};

const HA3: &str = include_str!("../../profiles/ha3.toml");

fn source(text: &str) -> Source {
    Source::file("profiles/ha3.toml".as_ref(), text.into())
}

fn accepted(text: &str) -> (Profile, Vec<Warning>) {
    read(&source(text), &[(Release::new(3, 5, 33), Arch::Amd64)], &example_carriers())
        .unwrap_or_else(|m| panic!("{}", m.render(false)))
}

/// ha3 with another head and `count` nodes.
fn with_nodes(head: &str, count: usize) -> String {
    let mut text = format!("schema = 1\n{head}\n[network]\ncidr = \"10.240.0.0/16\"\n");
    for node in 0..count {
        text.push_str(&format!("[[node]]\nname = \"n{node}\"\naddress = \"10.240.0.{}\"\n", node + 10));
    }
    text
}

#[test]
fn what_works_but_hurts_later_is_warned_about() {
    let cluster = "[cluster]\nname = \"x\"\n";
    let cases = [
        (3, "", "", ""),
        (1, "", "", ""),
        (4, "", "", "4 members have a quorum of 3 and tolerate 1 failure, no more than 3 members do"),
        (6, "", "", "6 members have a quorum of 4 and tolerate 2 failures, no more than 5 members do"),
        (9, "", "", "9 members: every write waits for 5 of them; at most seven are recommended"),
        (2, "allow-two-members = true\n", "", "two members have a quorum of 2 and tolerate no failure"),
        (3, "allow-two-members = true\n", "", "allow-two-members has no effect: the cluster has 3 members"),
        (
            3,
            "",
            "[etcd]\nversion = \"3.5.16\"\n",
            "etcd 3.5.16 has known faults, fixed in 3.5.33:\n  a transaction can be applied partially (#18799)",
        ),
        (
            3,
            "",
            "[etcd]\nversion = \"3.5.2\"\naccept-risk = [\"3.5.2\"]\n",
            "etcd 3.5.2 has known faults, fixed in 3.5.33 (accepted by accept-risk):\n  the members' data can diverge after a crash (#13766)",
        ),
        (
            3,
            "",
            "[etcd]\naccept-risk = [\"3.5.2\"]\n",
            "accept-risk names 3.5.2, which has no effect: the release is 3.5.33",
        ),
        (3, "", "[etcd.config]\nquota-backend-bytes = 8589934592\n", ""),
        (
            3,
            "",
            "[etcd.config]\nquota-backend-bytes = 8589934593\n",
            "quota-backend-bytes is more than 8 GiB",
        ),
        (
            3,
            "",
            "[etcd.config]\nexperimental-initial-corrupt-check = false\n",
            "this disables a corruption check that Kiln enables",
        ),
    ];
    for (count, more, tables, want) in cases {
        let (_, warnings) = accepted(&with_nodes(&format!("{cluster}{more}{tables}"), count));
        match want {
            "" => assert_eq!(warnings, [], "{tables}"),
            _ => {
                assert_eq!(warnings.len(), 1, "{warnings:?}");
                assert!(warnings[0].text.starts_with(want), "{warnings:?}");
                assert!(warnings[0].line.is_some(), "{warnings:?}");
            }
        }
    }
}

#[test]
fn three_subnets_in_one_wide_network_are_warned_about() {
    let profile = |cidr: &str, addresses: [&str; 3]| {
        let nodes: String = addresses
            .iter()
            .enumerate()
            .map(|(at, address)| format!("[[node]]\nname = \"n{at}\"\naddress = \"{address}\"\n"))
            .collect();
        format!("schema = 1\n[cluster]\nname = \"x\"\n[network]\ncidr = \"{cidr}\"\n{nodes}")
    };
    let apart = [
        ("10.0.0.0/8", ["10.1.0.10", "10.2.0.10", "10.3.0.10"], "10.1.0.0/16, 10.2.0.0/16, 10.3.0.0/16"),
        ("fd00::/32", ["fd00:0:1::a", "fd00:0:2::a", "fd00:0:2::b"], "fd00:0:1::/64, fd00:0:2::/64"),
    ];
    for (cidr, addresses, wires) in apart {
        let (_, warnings) = accepted(&profile(cidr, addresses));
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(
            warnings[0].text.starts_with(&format!("the nodes are in {wires}, but with {cidr}")),
            "{warnings:?}"
        );
        assert_eq!(warnings[0].line, Some(5));
    }
    let together = [
        ("10.0.0.0/8", ["10.1.0.10", "10.1.16.10", "10.1.32.10"]),
        ("10.240.0.0/16", ["10.240.16.10", "10.240.48.10", "10.240.80.10"]),
        ("fd00::/32", ["fd00:0:1::a", "fd00:0:1::b", "fd00:0:1::c"]),
    ];
    for (cidr, addresses) in together {
        assert_eq!(accepted(&profile(cidr, addresses)).1, [], "{cidr}");
    }
}

#[test]
fn defaults_are_filled_in() {
    let (profile, _) = accepted(HA3);
    assert_eq!((profile.name.as_str(), profile.nodes.len()), ("ha3", 3));
    assert_eq!(profile.etcd.data_dir.absolute(), "/var/lib/etcd");
    assert_eq!(profile.etcd.bin_dir.absolute(), "/usr/local/bin");
    assert_eq!(profile.pki.directory.absolute(), "/etc/etcd/pki");
    assert_eq!(
        (profile.pki.ca.lifetime.to_string(), profile.pki.leaf_lifetime.to_string()),
        ("10y".into(), "1y".into())
    );
    assert_eq!((profile.machine.memory_mib, profile.machine.vcpus), (1024, 2));
    assert_eq!((profile.machine.data_disk_mib, profile.machine.base), (8192, None));
    assert_eq!(profile.bundle.carriers, example_carriers());
    let macs: BTreeSet<_> = profile.nodes.iter().map(|node| node.mac.to_string()).collect();
    assert_eq!(macs.len(), 3);
}

/// A system that only Ignition sets up has a read-only /usr.
#[test]
fn programs_lie_where_the_system_can_be_written() {
    let with = |etcd: &str, carriers: &str| {
        let (profile, _) = accepted(&format!(
            "{HA3}\n[etcd]\nversion = \"3.5.33\"\n{etcd}\n[bundle]\ncarriers = {carriers}\n"
        ));
        profile.etcd.bin_dir.absolute()
    };
    assert_eq!(with("", r#"["ignition"]"#), "/opt/bin");
    assert_eq!(with("", r#"["ignition", "cloud-init"]"#), "/usr/local/bin");
    assert_eq!(with(r#"bin-dir = "/usr/local/bin""#, r#"["ignition"]"#), "/usr/local/bin");
    assert_eq!(with(r#"bin-dir = "/opt/etcd/bin""#, r#"["tar"]"#), "/opt/etcd/bin");
}

// long: one profile with a value for every key
#[test]
fn everything_that_a_profile_can_say_is_read() {
    let text = r#"
        schema = 1
        [cluster]
        name = "ha3"
        domain = "kloud.lan"
        token = "My_Secret_Token"
        [etcd]
        version = "3.5.16"
        arch = "arm64"
        sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        config-style = "env"
        data-dir = "/data/etcd"
        [etcd.config]
        snapshot-count = 10_000
        heartbeat-interval = 250
        election-timeout = 5000
        auto-compaction-retention = "8"
        grpc-keepalive-interval = "1h30m"
        pre-vote = true
        cipher-suites = ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]
        socket-options = { reuse-port = true }
        client-transport-security.allowed-hostname = ["cp-a"]
        [network]
        cidr = "fd00:10::/64"
        gateway = "fd00:10::1"
        [[node]]
        name = "cp-a"
        address = "fd00:10::10"
        mac = "52:54:00:12:34:56"
        [pki]
        algorithm = "p384"
        leaf-algorithm = "ed25519"
        ca-lifetime = "20y"
        leaf-lifetime = "365d"
        certificates = "one-per-node"
        [machine]
        memory-mib = 4096
        vcpus = 4
        base = "/srv/base"
        data-disk-mib = 512
        login-user = "ops"
        ssh-keys = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJhej/NiB6Jfs2zc3KbGHYNuARN+cfQwkCb/M0BGrU1e ops@desk"
        [bundle]
        carriers = ["ignition", "tar"]
        binaries = "shared"
        overlays = ["site", "/srv/overlay"]
        replace = ["/etc/motd"]
    "#;
    let (profile, _) = accepted(text);
    let options: Vec<_> =
        profile.etcd.options.iter().map(|o| (o.key.as_str(), o.value.to_flag(), o.line.unwrap())).collect();
    let want = [
        ("snapshot-count", "10000", 14),
        ("heartbeat-interval", "250", 15),
        ("election-timeout", "5000", 16),
        ("auto-compaction-retention", "8", 17),
        ("grpc-keepalive-interval", "90m", 18),
        ("pre-vote", "true", 19),
        ("cipher-suites", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", 20),
        ("socket-options.reuse-port", "true", 21),
        ("client-transport-security.allowed-hostname", "cp-a", 22),
    ];
    assert_eq!(options, want.map(|(key, value, line)| (key, value.to_owned(), line)));
    assert_eq!(profile.etcd.options[4].value, Value::Duration { nanos: 5_400_000_000_000 });
    assert_eq!((profile.etcd.arch, profile.etcd.pinned, profile.etcd.sha256.len()), (Arch::Arm64, true, 1));
    assert_eq!(profile.etcd.config_style, ConfigStyle::Env);
    assert_eq!(profile.etcd.data_dir.absolute(), "/data/etcd");
    assert_eq!((profile.pki.ca.algorithm, profile.pki.leaf_algorithm), (Algorithm::P384, Algorithm::Ed25519));
    let login = profile.machine.login.unwrap();
    assert_eq!((login.user.as_str(), login.keys.len()), ("ops", 1));
    assert_eq!(
        login.keys[0].as_str(),
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJhej/NiB6Jfs2zc3KbGHYNuARN+cfQwkCb/M0BGrU1e ops@desk"
    );
    let carriers: Vec<_> = profile.bundle.carriers.iter().map(|carrier| carrier.name).collect();
    assert_eq!(carriers, ["tar", "ignition"]);
    assert_eq!(profile.bundle.overlays, ["profiles/site", "/srv/overlay"].map(std::path::PathBuf::from));
    assert_eq!(profile.network.gateway.map(|gateway| gateway.to_string()).as_deref(), Some("fd00:10::1"));
    assert_eq!(profile.nodes[0].mac.to_string(), "52:54:00:12:34:56");
}

#[test]
fn the_newest_release_of_the_architecture_is_taken() {
    let release = |patch| Release::new(3, 5, patch);
    let store = [(release(9), Arch::Amd64), (release(16), Arch::Amd64), (release(33), Arch::Arm64)];
    let (profile, _) = read(&source(HA3), &store, &example_carriers()).unwrap();
    assert_eq!((profile.etcd.release, profile.etcd.pinned), (release(16), false));
}

#[test]
fn mistakes_come_as_json_too() {
    let text = HA3.replace("cp-c", "cp-a").replace("10.240.48.10", "10.240.48");
    let mistakes = read(&source(&text), &[], &example_carriers()).unwrap_err();
    let json = mistakes.clone().into_failure(false).json()["mistakes"].clone();
    let reasons: Vec<_> =
        json.as_array().unwrap().iter().map(|m| (m["line"].as_u64(), m["unsafe"].as_bool())).collect();
    assert_eq!(reasons.len(), mistakes.count());
    assert_eq!(json[0]["line"], serde_json::Value::Null, "{json}");
    let twice = json.as_array().unwrap().iter().find(|m| m["also"].is_object()).unwrap();
    assert_eq!(
        (twice["file"].as_str(), twice["also"]["what"].as_str()),
        (Some("profiles/ha3.toml"), Some("first here"))
    );
    assert!(twice["also"]["line"].as_u64() < twice["line"].as_u64());
}

#[test]
fn colour_is_asked_for() {
    let mistakes = read(&source("schema = 7"), &[], &example_carriers()).unwrap_err();
    assert!(!mistakes.render(false).contains('\u{1b}'));
    assert!(mistakes.render(true).contains("\u{1b}["));
}

/// Reads the bytes, and renders their mistakes in every form.
fn survive(bytes: Vec<u8>) {
    let source = Source::file("profiles/ha3.toml".as_ref(), bytes);
    if let Err(mistakes) = read(&source, &[(Release::new(3, 5, 16), Arch::Amd64)], &example_carriers()) {
        assert!(mistakes.count() > 0);
        assert!(!mistakes.render(false).is_empty() && !mistakes.render(true).is_empty());
        assert!(mistakes.into_failure(false).json()["mistakes"].is_array());
    }
}

/// Fragments that are meaningful to the parser or to the checks.
const PIECES: [&str; 40] = [
    "\n",
    "\r\n",
    "\r",
    "\t",
    " ",
    "=",
    ".",
    ",",
    "#",
    "\"",
    "'",
    "\"\"\"",
    "'''",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "\\",
    "\0",
    "\u{feff}",
    "\u{202e}",
    "é",
    "😀",
    "schema = 1\n",
    "schema = 7\n",
    "[etcd.config]\n",
    "[[node]]\n",
    "[cluster]\n",
    "name = \"a\"\n",
    "address = \"::1\"\n",
    "version = \"3.5.2\"\n",
    "a.b.c",
    "= 1\n",
    "1979-05-27T07:32:00Z",
    "0x",
    "1e999",
    "true",
    "nan",
];

// PROPTEST_CASES sets the number of cases for each.
proptest! {
    #[test]
    fn random_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        survive(bytes);
    }

    #[test]
    fn random_pieces_do_no_harm(pieces in proptest::collection::vec(0..PIECES.len(), 0..60)) {
        survive(pieces.into_iter().flat_map(|piece| PIECES[piece].bytes()).collect());
    }

    /// A valid profile with a few pieces cut out and others put in.
    #[test]
    fn damaged_profiles_do_no_harm(
        edits in proptest::collection::vec((0.0..1.0f64, 0usize..20, 0..PIECES.len()), 1..6),
    ) {
        let mut bytes = HA3.as_bytes().to_vec();
        for (place, cut, piece) in edits {
            let start = (place * bytes.len() as f64) as usize;
            let end = (start + cut).min(bytes.len());
            bytes.splice(start..end, PIECES[piece].bytes());
        }
        survive(bytes);
    }
}

#[test]
fn a_setting_takes_precedence_over_the_files() {
    let least = with_nodes("[cluster]\nname = \"a\"", 1);
    let mut source =
        source(&format!("{least}[etcd]\nversion = \"3.5.33\"\n[etcd.config]\npre-vote = true\n"));
    let set = [
        "etcd.version=3.5.16",
        "etcd.accept-risk=3.5.16",
        "machine.memory-mib=2048",
        "etcd.config.heartbeat-interval=150",
    ];
    source.settings = set.into_iter().map(|set| set.parse().unwrap()).collect();
    let (profile, _) = read(&source, &[], &example_carriers()).unwrap();
    assert_eq!(profile.etcd.release, Release::new(3, 5, 16));
    assert_eq!(profile.machine.memory_mib, 2048);
    let options =
        profile.etcd.options.iter().map(|option| (option.key.as_str(), option.line, &*option.place));
    let places = [
        ("pre-vote", Some(12), "profiles/ha3.toml:12"),
        ("heartbeat-interval", None, "--set etcd.config.heartbeat-interval"),
    ];
    assert_eq!(options.collect::<Vec<_>>(), places);
    let unset = Source { settings: Vec::new(), ..source.clone() };
    assert_ne!(source.digest(), unset.digest());
}
