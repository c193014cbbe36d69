//! The login user: ssh-keygen, cloud-init and Ignition.

use std::fs;
use std::process::Command;

use super::silent;
use crate::support::{self, Workshop, ha3_with, run};

/// A public key made by ssh-keygen, and the private one, in the forms in which users have them.
fn ssh_keys(work: &Workshop, kind: &str, more: &[&str]) -> (String, String) {
    let file = work.path().join(format!("id_{kind}{}", more.join("")));
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", kind, "-N", "", "-C", "ops@desk of Ana"]).args(more).arg("-f").arg(&file);
    run(&mut command);
    (fs::read_to_string(file.with_extension("pub")).unwrap(), fs::read_to_string(file).unwrap())
}

#[test]
fn the_login_user_is_one_that_cloud_init_and_ignition_make() {
    let work = Workshop::new();
    let kinds = [("ed25519", &[][..]), ("rsa", &[]), ("ecdsa", &["-b", "384"]), ("ecdsa", &["-m", "PEM"])];
    let pairs = kinds.map(|(kind, more)| ssh_keys(&work, kind, more));
    let keys: Vec<_> = pairs.iter().map(|(public, _)| public.trim()).collect();
    let profile = |keys: &str| {
        let login = format!("[machine]\nlogin-user = \"ops\"\nssh-keys = {keys}\n\n# Client certificates");
        let etcd = ("# [etcd] version = \"3.5.33\"", "[etcd]\nversion = \"3.5.16\" #");
        ha3_with(&[etcd, ("# Client certificates", &login)])
    };
    work.file("ha3.toml", profile(&format!("{keys:?}")));
    work.keystore("ha3");
    let bundle = work.build("./ha3.toml");
    let node = bundle.join("nodes/cp-a");
    let schema =
        run(Command::new("cloud-init").args(["schema", "--config-file"]).arg(node.join("user-data")));
    assert!(schema.contains("Valid"), "{schema}");
    silent(Command::new("ignition-validate").arg(node.join("config.ign")));
    let python = "import sys,yaml,json; print(json.dumps(yaml.safe_load(open(sys.argv[1]))['users']))";
    let users = run(Command::new("python3").args(["-c", python]).arg(node.join("user-data")));
    let users: serde_json::Value = serde_json::from_str(&users).unwrap();
    let want = serde_json::json!([{
        "name": "ops", "lock_passwd": true, "shell": "/bin/bash", "sudo": "ALL=(ALL) NOPASSWD:ALL",
        "ssh_authorized_keys": keys,
    }]);
    assert_eq!(users, want);
    let config: serde_json::Value =
        serde_json::from_slice(&fs::read(node.join("config.ign")).unwrap()).unwrap();
    assert_eq!(config["passwd"]["users"][0]["name"], "ops");
    assert_eq!(config["passwd"]["users"][0]["sshAuthorizedKeys"], serde_json::json!(keys));
    let files = config["storage"]["files"].as_array().unwrap();
    let sudoers = files.iter().find(|file| file["path"] == "/etc/sudoers.d/90-kiln").unwrap();
    assert_eq!(sudoers["mode"], 0o440);

    // The wrong half of a pair, in each form in which TOML can contain it, is never shown.
    for (_, private) in &pairs {
        let body: Vec<_> = private.lines().filter(|line| !line.starts_with("-----")).collect();
        for text in
            [format!("{private:?}"), format!("[\"\"\"{private}\"\"\"]"), format!("[\"{}\"]", body.concat())]
        {
            work.file("wrong.toml", profile(&text));
            let mut command = work.kiln(["build", "--profile", "./wrong.toml", "--artifacts"]);
            let said = support::refused(command.arg(support::store()), 3);
            assert!(said.contains("no value of a profile is one"), "{said}");
            for line in &body {
                assert!(
                    line.as_bytes()
                        .chunks(12)
                        .all(|part| part.len() < 12 || !said.contains(std::str::from_utf8(part).unwrap())),
                    "{said}"
                );
            }
        }
    }
}

#[test]
fn a_login_without_a_carrier_that_makes_accounts_is_warned_of() {
    let work = Workshop::new();
    let (public, _) = ssh_keys(&work, "ed25519", &[]);
    for (carriers, warned) in [("\"tar\", \"initramfs\"", true), ("\"tar\", \"ignition\"", false)] {
        let more = format!(
            "[machine]\nlogin-user = \"ops\"\nssh-keys = {:?}\n\n[bundle]\nbinaries = \"shared\"\ncarriers = [{carriers}]\n\n\
             # Client certificates",
            public.trim()
        );
        work.file("ha3.toml", ha3_with(&[("# Client certificates", &more)]));
        let mut command = work.kiln(["check", "--profile", "./ha3.toml", "--artifacts"]);
        let output = command.arg(support::store()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        assert_eq!(said.contains("login-user has no effect: of the carriers, cloud-init"), warned, "{said}");
        let plan = run(work.kiln(["plan", "--profile", "./ha3.toml", "--artifacts"]).arg(support::store()));
        assert!(plan.contains("  login      ops, 1 key\n"), "{plan}");
    }
}
