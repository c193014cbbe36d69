//! What is asked for: arguments, options under their old names, and environment variables.

use std::collections::BTreeSet;
use std::fs;

use super::verbs;
use crate::support::{self, ONE, Workshop, refused, run, with_store};
use kiln::cli::{self, Artifacts, Keystore, Verb};

/// The verb that a command line selects without variables.
fn asked(arguments: &[&str]) -> Result<Verb, clap::Error> {
    let arguments: Vec<_> = ["kiln"].iter().chain(arguments).map(Into::into).collect();
    cli::parse(&arguments, &|_| None, String::new).map(|cli| cli.verb)
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
            // The subject of a verb has no variable: a profile, also that whose pins an import accepts, and what is restored.
            if !is_path || ["profile", "fleet", "from-data", "wal-dir", "restore"].contains(&long) {
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
    assert_eq!(seen.len(), 20, "{seen:?}");
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
    // Neither a cache without a location, nor one that is switched off twice, is an error.
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
    // With an empty variable, the default location is used; and the help names the variable all the same.
    let mut show = shop.kiln(["cache", "show"]);
    show.env("KILN_CACHE", "").env("XDG_CACHE_HOME", shop.path());
    assert!(run(&mut show).starts_with(&format!("{}/kiln: ", shop.path().display())));
    assert!(run(shop.kiln(["cache", "show", "--help"]).env("KILN_CACHE", "")).contains("[env: KILN_CACHE]"));
    // Options that exclude each other, and two that need each other: the registry does not exist.
    shop.file("pass", "hunter2\n");
    let push = |more: &[&str], variable: &str, code: i32| {
        let mut command = shop.kiln(["push", "here", "oci://127.0.0.1:1/r:1"]);
        refused(command.args(more).env(variable, "pass"), code)
    };
    push(&["--plain-http"], "KILN_CA_FILE", 5);
    push(&["--plain-http", "--ca-file", "pass"], "KILN_X", 2);
    push(&["--username", "u"], "KILN_PASSWORD_FILE", 5);
    assert!(push(&["--username", "u"], "KILN_X", 2).contains("--password-file"));
    // A variable satisfies a required option.
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
