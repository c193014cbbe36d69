//! Files that nobody wrote by hand, and files of any lines.

use proptest::prelude::*;

use super::*;
use crate::values::example_carriers;

/// The nodes that the other files are about.
const HOSTS: &str = "[etcd]\na ansible_host=10.0.0.1\n";

fn of(texts: &[&str]) -> Result<Imported> {
    let file = |(index, text): (usize, &&str)| (format!("f{index}"), text.as_bytes().to_vec());
    import(&texts.iter().enumerate().map(file).collect::<Vec<_>>(), &example_carriers())
}

fn many(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(|index| line(index) + "\n").collect()
}

/// What can describe far more than it has, or takes the square of its length, ends at once with the reason.
#[test]
fn a_file_with_too_much_is_refused() {
    let hosts = |group: &str| format!("[etcd]\na\n[{group}]\n{}", many(20_000, |index| format!("n{index}")));
    let pairs = many(20_000, |index| format!("n{index}=https://n{index}:2380,")).replace('\n', "");
    for (texts, what) in [
        (vec![many(3000, |index| format!("X{index}=hunter2 \\x")).as_str()], "lines of a unit"),
        (vec![format!("nodes:\n{}", many(5000, |index| format!(" - n{index}"))).as_str()], "members"),
        (vec![hosts("etcd_members").as_str()], "members"),
        (vec![hosts("etcd_clients").as_str()], "clients"),
        (vec![format!("ETCD_NAME=a\nETCD_INITIAL_CLUSTER={pairs}\n").as_str()], "members"),
        (vec![HOSTS, many(20_000, |index| format!("etcd_{index}: 1")).as_str()], "variables"),
        (vec![HOSTS, many(2_001, |index| format!("ETCD_{index}=1")).as_str()], "variables"),
        (
            vec![
                HOSTS,
                format!(
                    "files:\n{}",
                    many(5000, |index| format!(" - dest: /etc/systemd/system/etcd-x{index}.service"))
                )
                .as_str(),
            ],
            "units",
        ),
        (vec![many(40_000, |index| format!("k{index}: 1")).as_str()], "not an inventory"),
        (vec![format!("ETCD_NAME=a\nETCD_LOG_OUTPUTS={}\n", "x".repeat(900_000)).as_str()], "would have"),
    ] {
        let texts: Vec<String> = texts
            .into_iter()
            .map(|text| match what {
                "lines of a unit" => format!("[Service]\nExecStart=/usr/local/bin/etcd --name a\n{text}"),
                _ => text.to_owned(),
            })
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let failure = of(&texts).err().unwrap_or_else(|| panic!("{what} are accepted"));
        assert_eq!(failure.exit(), Exit::Usage);
        assert!(failure.reason().contains(what), "{what}: {}", failure.reason());
    }
}

#[test]
fn templates_in_templates_are_filled_in_up_to_a_length() {
    let long = format!("etcd_user: {}\n", "x".repeat(5000));
    let bomb = format!(
        "etcd_x: {}\netcd_y: \"{}\"\netcd_bin_dir: \"{}\"\n",
        "x".repeat(4000),
        "{{ etcd_x }}".repeat(300),
        "{{ etcd_y }}".repeat(300)
    );
    let left = of(&[HOSTS, &long, &bomb]).ok().unwrap().left.join("\n");
    assert!(left.contains("f1:1: etcd_user is longer than 4096 bytes"), "{left}");
    assert!(left.contains("f2:3: etcd_bin_dir has a template"), "{left}");
    assert!(left.len() < 1000);
}

#[test]
fn as_many_lines_of_a_unit_as_are_read_are_judged() {
    let lines = many(MAX_ENTRIES - 1, |index| format!("X{index}=1"));
    let unit = format!("[Service]\nExecStart=/usr/local/bin/etcd --name a --data-dir x\n{lines}");
    let imported = of(&[HOSTS, &unit]).ok().unwrap();
    assert_eq!(
        imported.left.iter().filter(|line| line.contains("of the unit") || line.contains("X")).count(),
        MAX_ENTRIES - 1
    );
}

#[test]
fn tags_are_named_without_their_values() {
    let left =
        of(&[HOSTS, "etcd_user: !vault hunter2\netcd_unit: !<tag:x:y> {a: hunter2}\n"]).ok().unwrap().left;
    assert!(left[0].starts_with("f1:1: a value with the tag !vault"), "{left:?}");
    assert!(!left.join("").contains("hunter2"));
}

/// A line of a unit's command, of its settings, or of an environment file, with a number of its own.
fn line(kind: usize, number: usize) -> String {
    let number = 10_000 + number;
    match kind {
        0 => format!("--snapshot-count={number}"),
        1 => format!("--max-wals {number}"),
        2 => format!("--wibble={number}"),
        3 => format!("word{number}"),
        4 => format!("--peer-auto-tls={number}"),
        5 => "# --data-dir=/x".to_owned(),
        _ => format!("; {number}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    /// Comments are ignored; every other line is in the profile, or is listed with its number.
    #[test]
    fn every_line_of_a_command_is_said_or_left(kinds in prop::collection::vec(0..7_usize, 0..10)) {
        let lines: Vec<_> = kinds.iter().enumerate().map(|(number, kind)| line(*kind, number)).collect();
        let command: String = lines.iter().map(|line| format!("  {line} \\\n")).collect();
        let unit = format!("[Service]\nExecStart=/usr/local/bin/etcd --name a \\\n{command}  --logger zap\n");
        let imported = of(&[HOSTS, &unit]).ok().unwrap();
        for (index, kind) in kinds.iter().enumerate().filter(|(_, kind)| **kind < 5) {
            let is_said = imported.text.contains(&format!(" = {}\n", 10_000 + index));
            let is_left = imported.left.iter().any(|line| line.starts_with(&format!("f1:{}:", index + 3)));
            prop_assert!(is_said || is_left, "{kind} in {unit}\n{}\n{:?}", imported.text, imported.left);
        }
        prop_assert!(imported.text.contains("logger = \"zap\""), "{unit}\n{}", imported.text);
    }

    /// The same for an environment file.
    #[test]
    fn every_line_of_an_environment_is_said_or_left(kinds in prop::collection::vec(0..5_usize, 0..10)) {
        let line = |(index, kind): (usize, &usize)| match kind {
            0 => format!("ETCD_SNAPSHOT_COUNT={}", 10_000 + index),
            1 => format!("ETCD_WIBBLE={index}"),
            2 => format!("http_proxy={index}"),
            3 => format!("word{index}"),
            _ => format!("export ETCD_MAX_WALS=\"{}\"", 10_000 + index),
        };
        let lines: Vec<_> = kinds.iter().enumerate().map(line).collect();
        let imported = of(&[HOSTS, &format!("ETCD_NAME=a\n{}\n", lines.join("\n"))]).ok().unwrap();
        for index in 0..kinds.len() {
            let is_said = imported.text.contains(&format!(" = {}\n", 10_000 + index));
            let is_left = imported.left.iter().any(|line| line.starts_with(&format!("f1:{}:", index + 2)));
            prop_assert!(is_said || is_left, "{lines:?}\n{}\n{:?}", imported.text, imported.left);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// Whatever the files say, the result is TOML, or a refusal.
    #[test]
    fn no_file_makes_anything_but_a_profile_or_a_refusal(
        lines in prop::collection::vec(
            "(\\[etcd\\]|\\[Service\\]|ExecStart=|ExecStart=/x/etcd --name a \\\\?|nodes:|all:|  - name: \"?[a-z\"\\\\ ]{0,6}|  hosts:|ETCD_NAME=.{0,9}|\
             10\\.0\\.0\\.[0-9]{1,3} .{0,9}|etcd_[a-z_]{0,20}: .{0,9}|initial-cluster: a=.{0,20}|kind: ClusterConfiguration|\
             etcd_[ab]: \"(\\{\\{ etcd_[ab] \\}\\}){0,9}\"|etcd_user: !x .{0,9}|# .{0,9}\\\\?|\
             --[a-z-]{0,12}=.{0,9}\\\\?|.{0,20})",
            0..12,
        )
    ) {
        if let Ok(imported) = of(&[&lines.join("\n")]) {
            prop_assert!(imported.text.parse::<toml::Table>().is_ok(), "{}", imported.text);
            prop_assert!(imported.left.iter().all(|line| !line.contains(crate::values::steers)));
        }
    }
}
