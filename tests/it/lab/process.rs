//! `kiln` without threads, disk space or memory, and the remains of its keys when it dies.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::{self, Workshop, snapshot, store};
use rustix::process::{Pid, Signal, kill_process};

const KILN: &str = env!("CARGO_BIN_EXE_kiln");

fn workshop() -> Workshop {
    let work = Workshop::new();
    work.keystore("ha3");
    work
}

/// Runs a build of ha3 to `out/NAME` through this shell script, which ends with `exec "$@"` or similar.
fn built(work: &Workshop, script: &str, name: &str) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", KILN, "build", "--quiet", "--profile", "ha3", "--artifacts"]);
    command.arg(store()).args(["--out", &format!("out/{name}")]).current_dir(work.path());
    command.env("KILN_NO_CACHE", "1").env("NO_COLOR", "1").env_remove("SOURCE_DATE_EPOCH");
    command.env_remove("RUST_BACKTRACE").output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Whether the first, the tenth or the last thread is missing, the bundle is the same.
#[test]
fn threads_panic() {
    let work = workshop();
    assert!(built(&work, "exec \"$@\"", "plain").status.success());
    let plain = snapshot(&work.path().join("out/plain"));
    for first in [1, 3, 10] {
        let inject = format!("-e trace=clone3,clone -e inject=clone3,clone:error=EAGAIN:when={first}+");
        let name = format!("without-{first}");
        let output = built(&work, &format!("exec strace -f -qq -o /dev/null {inject} \"$@\""), &name);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert!(snapshot(&work.path().join("out").join(&name)) == plain, "{first}");
    }
}

/// Work that other verbs do in parallel is then done sequentially.
#[test]
fn no_verb_needs_a_second_thread() {
    let work = workshop();
    assert!(built(&work, "exec \"$@\"", "plain").status.success());
    work.file("sites/ha3.toml", support::ha3_with(&[]));
    let store = store().to_str().unwrap();
    let debs = support::debs("trixie");
    let debs = debs.iter().map(|path| path.to_str().unwrap());
    let add: Vec<&str> =
        ["artifacts", "add", "--trust", "--artifacts", "new"].into_iter().chain(debs).collect();
    for arguments in [
        &["check", "out/plain"][..],
        &["check", "--profile", "ha3", "--artifacts", store],
        &["show", "out/plain", "cp-a"],
        &["plan", "--profile", "ha3", "--artifacts", store],
        &["build", "--fleet", "sites", "--artifacts", store],
        &["check", "--fleet", "sites", "--artifacts", store],
        &add,
        &["artifacts", "list", "--artifacts", "new"],
        &["keystore", "init", "--fleet", "sites", "--keystore", "keys", "--artifacts", store],
        &["keystore", "show", "ha3"],
    ] {
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-o", "/dev/null", "-e", "inject=clone3,clone:error=EAGAIN", KILN]);
        command.args(arguments).current_dir(work.path()).env("KILN_CACHE", "cache");
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", said(&output));
    }
}

/// Ctrl-C, at the first of these system calls.
#[test]
fn ctrl_c_says_what_stays() {
    let work = workshop();
    // Keystores are written two hundred at a time.
    for number in 1..=201 {
        let text = support::ha3_with(&[("name = \"ha3\"", &format!("name = \"ha3-{number}\""))]);
        work.file(&format!("sites/{number}.toml"), text);
    }
    let store = store().to_str().unwrap();
    let debs = support::debs("trixie");
    let debs = debs.iter().map(|path| path.to_str().unwrap());
    let add: Vec<&str> =
        ["artifacts", "add", "--trust", "--artifacts", "new"].into_iter().chain(debs).collect();
    for (arguments, at, stays) in [
        (&add[..], "fsync", "complete imports stay in the store; add the other files again"),
        (
            &["keystore", "init", "--fleet", "sites", "--keystore", "keys", "--artifacts", store],
            "mkdirat",
            "keystores that were already created stay; run the same command again to create the rest",
        ),
        (
            // One job: strace would send a signal to each thread, and a second Ctrl-C ends a run at once.
            &["build", "--fleet", "sites", "--keystore", "keys", "--artifacts", store, "--jobs", "1"],
            "mkdirat",
            "no bundle was left behind",
        ),
    ] {
        let mut command = Command::new("strace");
        let inject = format!("inject={at}:signal=INT:when=1");
        command.args(["-f", "-qq", "-o", "/dev/null", "-e", &inject, KILN]).args(arguments);
        let output = command.current_dir(work.path()).env("KILN_NO_CACHE", "1").output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{arguments:?} {}", said(&output));
        assert!(said(&output).contains(&format!("interrupted; {stays}")), "{}", said(&output));
    }
    // Complete ones, and no others.
    let made = kiln::disk::list(&work.path().join("keys")).unwrap();
    assert_eq!(made.len(), 200);
    assert!(made.iter().all(|name| name.starts_with("ha3-")), "{made:?}");
}

/// nohup(1) starts a program with SIGHUP ignored.
#[test]
fn nohup_is_heeded() {
    let work = workshop();
    let hup = "strace -f -qq -o /dev/null -e inject=mkdirat:signal=HUP:when=1 \"$@\"";
    let output = built(&work, &format!("trap '' HUP; exec {hup}"), "kept");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let output = built(&work, &format!("exec {hup}"), "ended");
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    assert!(work.path().join("out/kept/bundle.json").exists() && !work.path().join("out/ended").exists());
}

#[test]
fn a_limit_on_file_sizes_is_an_error() {
    let work = workshop();
    let output = built(&work, "ulimit -f 8; exec \"$@\"", "small");
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    assert!(said(&output).contains("File too large"), "{}", said(&output));
    let left: Vec<_> = kiln::disk::list(&work.path().join("out")).unwrap();
    assert!(left.iter().all(|name| name == ".small.lock"), "{left:?}");
}

/// Rust aborts a process that gets no memory, so its partial output stays; the next build removes it.
#[test]
fn without_memory_it_says_so_and_the_next_build_clears_up() {
    let work = workshop();
    let mut ended = 0;
    for kibibytes in [40_000, 60_000, 100_000, 200_000] {
        let output = built(&work, &format!("ulimit -v {kibibytes}; exec \"$@\""), "tight");
        match output.status.code() {
            // 127: there is no room for the program itself, when it is not optimized.
            Some(0 | 127) => {}
            code => {
                assert_eq!(code, Some(5), "{kibibytes}: {}", said(&output));
                assert!(said(&output).to_lowercase().contains("memory"), "{kibibytes}: {}", said(&output));
                ended += 1;
            }
        }
    }
    assert!(ended > 0, "it never ran out of memory");
    assert!(built(&work, "exec \"$@\"", "tight").status.success());
    let left = kiln::disk::list(&work.path().join("out")).unwrap();
    assert!(left.iter().all(|name| !name.contains("partial")), "{left:?}");
}

/// A build that was stopped after it began to write.
fn stopped_build(work: &Workshop, name: &str) -> Child {
    for _ in 0..20 {
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "ulimit -c unlimited 2>/dev/null; exec \"$@\"",
            "sh",
            KILN,
            "build",
            "--profile",
            "ha3",
        ]);
        command
            .arg("--artifacts")
            .arg(store())
            .args(["--out", &format!("out/{name}")])
            .current_dir(work.path());
        command.env("KILN_NO_CACHE", "1").stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        while child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "the build neither writes nor ends");
            if work.path().join(format!("out/.{name}.partial")).exists() {
                kill_process(Pid::from_child(&child), Signal::STOP).unwrap();
                return child;
            }
        }
    }
    panic!("every build was done before it was seen");
}

#[test]
fn core_dump() {
    let work = workshop();
    let mut child = stopped_build(&work, "quit");
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    // Its default action is a core dump (signal(7)); Kiln handles SIGABRT and exits with a code of its own.
    kill_process(Pid::from_child(&child), Signal::QUIT).unwrap();
    kill_process(Pid::from_child(&child), Signal::CONT).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(Signal::QUIT.as_raw()));
    assert!(!status.core_dumped());
    let names = kiln::disk::list(work.path()).unwrap();
    assert!(names.iter().all(|name| !name.starts_with("core")), "{names:?}");

    let mut child = stopped_build(&work, "abort");
    kill_process(Pid::from_child(&child), Signal::ABORT).unwrap();
    kill_process(Pid::from_child(&child), Signal::CONT).unwrap();
    let status = child.wait().unwrap();
    assert_eq!((status.code(), status.core_dumped()), (Some(5), false));
}

/// Without PR_SET_DUMPABLE, /proc/PID belongs to root (proc(5)); that of a dumpable process belongs to its own user.
#[test]
fn core_dump_and_trace_are_refused_to_the_user_itself() {
    let work = Workshop::new();
    std::os::unix::fs::chown(work.path(), Some(65534), Some(65534)).unwrap();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    silent.set_nonblocking(true).unwrap();
    let address = format!("oci://{}/a:t", silent.local_addr().unwrap());
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", KILN, "pull", &address]);
    command.current_dir(work.path()).env("HOME", work.path()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    // It has started when it sends its request.
    let _asking = support::wait_for("its question", || silent.accept().ok());
    let owner = fs::metadata(format!("/proc/{}/environ", child.id())).unwrap().uid();
    kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
    child.wait().unwrap();
    assert_eq!(owner, 0);
}
