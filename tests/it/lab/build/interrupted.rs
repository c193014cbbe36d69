//! Builds that are killed or interrupted, that nobody reads any more, or that another run is in the way of.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{build, small};
use crate::support::{refused, run};

#[test]
fn a_build_that_is_killed_leaves_the_old_bundle_or_the_new_one() {
    let work = small();
    run(&mut build(&work));
    // The fastest of three: on a busy machine the others measure the machine.
    let timed = |_| {
        let begun = std::time::Instant::now();
        run(&mut build(&work));
        begun.elapsed()
    };
    let whole = (0..3).map(timed).min().unwrap();
    let out = work.path().join("out/small");
    // `publish` kills at each relevant system call; these are moments between them. ci/long tries more.
    let points = if std::env::var_os("KILN_LONG").is_some() { 200 } else { 60 };
    let mut killed = 0;
    for point in 0..points {
        // Every third time without an old bundle, so that "absent" occurs as well.
        if point % 3 == 0 && out.exists() {
            fs::remove_dir_all(&out).unwrap();
        }
        let mut child = build(&work).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(whole.mul_f64(f64::from(point) / f64::from(points) * 1.1));
        child.kill().unwrap();
        killed += u32::from(child.wait().unwrap().code().is_none());
        if out.exists() {
            run(&mut work.kiln(["check", "out/small"]));
        }
    }
    assert!(killed >= points / 2, "only {killed} builds were killed in time");
    run(&mut build(&work));
    let left: Vec<_> =
        fs::read_dir(work.path().join("out")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["small"], "the next run cleans up");
}

#[test]
fn ctrl_c_ends_a_build_with_130_and_nothing_is_left() {
    let work = small();
    let mut interrupted = 0;
    for wait in (20..400).step_by(20) {
        let child = build(&work).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        run(Command::new("kill").args(["-INT", &child.id().to_string()]));
        let output = child.wait_with_output().unwrap();
        match output.status.code() {
            Some(130) => interrupted += 1,
            code => assert_eq!(code, Some(0), "{}", String::from_utf8_lossy(&output.stderr)),
        }
        let out = work.path().join("out");
        let left = fs::read_dir(&out).map_or(Vec::new(), |all| all.map(|e| e.unwrap().file_name()).collect());
        assert!(left.iter().all(|name| name == "small"), "{left:?}");
        let _ = fs::remove_dir_all(out.join("small"));
    }
    assert!(interrupted > 0, "no build was interrupted in time");
}

#[test]
fn a_reader_that_goes_away_is_no_crash() {
    let work = small();
    run(&mut build(&work));
    for arguments in [vec!["show", "out/small", "a"], vec!["--help"], vec!["check", "out/small"]] {
        let mut command = work.kiln(&arguments);
        // A pipe whose reading end is closed before anything is written.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command.stdout(writer).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!message.contains("panicked"), "{arguments:?}: {message}");
        assert!(matches!(output.status.code(), Some(141 | 0)), "{arguments:?}: {}", output.status);
    }
}

#[test]
fn the_second_of_two_runs_is_told_at_once() {
    let work = small();
    run(&mut build(&work));
    for lock in ["out/.small.lock", "keystore/.small.lock"] {
        let path = work.path().join(lock);
        let file = fs::File::options().create(true).truncate(false).write(true).open(&path).unwrap();
        file.lock().unwrap();
        let message = refused(&mut build(&work), 7);
        assert!(message.contains("another run of kiln has locked"), "{message}");
        drop(file);
        // The file still exists, and does no harm.
        assert!(path.exists());
        run(&mut build(&work));
        assert!(!path.exists(), "whoever holds it takes it away");
    }
}
