//! Asks strangers: programs that other people wrote read what Kiln wrote. They are lax (an unknown key passes
//! most of them), so silence on stderr is asked for as well as exit code 0.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{self, Workshop, ha3_with, run};
use kiln::values::Arch;

fn ha3() -> (Workshop, PathBuf) {
    let work = Workshop::new();
    work.file("ha3.toml", ha3_with(&[("# [etcd] version = \"3.5.33\"", "[etcd]\nversion = \"3.5.16\" #")]));
    work.keystore("ha3");
    let bundle = work.build("./ha3.toml");
    (work, bundle)
}

fn unpack(archive: &Path, into: &Path) {
    fs::create_dir_all(into).unwrap();
    run(Command::new("tar").arg("-xpzf").arg(archive).arg("-C").arg(into));
}

/// Runs a checker that must succeed without a word of complaint.
#[track_caller]
fn silent(command: &mut Command) -> String {
    let output =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; run ci/setup --tests"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.trim().is_empty(), "{command:?}: {}\n{stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn sha256sum_agrees() {
    let (_work, bundle) = ha3();
    silent(
        Command::new("sha256sum").args(["--check", "--strict", "--quiet", "SHA256SUMS"]).current_dir(&bundle),
    );
    let listed = fs::read_to_string(bundle.join("SHA256SUMS")).unwrap().lines().count();
    let there = walkdir::WalkDir::new(&bundle)
        .into_iter()
        .filter(|e| e.as_ref().unwrap().file_type().is_file())
        .count();
    assert_eq!(listed + 1, there, "every file but SHA256SUMS itself");
}

#[test]
fn openssl_accepts_every_certificate_for_its_use() {
    for (ca, leaf) in [("p256", "p256"), ("p384", "p256"), ("p521", "p521"), ("ed25519", "ed25519")] {
        let work = Workshop::new();
        let pki =
            format!("[pki]\nca-algorithm = \"{ca}\"\nleaf-algorithm = \"{leaf}\"\n\n# Client certificates");
        let shared = format!("[bundle]\nbinaries = \"shared\"\ncarriers = [\"tar\"]\n\n{pki}");
        work.file("ha3.toml", ha3_with(&[("# Client certificates", &shared)]));
        // Today's dates, because openssl asks the clock.
        let bundle = work.build("./ha3.toml");
        let root = work.path().join("root");
        unpack(&bundle.join("nodes/cp-a/overlay.tar.gz"), &root);
        let pki = root.join("etc/etcd/pki");
        let verify = |purpose: &str, file: &Path| {
            let mut command = Command::new("openssl");
            command
                .args(["verify", "-x509_strict", "-purpose", purpose, "-CAfile"])
                .arg(pki.join("ca.pem"))
                .arg(file);
            silent(&mut command);
        };
        for name in ["server.pem", "peer.pem"] {
            verify("sslserver", &pki.join(name));
            verify("sslclient", &pki.join(name));
        }
        verify("sslclient", &pki.join("etcdctl.pem"));
        for name in ["etcdctl.pem", "kube-apiserver.pem"] {
            verify("sslclient", &bundle.join("client").join(name));
        }
        let text =
            run(Command::new("openssl").args(["x509", "-noout", "-text", "-in"]).arg(pki.join("server.pem")));
        let want =
            "DNS:cp-a, DNS:cp-a.kloud.lan, DNS:localhost, IP Address:10.240.16.10, IP Address:127.0.0.1";
        assert!(text.contains(want), "{text}");
        let hosts = ["cp-a", "cp-a.kloud.lan", "localhost"].map(|host| ["-verify_hostname", host]);
        for name in hosts.iter().chain(&[["-verify_ip", "10.240.16.10"], ["-verify_ip", "127.0.0.1"]]) {
            let mut command = Command::new("openssl");
            silent(
                command
                    .arg("verify")
                    .args(name)
                    .arg("-CAfile")
                    .arg(pki.join("ca.pem"))
                    .arg(pki.join("server.pem")),
            );
        }
    }
}

#[test]
fn gnu_tar_and_cpio_unpack_the_same_files() {
    let (work, bundle) = ha3();
    let (tar, cpio) = (work.path().join("tar"), work.path().join("cpio"));
    unpack(&bundle.join("nodes/cp-b/overlay.tar.gz"), &tar);
    fs::create_dir(&cpio).unwrap();
    let script = "gzip -dc \"$0\" | cpio --quiet -idm --no-absolute-filenames";
    silent(
        Command::new("sh")
            .args(["-c", script])
            .arg(bundle.join("nodes/cp-b/overlay.cpio.gz"))
            .current_dir(&cpio),
    );
    silent(Command::new("diff").arg("-r").arg("--no-dereference").arg(&tar).arg(&cpio));
    silent(Command::new("gzip").arg("-t").arg(bundle.join("nodes/cp-b/overlay.tar.gz")));

    let modes = |root: &Path| {
        run(Command::new("find").args([".", "-type", "f", "-printf", "%m %s %T@ %p\\n"]).current_dir(root))
    };
    let sorted = |text: String| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(modes(&tar)), sorted(modes(&cpio)));
    // The readable twin says the same as both.
    let listing = fs::read_to_string(bundle.join("nodes/cp-b/listing.txt")).unwrap();
    for line in sorted(modes(&tar)) {
        let parts: Vec<_> = line.split(' ').collect();
        let want = format!("{:0>4} root root {:>9} {}", parts[0], parts[1], &parts[3][2..]);
        assert!(listing.lines().any(|line| line == want), "{want} is not in\n{listing}");
    }
    // Kiln's own directories only: unpacked onto a live host, nothing else changes its mode.
    let directories: Vec<_> = listing.lines().filter(|line| line.ends_with('/')).collect();
    assert!(directories.iter().all(|line| line.contains(" etc/etcd")), "{directories:?}");
}

#[test]
fn isoinfo_and_blkid_read_the_seed() {
    let (work, bundle) = ha3();
    let iso = bundle.join("nodes/cp-a/seed.iso");
    let described = run(Command::new("isoinfo").args(["-d", "-i"]).arg(&iso));
    assert!(
        described.contains("Volume id: CIDATA")
            && described.contains("Rock Ridge signatures version 1 found"),
        "{described}"
    );
    assert!(described.contains("Joliet with UCS level 3 found"), "{described}");
    for tree in ["-R", "-J"] {
        let listed = run(Command::new("isoinfo").args(["-f", tree, "-i"]).arg(&iso));
        let mut names: Vec<_> = listed.lines().collect();
        names.sort_unstable();
        assert_eq!(names, ["/meta-data", "/network-config", "/overlay.tar.gz", "/user-data"], "{tree}");
    }
    let out = Command::new("isoinfo")
        .args(["-R", "-x", "/overlay.tar.gz", "-i"])
        .arg(&iso)
        .output()
        .unwrap()
        .stdout;
    assert!(
        out == fs::read(bundle.join("nodes/cp-a/overlay.tar.gz")).unwrap(),
        "the archive on the disc is the archive"
    );
    let label = run(Command::new("blkid").args(["-p", "-o", "value", "-s", "LABEL"]).arg(&iso));
    assert_eq!(label.trim(), "CIDATA");
    let extracted = work.path().join("iso");
    run(Command::new("xorriso")
        .args(["-osirrox", "on", "-indev"])
        .arg(&iso)
        .args(["-extract", "/"])
        .arg(&extracted));
    silent(Command::new("cmp").arg(extracted.join("user-data")).arg(bundle.join("nodes/cp-a/user-data")));
}

#[test]
fn cloud_init_ignition_and_libvirt_accept_their_files() {
    let (_work, bundle) = ha3();
    for node in ["cp-a", "cp-b", "cp-c"] {
        let node = bundle.join("nodes").join(node);
        let schema =
            run(Command::new("cloud-init").args(["schema", "--config-file"]).arg(node.join("user-data")));
        assert!(schema.contains("Valid"), "{schema}");
        silent(Command::new("ignition-validate").arg(node.join("config.ign")));
        run(Command::new("virt-xml-validate").arg(node.join("domain.xml")).arg("domain"));
        for file in ["user-data", "meta-data", "network-config"] {
            // "line-length" is a matter of taste, and so is where a document starts.
            let rules = "{extends: relaxed, rules: {line-length: disable, document-start: disable}}";
            silent(Command::new("yamllint").args(["--strict", "-d", rules]).arg(node.join(file)));
        }
    }
    run(Command::new("virt-xml-validate").arg(bundle.join("network.xml")).arg("network"));
}

const MAC: &str = "52:54:00:00:00:01";

/// A network with three nodes, the first of which has the card `MAC`; its bundle.
fn three_nodes(cidr: &str, gateway: &str, addresses: [&str; 3]) -> (Workshop, std::path::PathBuf) {
    let nodes: String = addresses
        .iter()
        .zip(1..)
        .map(|(address, at)| {
            format!("[[node]]\nname = \"n{at}\"\naddress = \"{address}\"\nmac = \"52:54:00:00:00:0{at}\"\n")
        })
        .collect();
    let work = Workshop::new();
    work.file(
        "t.toml",
        format!(
            "schema = 1\n[cluster]\nname = \"t\"\n[etcd]\nversion = \"3.5.16\"\n[network]\ncidr = \"{cidr}\"\n\
             gateway = \"{gateway}\"\n{nodes}"
        ),
    );
    work.keystore("t");
    let bundle = work.build("./t.toml");
    (work, bundle)
}

fn ipv4() -> (Workshop, std::path::PathBuf) {
    three_nodes("10.77.0.0/24", "10.77.0.1", ["10.77.0.11", "10.77.0.12", "10.77.0.13"])
}

fn ipv6() -> (Workshop, std::path::PathBuf) {
    three_nodes("fd77:1::/64", "fd77:1::1", ["fd77:1::11", "fd77:1::12", "fd77:1::13"])
}

/// What cloud-init makes of the first node's network-config for each family of distributions; `schema` says nothing about
/// that.
fn rendered(work: &Workshop, bundle: &std::path::Path) -> [(&'static str, String); 5] {
    [
        ("eni", "debian"),
        ("sysconfig", "rhel"),
        ("networkd", "debian"),
        ("network-manager", "rhel"),
        ("netplan", "debian"),
    ]
    .map(|(renderer, distribution)| {
        let made = work.path().join(renderer);
        run(Command::new("cloud-init")
            .args(["devel", "net-convert", "-k", "yaml", "-D", distribution, "-O", renderer, "-p"])
            .arg(bundle.join("nodes/n1/network-config"))
            .arg("-d")
            .arg(&made)
            .args(["-m", &format!("ens3,{MAC}")]));
        let text = walkdir::WalkDir::new(&made)
            .into_iter()
            .filter_map(Result::ok)
            .filter(|entry| entry.file_type().is_file())
            .map(|entry| fs::read_to_string(entry.path()).unwrap())
            .collect();
        (renderer, text)
    })
}

#[test]
fn cloud_init_default_route() {
    for ((work, bundle), address, gateway) in
        [(ipv4(), "10.77.0.11", "10.77.0.1"), (ipv6(), "fd77:1::11", "fd77:1::1")]
    {
        for (renderer, text) in rendered(&work, &bundle) {
            for wanted in [address, gateway] {
                assert!(text.contains(wanted), "{renderer} has no {wanted}:\n{text}");
            }
        }
    }
}

/// The device that a renderer names is the one that the card is made to be.
#[test]
fn cloud_init_no_set_name() {
    let (work, bundle) = ipv4();
    let config = fs::read_to_string(bundle.join("nodes/n1/network-config")).unwrap();
    assert!(config.contains(MAC) && config.contains("set-name: \"kiln0\""), "{config}");
    for (renderer, text) in rendered(&work, &bundle) {
        let named = match renderer {
            "eni" => "iface kiln0 inet static",
            "sysconfig" => "DEVICE=kiln0",
            "networkd" => "Name=kiln0",
            "netplan" => "set-name: kiln0",
            _ => MAC,
        };
        assert!(text.contains(named) || text.to_lowercase().contains(named), "{renderer}:\n{text}");
    }
}

#[test]
fn ipv6_router_advertisements() {
    let (work, bundle) = ipv6();
    let off = ["accept_ra 0", "IPV6_FORCE_ACCEPT_RA=no", "accept-ra: false", "method=manual"];
    for (renderer, text) in rendered(&work, &bundle) {
        // cloud-init's networkd renderer minds accept-ra from 24.1 on; until then Kiln's own file does.
        let is_off = renderer == "networkd" || off.iter().any(|off| text.contains(off));
        assert!(is_off, "{renderer} takes advertisements:\n{text}");
    }
    let mut tar = Command::new("tar");
    tar.arg("-xzOf").arg(bundle.join("nodes/n1/overlay.tar.gz")).arg("etc/systemd/network/05-kiln.network");
    assert!(run(&mut tar).contains("\nIPv6AcceptRA=no\n"));
    let ignition = fs::read_to_string(bundle.join("nodes/n1/config.ign")).unwrap();
    assert!(ignition.contains("IPv6AcceptRA%3Dno%0A"), "{ignition}");
}

/// The first node's domain.xml for a processor, as libvirt's schema takes it.
fn domain_xml(arch: Arch) -> String {
    let work = Workshop::new();
    let etcd = format!("[etcd]\nversion = \"3.5.16\"\narch = \"{arch}\" #");
    let text = ha3_with(&[("# [etcd] version = \"3.5.33\"", &etcd)]);
    let source = kiln::profile::Source::file("ha3.toml".as_ref(), text.into_bytes());
    let (profile, _) =
        kiln::profile::read(&source, &[(kiln::etcd::Release::new(3, 5, 16), arch)], kiln::carrier::all())
            .unwrap_or_else(|_| panic!("{arch}"));
    let plan = kiln::plan::resolve(&profile, &"ha3-00000000".parse().unwrap());
    let xml = kiln::carrier::libvirt::domain(&plan, &plan.nodes[0]).unwrap();
    run(Command::new("virt-xml-validate").arg(work.file("domain.xml", &xml)).arg("domain"));
    String::from_utf8(xml).unwrap()
}

/// QEMU's machine for it has no firmware of its own.
#[test]
fn domain_xml_arm64() {
    for arch in Arch::ALL {
        let xml = domain_xml(arch);
        assert_eq!(xml.contains("<os firmware=\"efi\">"), arch == Arch::Arm64, "{xml}");
    }
}

/// QEMU's machines for it and for s390x have no fw_cfg: there Ignition looks for a disk.
#[test]
fn domain_xml_ppc64le() {
    for arch in Arch::ALL {
        let (xml, has_fw_cfg) = (domain_xml(arch), matches!(arch, Arch::Amd64 | Arch::Arm64));
        assert_eq!(xml.contains("<sysinfo type=\"fwcfg\">"), has_fw_cfg, "{xml}");
        assert_eq!(xml.contains("<serial>ignition</serial>"), !has_fw_cfg, "{xml}");
    }
}

#[test]
fn domain_xml_cpu() {
    for arch in Arch::ALL {
        let xml = domain_xml(arch);
        assert!(xml.contains("<cpu mode=\"host-passthrough\"/>"), "{xml}");
    }
}

/// A public key that ssh-keygen makes, and the private one, as people find them on their disks.
fn ssh_keys(work: &Workshop, kind: &str, more: &[&str]) -> (String, String) {
    let file = work.path().join(format!("id_{kind}{}", more.join("")));
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", kind, "-N", "", "-C", "ops@desk of Ana"]).args(more).arg("-f").arg(&file);
    run(&mut command);
    (fs::read_to_string(file.with_extension("pub")).unwrap(), fs::read_to_string(file).unwrap())
}

#[test]
fn the_login_user_is_one_that_cloud_init_and_ignition_make() {
    let work = Workshop::new();
    let kinds = [("ed25519", &[][..]), ("rsa", &[]), ("ecdsa", &["-b", "384"]), ("ecdsa", &["-m", "PEM"])];
    let pairs = kinds.map(|(kind, more)| ssh_keys(&work, kind, more));
    let keys: Vec<_> = pairs.iter().map(|(public, _)| public.trim()).collect();
    let profile = |keys: &str| {
        let login = format!("[machine]\nlogin-user = \"ops\"\nssh-keys = {keys}\n\n# Client certificates");
        let etcd = ("# [etcd] version = \"3.5.33\"", "[etcd]\nversion = \"3.5.16\" #");
        ha3_with(&[etcd, ("# Client certificates", &login)])
    };
    work.file("ha3.toml", profile(&format!("{keys:?}")));
    work.keystore("ha3");
    let bundle = work.build("./ha3.toml");
    let node = bundle.join("nodes/cp-a");
    let schema =
        run(Command::new("cloud-init").args(["schema", "--config-file"]).arg(node.join("user-data")));
    assert!(schema.contains("Valid"), "{schema}");
    silent(Command::new("ignition-validate").arg(node.join("config.ign")));
    let python = "import sys,yaml,json; print(json.dumps(yaml.safe_load(open(sys.argv[1]))['users']))";
    let users = run(Command::new("python3").args(["-c", python]).arg(node.join("user-data")));
    let users: serde_json::Value = serde_json::from_str(&users).unwrap();
    let want = serde_json::json!([{
        "name": "ops", "lock_passwd": true, "shell": "/bin/bash", "sudo": "ALL=(ALL) NOPASSWD:ALL",
        "ssh_authorized_keys": keys,
    }]);
    assert_eq!(users, want);
    let config: serde_json::Value =
        serde_json::from_slice(&fs::read(node.join("config.ign")).unwrap()).unwrap();
    assert_eq!(config["passwd"]["users"][0]["name"], "ops");
    assert_eq!(config["passwd"]["users"][0]["sshAuthorizedKeys"], serde_json::json!(keys));
    let files = config["storage"]["files"].as_array().unwrap();
    let sudoers = files.iter().find(|file| file["path"] == "/etc/sudoers.d/90-kiln").unwrap();
    assert_eq!(sudoers["mode"], 0o440);

    // The wrong half of a pair, in each of the ways in which TOML can hold it, is shown nowhere.
    for (_, private) in &pairs {
        let body: Vec<_> = private.lines().filter(|line| !line.starts_with("-----")).collect();
        for text in
            [format!("{private:?}"), format!("[\"\"\"{private}\"\"\"]"), format!("[\"{}\"]", body.concat())]
        {
            work.file("wrong.toml", profile(&text));
            let mut command = work.kiln(["build", "--profile", "./wrong.toml", "--artifacts"]);
            let said = support::refused(command.arg(support::store()), 3);
            assert!(said.contains("only the public half belongs here"), "{said}");
            for line in &body {
                assert!(
                    line.as_bytes()
                        .chunks(12)
                        .all(|part| part.len() < 12 || !said.contains(std::str::from_utf8(part).unwrap())),
                    "{said}"
                );
            }
        }
    }
}

#[test]
fn a_login_without_a_carrier_that_makes_accounts_is_warned_of() {
    let work = Workshop::new();
    let (public, _) = ssh_keys(&work, "ed25519", &[]);
    for (carriers, warned) in [("\"tar\", \"initramfs\"", true), ("\"tar\", \"ignition\"", false)] {
        let more = format!(
            "[machine]\nlogin-user = \"ops\"\nssh-keys = {:?}\n\n[bundle]\nbinaries = \"shared\"\ncarriers = [{carriers}]\n\n\
             # Client certificates",
            public.trim()
        );
        work.file("ha3.toml", ha3_with(&[("# Client certificates", &more)]));
        let mut command = work.kiln(["check", "--profile", "./ha3.toml", "--artifacts"]);
        let output = command.arg(support::store()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        assert_eq!(said.contains("login-user has no effect: of the carriers, cloud-init"), warned, "{said}");
        let plan = run(work.kiln(["plan", "--profile", "./ha3.toml", "--artifacts"]).arg(support::store()));
        assert!(plan.contains("  login      ops, 1 key\n"), "{plan}");
    }
}

#[test]
fn the_script_on_the_seed_is_a_shell_script() {
    let (_work, bundle) = ha3();
    let config: serde_json::Value =
        serde_json::from_slice(&fs::read(bundle.join("nodes/cp-a/config.ign")).unwrap()).unwrap();
    let files = config["storage"]["files"].as_array().unwrap();
    let script = files.iter().find(|file| file["path"] == "/etc/kiln/unpack-seed.sh").unwrap();
    let url = script["contents"]["source"].as_str().unwrap();
    let python =
        "import sys,urllib.parse; sys.stdout.write(urllib.parse.unquote(sys.argv[1].split(',',1)[1]))";
    let text = run(Command::new("python3").args(["-c", python, url]));
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), &text).unwrap();
    silent(Command::new("shellcheck").args(["--shell=sh", "--exclude=SC2148"]).arg(file.path()));
    // The same text is what cloud-init runs.
    let python = "import sys,yaml; sys.stdout.write(yaml.safe_load(open(sys.argv[1]))['runcmd'][0][2])";
    let user_data = bundle.join("nodes/cp-a/user-data");
    assert_eq!(run(Command::new("python3").args(["-c", python]).arg(user_data)), text);
}

/// The highest exposure that systemd may see in the unit, 0 (best) to 10.
const EXPOSURE: f64 = 2.0;

#[test]
fn systemd_accepts_the_unit_and_finds_little_exposed() {
    let (work, bundle) = ha3();
    let tree = work.path().join("tree");
    unpack(&bundle.join("nodes/cp-a/overlay.tar.gz"), &tree);
    // The targets that the unit orders itself by come with systemd.
    let units = tree.join("usr/lib/systemd/system");
    fs::create_dir_all(&units).unwrap();
    let from = ["/usr/lib/systemd/system", "/lib/systemd/system"].map(Path::new);
    let from = from.iter().find(|path| path.is_dir()).expect("systemd's own units");
    run(Command::new("cp").arg("-a").arg(format!("{}/.", from.display())).arg(&units));
    silent(
        Command::new("systemd-analyze")
            .arg("verify")
            .arg("--root")
            .arg(&tree)
            .args(["--man=no", "etcd.service"]),
    );
    let report = run(Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", "--root"])
        .arg(&tree)
        .arg("etcd.service"));
    let last = report.lines().last().unwrap();
    let score: f64 =
        last.split_whitespace().find_map(|word| word.parse().ok()).unwrap_or_else(|| panic!("{last}"));
    assert!(score <= EXPOSURE, "{last}");
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

#[test]
fn yaml_readers_get_back_what_was_meant() {
    let (work, bundle) = ha3();
    let tree = work.path().join("tree");
    unpack(&bundle.join("nodes/cp-a/overlay.tar.gz"), &tree);
    let python = "import sys,yaml,json; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let json = run(Command::new("python3").args(["-c", python]).arg(tree.join("etc/etcd/etcd.conf")));
    let config: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(config["name"], "cp-a");
    assert_eq!(config["peer-transport-security"]["client-cert-auth"], true);
    assert_eq!(config["initial-cluster"].as_str().unwrap().split(',').count(), 3);
}

/// jsonschema's reader of the schema that editors get: it takes every good profile, and refuses what the schema can know.
#[test]
fn a_validator_of_json_schemas_agrees_about_profiles() {
    const SCRIPT: &str = "\
import json, sys, tomllib
from jsonschema import Draft202012Validator
schema = json.load(open(sys.argv[1]))
Draft202012Validator.check_schema(schema)
for path in sys.argv[2:]:
    good = Draft202012Validator(schema).is_valid(tomllib.load(open(path, 'rb')))
    print('good' if good else 'bad', path)
";
    let work = Workshop::new();
    let schema = work.file("schema.json", run(&mut work.kiln(["profile", "schema"])));
    let judged = |paths: &[PathBuf]| -> Vec<bool> {
        let said = silent(Command::new("python3").args(["-c", SCRIPT]).arg(&schema).args(paths));
        assert_eq!(said.lines().count(), paths.len(), "{said}");
        said.lines().map(|line| line.starts_with("good ")).collect()
    };
    let below = |directory: &str| -> Vec<PathBuf> {
        let top = support::root().join(directory);
        fs::read_dir(top).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let mut good = below("profiles");
    good.extend(below("tests/golden").into_iter().map(|case| case.join("profile.toml")));
    assert!(good.len() >= 7, "{good:?}");
    for (path, is_good) in good.iter().zip(judged(&good)) {
        assert!(is_good, "{}", path.display());
    }
    let bad = [
        "carriers-unknown",
        "choice-misspelt",
        "key-misspelt",
        "key-unknown",
        "key-unknown-table",
        "machine-disk-too-small",
        "missing-name-and-address",
        "missing-network",
        "schema-other",
        "schema-text",
        "type-list-item",
        "type-node-single-brackets",
        "type-number-for-text",
        "type-text-for-number",
    ];
    let bad = bad.map(|case| support::root().join("tests/reject").join(case).join("profile.toml"));
    for (path, is_good) in bad.iter().zip(judged(&bad)) {
        assert!(!is_good, "{}", path.display());
    }
}
