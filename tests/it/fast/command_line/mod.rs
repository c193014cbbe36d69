//! The command line itself: exit codes, which stream a message goes to, and JSON for programs.

mod arguments;
mod help;
mod printed;
mod repeated;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use crate::support::{ONE, Workshop, output, refused, run, with_store};
use kiln::cli;
use serde_json::Value;

/// Every verb with its words (`["artifacts", "add"]`), outermost first; groups, too.
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

/// The `--json` output of a command that ends with this code.
#[track_caller]
fn envelope(command: &mut Command, code: i32) -> Value {
    let (got, stdout, stderr) = output(command);
    assert_eq!(got, code, "{stdout}{stderr}");
    let json: Value =
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"));
    assert_eq!(json["error"]["exit"], code, "{json}");
    assert!(json["error"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{json}");
    assert!(json["error"]["mistakes"].is_array() && json["warnings"].is_array(), "{json}");
    json
}

/// Writes files that contain the secret or the token, and profiles that extend them; returns the paths of all.
fn files_with_secrets(shop: &Workshop, secret: &str, token: &str) -> Vec<String> {
    shop.file("shadow", format!("root:{token}:19000:0:99999:7:::\nmail:*:19000:0:99999:7:::\n"));
    shop.file("shadow.toml", format!("root:{token}:19000:0:99999:7:::\n"));
    shop.file("other.toml", format!("[default]\npassword = \"{token}\" oops\nuser = \"{token}\"\n"));
    shop.file("valid.toml", format!("password = \"{token}\"\n"));
    // A profile that only its owner may read, so that its lines are not shown.
    shop.file("private.toml", format!("schema = 1\npassword = \"{token}\"\n[cluster]\nname = {token}\n"));
    fs::set_permissions(shop.path().join("private.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    shop.file(
        "hex.toml",
        format!("schema = 1\n[cluster]\nname = \"{secret}\"\ndomain = {secret}\n# {secret}\n"),
    );
    shop.file("sub/base.toml", "extends = \"../private.toml\"\nschema = 1\n");
    shop.file("sub/up.toml", "extends = \"../hex.toml\"\nschema = 1\n");
    symlink("../valid.toml", shop.path().join("sub/link.toml")).unwrap();
    for (name, base) in [
        ("e1.toml", "keystore/x/secret"),
        ("e2.toml", "shadow"),
        ("e3.toml", "shadow.toml"),
        ("e4.toml", "other.toml"),
        ("e5.toml", "valid.toml"),
        ("e6.toml", "sub/link.toml"),
        ("e7.toml", "private.toml"),
        ("e8.toml", "hex.toml"),
        ("e9.toml", "/etc/shadow"),
    ] {
        shop.file(name, format!("extends = \"{base}\"\nschema = 1\n"));
    }
    let mut profiles: Vec<String> = (1..=9).map(|n| format!("./e{n}.toml")).collect();
    profiles.extend(
        [
            "keystore/x/secret",
            "./shadow",
            "./shadow.toml",
            "./other.toml",
            "./valid.toml",
            "./private.toml",
            "./hex.toml",
            "sub/base.toml",
            "sub/up.toml",
        ]
        .map(str::to_owned),
    );
    profiles
}

#[test]
fn secret_in_message() {
    let shop = Workshop::new();
    run(&mut shop.kiln(["keystore", "init", "x", "--keystore", "keystore/x", "-q"]));
    let secret = fs::read_to_string(shop.path().join("keystore/x/secret")).unwrap().trim().to_owned();
    assert_eq!(secret.len(), 64);
    let token = "hunter2-is-the-password";
    for profile in &files_with_secrets(&shop, &secret, token) {
        for verb in ["check", "plan", "build"] {
            for json in [&[][..], &["--json"]] {
                let (code, stdout, stderr) =
                    output(with_store(&mut shop.kiln([verb, "--profile", profile])).args(json));
                assert_eq!(code, 3, "{profile}: {stderr}");
                for hidden in [secret.as_str(), token, "hunter2"] {
                    assert!(
                        !stderr.contains(hidden) && !stdout.contains(hidden),
                        "LEAKED by {profile}:\n{stdout}{stderr}"
                    );
                }
                assert!(!stderr.contains("root:"), "{profile}: {stderr}");
            }
        }
    }
    // Its place is shown all the same.
    let said = refused(with_store(&mut shop.kiln(["check", "--profile", "./private.toml"])), 3);
    assert!(said.contains("private.toml:4:8") && said.contains("only its owner may read the file"), "{said}");
    let said = refused(with_store(&mut shop.kiln(["check", "--profile", "./e2.toml"])), 3);
    assert!(said.contains("the name of a profile ends in .toml"), "{said}");
}

#[test]
fn lines_of_a_profile_do_not_steer_the_terminal() {
    let shop = Workshop::new();
    shop.file("t.toml", "schema = 1\n[cluster]\nname = \"a\u{9b}2Jb\u{202e}c\" # \u{1b}]0;x\u{7}\nnmae = 1 # \u{9b}31m\u{85}\n");
    let said = refused(with_store(&mut shop.kiln(["check", "--profile", "./t.toml"])), 3);
    let obeyed = |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!said.contains(obeyed), "{said:?}");
    assert!(said.contains("nmae"), "{said}");
}

#[test]
fn errors_for_programs_have_one_shape() {
    let shop = Workshop::new();
    shop.file("a.toml", ONE.replace("one", "a b"));
    shop.file("b.toml", ONE.replace("schema = 1", "schema = \"1\"").replace("10.77.0.11", "x"));
    shop.file("risky.toml", ONE);
    let one = envelope(with_store(&mut shop.kiln(["check", "--json", "-p", "./a.toml"])), 3);
    assert_eq!(one["error"]["mistakes"].as_array().unwrap().len(), 1);
    assert_eq!(one["error"]["mistakes"][0]["file"], "./a.toml");
    assert_eq!(one["error"]["mistakes"][0]["line"], 3);
    assert_eq!(one["error"]["message"], "./a.toml has 1 mistake; nothing was written");
    let several =
        envelope(with_store(&mut shop.kiln(["check", "--json", "-p", "./a.toml", "-p", "./b.toml"])), 3);
    assert_eq!(several["error"]["mistakes"].as_array().unwrap().len(), 3, "{several}");
    assert!(several["error"]["mistakes"][0].is_object(), "a list, not a list of lists");
    for verb in ["verify", "show", "rehearse", "status", "push", "down"] {
        let mut command = shop.kiln([verb, "nope", "--json"]);
        if verb == "push" {
            command.arg("oci://127.0.0.1:1/x:1");
        }
        let (code, stdout, stderr) = output(&mut command);
        let json: Value =
            serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{verb}: {error}: {stdout}{stderr}"));
        assert_eq!(json["error"]["exit"], code, "{verb}");
    }
    envelope(&mut shop.kiln(["verify", "--json"]), 2);
    envelope(&mut shop.kiln(["plan", "--json", "--wibble"]), 2);
    let risky = with_store(&mut shop.kiln(["plan", "--json", "-q", "-p", "./risky.toml"])).output().unwrap();
    let json: Value = serde_json::from_slice(&risky.stdout).unwrap();
    let warnings = json["warnings"].as_array().unwrap();
    assert!(warnings[0].as_str().unwrap().contains("risky.toml:10: etcd 3.5.16"), "{json}");
    assert!(
        String::from_utf8_lossy(&risky.stderr).contains("warning: "),
        "-q hides chatter, never a warning"
    );
}

#[test]
fn what_is_not_there_has_one_exit_code() {
    let shop = Workshop::new();
    shop.file("one.toml", ONE);
    shop.file("base.toml", format!("{ONE}[machine]\nbase = \"/etc\"\n"));
    shop.file("nobase.toml", format!("{ONE}[machine]\nbase = \"/nowhere\"\n"));
    shop.file("extends.toml", format!("extends = \"nope.toml\"\n{ONE}"));
    shop.file("overlay.toml", format!("{ONE}[bundle]\noverlays = [\"nope\"]\n"));
    // Named on the command line.
    let named: [&[&str]; 11] = [
        &["check", "--profile", "nope"],
        &["check", "--profile", "./nope.toml"],
        &["check", "--fleet", "nope"],
        &["check", "--profile", "./one.toml", "--overlays", "nope"],
        &["check", "--profile", "./one.toml", "--base", "nope"],
        &["check", "--profile", "./one.toml", "--base", "./nope"],
        &["check", "ha3"],
        &["artifacts", "add", "nope.deb"],
        &["artifacts", "list", "--artifacts", "nope"],
        &["build", "nope"],
        &["check", "--profile", "."],
    ];
    for arguments in named {
        let mut command = shop.kiln(arguments);
        if !arguments.contains(&"--artifacts") {
            with_store(&mut command);
        }
        let said = refused(&mut command, 2);
        assert!(!said.contains("os error"), "{arguments:?}: {said}");
    }
    for profile in ["base", "nobase", "extends", "overlay"] {
        refused(with_store(&mut shop.kiln(["check", "--profile", &format!("./{profile}.toml")])), 3);
    }
    let said = refused(with_store(&mut shop.kiln(["check", "ha3"])), 2);
    assert!(said.contains("--profile ha3"), "{said}");
    fs::create_dir(shop.path().join("sites")).unwrap();
    let said = refused(with_store(&mut shop.kiln(["check", "--profile", "sites/"])), 2);
    assert!(said.contains("--fleet sites/"), "{said}");
    // The name of a base system means the same as in a profile.
    fs::create_dir_all(shop.path().join("lab/base/live")).unwrap();
    let mut command = shop.kiln(["check", "--profile", "./one.toml", "--base", "live"]);
    let said = refused(with_store(&mut command).env("KILN_LAB", shop.path().join("lab")), 2);
    assert!(said.contains("lab/base/live is not a base system"), "{said}");
    let said = refused(&mut shop.kiln(["plan", "ha3"]), 3);
    let store = shop.path().join("artifacts");
    assert!(said.contains(&format!("the artifact store is {}", store.display())), "{said}");
}

#[test]
fn a_profile_is_named_with_or_without_its_flag() {
    let shop = Workshop::new();
    shop.file("one.toml", ONE);
    let printed = run(with_store(&mut shop.kiln(["plan", "./one.toml"])));
    assert!(printed.starts_with("cluster one\n"), "{printed}");
    let printed = run(with_store(&mut shop.kiln(["check", "--profile", "./one.toml"])));
    assert_eq!(
        printed.trim(),
        "one: a bundle of 1 node with etcd 3.5.16 and 8 certificates can be built from it"
    );
    let printed = run(with_store(&mut shop.kiln(["build", "./one.toml"])));
    assert!(printed.starts_with("out/one: 1 member of etcd 3.5.16"), "{printed}");
    let said = refused(with_store(&mut shop.kiln(["build", "./one.toml", "--jobs", "0"])), 2);
    assert!(said.contains("a whole number of 1 or more"), "{said}");
    for (verb, ways) in [
        ("build", &["--profile", "[PROFILE]", "--fleet"][..]),
        ("plan", &["--profile", "PROFILE"]),
        ("check", &["BUNDLE", "--profile", "--fleet"]),
    ] {
        let said = refused(&mut shop.kiln([verb]), 2);
        let usage = said.lines().find(|line| line.contains("Usage:")).unwrap_or_default();
        assert!(ways.iter().all(|way| usage.contains(way.trim_matches(['[', ']']))), "{said}");
    }
    let said = refused(with_store(&mut shop.kiln(["build", "--profile", "two"])), 2);
    assert!(said.contains("two.toml") && said.contains("ha3, single, six"), "{said}");
    assert!(refused(&mut shop.kiln(["bulid"]), 2).contains("'build'"));
}

#[test]
fn yaml_is_told_once() {
    let shop = Workshop::new();
    shop.file("y.toml", "schema: 1\ncluster:\n  name: ha3\nnodes:\n  - name: a\n    address: 10.0.0.1\n");
    let said = refused(with_store(&mut shop.kiln(["check", "--profile", "./y.toml"])), 3);
    assert_eq!(said.matches("error: ").count(), 1, "{said}");
    assert!(said.contains("YAML"), "{said}");
}

#[test]
fn jwt_keys_come_with_an_overlay() {
    let shop = Workshop::new();
    let token = "[etcd.config]\nauth-token = \"jwt,pub-key=/etc/etcd/jwt.pub,priv-key=/etc/etcd/jwt.key,sign-method=RS256\"\n";
    shop.file("t.toml", format!("{ONE}{token}"));
    let said = refused(with_store(&mut shop.kiln(["check", "--profile", "./t.toml"])), 3);
    for part in ["t.toml:12:14", "/etc/etcd/jwt.pub", "/etc/etcd/jwt.key", "[bundle] overlays"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // With a mistake in an overlay, and as JSON.
    shop.file("broken/etc/x.hbs", "{{nope}}");
    let mut both = shop.kiln(["check", "--profile", "./t.toml", "--overlays", "broken", "--json"]);
    let output = with_store(&mut both).output().unwrap();
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mistakes = told["error"]["mistakes"].as_array().unwrap();
    let reasons: Vec<_> = mistakes.iter().map(|one| one["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons.len(), 3, "{told}");
    assert!(reasons.iter().any(|reason| reason.contains("broken/etc/x.hbs")), "{told}");
    shop.file("o/etc/etcd/jwt.pub", "x");
    shop.file("o/etc/etcd/jwt.key.hbs", "x");
    run(with_store(&mut shop.kiln(["check", "--profile", "./t.toml", "--overlays", "o"])));
}

#[test]
fn flag_only_options_are_written_in_the_styles_that_have_them() {
    let shop = Workshop::new();
    let options =
        "[etcd.config]\nexperimental-peer-skip-client-san-verification = true\nraft-read-timeout = \"10s\"\n";
    for (style, code) in [("file", 3), ("flags", 0), ("env", 0)] {
        shop.file("t.toml", format!("{ONE}config-style = \"{style}\"\n{options}"));
        let (got, _, stderr) = output(with_store(&mut shop.kiln(["check", "--profile", "./t.toml"])));
        assert_eq!(got, code, "{stderr}");
        if code == 3 {
            assert!(stderr.contains("only as a flag"), "{stderr}");
        }
    }
}

#[test]
fn what_the_command_line_names_and_is_not_there_is_a_usage_error() {
    let shop = Workshop::new();
    shop.file("one.toml", ONE);
    run(with_store(&mut shop.kiln(["build", "./one.toml"])));
    for (arguments, want) in [
        (
            &["keystore", "import-ca", "x", "--cert", "no.pem", "--key", "no.key"][..],
            "there is no file no.pem",
        ),
        (&["keystore", "init", "x", "--seed-file", "nope"], "there is no file with the keystore's secret"),
        (&["keystore", "init", "x", "--seed-file", "out"], "a file is needed, not the directory out"),
        (&["artifacts", "add", "nope.tar.gz"], "there is no file nope.tar.gz"),
        (&["artifacts", "add", "out"], "a file is needed, not the directory out"),
        (&["build", "--fleet", "one.toml"], "one.toml is a file, not a directory of profiles"),
        (&["build", "out/one"], "out/one is a bundle, not a profile"),
        (&["plan", "./keystore"], "./keystore is a directory with the keystore one, not a profile"),
    ] {
        let said = refused(&mut shop.kiln(arguments), 2);
        assert!(said.contains(want), "{arguments:?}: {said}");
    }
    let mut build = shop.kiln(["build", "./one.toml"]);
    let said = refused(with_store(&mut build).env("SOURCE_DATE_EPOCH", "abc"), 2);
    assert!(said.contains("SOURCE_DATE_EPOCH"), "{said}");
    // Files below a bundle would be lost with it.
    let said = refused(with_store(&mut shop.kiln(["build", "./one.toml", "--out", "out/one/nodes/x"])), 6);
    assert!(said.contains("out/one, which is a bundle"), "{said}");
}

#[test]
fn a_program_that_is_missing_is_named_with_its_package() {
    let shop = Workshop::new();
    shop.file("one.toml", ONE);
    run(with_store(&mut shop.kiln(["build", "-q", "--profile", "one.toml"])));
    let found = |program: &str| run(Command::new("sh").args(["-c", &format!("command -v {program}")]));
    fs::create_dir(shop.path().join("bin")).unwrap();
    for (program, package) in [("unshare", "util-linux"), ("tar", "tar")] {
        let said = refused(shop.kiln(["rehearse", "out/one"]).env("PATH", shop.path().join("bin")), 5);
        let want = format!("the program {program} was not found; on Debian it is in the package {package}");
        assert!(said.contains(&want), "{said}");
        for one in [program, "nsenter", "prlimit"] {
            let _ = symlink(found(one).trim(), shop.path().join("bin").join(one));
        }
    }
}

#[test]
fn a_closed_pipe_is_an_interruption() {
    let shop = Workshop::new();
    for arguments in [&["profile", "show", "ha3"][..], &["help"], &["build", "--help"], &["--version"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = shop.kiln(arguments).stdout(writer).output().unwrap();
        // As a shell says of a program that SIGPIPE ends: 128 + 13.
        assert_eq!(ended.status.code(), Some(141), "{arguments:?}");
        assert!(ended.stderr.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
    }
}

#[test]
fn oversized_credentials_have_the_exit_code_of_a_damaged_bundle() {
    let shop = Workshop::new();
    shop.keystore("one");
    shop.file("one.toml", ONE);
    shop.build("./one.toml");
    shop.file("big", vec![b'7'; (1 << 20) + 1]);
    let cases: &[(i32, &[&str])] = &[
        (4, &["keystore", "init", "x", "--seed-file", "big"]),
        (4, &["keystore", "import-ca", "one", "--cert", "big", "--key", "big"]),
        (5, &["push", "out/one", "oci://127.0.0.1:1/a:t", "--username", "ann", "--password-file", "big"]),
        (5, &["push", "out/one", "oci://127.0.0.1:1/a:t", "--ca-file", "big"]),
        (5, &["push", "out/one", "oci://127.0.0.1:1/a:t"]),
    ];
    for (code, arguments) in cases {
        let mut command = shop.kiln(*arguments);
        command.env("HOME", shop.path());
        if arguments.len() == 3 {
            command.env("REGISTRY_AUTH_FILE", "big");
        }
        let said = refused(&mut command, *code);
        assert!(said.contains("reading big: it is larger than"), "{arguments:?}: {said}");
    }
}
