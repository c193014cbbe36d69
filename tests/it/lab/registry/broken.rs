//! Registries that misbehave, fall silent or are too slow, and connections that end.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::daemon::{Registry, Setup, answering, broken_way, dripping};
use super::{assert_same, kiln, list, workshop};
use crate::support::{refused, run};

#[test]
fn a_registry_that_misbehaves_is_told_from_one_that_is_down() {
    let work = workshop();
    // It announces more than it sends, does not name the type, is down behind its proxy, or quotes what it was sent.
    for (answer, code, want) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{\"schemaVersion\":2", 5, "reading its manifest"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull", 4, "it is not an image manifest"),
        ("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", 5, "answered 502 Bad Gateway"),
        (
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 75\r\n\r\n{\"errors\":[{\"code\":\"DENIED\",\"message\":\"open sesame\"},{\"code\":\"open sesame\"}]}",
            5,
            "denies access",
        ),
    ] {
        let host = answering(move |_| answer);
        let said = refused(&mut kiln(&work, &["pull", &format!("oci://{host}/ha3:one")]), code);
        assert!(said.contains(want) && !said.contains("sesame"), "{said}");
        assert!(list(&work.path().join("out")).is_empty());
    }
    // An endless manifest is not read to its end.
    let host = answering(|_| {
        let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n".to_vec();
        answer.resize(8 << 20, b' ');
        answer
    });
    let said = refused(&mut kiln(&work, &["pull", &format!("oci://{host}/ha3:one")]), 4);
    assert!(said.contains("its manifest is larger than 4194304 bytes"), "{said}");
}

/// Each kind of answer, all in parallel, because each takes a minute.
#[test]
fn an_answer_that_drips_is_given_up() {
    let work = workshop();
    work.build("one.toml");
    let login = ["--username", "ann", "--password-file", "password"];
    work.file("password", "open sesame");
    let long = "Content-Length: 4000000\r\n\r\n";
    let manifest = dripping(move |_| format!("HTTP/1.1 200 OK\r\n{long}"));
    let refusal = dripping(move |_| format!("HTTP/1.1 403 Forbidden\r\n{long}"));
    let token = dripping(move |head| {
        let host =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("host: ").map(str::to_owned));
        match head.contains(" /token") {
            true => format!("HTTP/1.1 200 OK\r\n{long}"),
            false => format!(
                "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"http://{}/token\",service=\"x\"\r\n\
                 Content-Length: 0\r\nConnection: close\r\n\r\n",
                host.unwrap()
            ),
        }
    });
    std::thread::scope(|scope| {
        for (host, want) in [(manifest, "too slow"), (refusal, "denies access"), (token, "too slow")] {
            let work = &work;
            scope.spawn(move || {
                let address = format!("oci://{host}/ha3:one");
                let begun = Instant::now();
                let said = refused(&mut kiln(work, &[&["pull", &address][..], &login].concat()), 5);
                assert!(said.contains(want), "{said}");
                assert!(begun.elapsed() >= Duration::from_secs(60), "it had less than its minute");
            });
        }
    });
    assert_eq!(list(&work.path().join("out")), ["one"]);
}

#[test]
fn ctrl_c_ends_a_wait_for_a_silent_registry() {
    let work = workshop();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("oci://{}/ha3:one", silent.local_addr().unwrap());
    let pull = kiln(&work, &["pull", &address]).stderr(Stdio::piped()).spawn().unwrap();
    // The client has connected and waits for an answer.
    let _held = silent.accept().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let begun = Instant::now();
    run(Command::new("kill").args(["-INT", &pull.id().to_string()]));
    let output = pull.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(list(&work.path().join("out")).is_empty());
}

#[test]
fn half_a_bundle_never_appears() {
    let (work, registry) = (workshop(), Registry::start(Setup::default()));
    let bundle = work.build("one.toml");
    run(&mut kiln(&work, &["push", "out/one", &registry.address("ha3:one")]));

    // The connection breaks in the middle of the large layers.
    let cut = format!("oci://{}/ha3:one", broken_way(&registry, 8_000_000, true));
    let said = refused(&mut kiln(&work, &["pull", &cut]), 5);
    assert!(said.contains("the connection ended") || said.contains("disconnected"), "{said}");
    assert_eq!(list(&work.path().join("out")), ["one"]);

    // It falls silent there, and Ctrl-C is pressed, once without an old bundle and once with one.
    for (target, left) in [("new/ha3", &[][..]), ("out/one", &["one"])] {
        let silent = format!("oci://{}/ha3:one", broken_way(&registry, 8_000_000, false));
        let pull = kiln(&work, &["pull", &silent, "--out", target]).stderr(Stdio::piped()).spawn().unwrap();
        let target = work.path().join(target);
        let partial = target.with_file_name(format!(".{}.partial", target.file_name().unwrap().display()));
        let deadline = Instant::now() + Duration::from_secs(60);
        while !partial.join("layers").exists() {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(20));
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(mode(&partial), 0o700);
        assert_eq!(mode(&partial.join("nodes/cp-a")), 0o700);
        run(Command::new("kill").args(["-INT", &pull.id().to_string()]));
        let output = pull.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(130), "{said}");
        assert!(said.contains("nothing was left behind"), "{said}");
        assert_eq!(list(target.parent().unwrap()), left);
    }
    run(&mut kiln(&work, &["pull", &registry.address("ha3:one")]));
    assert_same(&bundle, &work.path().join("out/ha3"));
}
