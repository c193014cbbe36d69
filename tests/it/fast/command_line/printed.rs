//! What is printed: versions, lists of what Kiln carries, warnings that are lists, and tables that fit a terminal.

use std::fs;
use std::process::Command;

use crate::support::{self, ONE, Workshop, output, refused, run, with_store};
use serde_json::Value;

#[test]
fn the_version_is_one_line_or_tells_commit_and_releases() {
    let shop = Workshop::new();
    let version = format!("kiln {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&mut shop.kiln(["-V"])), version);
    let long = run(&mut shop.kiln(["--version"]));
    assert!(long.starts_with(&version), "{long}");
    let commit = long.lines().find_map(|line| line.strip_prefix("commit: ")).unwrap();
    assert_eq!(commit, env!("KILN_COMMIT"));
    assert!(commit == "unknown" || commit.len() >= 7, "{commit}");
    assert!(long.contains("\netcd releases with built-in checksums: 3.5.3 to 3.5.33, 3.6.0 to "), "{long}");
}

#[test]
fn a_bundle_names_the_version_and_no_commit() {
    let shop = Workshop::new();
    shop.file("one.toml", ONE);
    let bundle = shop.build("./one.toml");
    let manifest: Value = serde_json::from_slice(&fs::read(bundle.join("bundle.json")).unwrap()).unwrap();
    assert_eq!(manifest["builder"], concat!("kiln ", env!("CARGO_PKG_VERSION")));
    let commit = env!("KILN_COMMIT").as_bytes();
    run(Command::new("sh")
        .args(["-c", "find out -name '*.gz' -exec gzip -dk {} +"])
        .current_dir(shop.path()));
    let all = crate::support::snapshot(&bundle);
    assert!(all.iter().any(|(path, ..)| path.ends_with("overlay.tar")));
    for (path, _, bytes) in all {
        assert!(!bytes.windows(commit.len()).any(|window| window == commit), "{path}");
    }
}

#[test]
fn carried_profiles_and_known_releases_are_printed() {
    let shop = Workshop::new();
    let listed = run(&mut shop.kiln(["profile", "list"]));
    assert!(listed.contains("\nha3 ") && listed.contains("\nsingle "), "{listed}");
    let json: Value = serde_json::from_str(&run(&mut shop.kiln(["profile", "list", "--json"]))).unwrap();
    assert_eq!(json[4]["name"], "single");
    let shown = run(&mut shop.kiln(["profile", "show", "ha3"]));
    assert_eq!(shown, fs::read_to_string(support::root().join("profiles/ha3.toml")).unwrap());
    // It is a profile of its own.
    shop.file("mine.toml", shown);
    run(with_store(&mut shop.kiln(["plan", "./mine.toml"])));
    assert!(refused(&mut shop.kiln(["profile", "show", "ha5"]), 2).contains("ha3, single, six"));

    let known = run(&mut shop.kiln(["artifacts", "known"]));
    let catalogue = fs::read_to_string(support::root().join("builder/artifact/catalogue.txt")).unwrap();
    let lines: Vec<_> = catalogue.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(known.lines().count(), lines.len());
    assert!(known.contains("3.5.33   arm64    etcd-v3.5.33-linux-arm64.tar.gz\n"), "{known}");
    assert!(known.lines().all(|line| line.len() <= 80));
    let json: Value = serde_json::from_str(&run(&mut shop.kiln(["artifacts", "known", "--json"]))).unwrap();
    let json = json.as_array().unwrap();
    for (known, line) in json.iter().zip(&lines) {
        assert_eq!(
            *line,
            format!("{}  {}", known["sha256"].as_str().unwrap(), known["file"].as_str().unwrap())
        );
        let file = format!(
            "etcd-v{}-linux-{}.tar.gz",
            known["version"].as_str().unwrap(),
            known["arch"].as_str().unwrap()
        );
        assert_eq!(known["file"], file);
    }
    assert_eq!(json.len(), lines.len());
}

#[test]
fn results_fit_a_terminal_and_are_plain_elsewhere() {
    let shop = Workshop::new();
    shop.file("one.toml", ONE);
    let plain = run(with_store(&mut shop.kiln(["artifacts", "list"])));
    assert!(plain.lines().any(|line| line.len() > 100), "{plain}");
    let at_terminal = |line: &str, colour: &str| {
        let mut script = Command::new("script");
        let line = format!(
            "stty cols 80 && {} {line} --artifacts {}",
            env!("CARGO_BIN_EXE_kiln"),
            support::store().display()
        );
        script.args(["-qec", &line, "/dev/null"]).current_dir(shop.path());
        script.env("KILN_NO_CACHE", "1").env("TERM", "xterm").env("NO_COLOR", colour);
        run(&mut script).replace('\r', "")
    };
    let fitted = at_terminal("artifacts list", "1");
    assert!(fitted.lines().all(|line| line.len() <= 80), "{fitted}");
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(&fitted), words(&plain), "nothing is lost");
    for (colour, is_coloured) in [("", true), ("1", false)] {
        let said = at_terminal("plan ./one.toml", colour);
        assert!(said.contains("warning") && said.contains("cluster one"), "{said}");
        assert_eq!(said.contains('\u{1b}'), is_coloured, "{said:?}");
    }
}

#[test]
fn known_faults_are_one_line_of_600_characters() {
    let shop = Workshop::new();
    shop.file("one.toml", ONE);
    let (code, _, said) = output(with_store(&mut shop.kiln(["plan", "-p", "./one.toml"])));
    assert_eq!(code, 0, "{said}");
    let lines: Vec<_> = said.lines().skip_while(|line| !line.starts_with("warning: ")).collect();
    assert_eq!(lines[0], "warning: ./one.toml:10: etcd 3.5.16 has known faults, fixed in 3.5.33:", "{said}");
    assert_eq!(lines[1], "  a transaction can be applied partially (#18799)", "{said}");
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{said}");
    // Each fault begins a line; the rest of a long one is indented further.
    assert!(
        lines.iter().filter(|line| line.starts_with("  ") && !line.starts_with("   ")).count() > 3,
        "{said}"
    );
}

/// The list pushed off the screen what was said before it.
#[test]
fn known_faults_are_behind_the_result() {
    let shop = Workshop::new();
    shop.file("one.toml", ONE);
    let (code, _, said) = output(with_store(&mut shop.kiln(["build", "./one.toml"])));
    assert_eq!(code, 0, "{said}");
    let at = |begin: &str| said.lines().position(|line| line.starts_with(begin));
    assert!(
        at("created the keystore").is_some_and(|made| Some(made) < at("warning: ./one.toml:10: etcd 3.5.16")),
        "{said}"
    );
}

/// `plan --json` has what `plan` prints of a network.
#[test]
fn a_plan_as_json_has_the_whole_network() {
    let shop = Workshop::new();
    let plan = |name: &str| -> serde_json::Value {
        let profile = crate::support::root().join("tests/golden").join(name).join("profile.toml");
        let mut command = shop.kiln(["plan", "--json", "--quiet", "--profile"]);
        serde_json::from_str(&run(with_store(command.arg(profile)))).unwrap()
    };
    let both = plan("dual-stack");
    let want = serde_json::json!({
        "cidr": "10.106.0.0/24", "gateway": "10.106.0.1", "dns": ["10.106.0.2", "fd00:106::2"],
        "ipv6": { "cidr": "fd00:106::/64", "gateway": "fd00:106::1" },
    });
    assert_eq!(both["network"], want);
    assert_eq!(both["nodes"][1]["public_address"], "192.0.2.12");
    let two = plan("two-cards");
    assert_eq!(two["network"]["peer"], serde_json::json!({ "cidr": "172.20.0.0/24", "mtu": 9000 }));
    assert_eq!(two["nodes"][1]["public_address"], serde_json::Value::Null);
    assert_eq!(plan("subnets")["network"]["subnets"].as_array().map(Vec::len), Some(5));
    assert!(plan("vlan")["network"]["vlan"].is_number());
}
