//! Compares the facts in `builder/etcd` with real etcd binaries on loopback.
//!
//! The packages are those that `ci/setup` downloads to `$KILN_LAB/debs` (by default target/lab/debs).

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use kiln::etcd::keys::{self, GoType};
use kiln::etcd::{PeerNames, Release, Value, ids};

/// An unpacked release and the directory of its programs.
struct Etcd {
    release: Release,
    programs: PathBuf,
}

/// Every release of the lab, unpacked below `place`.
fn releases(place: &Path) -> Vec<Etcd> {
    let lab = std::env::var_os("KILN_LAB")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/lab"), PathBuf::from);
    let mut found = Vec::new();
    for entry in fs::read_dir(lab.join("debs")).expect("run ci/setup first") {
        let deb = entry.unwrap().path();
        let name = deb.file_name().unwrap().to_str().unwrap().to_owned();
        let Some(version) = name.strip_prefix("etcd-server_") else { continue };
        let release: Release = version.split('-').next().unwrap().parse().unwrap();
        let root = place.join(release.to_string());
        let client = deb.with_file_name(name.replace("etcd-server", "etcd-client"));
        for package in [&deb, &client] {
            let unpacked = Command::new("dpkg-deb").arg("-x").args([package, &root]).status().unwrap();
            assert!(unpacked.success(), "{}", package.display());
        }
        found.push(Etcd { release, programs: root.join("usr/bin") });
    }
    assert!(found.len() >= 2, "run ci/setup first");
    found
}

impl Etcd {
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.env_clear().env("ETCDCTL_API", "3");
        command
    }
}

/// Every key that this release knows, nested ones included.
fn known_keys(release: Release) -> Vec<(String, GoType)> {
    let table = include_str!("../../../builder/etcd/keys.txt");
    let names =
        table.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(' ').next().unwrap());
    let mut keys: Vec<(String, GoType)> = names
        .flat_map(|name| match name.strip_prefix('*') {
            Some(rest) => vec![format!("client{rest}"), format!("peer{rest}")],
            None => vec![name.to_owned()],
        })
        .filter_map(|name| keys::lookup(release, &name).map(|go_type| (name, go_type)))
        .collect();
    keys.sort_by(|a, b| a.0.cmp(&b.0));
    keys.dedup();
    keys
}

impl Etcd {
    /// A value of each type that etcd accepts while it parses its options.
    fn sample(key: &str, go_type: GoType) -> Value {
        match go_type {
            GoType::Bool => Value::Bool(key != "force-new-cluster"),
            GoType::Int { .. } => Value::Int(7),
            GoType::Duration => Value::Duration { nanos: 90_000_000_000 },
            GoType::Strings if key == "cipher-suites" => {
                Value::List(vec!["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256".into()])
            }
            GoType::Strings => Value::List(vec!["stderr".into()]),
            GoType::Text if key.ends_with("-urls") => Value::Text("http://127.0.0.1:1".into()),
            GoType::Text if key == "cors" => Value::Text("*".into()),
            GoType::Text if key == "initial-cluster-state" => Value::Text("new".into()),
            GoType::Text if key == "v2-deprecation" => Value::Text("gone".into()),
            GoType::Text if key == "log-rotation-config-json" => Value::Text("{}".into()),
            GoType::Text => Value::Text("x".into()),
            GoType::Struct => Value::Text(String::new()),
        }
    }
}

/// With `--version` etcd parses all of its flags, exits with 2 for an unknown one, and starts nothing.
#[test]
fn every_key_has_the_flag_that_kiln_says() {
    let place = tempfile::tempdir().unwrap();
    for etcd in releases(place.path()) {
        let mut flags = Vec::new();
        for (key, go_type) in known_keys(etcd.release) {
            match keys::flag_name(&key) {
                Some(flag) => flags.push(format!("--{flag}={}", Etcd::sample(&key, go_type).to_flag())),
                None => {
                    assert!(
                        key.starts_with("client-transport-security.") || key == "discovery-config",
                        "{key}"
                    );
                }
            }
        }
        assert!(flags.len() > 60, "etcd {} has {} flags", etcd.release, flags.len());
        let output = etcd.command("etcd").args(&flags).arg("--version").output().unwrap();
        assert!(output.status.success(), "etcd {}: {}", etcd.release, text(&output));
        assert!(text(&output).contains(&format!("etcd Version: {}", etcd.release)));
        let unknown = etcd.command("etcd").args(["--wibble=1", "--version"]).output().unwrap();
        assert_eq!(unknown.status.code(), Some(2), "the check above would notice");
    }
}

/// etcd decodes the whole file before it checks the timing, so its complaint about an election timeout of 1 ms shows
/// that every other value had the right type.
#[test]
fn every_key_takes_the_type_that_kiln_says() {
    let place = tempfile::tempdir().unwrap();
    for etcd in releases(place.path()) {
        let good = |key: &str, go_type| match key {
            "election-timeout" => Value::Int(1),
            // These would be used, or resolved, before the timing is checked.
            "discovery"
            | "discovery-srv"
            | "discovery-srv-name"
            | "discovery-proxy"
            | "listen-metrics-urls" => Value::Text(String::new()),
            "logger" => Value::Text("zap".into()),
            "log-level" => Value::Text("info".into()),
            "log-format" => Value::Text("json".into()),
            "feature-gates" => Value::Text("InitialCorruptCheck=true".into()),
            // Only one of two names of a setting may be present.
            "log-output" => Value::List(Vec::new()),
            "enable-log-rotation" | "debug" => Value::Bool(false),
            "log-package-levels" => Value::Text(String::new()),
            _ => Etcd::sample(key, go_type),
        };
        let known: Vec<_> =
            known_keys(etcd.release).into_iter().filter(|(_, kind)| *kind != GoType::Struct).collect();
        let reason =
            refusal(&etcd, place.path(), known.iter().map(|(key, kind)| (key.as_str(), good(key, *kind))));
        assert!(reason.contains("should be at least as 5 times"), "etcd {}: {reason}", etcd.release);
        // A value of another type must be noticed, key by key, which shows that etcd reads each name.
        for (key, go_type) in &known {
            let other = match go_type {
                GoType::Bool | GoType::Strings | GoType::Duration => Value::Text("x".into()),
                GoType::Int { .. } => Value::Text("7".into()),
                GoType::Text | GoType::Struct => Value::Int(7),
            };
            let reason = refusal(&etcd, place.path(), [(key.as_str(), other)].into_iter());
            assert!(
                reason.contains("unmarshal"),
                "etcd {} takes {key} as another type: {reason}",
                etcd.release
            );
        }
    }
}

/// The reason why etcd does not start with this config file.
fn refusal<'k>(etcd: &Etcd, place: &Path, values: impl Iterator<Item = (&'k str, Value)>) -> String {
    let path = place.join("etcd.conf");
    fs::write(&path, config(values)).unwrap();
    let output = etcd.command("etcd").current_dir(place).arg("--config-file").arg(&path).output().unwrap();
    assert!(!output.status.success());
    text(&output)
}

/// A config file in JSON, which is YAML.
fn config<'k>(values: impl Iterator<Item = (&'k str, Value)>) -> String {
    let mut file = serde_json::Map::new();
    for (key, value) in values {
        match key.split_once('.') {
            Some((table, name)) => {
                file.entry(table).or_insert_with(|| serde_json::json!({}))[name] = value.to_json();
            }
            None => {
                file.insert(key.into(), value.to_json());
            }
        }
    }
    serde_json::to_string(&file).unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A running program that is killed at the end of the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn wait_for(what: &str, mut ready: impl FnMut() -> bool) {
    let start = Instant::now();
    while !ready() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The IDs before the start and after it, with a member ID that begins with a zero, which etcdctl drops.
#[test]
fn the_ids_are_those_of_a_running_member() {
    let place = tempfile::tempdir().unwrap();
    for etcd in releases(place.path()) {
        let (peer, client) = (free_port(), free_port());
        let (peer, client) = (format!("http://127.0.0.1:{peer}"), format!("http://127.0.0.1:{client}"));
        let short = |token: &String| ids::member_id(&[&peer], token).0 < 1 << 60;
        let token = (0..).map(|n| format!("token-{n}")).find(short).unwrap();
        let values = [
            ("name", "a"),
            ("data-dir", "data"),
            ("listen-peer-urls", &peer),
            ("initial-advertise-peer-urls", &peer),
            ("initial-cluster", &format!("a={peer}")),
            ("initial-cluster-token", &token),
            ("listen-client-urls", &client),
            ("advertise-client-urls", &client),
        ];
        let directory = place.path().join(etcd.release.to_string());
        let values = values.into_iter().map(|(key, value)| (key, Value::Text(value.to_owned())));
        fs::write(directory.join("etcd.conf"), config(values)).unwrap();
        let _running = Running(
            etcd.command("etcd")
                .current_dir(&directory)
                .args(["--config-file", "etcd.conf"])
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        );
        let mut list = String::new();
        wait_for("the member does not answer", || {
            let endpoints = format!("--endpoints={client}");
            let output = etcd.command("etcdctl").args([&endpoints, "member", "list"]).output().unwrap();
            list = text(&output);
            output.status.success()
        });
        let member = ids::member_id(&[&peer], &token);
        assert!(list.starts_with(&format!("{member}, started, a,")), "etcd {}: {list}", etcd.release);
        let endpoints = format!("--endpoints={client}");
        let status =
            etcd.command("etcdctl").args([&endpoints, "endpoint", "status", "-w", "json"]).output().unwrap();
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
        let header = &status[0]["Status"]["header"];
        assert_eq!(header["cluster_id"].as_u64(), Some(ids::cluster_id(&[member]).0), "{status}");
        assert_eq!(header["member_id"].as_u64(), Some(member.0), "{status}");
    }
}

fn openssl(place: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").current_dir(place).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
}

/// A CA, and a certificate for each of two common names.
fn certificates(place: &Path) {
    fs::write(place.join("ext"), "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n")
        .unwrap();
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let ca = ["req", "-x509", "-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.pem"];
    openssl(place, &[&ca[..], &key].concat());
    for name in ["etcd-peer", "etcdctl"] {
        let (subject, key_file, request) =
            (format!("/CN={name}"), format!("{name}.key"), format!("{name}.csr"));
        let leaf = ["req", "-subj", &subject, "-keyout", &key_file, "-out", &request];
        openssl(place, &[&leaf[..], &key].concat());
        let certificate = format!("{name}.pem");
        let sign =
            ["x509", "-req", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "ext"];
        openssl(place, &[&sign[..], &["-in", &request, "-out", &certificate]].concat());
    }
}

/// `Release::peer_names` in the config file: the peer port accepts the members' name and no other; a release that
/// has it only as a flag accepts any.
#[test]
fn the_peer_port_is_for_peers() {
    let place = tempfile::tempdir().unwrap();
    certificates(place.path());
    for etcd in releases(place.path()) {
        let peer = free_port();
        let (url, client) =
            (format!("https://127.0.0.1:{peer}"), format!("http://127.0.0.1:{}", free_port()));
        let allowed = etcd.release.peer_names();
        let mut values = vec![
            ("name", Value::Text("a".into())),
            ("data-dir", Value::Text(format!("peers-{}", etcd.release))),
            ("listen-peer-urls", Value::Text(url.clone())),
            ("initial-advertise-peer-urls", Value::Text(url.clone())),
            ("initial-cluster", Value::Text(format!("a={url}"))),
            ("listen-client-urls", Value::Text(client.clone())),
            ("advertise-client-urls", Value::Text(client)),
            ("peer-transport-security.cert-file", Value::Text("etcd-peer.pem".into())),
            ("peer-transport-security.key-file", Value::Text("etcd-peer.key".into())),
            ("peer-transport-security.trusted-ca-file", Value::Text("ca.pem".into())),
            ("peer-transport-security.client-cert-auth", Value::Bool(true)),
        ];
        values.push(("peer-transport-security.allowed-cn", allowed.value(&["etcd-peer"]).unwrap()));
        fs::write(place.path().join("etcd.conf"), config(values.into_iter())).unwrap();
        let _running = Running(
            etcd.command("etcd")
                .current_dir(place.path())
                .args(["--config-file", "etcd.conf"])
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        );
        wait_for("the peer port does not open", || TcpStream::connect(("127.0.0.1", peer)).is_ok());
        wait_for("a peer is not let in", || is_answered(place.path(), peer, "etcd-peer"));
        let client_passes = is_answered(place.path(), peer, "etcdctl");
        assert_eq!(client_passes, allowed == PeerNames::FlagOnly, "etcd {}", etcd.release);
    }
}

/// Whether the peer port answers an HTTP request over a connection with this certificate.
fn is_answered(place: &Path, port: u16, name: &str) -> bool {
    let mut client = Command::new("openssl")
        .current_dir(place)
        .args(["s_client", "-quiet", "-CAfile", "ca.pem", "-connect", &format!("127.0.0.1:{port}")])
        .args(["-cert", &format!("{name}.pem"), "-key", &format!("{name}.key")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = client.stdin.take().unwrap();
    // A refused connection is closed while the request is being written.
    let _ = stdin.write_all(b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    let _ = client.stdout.take().unwrap().read_to_string(&mut answer);
    drop(stdin);
    let _ = client.wait();
    answer.starts_with("HTTP/1.1 200")
}
