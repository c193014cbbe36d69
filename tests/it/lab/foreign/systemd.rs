//! The unit and the account of etcd: systemd-analyze, systemd-sysusers and systemd-tmpfiles.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{ha3, silent, unpack};
use crate::support::{self, Workshop, ha3_with, run};

/// The highest exposure level of the unit that is allowed, as systemd rates it, 0 (best) to 10.
const EXPOSURE: f64 = 2.0;

#[test]
fn systemd_accepts_the_unit_and_finds_little_exposed() {
    let (work, bundle) = ha3();
    let tree = work.path().join("tree");
    unpack(&bundle.join("nodes/cp-a/overlay.tar.gz"), &tree);
    // The targets in the ordering of the unit come with systemd.
    add_systems_own_units(&tree);
    silent(&mut verify(&tree));
    let report = run(Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", "--root"])
        .arg(&tree)
        .arg("etcd.service"));
    let last = report.lines().last().unwrap();
    let score: f64 =
        last.split_whitespace().find_map(|word| word.parse().ok()).unwrap_or_else(|| panic!("{last}"));
    assert!(score <= EXPOSURE, "{last}");
}

fn add_systems_own_units(tree: &Path) {
    let units = tree.join("usr/lib/systemd/system");
    fs::create_dir_all(&units).unwrap();
    let from = ["/usr/lib/systemd/system", "/lib/systemd/system"].map(Path::new);
    let from = from.iter().find(|path| path.is_dir()).expect("systemd's own units");
    run(Command::new("cp").arg("-a").arg(format!("{}/.", from.display())).arg(&units));
}

fn verify(tree: &Path) -> Command {
    let mut command = Command::new("systemd-analyze");
    command.arg("verify").arg("--root").arg(tree).args(["--man=no", "etcd.service"]);
    command
}

/// Lines of `[Service]` at the edges of what Kiln accepts.
const ACCEPTED: [(&str, &str); 30] = [
    ("AllowedCPUs", "0-3,5"),
    ("AllowedMemoryNodes", "0"),
    ("CPUAffinity", "0 1-2"),
    ("CPUQuota", "12.5%"),
    ("CPUQuotaPeriodSec", "100ms"),
    ("CPUSchedulingPolicy", "batch"),
    ("CPUWeight", "10000"),
    ("CoredumpFilter", "default private-dax 0x33"),
    ("IODeviceWeight", "/dev/vda 10000"),
    ("IOReadBandwidthMax", "/dev/vda 5M"),
    ("IOSchedulingClass", "best-effort"),
    ("IOSchedulingPriority", "7"),
    ("IPAddressAllow", "any"),
    ("LimitCORE", "1K:1M"),
    ("LimitMEMLOCK", "1.5G"),
    ("LimitNICE", "-20"),
    ("LimitNPROC", "2000:4000"),
    ("LimitRTPRIO", "99"),
    ("LimitSIGPENDING", "infinity"),
    ("LogLevelMax", "debug"),
    ("LogRateLimitIntervalSec", "1min 30s"),
    ("MemoryHigh", "99.5%"),
    ("MemoryMax", "1.5G"),
    ("Nice", "-20"),
    ("OOMPolicy", "continue"),
    ("Slice", "etcd-a.slice"),
    ("SocketBindAllow", "ipv4:tcp:2379-2380"),
    ("SyslogFacility", "local7"),
    ("SyslogIdentifier", "%n-100%%"),
    ("TasksMax", "50%"),
];

/// And lines that it refuses because systemd drops them.
const DROPPED: [(&str, &str); 20] = [
    ("AllowedCPUs", "a"),
    ("CPUAffinity", "a"),
    ("CPUQuota", "12.345%"),
    ("CPUWeight", "0"),
    ("IODeviceWeight", "/dev/vda 0"),
    ("IOReadIOPSMax", "/dev/vda 0"),
    ("IPAddressDeny", "10.0.0.0/33"),
    ("LimitCORE", "2:1"),
    ("LimitMEMLOCK", "2G:1G"),
    ("LimitNICE", "99"),
    ("LimitNPROC", "4K"),
    ("LogLevelMax", "verbose"),
    ("MemoryMax", "1 GB"),
    ("Nice", "-21"),
    ("OOMPolicy", "never"),
    ("Slice", "x"),
    ("SyslogFacility", "local9"),
    ("SyslogIdentifier", "%z"),
    ("TasksMax", "4K"),
    ("TimeoutStopSec", "soon"),
];

/// systemd has the last word about its own values.
#[test]
fn systemd_reads_the_values_that_a_profile_may_have_and_no_others() {
    let work = Workshop::new();
    work.keystore("ha3");
    let lines: String = ACCEPTED.iter().map(|(key, value)| format!("{key} = \"{value}\"\n")).collect();
    let change = [
        ("# [etcd] version = \"3.5.33\"", "[etcd]\nversion = \"3.5.16\" #"),
        ("# Client certificates", &format!("[etcd.service.service]\n{lines}# Client certificates")),
    ];
    work.file("ha3.toml", ha3_with(&change));
    let bundle = work.build("./ha3.toml");
    let tree = work.path().join("tree");
    unpack(&bundle.join("nodes/cp-a/overlay.tar.gz"), &tree);
    add_systems_own_units(&tree);
    silent(&mut verify(&tree));

    let path = tree.join("etc/systemd/system/etcd.service");
    let unit = fs::read_to_string(&path).unwrap();
    for (key, value) in DROPPED {
        let line = format!("\n{key}={value}\n\n[Install]\n");
        fs::write(&path, unit.replacen("\n[Install]\n", &line, 1)).unwrap();
        let said = support::output(&mut verify(&tree)).2;
        assert!(said.contains("etcd.service:"), "{key}={value}: {said}");
        let profile = ha3_with(&[
            change[0],
            ("# Client certificates", &format!("[etcd.service.service]\n{key} = \"{value}\"\n# Client")),
        ]);
        work.file("bad.toml", profile);
        let said = support::refused(&mut work.kiln(["check", "--profile", "bad.toml"]), 3);
        assert!(said.contains(&format!("{key} cannot be")), "{said}");
    }
}

#[test]
fn sysusers_and_tmpfiles_make_the_account_and_the_owners() {
    let (work, bundle) = ha3();
    let tree = work.path().join("tree");
    unpack(&bundle.join("nodes/cp-a/overlay.tar.gz"), &tree);
    let script = "systemd-sysusers --root=\"$0\" >/dev/null 2>&1 && systemd-tmpfiles --root=\"$0\" --create && \
                  stat -c '%a %U %n' var/lib/etcd etc/etcd/pki/*-key.pem && cat etc/passwd";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(&tree).current_dir(&tree);
    support::needs_root();
    let printed = run(&mut command);
    let passwd =
        printed.lines().find(|line| line.starts_with("etcd:")).unwrap_or_else(|| panic!("{printed}"));
    assert!(passwd.ends_with(":/var/lib/etcd:/usr/sbin/nologin"), "{passwd}");
    let uid = passwd.split(':').nth(2).unwrap();
    let owners = run(Command::new("stat")
        .args(["-c", "%a %u %n", "var/lib/etcd", "etc/etcd/pki/peer-key.pem", "etc/etcd/pki/etcdctl-key.pem"])
        .current_dir(&tree));
    let want = format!(
        "700 {uid} var/lib/etcd\n600 {uid} etc/etcd/pki/peer-key.pem\n600 0 etc/etcd/pki/etcdctl-key.pem\n"
    );
    assert_eq!(owners, want);
}

/// A directory of an account, what is in it, and a directory of a group: at the first boot and at the next one.
#[test]
fn tmpfiles_sets_the_owner_of_a_directory_and_of_what_is_in_it() {
    support::needs_root();
    let work = Workshop::new();
    let files = "
        [[file]]\npath = '/srv/app'\ndirectory = true\nowner = 'etcd'
        [[file]]\npath = '/srv/app/conf/x'\ntext = 'x'\nowner = 'etcd'\ngroup = 'root'
        [[file]]\npath = '/srv/app/y'\ntext = 'x'\nowner = 'etcd'\nmode = '0600'
        [[file]]\npath = '/srv/app/link'\nlink = 'y'
        [[file]]\npath = '/srv/group'\ndirectory = true\ngroup = 'etcd'\nowner = 'root'
        [[file]]\npath = '/srv/group/z'\ntext = 'x'\nowner = 'etcd'
        [[file]]\npath = '/srv/shut'\ndirectory = true\nowner = 'etcd'
        [[file]]\npath = '/srv/shut/of-root'\ntext = 'x'\n\n# Client certificates";
    let change = [
        ("# [etcd] version = \"3.5.33\"", "[etcd]\nversion = \"3.5.16\" #"),
        ("# Client certificates", files),
    ];
    work.file("ha3.toml", ha3_with(&change));
    work.keystore("ha3");
    let bundle = work.build("./ha3.toml");
    let tree = work.path().join("tree");
    unpack(&bundle.join("nodes/cp-a/overlay.tar.gz"), &tree);
    run(Command::new("systemd-sysusers").arg("--root").arg(&tree));
    let passwd = fs::read_to_string(tree.join("etc/passwd")).unwrap();
    let etcd =
        passwd.lines().find(|line| line.starts_with("etcd:")).unwrap().split(':').nth(2).unwrap().to_owned();
    for _ in 0..2 {
        silent(Command::new("systemd-tmpfiles").arg("--root").arg(&tree).arg("--create"));
        let paths = ["app", "app/conf", "app/conf/x", "app/y", "group", "group/z", "shut", "shut/of-root"];
        let printed =
            run(Command::new("stat").args(["-c", "%a %u %g %n"]).args(paths).current_dir(tree.join("srv")));
        let want = "755 E E app\n755 E E app/conf\n644 E 0 app/conf/x\n600 E E app/y\n755 0 E group\n\
                    644 E E group/z\n755 E E shut\n644 0 0 shut/of-root\n";
        assert_eq!(printed, want.replace('E', &etcd));
    }
}
