//! The files of a node and the messages of its scripts: its units, its wording, the location of its programs, and the
//! seed that delivers all of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{self, Workshop, ha3_with, run};

/// ha3 with 3.5.16, and further lines in `[etcd]` and after it.
fn built(etcd: &str, more: &str) -> (Workshop, PathBuf) {
    let work = Workshop::new();
    let etcd = format!("[etcd]\nversion = \"3.5.16\"\n{etcd}\n{more}\n#");
    work.file("ha3.toml", ha3_with(&[("# [etcd] version = \"3.5.33\"", &etcd)]));
    work.keystore("ha3");
    let bundle = work.build("./ha3.toml");
    (work, bundle)
}

fn unpacked(work: &Workshop, bundle: &Path) -> PathBuf {
    let tree = work.path().join("tree");
    fs::create_dir_all(&tree).unwrap();
    run(Command::new("tar").arg("-xpzf").arg(bundle.join("nodes/cp-a/overlay.tar.gz")).arg("-C").arg(&tree));
    tree
}

/// The script that Ignition installs on cp-a.
fn unpack_seed(bundle: &Path) -> String {
    let config: serde_json::Value =
        serde_json::from_slice(&fs::read(bundle.join("nodes/cp-a/config.ign")).unwrap()).unwrap();
    let files = config["storage"]["files"].as_array().unwrap();
    let script = files.iter().find(|file| file["path"] == "/etc/kiln/unpack-seed.sh").unwrap();
    let encoded = script["contents"]["source"].as_str().unwrap().strip_prefix("data:,").unwrap();
    let mut bytes = Vec::new();
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next().unwrap(), rest.next().unwrap()];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// A system with a read-only /usr and without /usr/local: everything is unpacked all the same.
#[test]
fn flatcar_read_only_usr() {
    let only_ignition = built("", "[bundle]\ncarriers = [\"ignition\"]");
    let named = built("bin-dir = \"/opt/bin\"", "");
    for (work, bundle) in [only_ignition, named] {
        let script = "mkdir -p usr/bin etc var && mount --bind usr usr && mount -o remount,bind,ro usr && tar -xpzf \"$1\"";
        let system = work.path().join("system");
        fs::create_dir(&system).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--user", "--mount", "sh", "-ec", script, "sh"]);
        run(command.arg(bundle.join("nodes/cp-a/overlay.tar.gz")).current_dir(&system));
        for program in ["etcd", "etcdctl", "etcdutl"] {
            assert!(system.join("opt/bin").join(program).is_file(), "{program}");
        }
        // Every file that starts a program uses its path there.
        let read = |path: &str| fs::read_to_string(system.join(path)).unwrap();
        assert!(read("etc/systemd/system/etcd.service").contains("\nExecStart=/opt/bin/etcd "));
        assert!(read("etc/kiln/guard.sh").contains("timeout 20 /opt/bin/etcd "));
        assert!(read("etc/profile.d/etcdctl.sh").contains("exec /opt/bin/etcdctl "));
        let mut search = Command::new("grep");
        let found = search.args(["-r", "usr/local", "etc"]).current_dir(&system).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&found.stdout), "");
        let manifest = fs::read_to_string(bundle.join("bundle.json")).unwrap();
        assert!(manifest.contains("\"opt/bin/etcdctl\"") && !manifest.contains("usr/local/bin"));
    }
}

/// The same with a layer for all nodes, and a cluster that forms with it.
#[test]
fn programs_in_a_directory_of_their_own_are_found() {
    let (work, bundle) = built("bin-dir = \"/opt/etcd/bin\"", "[bundle]\nbinaries = \"shared\"");
    let listed = run(Command::new("tar").arg("-tzf").arg(bundle.join("layers/etcd.tar.gz")));
    assert_eq!(listed, "opt/etcd/bin/etcd\nopt/etcd/bin/etcdctl\nopt/etcd/bin/etcdutl\n");
    run(&mut work.kiln(["rehearse", "out/ha3"]));
}

/// Another disk with the same label, a read-only directory, no disk: reported, and nothing is done by half.
#[test]
fn a_seed_is_unpacked_whole_and_only_the_right_one() {
    support::needs_root();
    let (work, bundle) = built("", "");
    let script = work.file("unpack-seed.sh", unpack_seed(&bundle));
    let place = work.path().join("place");
    fs::create_dir(&place).unwrap();
    let steps = "
        own=$bundle/nodes/cp-a/overlay.tar.gz other=$bundle/nodes/cp-b/overlay.tar.gz
        fresh; stopped 'there is no disk with the label CIDATA'
        seed $other; stopped 'no disk with the label CIDATA has the overlay.tar.gz that this node was built with (looked at: /dev/loop'
        # The programs' place is read-only: said before anything is written.
        seed $own
        mount --bind $root/usr $root/usr; mount -o remount,bind,ro $root/usr
        stopped '/usr/local/bin/ cannot be written, because /usr/local/bin is read-only; nothing is unpacked. .*bin-dir = \"/opt/bin\"'
        # With the right disk behind a wrong one, and before one.
        fresh; unpack
        [ $code = 0 ] || fail exit $code
        cmp $root/etc/etcd/pki/peer.pem <(tar -xOzf $own etc/etcd/pki/peer.pem)
        [ -x $root/usr/local/bin/etcd ] && [ -e $root/etc/kiln/unpacked ] || fail 'not unpacked'
        [ \"$(stat -c %a $root/etc/etcd/pki/peer-key.pem)\" = 600 ]
        grep -q ^etcd: $root/etc/passwd
        ! grep -q -e 'restart it' -e 'could not' $work/said
        detach; seed $own; seed $other
        # On a node whose member runs: it is not restarted here, and that is said. systemd says yes to everything.
        fresh
        printf '#!/bin/sh\necho \"$*\" >>/asked\n' >$root/usr/local/sbin/systemctl; chmod +x $root/usr/local/sbin/systemctl
        unpack; [ $code = 0 ] || fail exit $code
        grep -q 'kiln: cp-a has new files, but etcd still uses the old ones; restart it' $work/said || fail 'not said'
        ! grep restart $root/asked; grep -q 'start --no-block etcd.service' $root/asked
        umount -l $root
    ";
    on_a_node(steps, &bundle, &script, &place);
}

/// Runs these steps with the functions of `tests/guard/seed.sh`.
#[track_caller]
fn on_a_node(steps: &str, bundle: &Path, script: &Path, place: &Path) {
    let library = support::root().join("tests/guard/seed.sh");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "bash", "-c"]);
    command.arg(format!(". {}\n{steps}", library.display()));
    run(command.env("bundle", bundle).env("script", script).env("work", place));
}

/// systemd-tmpfiles fails as a whole because of one line (65, 73), for which etcd must not wait forever.
#[test]
fn an_owner_that_the_node_does_not_know_does_not_keep_etcd_from_starting() {
    support::needs_root();
    let file = "[[file]]\npath = \"/etc/site/x\"\ntext = \"x\"\nowner = \"nobody-knows\"";
    let (work, bundle) = built("", file);
    let script = work.file("unpack-seed.sh", unpack_seed(&bundle));
    let place = work.path().join("place");
    fs::create_dir(&place).unwrap();
    let steps = "
        fresh; seed $bundle/nodes/cp-a/overlay.tar.gz
        printf '#!/bin/sh\necho \"$*\" >>/asked\nexit 0\n' >$root/usr/local/sbin/systemctl; chmod +x $root/usr/local/sbin/systemctl
        unpack; [ $code = 0 ] || fail exit $code
        grep -q 'kiln: cp-a could not make every directory, or set every owner (systemd-tmpfiles, exit 65)' $work/said || fail 'not said'
        grep -q 'start --no-block etcd.service' $root/asked || fail 'not started'
        [ \"$(stat -c %U $root/etc/site/x)\" = root ]
        # The lines after it are done all the same.
        [ \"$(chroot $root stat -c %U /etc/etcd/pki/peer-key.pem)\" = etcd ] || fail 'the key is of another account'
        umount -l $root
    ";
    on_a_node(steps, &bundle, &script, &place);
}

#[test]
fn log_file_lost() {
    let options = "[etcd.config]\nlog-outputs = [\"/var/log/etcd/etcd.log\", \"stderr\"]";
    let (work, bundle) = built("", options);
    let tree = unpacked(&work, &bundle);
    let unit = fs::read_to_string(tree.join("etc/systemd/system/etcd.service")).unwrap();
    assert!(unit.contains("\nLogsDirectory=etcd\n"), "{unit}");
}

/// Data on a node may be the only copy of it, so no message there advises to remove anything.
#[test]
fn no_sentence_of_a_node_costs_data() {
    let carriers = ["unpack-seed.sh.hbs"].map(|name| {
        let text = fs::read_to_string(support::root().join("overlays/carrier").join(name)).unwrap();
        (name.to_owned(), text)
    });
    let own = kiln::render::EMBEDDED.iter().flat_map(|overlay| overlay.files.iter());
    let scripts: Vec<_> = own
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .chain(carriers)
        .filter(|(path, _)| path.contains(".sh"))
        .collect();
    assert!(scripts.len() >= 7);
    let bad = [
        "remove",
        "delete",
        "wipe",
        "erase",
        "overwrite",
        "purge",
        "discard",
        "reformat",
        "format",
        "clear",
        "destroy",
        "empty it",
        "empty this",
        "empty the",
    ];
    let mut sentences = 0;
    for (path, text) in scripts {
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            // Quoted text of several words is a message.
            for said in line.split('"').skip(1).step_by(2).filter(|said| said.split(' ').count() > 3) {
                sentences += 1;
                let words =
                    format!(" {} ", said.to_lowercase().replace(|c: char| !c.is_ascii_alphabetic(), " "));
                for verb in bad {
                    assert!(!words.contains(&format!(" {verb} ")), "{path} says {verb}: {said}");
                }
            }
        }
    }
    assert!(sentences > 25, "{sentences} sentences");
}

/// systemd's own verdict on each unit; and units that read etcd's directory run as etcd's account.
#[test]
fn systemd_accepts_every_unit_and_finds_little_exposed() {
    let (work, bundle) = built("", "");
    let tree = unpacked(&work, &bundle);
    let units = tree.join("usr/lib/systemd/system");
    fs::create_dir_all(&units).unwrap();
    let from = ["/usr/lib/systemd/system", "/lib/systemd/system"].map(Path::new);
    let from = from.iter().find(|path| path.is_dir()).expect("systemd's own units");
    run(Command::new("cp").arg("-a").arg(format!("{}/.", from.display())).arg(&units));
    // Programs of the base system.
    for program in ["bin/sh", "sbin/modprobe"] {
        fs::create_dir_all(tree.join(program).parent().unwrap()).unwrap();
        fs::copy("/bin/sh", tree.join(program)).unwrap();
    }
    // The unit that mounts for the whole system cannot have a mount namespace of its own.
    let most = [
        ("etcd", 2.0),
        ("kiln-guard", 2.0),
        ("kiln-formed", 2.5),
        ("kiln-prepare", 3.0),
        ("kiln-data-disk", 7.0),
    ];
    for (name, most) in most {
        let unit = format!("{name}.service");
        let mut verify = Command::new("systemd-analyze");
        verify.args(["verify", "--man=no", "--root"]).arg(&tree).arg(&unit);
        let output = verify.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{unit}: {said}");
        let mut security = Command::new("systemd-analyze");
        security.args(["security", "--offline=true", "--no-pager", "--root"]).arg(&tree).arg(&unit);
        let report = run(&mut security);
        let last = report.lines().last().unwrap();
        let score: f64 =
            last.split_whitespace().find_map(|word| word.parse().ok()).unwrap_or_else(|| panic!("{last}"));
        assert!(score <= most, "{last}");
        let text = fs::read_to_string(tree.join("etc/systemd/system").join(&unit)).unwrap();
        assert_eq!(text.contains("\nUser=etcd\n"), ["etcd", "kiln-guard"].contains(&name), "{unit}");
        for line in ["NoNewPrivileges=yes", "SystemCallFilter=@system-service"] {
            assert!(text.contains(line), "{unit}: {line}");
        }
        assert_eq!(text.contains("\nProtectSystem=strict\n"), name != "kiln-data-disk", "{unit}");
    }
}

/// Variables that a machine sets for all its services reach neither etcd nor the etcd that asks the peers.
#[test]
fn proxy_environment() {
    let (work, bundle) = built("config-style = \"env\"", "");
    let tree = unpacked(&work, &bundle);
    for unit in ["etcd.service", "kiln-guard.service"] {
        let text = fs::read_to_string(tree.join("etc/systemd/system").join(unit)).unwrap();
        let unset: Vec<_> = text
            .lines()
            .find_map(|line| line.strip_prefix("UnsetEnvironment="))
            .unwrap()
            .split(' ')
            .collect();
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
            assert!(unset.contains(&name) && unset.contains(&&*name.to_lowercase()), "{unit}: {name}");
        }
        // systemd removes these last, so Kiln must set none of them.
        let given = fs::read_to_string(tree.join("etc/etcd/etcd.env")).unwrap();
        assert!(given.contains("ETCD_NAME="));
        for name in unset {
            assert!(!given.contains(&format!("{name}=")), "{name}");
        }
    }
}
