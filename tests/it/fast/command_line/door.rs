//! Help, versions, completions, man pages, environment variables, `-v`: what people meet before anything is built.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use kiln::cli::{self, Artifacts, Keystore, Verb};
use serde_json::Value;

use crate::support::{self, ONE, Workshop, refused, run, with_store};

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
    below(&[], &cli::command(), &mut all);
    assert!(all.len() > 20);
    all
}

/// The examples in a verb's help, each as its words.
fn examples(verb: &clap::Command) -> Vec<Vec<String>> {
    let text = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
    let Some(list) = text.strip_prefix("Examples:\n") else { return Vec::new() };
    let lines = list.lines().take_while(|line| line.starts_with("  kiln "));
    // What a shell does with the output is its own.
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
    for site in ["berlin", "paris"] {
        shop.file(&format!("sites/{site}.toml"), ONE.replace("\"one\"", &format!("\"{site}\"")));
    }
    fs::create_dir_all(shop.path().join("usr/local/share/man/man1")).unwrap();
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

/// What a command line asks for without variables.
fn asked(arguments: &[&str]) -> Result<Verb, clap::Error> {
    let arguments: Vec<_> = ["kiln"].iter().chain(arguments).map(Into::into).collect();
    cli::parse(&arguments, &|_| None, String::new()).map(|cli| cli.verb)
}

#[test]
fn every_path_option_has_a_variable() {
    let mut seen = BTreeSet::new();
    for (words, verb) in verbs() {
        for option in
            verb.get_arguments().filter(|option| option.get_long().is_some() && !option.is_hide_set())
        {
            let long = option.get_long().unwrap();
            let names: Vec<_> =
                option.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect();
            let is_path =
                names.iter().any(|name| name.split('|').any(|name| ["DIR", "FILE", "PATH"].contains(&name)));
            // What a verb is about is said on its command line; so is whose pins an import accepts.
            if !is_path || ["profile", "fleet"].contains(&long) {
                continue;
            }
            let variable = option.get_env().unwrap_or_else(|| panic!("{words:?} --{long}")).to_str().unwrap();
            assert!(variable.ends_with(&long.to_uppercase().replace('-', "_")), "--{long} is {variable}");
            let help =
                verb.clone().render_help().to_string().split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(help.contains(&format!("[env: {variable}]")), "{words:?}: {help}");
            seen.insert(variable.to_owned());
        }
    }
    assert_eq!(seen.len(), 13, "{seen:?}");
    // The table of the README.
    let readme = fs::read_to_string(support::root().join("README.md")).unwrap();
    for variable in seen {
        assert!(readme.contains(&format!("`{variable}`")), "{variable} is not in README.md");
    }
}

#[test]
fn a_variable_gives_way_to_the_command_line() {
    let shop = Workshop::new();
    shop.file("one.toml", ONE);
    let mut build = shop.kiln(["build", "./one.toml"]);
    build
        .env("KILN_OUT", "elsewhere")
        .env("KILN_ARTIFACTS", support::store())
        .env("KILN_KEYSTORE", "")
        .env("KILN_BASE", "");
    assert!(run(&mut build).starts_with("elsewhere: 1 member"));
    assert!(shop.path().join("keystore/one").is_dir());
    assert!(run(build.args(["--out", "here"])).starts_with("here: 1 member"));
    // Neither is a cache without a place, nor one that is switched off twice, an error.
    let cache = shop.path().join("cache");
    for (no_cache, more, is_used) in [
        ("1", &[][..], false),
        ("0", &["--no-cache"], false),
        ("1", &["--cache", "cache"], true),
        ("0", &[], true),
        ("", &[], true),
    ] {
        let _ = fs::remove_dir_all(&cache);
        let mut build = with_store(&mut shop.kiln(["build", "./one.toml"]))
            .args(more)
            .env("KILN_NO_CACHE", no_cache)
            .env("KILN_CACHE", &cache)
            .output()
            .unwrap();
        assert!(build.status.success(), "{}", String::from_utf8_lossy(&build.stderr));
        build.stdout.clear();
        assert_eq!(cache.exists(), is_used, "{no_cache:?} {more:?}");
    }
    // With an empty variable, where caches are; and help has its name all the same.
    let mut show = shop.kiln(["cache", "show"]);
    show.env("KILN_CACHE", "").env("XDG_CACHE_HOME", shop.path());
    assert!(run(&mut show).starts_with(&format!("{}/kiln: ", shop.path().display())));
    assert!(run(shop.kiln(["cache", "show", "--help"]).env("KILN_CACHE", "")).contains("[env: KILN_CACHE]"));
    // Options that exclude each other, and two that need each other: the registry is not there.
    shop.file("pass", "hunter2\n");
    let push = |more: &[&str], variable: &str, code: i32| {
        let mut command = shop.kiln(["push", "here", "oci://127.0.0.1:1/r:1"]);
        refused(command.args(more).env(variable, "pass"), code)
    };
    push(&["--plain-http"], "KILN_CA_FILE", 5);
    push(&["--plain-http", "--ca-file", "pass"], "KILN_X", 2);
    push(&["--username", "u"], "KILN_PASSWORD_FILE", 5);
    assert!(push(&["--username", "u"], "KILN_X", 2).contains("--password-file"));
    // A variable is as good as a required option.
    let join = |out: &str| refused(shop.kiln(["join", "no", "none"]).env("KILN_OUT", out), 2);
    assert!(!join("fleet").contains("required") && join("").contains("--out <DIR>"), "{}", join("fleet"));
}

#[test]
fn arguments_are_taken_as_people_type_them() {
    let Ok(Verb::Build(build)) = asked(&["build", "./one.toml", "two"]) else { panic!() };
    assert_eq!(build.source.profiles(), ["./one.toml", "two"]);
    let error = asked(&["build", "./one.toml", "--profile", "two"]).unwrap_err().to_string();
    assert!(error.contains("cannot be used with"), "{error}");
    for typed in [
        &["etcdctl", "b", "member", "list", "-w", "table"][..],
        &["etcdctl", "b", "--", "member", "list", "-w", "table"],
        &["-q", "etcdctl", "--artifacts", "store", "b", "member", "list", "-w", "table"],
    ] {
        let Ok(Verb::Etcdctl(etcdctl)) = asked(typed) else { panic!("{typed:?}") };
        assert_eq!(etcdctl.bundle.to_str(), Some("b"));
        assert_eq!(etcdctl.arguments, ["member", "list", "-w", "table"]);
    }
    let Ok(Verb::Etcdctl(etcdctl)) = asked(&["etcdctl", "b", "-w", "json", "--", "-v"]) else { panic!() };
    assert_eq!(etcdctl.arguments[..2], ["-w", "json"]);
}

#[test]
fn renamed_flags_keep_their_old_names_out_of_sight() {
    for flag in ["--trust", "--allow-unverified"] {
        let Ok(Verb::Artifacts(Artifacts::Add { allow_unverified, .. })) =
            asked(&["artifacts", "add", "f", flag])
        else {
            panic!()
        };
        assert!(allow_unverified);
    }
    for flag in ["--issued", "--issue-date"] {
        for verb in ["init", "renew"] {
            let asked = asked(&["keystore", verb, "x", flag, "2026-01-01"]);
            let Ok(Verb::Keystore(Keystore::Init { issue_date, .. } | Keystore::Renew { issue_date, .. })) =
                asked
            else {
                panic!()
            };
            assert_eq!(issue_date, Some("2026-01-01".parse().unwrap()));
        }
    }
    let shop = Workshop::new();
    for words in [&["artifacts", "add"], &["keystore", "init"], &["keystore", "renew"]] {
        let help = run(shop.kiln(words).arg("--help"));
        assert!(!help.contains("--trust") && !help.contains("--issued"), "{help}");
    }
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
        // Not on every machine.
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

#[test]
fn carried_profiles_and_known_releases_are_printed() {
    let shop = Workshop::new();
    let listed = run(&mut shop.kiln(["profile", "list"]));
    assert!(listed.starts_with("ha3 ") && listed.contains("\nsingle "), "{listed}");
    let json: Value = serde_json::from_str(&run(&mut shop.kiln(["profile", "list", "--json"]))).unwrap();
    assert_eq!(json[1]["name"], "single");
    let shown = run(&mut shop.kiln(["profile", "show", "ha3"]));
    assert_eq!(shown, fs::read_to_string(support::root().join("profiles/ha3.toml")).unwrap());
    // It is a profile of its own.
    shop.file("mine.toml", shown);
    run(with_store(&mut shop.kiln(["plan", "./mine.toml"])));
    assert!(refused(&mut shop.kiln(["profile", "show", "ha5"]), 2).contains("ha3, single"));

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
