//! Help with its examples, completions and manual pages.

use std::fs;
use std::process::Command;

use super::verbs;
use crate::support::{ONE, Workshop, refused, run, with_store};
use kiln::cli;

/// The examples in a verb's help, each as its words.
fn examples(verb: &clap::Command) -> Vec<Vec<String>> {
    let text = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
    let Some(list) = text.strip_prefix("Examples:\n") else { return Vec::new() };
    let lines = list.lines().take_while(|line| line.starts_with("  kiln "));
    // The shell's part after the command does not count.
    let words =
        |line: &str| line.split_whitespace().take_while(|word| *word != ">").map(str::to_owned).collect();
    lines.map(words).collect()
}

#[test]
fn every_verb_has_two_examples_that_are_command_lines() {
    for (words, verb) in verbs() {
        let examples = examples(&verb);
        assert_eq!(examples.len(), 2, "{words:?}");
        for example in examples {
            assert_eq!(example[1..=words.len()], words, "an example of another verb");
            if let Err(error) = cli::command().try_get_matches_from(&example) {
                panic!("{example:?}: {error}");
            }
        }
    }
}

#[test]
fn examples_do_what_they_say() {
    let shop = Workshop::new();
    fs::create_dir(shop.path().join("sites")).unwrap();
    for (site, network) in [("berlin", "10.77."), ("paris", "10.78.")] {
        let profile = ONE.replace("\"one\"", &format!("\"{site}\"")).replace("10.77.", network);
        shop.file(&format!("sites/{site}.toml"), profile);
    }
    fs::create_dir_all(shop.path().join("usr/local/share/man/man1")).unwrap();
    shop.file("berlin.toml", fs::read_to_string(shop.path().join("sites/berlin.toml")).unwrap());
    // In an order in which users could type them; examples that need a network, root, VMs, a running cluster or files
    // that are not here are left out.
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
        &["artifacts", "known"],
        &["profile", "list"],
        &["profile", "show"],
        &["completions"],
        &["man"],
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
            command.env("HOME", shop.path()).env_remove("KILN_NO_CACHE");
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
fn help_is_asked_for_in_either_order() {
    let shop = Workshop::new();
    for words in [&["build"][..], &["artifacts", "add"], &["etcdctl"]] {
        let help = run(shop.kiln(["help"]).args(words));
        assert_eq!(help, run(shop.kiln(words).arg("--help")), "{words:?}");
        assert!(help.contains("\nExamples:\n  kiln "), "{help}");
    }
    assert!(refused(&mut shop.kiln(["help", "bulid"]), 2).contains("bulid"));
}

/// As bash itself asks, with the function that the script registers.
#[test]
fn bash_completes_names_of_profiles() {
    let shop = Workshop::new();
    fs::write(shop.path().join("kiln.bash"), run(&mut shop.kiln(["completions", "bash"]))).unwrap();
    shop.file("profiles/ha-site.toml", "schema = 1\n");
    shop.file("profiles/_base.toml", "schema = 1\n");
    shop.file("profiles/ha$(touch ran).toml", "schema = 1\n");
    let completed = |line: &str| {
        let words: Vec<_> = line.split(' ').map(|word| format!("'{word}'")).collect();
        let script = format!(
            "source ./kiln.bash; asked=$(complete -p kiln); asked=${{asked#*-F }}; COMP_WORDS=({}); COMP_CWORD={}; \
             ${{asked%% *}} kiln {} {}; echo \"${{COMPREPLY[*]}}\"",
            words.join(" "),
            words.len() - 1,
            words[words.len() - 1],
            words[words.len() - 2]
        );
        let mut bash = Command::new("bash");
        run(bash.args(["--norc", "-ic", &script]).current_dir(shop.path()))
    };
    for line in [
        "kiln build --profile ha",
        "kiln build -p ha",
        "kiln build --profile = ha",
        "kiln build ha",
        "kiln plan ha",
        "kiln check --profile ha",
    ] {
        let all = completed(line);
        let all: Vec<_> = all.split_whitespace().collect();
        assert!(all.contains(&"ha3") && all.contains(&"ha-site") && !all.contains(&"six"), "{line}: {all:?}");
    }
    // That one has built-in profiles only.
    let all = completed("kiln profile show ha");
    assert!(all.contains("ha3") && !all.contains("ha-site"), "{all}");
    let all = completed("kiln plan ");
    assert!(all.contains("six") && all.contains("--json") && !all.contains("_base"), "{all}");
    for line in ["kiln build --out ha", "kiln rehearse ha", "kiln ha", "kiln show ha"] {
        assert!(!completed(line).contains("ha3"), "{line}");
    }
    assert!(!shop.path().join("ran").exists(), "the name of a file was run");
    // The same names elsewhere.
    for (shell, sign) in
        [("zsh", ":NAME|FILE:_kiln_profiles'"), ("fish", "-l profile -r -a \"(__kiln_profiles)\"")]
    {
        let script = run(&mut shop.kiln(["completions", shell]));
        assert!(script.contains(sign) && script.contains(" ha3 "), "{shell}");
    }
}

#[test]
fn bash_completes_verbs_and_options() {
    let shop = Workshop::new();
    for (shell, sign) in
        [("zsh", "#compdef kiln"), ("fish", "complete -c kiln"), ("elvish", "kiln"), ("powershell", "kiln")]
    {
        assert!(run(&mut shop.kiln(["completions", shell])).contains(sign), "{shell}");
    }
    fs::write(shop.path().join("kiln.bash"), run(&mut shop.kiln(["completions", "bash"]))).unwrap();
    for (words, want) in [
        ("kiln reh", "rehearse"),
        ("kiln artifacts kno", "known"),
        ("kiln build --overl", "--overlays"),
        ("kiln artifacts add --allow", "--allow-unverified"),
    ] {
        let all: Vec<_> = words.split(' ').collect();
        let (last, before) = (all[all.len() - 1], all[all.len() - 2]);
        let script = format!(
            "source ./kiln.bash; COMP_WORDS=({words}); COMP_CWORD={}; _kiln kiln {last} {before}; echo \"${{COMPREPLY[*]}}\"",
            all.len() - 1
        );
        let mut bash = Command::new("bash");
        let completed = run(bash.args(["--norc", "-euc", &script]).current_dir(shop.path()));
        assert_eq!(completed.trim(), want, "{words}");
    }
}

#[test]
fn manual_pages_please_groff() {
    let shop = Workshop::new();
    fs::create_dir(shop.path().join("man1")).unwrap();
    let said = run(&mut shop.kiln(["man", "man1"]));
    let pages: Vec<_> =
        fs::read_dir(shop.path().join("man1")).unwrap().map(|page| page.unwrap().path()).collect();
    assert_eq!(pages.len(), verbs().len() + 1);
    assert_eq!(said.trim(), format!("man1: {} manual pages", pages.len()));
    assert_eq!(fs::read_to_string(shop.path().join("man1/kiln.1")).unwrap(), run(&mut shop.kiln(["man"])));
    for page in &pages {
        let text = fs::read_to_string(page).unwrap();
        for part in [".SH NAME", ".SH SYNOPSIS", ".SH OPTIONS"] {
            assert!(text.contains(part), "{}: {part}", page.display());
        }
        let lists = text.matches(".SH EXAMPLES").count();
        assert_eq!(lists, usize::from(!page.ends_with("kiln.1")), "{}", page.display());
        assert!(!text.contains(".SH EXTRA"), "{}", page.display());
        // Not installed on every machine.
        let mut groff = Command::new("groff");
        let Ok(said) = groff.args(["-Kutf8", "-Tutf8", "-man", "-ww", "-z"]).arg(page).output() else {
            continue;
        };
        assert!(said.status.success() && said.stderr.is_empty(), "{}", String::from_utf8_lossy(&said.stderr));
    }
    assert!(
        fs::read_to_string(shop.path().join("man1/kiln-artifacts-add.1")).unwrap().contains("KILN_ARTIFACTS")
    );
    refused(&mut shop.kiln(["man", "nowhere"]), 2);
}

/// The README says which verbs have none: their output is another program's, or a document of another kind.
#[test]
fn every_verb_with_a_result_has_json() {
    const NONE: [&[&str]; 5] =
        [&["console"], &["etcdctl"], &["completions"], &["man"], &["profile", "schema"]];
    for (words, verb) in verbs().into_iter().filter(|(_, verb)| !verb.has_subcommands()) {
        let has_json = verb.get_arguments().any(|argument| argument.get_long() == Some("json"));
        let is_other = NONE.contains(&&words.iter().map(String::as_str).collect::<Vec<_>>()[..]);
        assert_eq!(has_json, !is_other, "{words:?}");
    }
}
