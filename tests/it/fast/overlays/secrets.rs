//! Kiln's own directories and secrets are in no overlay.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use super::{kiln, put, refusal, work};
use crate::support::{bundles::OVERLAID as PROFILE, refused, run, store};

#[test]
fn overlay_that_holds_or_lies_in_a_place_of_kilns_is_refused() {
    let work = work();
    let with = |overlay: &str| drop(work.file("site.toml", PROFILE.replace("mine", overlay)));
    // Before there is a keystore, and through a link.
    symlink(".", work.path().join("here")).unwrap();
    for overlay in [".", "here"] {
        with(overlay);
        let message = refusal(&work, 6);
        assert!(message.contains("holds --keystore (keystore/site)"), "{message}");
        assert!(message.contains("--> site.toml:15:13"), "{message}");
    }
    fs::create_dir(work.path().join("kept")).unwrap();
    with("kept");
    for (place, what) in [
        (["--keystore", "kept/keys"], "--keystore (kept/keys)"),
        (["--out", "kept/out"], "--out (kept/out)"),
        (["--cache", "kept/cache"], "the cache (kept/cache)"),
        (["--out", "here/kept/x"], "--out (here/kept/x)"),
    ] {
        let message = refused(&mut kiln(&work, "build", &["-q", place[0], place[1]]), 6);
        assert!(message.contains(&format!("holds {what}")), "{message}");
    }
    with(&store().display().to_string());
    assert!(refused(&mut kiln(&work, "build", &["-q"]), 6).contains(" is --artifacts ("));
    // Conversely, and as a fleet.
    with("out/site/nodes");
    assert!(refused(&mut kiln(&work, "build", &["-q"]), 6).contains("is in --out (out/site)"));
    work.file("fleet/one.toml", PROFILE.replace("mine", "../keystore/mine"));
    let mut command = work.kiln(["build", "-q", "--fleet", "fleet", "--artifacts"]);
    assert!(refused(command.arg(store()), 6).contains("is in --keystore (keystore)"));
    assert!(!work.path().join("out").exists() && !work.path().join("keystore").exists());
}

#[test]
fn overlay_with_a_secret_of_kilns_is_refused() {
    let work = work();
    run(&mut kiln(&work, "build", &["-q", "--keystore", "elsewhere/keys", "--out", "elsewhere/out"]));
    let secret = fs::read(work.path().join("elsewhere/keys/secret")).unwrap();
    for (from, to, what) in [
        ("elsewhere/keys", "mine/srv/backup", "this is a keystore"),
        ("elsewhere/out", "mine/srv/bundle", "this is a bundle"),
    ] {
        run(Command::new("cp").arg("-r").args([from, to].map(|path| {
            fs::create_dir_all(work.path().join("mine/srv")).unwrap();
            work.path().join(path)
        })));
        let message = refusal(&work, 6);
        assert!(message.contains(&format!("{to}: {what}")) && message.contains("1 mistake"), "{message}");
        fs::remove_dir_all(work.path().join(to)).unwrap();
    }
    put(&work, "mine/etc/site/secret", &secret, 0o600);
    let message = refusal(&work, 6);
    assert!(message.contains("mine/etc/site/secret: this is the secret of a keystore"), "{message}");
    assert!(!message.contains(std::str::from_utf8(&secret).unwrap().trim()));
}

/// As OpenSSL writes them: in DER, behind the first MiB, in the middle of a line, and put together by a template.
#[test]
fn private_key_that_others_may_read_is_found_in_every_form() {
    let work = work();
    let openssl = |arguments: &str| {
        run(Command::new("openssl").current_dir(work.path()).args(arguments.split(' ')));
    };
    openssl("genpkey -algorithm ed25519 -out key.pem");
    openssl("genpkey -algorithm ed25519 -outform DER -out pkcs8.der");
    openssl("ecparam -name prime256v1 -genkey -noout -outform DER -out sec1.der");
    openssl("genrsa -traditional -out pkcs1.pem 2048");
    openssl("rsa -in pkcs1.pem -traditional -outform DER -out pkcs1.der");
    openssl("pkcs8 -topk8 -in key.pem -outform DER -passout pass:secret -out encrypted.der");
    let read = |name: &str| fs::read(work.path().join(name)).unwrap();
    let pem = String::from_utf8(read("key.pem")).unwrap();
    let body = pem.lines().nth(1).unwrap();
    let far = ["x".repeat(2 << 20), pem.clone()].join("\n");
    let quoted = format!("key = \"{}\"\n", pem.replace('\n', "\\n"));
    let made = format!("-----BEGIN {{{{#if node}}}}PRIVATE{{{{/if}}}} KEY-----\n{body}\n");
    let forms = [
        ("pkcs8.key", read("pkcs8.der")),
        ("sec1.key", read("sec1.der")),
        ("pkcs1.key", read("pkcs1.der")),
        ("encrypted.key", read("encrypted.der")),
        ("far.txt", far.into_bytes()),
        ("quoted.conf", quoted.into_bytes()),
        ("made.hbs", made.into_bytes()),
    ];
    for (name, bytes) in &forms {
        let path = put(&work, &format!("mine/etc/{name}"), bytes, 0o644);
        let message = refusal(&work, 6);
        assert!(message.contains("this holds a private key, which mode 0644"), "{name}: {message}");
        assert!(!message.contains(body), "{message}");
        fs::remove_file(path).unwrap();
    }
    for (name, bytes) in &forms {
        put(&work, &format!("mine/etc/{name}"), bytes, 0o600);
    }
    // Public ones are not.
    openssl("pkey -in key.pem -pubout -outform DER -out public.der");
    put(&work, "mine/etc/public.der", read("public.der"), 0o644);
    run(&mut kiln(&work, "build", &["-q"]));
}
