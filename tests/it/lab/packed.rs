//! Compressed programs in the artifact store: made by `kiln artifacts add` or by the first build, and never used in a
//! bundle when they are damaged.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{SMALL, Workshop, debs, refused, run, snapshot, store};
use kiln::format::deflate::PACKER;

/// A workshop with a store of its own, as made by a version of Kiln that stored no compressed programs.
fn small() -> Workshop {
    let work = Workshop::new();
    work.file("small.toml", SMALL);
    work.keystore("small");
    run(Command::new("cp").arg("-a").arg(store()).arg(work.path().join("artifacts")));
    forget(&work);
    work
}

fn forget(work: &Workshop) {
    let _ = fs::remove_dir_all(work.path().join("artifacts/packed"));
}

fn build(work: &Workshop, arguments: &[&str]) -> Command {
    let mut command = work.kiln(["build", "--quiet", "--profile", "small.toml", "--artifacts", "artifacts"]);
    command.args(arguments);
    command
}

/// The packed programs by name, with their bytes.
fn packed(work: &Workshop) -> Vec<(PathBuf, Vec<u8>)> {
    let directory = work.path().join("artifacts/packed").join(PACKER);
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut all: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Runs the command in a mount namespace of its own, through a script that may mount and runs it as `"$@"`.
fn mounted(work: &Workshop, script: &str, command: &Command) -> Command {
    let mut outer = Command::new("unshare");
    outer.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]);
    outer.arg(command.get_program()).args(command.get_args()).current_dir(work.path());
    outer.env_remove("SOURCE_DATE_EPOCH").env("NO_COLOR", "1").env_remove("KILN_NO_CACHE");
    outer
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn the_first_build_keeps_it_and_a_damaged_one_is_made_again() {
    let work = small();
    // A check writes nothing.
    run(&mut work.kiln(["check", "--profile", "small.toml", "--artifacts", "artifacts"]));
    assert!(packed(&work).is_empty());
    run(&mut build(&work, &[]));
    let (want, good) = (snapshot(&work.path().join("out/small")), packed(&work));
    assert_eq!(good.len(), 3);
    // The files that an import makes are the same.
    forget(&work);
    let mut add =
        work.kiln(["artifacts", "add", "--quiet", "--allow-unverified", "--artifacts", "artifacts"]);
    run(add.args(debs("trixie")));
    assert!(packed(&work) == good);
    run(&mut build(&work, &["--out", "again"]));
    assert!(snapshot(&work.path().join("again")) == want);

    flip(&good[1].0);
    let said = refused(&mut build(&work, &[]), 0);
    let what = format!("{} is damaged", good[1].0.file_name().unwrap().to_str().unwrap());
    assert!(said.contains(&what) && said.contains("it was compressed again"), "{said}");
    assert!(packed(&work) == good && snapshot(&work.path().join("out/small")) == want);
    assert!(!refused(&mut build(&work, &[]), 0).contains("damaged"));
}

#[test]
fn where_the_store_cannot_be_written_to_the_cache_has_it() {
    let work = small();
    run(&mut build(&work, &["--out", "want"]));
    let (want, good) = (snapshot(&work.path().join("want")), packed(&work));
    let show = || run(&mut work.kiln(["cache", "show", "--cache", "cache"]));
    let read_only = "mount --bind artifacts artifacts && mount -o remount,bind,ro artifacts && exec \"$@\"";
    let full = "mkdir full && mount -t tmpfs -o size=400m none full && cp -a artifacts/. full && \
                { dd if=/dev/zero of=full/filler bs=64k 2>/dev/null; mount --bind full artifacts; exec \"$@\"; }";
    for (what, before) in [("read-only", read_only), ("full", full)] {
        forget(&work);
        for out in ["one", "two"] {
            let command = build(&work, &["--cache", "cache", "--out", out]);
            let before = if out == "two" { read_only } else { before };
            let said = refused(&mut mounted(&work, before, &command), 0);
            assert!(!said.contains("packed"), "{what}: {said}");
            assert!(snapshot(&work.path().join(out)) == want, "{what}");
            assert!(show().contains("packed        3"), "{what}: {}", show());
        }
        assert!(packed(&work).is_empty(), "{what}");
        // Without a cache nothing is kept, and nothing is missing.
        let mut command = build(&work, &["--no-cache", "--out", "three"]);
        run(&mut mounted(&work, read_only, &command));
        assert!(snapshot(&work.path().join("three")) == want, "{what}");
        // Damage that cannot be repaired here is reported each time, and goes into no bundle.
        fs::create_dir_all(good[0].0.parent().unwrap()).unwrap();
        fs::write(&good[0].0, &good[1].1).unwrap();
        for out in ["four", "five"] {
            command = build(&work, &["--cache", "cache", "--out", out]);
            let said = refused(&mut mounted(&work, read_only, &command), 0);
            assert!(said.contains("is damaged") && said.contains("add the release file again"), "{said}");
            assert!(snapshot(&work.path().join(out)) == want, "{what}");
        }
        // Parts taken over from an older bundle are not compressed.
        for out in ["one", "two", "four", "five"] {
            fs::remove_dir_all(work.path().join(out)).unwrap();
        }
        run(&mut work.kiln(["cache", "prune", "--cache", "cache", "--max-size", "0"]));
    }
}

#[test]
fn several_builds_at_once_make_it_once() {
    let work = small();
    let running: Vec<_> = (0..4)
        .map(|number| {
            let (keystore, out) = (format!("k{number}"), format!("out-{number}"));
            run(Command::new("cp").args(["-a", "keystore/small", &keystore]).current_dir(work.path()));
            let child = build(&work, &["--keystore", &keystore, "--out", &out]).spawn().unwrap();
            (out, child)
        })
        .collect();
    let mut bundles = Vec::new();
    for (out, mut child) in running {
        assert!(child.wait().unwrap().success(), "{out}");
        bundles.push(snapshot(&work.path().join(out)));
    }
    assert!(bundles.iter().all(|bundle| *bundle == bundles[0]));
    let left = packed(&work);
    run(&mut build(&work, &[]));
    assert!(snapshot(&work.path().join("out/small")) == bundles[0]);
    assert_eq!(packed(&work).len(), 3);
    assert!(left.iter().all(|one| packed(&work).contains(one)), "what was there is whole");
    assert!(!work.path().join("artifacts/.lock").exists());
}

/// The number of files below a directory, except locks.
fn count(directory: &Path) -> usize {
    let all = walkdir::WalkDir::new(directory).into_iter().filter_map(Result::ok);
    all.filter(|one| one.file_type().is_file() && one.file_name() != ".lock").count()
}

#[test]
fn an_import_that_is_killed_or_has_no_room_leaves_nothing_that_is_used() {
    let work = small();
    run(&mut build(&work, &[]));
    let (want, good) = (snapshot(&work.path().join("out/small")), packed(&work));
    fs::remove_dir_all(work.path().join("artifacts")).unwrap();
    let add = || {
        let mut add =
            work.kiln(["artifacts", "add", "--quiet", "--allow-unverified", "--artifacts", "artifacts"]);
        add.args(debs("trixie"));
        add
    };
    run(&mut add());
    // The number of files when it is killed; a whole import has three programs, their packed forms, and a record.
    let mut killed = 0;
    for (signal, files) in [("KILL", 1), ("INT", 2), ("KILL", 3), ("KILL", 4), ("INT", 5), ("KILL", 6)] {
        fs::remove_dir_all(work.path().join("artifacts")).unwrap();
        let mut child = add().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while count(&work.path().join("artifacts")) < files && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
        killed += u32::from(!child.wait().unwrap().success());
        // Complete or absent.
        for (path, bytes) in packed(&work) {
            let is_remains = path.file_name().unwrap().to_str().unwrap().starts_with(".kiln-");
            assert!(is_remains || good.contains(&(path, bytes)), "at {files} files");
        }
        run(&mut add());
        assert!(packed(&work) == good, "at {files} files");
        run(&mut build(&work, &[]));
        assert!(snapshot(&work.path().join("out/small")) == want, "at {files} files");
    }
    assert!(killed > 0, "no import was killed in time");

    // 63 MB of programs fit, their compressed forms do not.
    let script = "rm -rf artifacts/* && mount -t tmpfs -o size=72m,mode=755 none artifacts && { \"$@\"; code=$?; } && \
                  find artifacts -type f -exec echo left: {} + >&2; exit $code";
    let said = refused(&mut mounted(&work, script, &add()), 5);
    assert!(said.contains("storing etcd 3.5.16") && !said.contains("left:"), "{said}");
}
