//! Help, versions, completions, man pages, environment variables, `-v`: what people meet before anything is built.

use std::fs;
use std::process::Command;

use clap::CommandFactory;
use kiln::cli::Cli;

use super::{ONE, with_store};
use crate::lab::{Workshop, run};

/// Every verb with its words (`["artifacts", "add"]`), outermost first; those that are groups, too.
fn verbs() -> Vec<(Vec<String>, clap::Command)> {
    fn below(words: &[String], command: &clap::Command, all: &mut Vec<(Vec<String>, clap::Command)>) {
        for verb in command.get_subcommands() {
            let words = [words, &[verb.get_name().to_owned()]].concat();
            below(&words, verb, all);
            all.push((words, verb.clone()));
        }
    }
    let mut all = Vec::new();
    below(&[], &Cli::command(), &mut all);
    assert!(all.len() > 20);
    all
}

/// The examples in a verb's help, each as its words.
fn examples(verb: &clap::Command) -> Vec<Vec<String>> {
    let text = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
    let Some(list) = text.strip_prefix("Examples:\n") else { return Vec::new() };
    let lines = list.lines().take_while(|line| line.starts_with("  kiln "));
    lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

#[test]
fn every_verb_has_two_examples_that_are_command_lines() {
    for (words, verb) in verbs() {
        let examples = examples(&verb);
        assert_eq!(examples.len(), 2, "{words:?}");
        for example in examples {
            assert_eq!(example[1..=words.len()], words, "an example of another verb");
            if let Err(error) = Cli::command().try_get_matches_from(&example) {
                panic!("{example:?}: {error}");
            }
        }
    }
}

#[test]
fn examples_do_what_they_say() {
    let shop = Workshop::new();
    fs::create_dir(shop.path().join("sites")).unwrap();
    for site in ["berlin", "paris"] {
        shop.file(&format!("sites/{site}.toml"), ONE.replace("\"one\"", &format!("\"{site}\"")));
    }
    shop.file("berlin.toml", fs::read_to_string(shop.path().join("sites/berlin.toml")).unwrap());
    // In an order in which people could type them; what is left out needs a network, root, VMs, a running cluster or
    // files that are not here.
    for words in [
        &["keystore", "init"][..],
        &["build"],
        &["check"],
        &["plan"],
        &["show"],
        &["keystore", "renew"],
        &["keystore", "show"],
        &["seal"],
        &["cache", "show"],
        &["cache", "prune"],
    ] {
        let (_, verb) = verbs().into_iter().find(|(all, _)| all == words).unwrap();
        for example in examples(&verb) {
            // Absolute directories are put below this one.
            let example: Vec<_> = example[1..]
                .iter()
                .map(|word| word.replacen('/', "./", usize::from(word.starts_with('/'))))
                .collect();
            if example.iter().any(|word| word == "./safe/ha3") && !shop.path().join("safe").exists() {
                fs::create_dir(shop.path().join("safe")).unwrap();
                run(Command::new("cp").args(["-a", "keystore/ha3", "safe/ha3"]).current_dir(shop.path()));
            }
            let mut command = shop.kiln(&example);
            command.env("HOME", shop.path()).env_remove("KILN_CACHE");
            if matches!(words[0], "build" | "check" | "plan") && example[1] != "out/ha3"
                || words[..] == ["keystore", "init"]
            {
                with_store(&mut command);
            }
            run(&mut command);
        }
    }
    assert!(shop.path().join("out/sites/berlin").is_dir());
}

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
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(bundle.join("bundle.json")).unwrap()).unwrap();
    assert_eq!(manifest["builder"], concat!("kiln ", env!("CARGO_PKG_VERSION")));
    let commit = env!("KILN_COMMIT").as_bytes();
    run(Command::new("sh")
        .args(["-c", "find out -name '*.gz' -exec gzip -dk {} +"])
        .current_dir(shop.path()));
    let all = crate::lab::snapshot(&bundle);
    assert!(all.iter().any(|(path, ..)| path.ends_with("overlay.tar")));
    for (path, _, bytes) in all {
        assert!(!bytes.windows(commit.len()).any(|window| window == commit), "{path}");
    }
}
