//! Passwords, credential helpers, tokens and TLS; none of them goes where others could read it.

use std::fs;
use std::process::Command;

use super::daemon::{self, Registry, Setup, answering, htpasswd};
use super::{assert_same, kiln, workshop};
use crate::support::{refused, run};

#[test]
fn a_password_opens_and_a_wrong_one_does_not() {
    let work = workshop();
    let registry =
        Registry::start(Setup { htpasswd: Some(htpasswd("ann", "open sesame")), ..Setup::default() });
    let bundle = work.build("one.toml");
    let address = registry.address("ha3:one");
    work.file("right", "open sesame\n");
    work.file("wrong", "open barley\n");
    let login = |verb: &[&str], file: &str| {
        kiln(&work, &[verb, &["--username", "ann", "--password-file", file]].concat())
    };

    for verb in [&["push", "out/one", &address][..], &["pull", &address]] {
        let said = refused(&mut kiln(&work, verb), 5);
        assert!(said.contains("asks for a user name and a password"), "{said}");
        let said = refused(&mut login(verb, "wrong"), 5);
        assert!(said.contains("does not accept this user name and password"), "{said}");
        assert!(!said.contains("barley") && !said.contains("sesame"), "{said}");
    }
    assert!(registry.blobs().is_empty());
    run(&mut login(&["push", "out/one", &address], "right"));
    run(&mut login(&["pull", &address], "right"));
    assert_same(&bundle, &work.path().join("out/ha3"));

    // The files of `docker login` and `podman login`.
    let pair = "YW5uOm9wZW4gc2VzYW1l"; // ann:open sesame
    let config = format!(r#"{{"auths":{{"{}":{{"auth":"{pair}"}}}}}}"#, registry.host());
    work.file(".docker/config.json", &config);
    work.file("docker/config.json", &config);
    work.file("auth.json", &config);
    run(&mut kiln(&work, &["pull", &address]));
    fs::remove_dir_all(work.path().join(".docker")).unwrap();
    run(kiln(&work, &["pull", &address]).env("DOCKER_CONFIG", "docker"));
    run(kiln(&work, &["pull", &address]).env("REGISTRY_AUTH_FILE", "auth.json"));
    let said = refused(kiln(&work, &["pull", &address]).env("REGISTRY_AUTH_FILE", "not-there.json"), 5);
    assert!(said.contains("reading not-there.json"), "{said}");
    work.file("docker/config.json", r#"{"credsStore":"not-there"}"#);
    let said = refused(kiln(&work, &["pull", &address]).env("DOCKER_CONFIG", "docker"), 5);
    assert!(said.contains("the credential helper \"not-there\": "), "{said}");
}

/// `docker-credential-pass` of Debian's golang-docker-credential-helpers, with a password store of the test's own.
#[test]
fn a_credential_helper_is_asked() {
    let work = workshop();
    work.build("one.toml");
    let registry =
        Registry::start(Setup { htpasswd: Some(htpasswd("ann", "open sesame")), ..Setup::default() });
    let address = registry.address("ha3:one");
    let host = registry.host();
    // Not in the workshop, whose path may be too long for the socket of gpg's agent (unix(7)).
    let home = tempfile::tempdir().unwrap();
    let gpg = home.path();
    let store = work.path().join("passwords");
    let with = |command: &mut Command| {
        command.env("GNUPGHOME", gpg).env("PASSWORD_STORE_DIR", &store);
    };
    let script = format!(
        "gpg -q --batch --passphrase '' --quick-generate-key kiln@test.invalid default default never
         pass init kiln@test.invalid >/dev/null
         printf '%s' '{{\"ServerURL\":\"{host}\",\"Username\":\"ann\",\"Secret\":\"open sesame\"}}' |
             docker-credential-pass store"
    );
    let mut prepare = Command::new("sh");
    prepare.args(["-euc", &script]);
    with(&mut prepare);
    run(&mut prepare);
    let asked = |config: &str, verb: &[&str]| {
        work.file("docker/config.json", config);
        let mut command = kiln(&work, verb);
        command.env("DOCKER_CONFIG", "docker");
        with(&mut command);
        command
    };
    let by_host = format!(r#"{{"credHelpers":{{"{host}":"pass"}}}}"#);
    run(&mut asked(&by_host, &["push", "out/one", &address]));
    run(&mut asked(r#"{"credsStore":"pass"}"#, &["pull", &address]));
    let told = refused(&mut asked(&by_host, &["pull", "-v", &address]), 0);
    assert!(told.contains("docker-credential-pass get") && !told.contains("sesame"), "{told}");
    // It no longer has a login for this host.
    let mut erase = Command::new("sh");
    erase.args(["-euc", &format!("echo '{host}' | docker-credential-pass erase; gpgconf --kill all")]);
    with(&mut erase);
    run(&mut erase);
    let said = refused(&mut asked(&by_host, &["pull", &address]), 5);
    assert!(said.contains("asks for a user name and a password"), "{said}");
    assert!(!said.contains("sesame"), "{said}");
}

#[test]
fn a_token_is_had_from_where_the_registry_says() {
    let work = workshop();
    let bundle = work.build("one.toml");
    let (tokens, setup) = daemon::token_server("ann", "open sesame");
    let registry = Registry::start(setup);
    let address = registry.address("clusters/ha3:one");
    work.file("right", "open sesame");
    work.file("wrong", "open barley");
    let login = |verb: &[&str], file: &str| {
        kiln(&work, &[verb, &["--username", "ann", "--password-file", file]].concat())
    };
    let said = refused(&mut login(&["push", "out/one", &address], "wrong"), 5);
    assert!(said.contains("does not accept this user name and password"), "{said}");
    run(&mut login(&["push", "out/one", &address], "right"));
    run(&mut login(&["pull", &address], "right"));
    assert_same(&bundle, &work.path().join("out/ha3"));
    let asked = tokens.asked();
    assert!(
        asked.iter().any(|line| line.contains("service=kiln-lab") && line.contains("clusters/ha3:pull,push")),
        "{asked:?}"
    );
    assert!(asked.iter().any(|line| line.ends_with("clusters/ha3:pull")), "{asked:?}");
}

#[test]
fn a_private_ca_is_named() {
    let work = workshop();
    let registry = Registry::start(Setup::tls(&work));
    let bundle = work.build("one.toml");
    let address = registry.address("ha3:one");
    let system: &[&str] = &["pull", &address];
    // Without --ca-file plain HTTP is used for a loopback address, which a registry with TLS refuses.
    let said = refused(&mut kiln(&work, system), 5);
    assert!(said.contains("400"), "{said}");
    work.file("other.pem", daemon::authority("another CA").1.pem());
    let said = refused(&mut kiln(&work, &["push", "out/one", &address, "--ca-file", "other.pem"]), 4);
    assert!(said.contains("name that CA with --ca-file"), "{said}");
    assert!(registry.blobs().is_empty());
    run(&mut kiln(&work, &["push", "out/one", &address, "--ca-file", "ca.pem"]));
    run(&mut kiln(&work, &["pull", &address, "--ca-file", "ca.pem"]));
    assert_same(&bundle, &work.path().join("out/ha3"));
    let said = refused(&mut kiln(&work, &["pull", &address, "--ca-file", "one.toml"]), 5);
    assert!(said.contains("one.toml holds no certificate"), "{said}");
    // And TLS is not assumed elsewhere either.
    let plain = Registry::start(Setup::default());
    let said = refused(&mut kiln(&work, &["pull", &plain.address("ha3:one"), "--ca-file", "ca.pem"]), 5);
    assert!(said.contains("does not speak TLS"), "{said}");
}

#[test]
fn a_registry_does_not_send_keys_into_the_open() {
    let work = workshop();
    work.build("one.toml");
    // The location of the upload, and the realm of the tokens, are on a host that is not this machine.
    for answer in [
        "HTTP/1.1 202 Accepted\r\nLocation: http://registry.lan/upload/1\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"http://registry.lan/token\"\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://registry.lan/blob\r\nContent-Length: 0\r\n\r\n",
    ] {
        let host = answering(move |request| match request.split(' ').next() {
            Some("HEAD") if answer.contains("202") => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            _ => answer,
        });
        let said = refused(&mut kiln(&work, &["push", "out/one", &format!("oci://{host}/ha3:one")]), 6);
        assert!(said.contains("where others could read the keys"), "{said}");
    }
    // A password in an address is not shown.
    let answer = "HTTP/1.1 307 Temporary Redirect\r\nLocation: https://user:hunter2@registry.lan/blob\r\nContent-Length: 0\r\n\r\n";
    let host = answering(move |_| answer);
    let said = refused(&mut kiln(&work, &["push", "out/one", &format!("oci://{host}/ha3:one")]), 6);
    assert!(said.contains("an address with a user name in it") && !said.contains("hunter2"), "{said}");
}
