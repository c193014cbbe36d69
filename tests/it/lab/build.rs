//! `kiln build` under bad conditions: FAULTS.md's B8 to B14, B20 and B21, through the program.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{SMALL, Workshop, ha3_with, refused, run, snapshot, store};

fn small() -> Workshop {
    let work = Workshop::new();
    work.file("small.toml", SMALL);
    work.keystore("small");
    work
}

fn build(work: &Workshop) -> Command {
    let mut command = work.kiln(["build", "--quiet", "--profile", "small.toml", "--artifacts"]);
    command.arg(store());
    command
}

#[test]
fn what_is_not_a_bundle_is_never_replaced() {
    let work = small();
    let out = work.path().join("out/small");
    fs::create_dir_all(&out).unwrap();
    fs::write(out.join("thesis.tex"), "years of work").unwrap();
    let message = refused(&mut build(&work), 6);
    let want = "out/small is a directory that kiln did not make, and kiln replaces nothing but a bundle; choose another --out";
    assert!(message.contains(want), "{message}");
    assert_eq!(fs::read_to_string(out.join("thesis.tex")).unwrap(), "years of work");

    fs::remove_dir_all(&out).unwrap();
    fs::write(&out, "a file").unwrap();
    refused(&mut build(&work), 6);
    assert_eq!(fs::read_to_string(&out).unwrap(), "a file");

    fs::remove_file(&out).unwrap();
    let elsewhere = work.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, &out).unwrap();
    refused(&mut build(&work), 6);
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0, "nothing is written through a link");
}

#[test]
fn a_bundle_with_a_link_in_it_is_not_replaced() {
    let work = small();
    run(&mut build(&work));
    let out = work.path().join("out/small");
    symlink("/etc", out.join("nodes/etc")).unwrap();
    let before = snapshot(&out);
    refused(&mut build(&work), 6);
    assert_eq!(snapshot(&out), before);
}

/// The old bundle is removed when the new one is in its place, and once took a keystore along.
#[test]
fn what_somebody_put_into_a_bundle_is_not_removed_with_it() {
    let work = small();
    run(&mut build(&work));
    for stray in ["notes.txt", "nodes/a/notes.txt", "keys/secret"] {
        let path = work.file(&format!("out/small/{stray}"), "mine");
        let message = refused(&mut build(&work), 6);
        assert!(message.contains("no build put there"), "{message}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        fs::remove_file(&path).unwrap();
    }
    fs::remove_dir(work.path().join("out/small/keys")).unwrap();
    run(&mut build(&work));
}

#[test]
fn a_date_of_issue_that_is_still_to_come_is_refused() {
    let work = small();
    for verb in ["init", "renew"] {
        let cluster = if verb == "init" { "other" } else { "small" };
        let message = refused(&mut work.kiln(["keystore", verb, cluster, "--issued", "2062-01-01"]), 6);
        assert!(message.contains("still to come"), "{message}");
    }
    run(&mut build(&work));
}

#[test]
fn a_full_or_read_only_disk_leaves_the_old_bundle_alone() {
    let work = small();
    let disk = work.path().join("disk");
    fs::create_dir(&disk).unwrap();
    for (options, code) in [("size=200m", 0), ("size=40m", 5), ("size=200m,ro", 5)] {
        let script = format!(
            "mount -t tmpfs -o size=200m none {disk} && cp -r out/small {disk}/small 2>/dev/null; \
             mount -o remount,{options} {disk}; {kiln} build --quiet --profile small.toml --artifacts {store} \
             --out {disk}/small >/dev/null; code=$?; \
             if [ -d out/small ]; then {kiln} check {disk}/small >&2 && ls -A {disk} >&2; fi; exit $code",
            disk = disk.display(),
            kiln = env!("CARGO_BIN_EXE_kiln"),
            store = store().display(),
        );
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]).current_dir(work.path());
        let message = refused(command.env("KILN_NO_CACHE", "1"), code);
        if code == 0 {
            run(&mut build(&work));
        } else {
            assert!(message.contains("are as the manifest says") || message.contains("small"), "{message}");
            assert!(!message.contains(".partial"), "{message}");
        }
    }
}

#[test]
fn a_build_that_is_killed_leaves_the_old_bundle_or_the_new_one() {
    let work = small();
    run(&mut build(&work));
    // The quickest of three: on a busy machine the others say more about the machine.
    let timed = |_| {
        let begun = std::time::Instant::now();
        run(&mut build(&work));
        begun.elapsed()
    };
    let whole = (0..3).map(timed).min().unwrap();
    let out = work.path().join("out/small");
    // `publish` kills at each system call that matters; these are the moments between them. ci/long takes more.
    let points = if std::env::var_os("KILN_LONG").is_some() { 200 } else { 60 };
    let mut killed = 0;
    for point in 0..points {
        // Every third time from nothing, so that "absent" is seen as well.
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
        assert!(matches!(output.status.code(), Some(130 | 0)), "{arguments:?}: {}", output.status);
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
        assert!(message.contains("another run of kiln holds"), "{message}");
        drop(file);
        // The file is still there, and does no harm.
        assert!(path.exists());
        run(&mut build(&work));
        assert!(!path.exists(), "whoever holds it takes it away");
    }
}

#[test]
fn a_keystore_on_a_read_only_mount_can_be_used() {
    let work = small();
    let script = format!(
        "mount --bind keystore keystore && mount -o remount,bind,ro keystore && \
         exec {} build --quiet --profile small.toml --artifacts {}",
        env!("CARGO_BIN_EXE_kiln"),
        store().display()
    );
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]).env("KILN_NO_CACHE", "1");
    run(command.current_dir(work.path()));
    assert!(work.path().join("out/small/bundle.json").exists());
}

#[test]
fn bytes_do_not_depend_on_who_builds_where() {
    let work = small();
    run(&mut build(&work));
    let want = snapshot(&work.path().join("out/small"));

    let other = Workshop::new();
    other.file("deeper/down/small.toml", SMALL);
    let copied = other.path().join("keys");
    run(Command::new("cp").arg("-a").arg(work.path().join("keystore/small")).arg(&copied));
    let mut command =
        other.kiln(["build", "--profile", "deeper/down/small.toml", "--keystore", "keys", "--out", "b"]);
    command.arg("--artifacts").arg(store());
    command
        .env_clear()
        .env("TZ", "Pacific/Kiritimati")
        .env("LC_ALL", "tr_TR.UTF-8")
        .env("TMPDIR", other.path());
    let mut slow = Command::new("taskset");
    slow.args(["-c", "0"]).arg("sh").args(["-c", "umask 077; exec \"$@\"", "sh"]);
    slow.arg(command.get_program()).args(command.get_args()).current_dir(other.path());
    slow.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("TZ", "Pacific/Kiritimati");
    run(&mut slow);
    assert_eq!(snapshot(&other.path().join("b")), want);
}

#[test]
fn an_account_without_a_name_or_a_home_builds_the_same() {
    let work = small();
    run(&mut build(&work));
    let want = snapshot(&work.path().join("out/small"));
    // Somewhere that an unknown user can reach.
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for (from, to) in [
        (work.path().join("keystore/small"), "keys"),
        (store().to_owned(), "store"),
        (env!("CARGO_BIN_EXE_kiln").into(), "kiln"),
    ] {
        run(Command::new("cp").arg("-a").arg(from).arg(place.path().join(to)));
    }
    fs::write(place.path().join("small.toml"), SMALL).unwrap();
    let mut command = Command::new(place.path().join("kiln"));
    command.args([
        "build",
        "--profile",
        "./small.toml",
        "--keystore",
        "keys",
        "--artifacts",
        "store",
        "--out",
        "b",
    ]);
    command.env_clear().current_dir(place.path());
    if rustix::process::geteuid().is_root() {
        run(Command::new("chown").args(["-R", "64999:64999"]).arg(place.path()));
        command.uid(64999).gid(64999);
    }
    run(&mut command);
    assert_eq!(snapshot(&place.path().join("b")), want);
}

#[test]
fn epochs_are_checked_and_go_past_2050() {
    let work = small();
    for bad in ["junk", "-1", "", "253402300800", "1.5", " 1"] {
        let message = refused(build(&work).env("SOURCE_DATE_EPOCH", bad), 2);
        assert!(message.contains("SOURCE_DATE_EPOCH"), "{bad}: {message}");
    }
    assert!(!work.path().join("out").exists(), "nothing is written");
    run(build(&work).env("SOURCE_DATE_EPOCH", "2600000000"));
    let listed = run(Command::new("tar")
        .args(["--utc", "-tvzf"])
        .arg(work.path().join("out/small/nodes/a/overlay.tar.gz")));
    assert!(listed.lines().all(|line| line.contains("2052-05-22")), "{listed}");
}

#[test]
fn a_keystore_is_made_only_with_a_bundle() {
    let work = Workshop::new();
    work.file("site/etc/broken.hbs", "ok\n{{nope}}\n");
    work.file("small.toml", SMALL.replace("carriers", "overlays = [\"site\"], carriers"));
    let message = refused(&mut build(&work), 3);
    assert!(message.contains("site/etc/broken.hbs:2:") && message.contains("nope"), "{message}");
    assert!(!work.path().join("keystore/small").exists() && !work.path().join("out/small").exists());
    work.file("site/etc/broken.hbs", "{{node}}\n");
    run(&mut build(&work));
    assert!(work.path().join("keystore/small/secret").exists());
    let first = snapshot(&work.path().join("out/small"));
    run(&mut build(&work));
    assert_eq!(snapshot(&work.path().join("out/small")), first);
}

#[test]
fn a_collision_of_overlays_needs_the_profiles_word() {
    let work = Workshop::new();
    let unit = "etc/systemd/system/etcd.service";
    work.file(&format!("site/{unit}"), "[Service]\n");
    work.file("small.toml", SMALL.replace("carriers", "overlays = [\"site\"], carriers"));
    let message = refused(&mut build(&work), 3);
    assert!(message.contains(unit) && message.contains("replace"), "{message}");
    let allowed = format!("overlays = [\"site\"], replace = [\"/{unit}\"], carriers");
    work.file("small.toml", SMALL.replace("carriers", &allowed));
    run(&mut build(&work));
}

/// Private parts as they may show up: PEM body lines, and DER as raw bytes, hex and base64 without its header.
fn traces(pem: &str) -> Vec<Vec<u8>> {
    let body: Vec<_> = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let mut decode = Command::new("openssl");
    let der = decode
        .args(["pkey", "-outform", "DER"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .and_then(|mut child| {
            use std::io::Write;
            child.stdin.take().unwrap().write_all(pem.as_bytes())?;
            child.wait_with_output()
        });
    let der = der.unwrap().stdout;
    // The scalar of a P-256 key in PKCS#8 lies at byte 36 of DER (RFC 5958, RFC 5915).
    let scalar = der[36..68].to_vec();
    let hex: String = scalar.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut traces: Vec<Vec<u8>> =
        body.iter().filter(|line| line.len() > 40).map(|l| l.as_bytes().to_vec()).collect();
    traces.extend([scalar, hex.to_uppercase().into_bytes(), hex.into_bytes()]);
    traces
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// Every file of a bundle, unpacked as far as it goes.
fn unpacked(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).unwrap();
    if path.extension().is_some_and(|ending| ending == "gz") {
        return Command::new("gzip").arg("-dc").arg(path).output().unwrap().stdout;
    }
    if path.extension().is_some_and(|ending| ending == "iso") {
        let mut all = bytes;
        let listed = run(Command::new("isoinfo").args(["-R", "-f", "-i"]).arg(path));
        for name in listed.lines().filter(|name| name.ends_with(".gz")) {
            let packed =
                Command::new("isoinfo").args(["-R", "-x", name, "-i"]).arg(path).output().unwrap().stdout;
            let place = tempfile::NamedTempFile::new().unwrap();
            fs::write(place.path(), packed).unwrap();
            all.extend(
                Command::new("gzip")
                    .arg("-dc")
                    .stdin(fs::File::open(place.path()).unwrap())
                    .output()
                    .unwrap()
                    .stdout,
            );
        }
        return all;
    }
    bytes
}

#[test]
fn no_key_shows_up_anywhere_but_in_its_own_file() {
    let work = Workshop::new();
    let shared = [("# Client certificates", "[bundle]\nbinaries = \"shared\"\n\n# Client certificates")];
    work.file("ha3.toml", ha3_with(&shared));
    // A CA whose key is known from outside.
    let dir = work.path();
    run(Command::new("openssl").current_dir(dir).args([
        "ecparam",
        "-name",
        "prime256v1",
        "-genkey",
        "-noout",
        "-out",
        "ca.key",
    ]));
    run(Command::new("openssl").current_dir(dir).args([
        "req",
        "-x509",
        "-new",
        "-key",
        "ca.key",
        "-days",
        "3650",
        "-subj",
        "/CN=outside",
        "-out",
        "ca.pem",
    ]));
    let ca_key = run(Command::new("openssl").current_dir(dir).args(["pkey", "-in", "ca.key"]));
    let mut printed = Vec::new();
    let mut keep = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?} {}", String::from_utf8_lossy(&output.stderr));
        printed.extend(output.stdout);
        printed.extend(output.stderr);
    };
    keep(&mut work.kiln(["keystore", "init", "ha3"]));
    keep(&mut work.kiln(["keystore", "import-ca", "ha3", "--cert", "ca.pem", "--key", "ca.key"]));
    keep(&mut work.kiln(["keystore", "show", "ha3"]));
    keep(&mut work.kiln(["keystore", "show", "ha3", "--json"]));
    keep(work.kiln(["build", "--profile", "./ha3.toml", "--json", "--artifacts"]).arg(store()));
    keep(work.kiln(["plan", "--profile", "./ha3.toml", "--artifacts"]).arg(store()));
    keep(&mut work.kiln(["show", "out/ha3", "cp-a"]));
    keep(&mut work.kiln(["show", "out/ha3", "cp-b", "--json"]));

    let secret = fs::read_to_string(dir.join("keystore/ha3/secret")).unwrap();
    let secret = secret.trim().as_bytes();
    let mut owners = vec![("nobody".to_owned(), ca_key)];
    for node in ["cp-a", "cp-b", "cp-c"] {
        let archive = dir.join(format!("out/ha3/nodes/{node}/overlay.tar.gz"));
        for name in ["server", "peer", "etcdctl"] {
            let key = run(Command::new("tar")
                .arg("-xzOf")
                .arg(&archive)
                .arg(format!("etc/etcd/pki/{name}-key.pem")));
            owners.push((format!("nodes/{node}/"), key));
        }
    }
    for name in ["etcdctl", "kube-apiserver"] {
        let file = format!("client/{name}-key.pem");
        owners.push((file.clone(), fs::read_to_string(dir.join("out/ha3").join(file)).unwrap()));
    }
    let out = dir.join("out/ha3");
    let files =
        walkdir::WalkDir::new(&out).into_iter().map(|e| e.unwrap()).filter(|e| e.file_type().is_file());
    let mut holders = 0;
    let mut seen = vec![("what was printed".to_owned(), printed)];
    seen.extend(files.map(|entry| {
        (entry.path().strip_prefix(&out).unwrap().display().to_string(), unpacked(entry.path()))
    }));
    for (place, bytes) in &seen {
        // The binaries are two thirds of all bytes and were there before any key.
        if place.starts_with("layers/") {
            continue;
        }
        assert!(!contains(bytes, secret), "the secret is in {place}");
        for (owner, key) in &owners {
            let found = traces(key).iter().any(|trace| contains(bytes, trace));
            assert!(!found || place.starts_with(owner.as_str()), "a key of {owner} is in {place}");
            holders += usize::from(found);
            let mode = fs::metadata(out.join(place)).map(|meta| meta.mode() & 0o777);
            assert!(!found || mode.unwrap() == 0o600, "{place} holds a key and others may read it");
        }
    }
    // tar, cpio and ISO of each node hold its three keys, and each client key is in its file.
    assert_eq!(holders, 3 * 3 * 3 + 2);
}
