//! The output of commands in README.md: what is printed there is what they print, but for numbers, serials and dates.

use std::fs;
use std::process::Command;

use crate::support::{Workshop, debs_of, node, root, turn};

/// The commands that are compared, in the order in which a reader gives them. The other examples need machines, a
/// registry or a directory of profiles; tests of their own give these commands.
const COMMANDS: [&str; 9] = [
    "kiln artifacts add --allow-unverified etcd-server_3.5.16-4_amd64.deb etcd-client_3.5.16-4_amd64.deb",
    "kiln build --profile ha3",
    "kiln rehearse out/ha3",
    "kiln plan --profile ha3",
    "kiln check out/ha3",
    "kiln show out/ha3 cp-a",
    "kiln keystore show ha3",
    "kiln keystore export ha3 --recipient age1czk7sk90cdpkk907syl36at7xqn9dcpu6sa4wfmu34ssmzpda5gqxtscax",
    "kiln keystore export ha3 --paper --yes",
];

/// The lines after a command in README.md, up to the end of the block or the next command.
fn sample(readme: &str, command: &str) -> Vec<String> {
    let line = format!("    $ {command}");
    let mut lines = readme.lines().skip_while(|there| *there != line).skip(1).peekable();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        let is_blank_within = line.is_empty() && lines.peek().is_some_and(|next| next.starts_with("    "));
        match line.strip_prefix("    ") {
            Some(text) if !text.starts_with("$ ") => found.push(text.to_owned()),
            None if is_blank_within => found.push(String::new()),
            _ => break,
        }
    }
    while found.last().is_some_and(String::is_empty) {
        found.pop();
    }
    found
}

/// A line with `#` for each word that has a digit, and for what says which member leads.
fn masked(line: &str) -> String {
    let words = line.split(|c: char| !(c.is_ascii_alphanumeric() || ".-_…".contains(c)));
    let words = words.filter(|word| !word.is_empty() && !word.chars().all(|c| "-._".contains(c)));
    let hide = |word: &str| match word {
        "true" | "false" | "cp-a" | "cp-b" | "cp-c" => "#".to_owned(),
        _ if word.chars().any(|c| c.is_ascii_digit()) => "#".to_owned(),
        // Serials and IDs of letters alone.
        _ if word.len() > 6 && word.chars().all(|c| c.is_ascii_hexdigit()) => "#".to_owned(),
        _ => word.to_owned(),
    };
    words.map(hide).collect::<Vec<_>>().join(" ")
}

/// The first line of the sample that the output does not have at its place.
fn difference(sample: &[String], output: &str) -> Option<String> {
    let output: Vec<_> = output.lines().map(masked).filter(|line| !line.is_empty()).collect();
    let (mut at, mut may_skip) = (0, false);
    for line in sample.iter().filter(|line| !masked(line).is_empty() || line.trim() == "[…]") {
        if line.trim() == "[…]" {
            may_skip = true;
            continue;
        }
        // A line may end with an omission, too.
        let want = masked(line.trim_end_matches(", […]"));
        let is_short = line.ends_with("[…]");
        let is = |there: &String| *there == want || is_short && there.starts_with(&want);
        let found = match may_skip {
            true => output[at..].iter().position(is).map(|skipped| at + skipped),
            false => Some(at).filter(|at| output.get(*at).is_some_and(is)),
        };
        let Some(found) = found else {
            return Some(format!("{line:?} is not printed; there is {:?}", output.get(at)));
        };
        (at, may_skip) = (found + 1, false);
    }
    match output.get(at) {
        Some(more) if !may_skip => Some(format!("after the sample, {more:?} is printed")),
        _ => None,
    }
}

#[test]
fn the_readme_prints_what_the_commands_print() {
    let _turn = turn::cluster();
    let work = Workshop::new();
    for deb in debs_of("3.5.16") {
        let name = deb.file_name().unwrap().to_string_lossy().into_owned();
        let half = if name.starts_with("etcd-server") { "server" } else { "client" };
        fs::copy(&deb, work.path().join(format!("etcd-{half}_3.5.16-4_amd64.deb"))).unwrap();
    }
    // As `cargo build` and `ci/node` leave them, one beside the other.
    let bin = work.path().join("bin");
    fs::create_dir(&bin).unwrap();
    fs::hard_link(env!("CARGO_BIN_EXE_kiln"), bin.join("kiln")).unwrap();
    fs::copy(node(), bin.join("kiln-node-amd64")).unwrap();
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let mut wrong = Vec::new();
    for command in COMMANDS {
        let sample = sample(&readme, command);
        assert!(!sample.is_empty(), "README.md has no {command}");
        // As a terminal has it: both streams in the order in which they are written.
        let script = format!("exec bin/kiln {} 2>&1", command.trim_start_matches("kiln "));
        let said = Command::new("sh").args(["-c", &script]).current_dir(work.path()).output().unwrap();
        let output = String::from_utf8(said.stdout).unwrap();
        assert!(said.status.success(), "{command}: {output}");
        if let Some(difference) = difference(&sample, &output) {
            wrong.push(format!("$ {command}\n{difference}\nwhole output:\n{output}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
