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
