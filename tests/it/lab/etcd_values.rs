//! Values of etcd's options: Kiln's verdict on each, and etcd's own behaviour at its start.
//!
//! Every value is written into a profile of one member. Where Kiln accepts it, the options of the member's plan are
//! given to a real etcd of that release, with certificates of their own, in a network namespace; where Kiln refuses
//! it, the same option is added to those of a plain member.

use crate::support;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kiln::etcd::{Release, keys};
use kiln::profile::{self, Profile, Source};
use kiln::values::{Arch, Token};
use serde_json::{Map, Value};

/// Long enough: etcd elects its leader within two seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Refused by both. A release that does not know an option is skipped.
const BAD: &[&str] = &[
    "listen-metrics-urls = '0.0.0.0:2381'",
    "listen-metrics-urls = 'http://{{address}}:2381'",
    "listen-metrics-urls = 'http://metrics:2381'",
    "listen-metrics-urls = 'http://127.0.0.1:2381/metrics'",
    "listen-metrics-urls = 'http://127.0.0.1'",
    "listen-metrics-urls = 'http://127.0.0.1:99999'",
    "listen-metrics-urls = 'http://127.0.0.1:2381,http://127.0.0.1:2381'",
    "listen-metrics-urls = 'http://127.0.0.1:2381,'",
    "listen-metrics-urls = 'http://127.0.0.1:2379'",
    "listen-metrics-urls = 'http://0.0.0.0:2380'",
    "listen-metrics-urls = 'http://10.77.0.99:2381'",
    "listen-metrics-urls = 'ftp://127.0.0.1:2381'",
    "listen-client-http-urls = 'https://127.0.0.1:2379'",
    "cors = 'x'",
    "cors = 'https://example.com'",
    "cors = '*,https://example.com:443'",
    "cipher-suites = ['TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384']",
    "cipher-suites = ['TLS_AES_128_GCM_SHA256']",
    "cipher-suites = ['ECDHE-ECDSA-AES128-GCM-SHA256']",
    "tls-min-version = 'TLS1.3'\ncipher-suites = ['TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256']",
    "tls-min-version = 'TLS1.3'\ntls-max-version = 'TLS1.2'",
    "tls-min-version = 'TLS1.1'",
    "auth-token = 'paseto'",
    "auth-token = 'jwt'",
    "auth-token = 'jwt,sign-method=HS256'",
    "auth-token = 'jwt,sign-method=none,priv-key=KEY'",
    "auth-token = 'jwt,sign-method=EdDSA,priv-key=KEY'",
    "auth-token = 'jwt,sign-method=RS256,priv-key=KEY,ttl=5'",
    "auth-token = 'jwt,sign-method=RS256,priv-key=KEY,sign-method=RS256'",
    "log-outputs = ['default', 'stderr']",
    "log-outputs = ['systemd/journal', 'stderr']",
    "log-outputs = ['']",
    "log-outputs = ['/etc/shadow/x']",
    "enable-log-rotation = true",
    "enable-log-rotation = true\nlog-outputs = ['stderr']",
    "enable-log-rotation = true\nlog-outputs = ['/var/lib/etcd/a', '/var/lib/etcd/b']",
    "enable-log-rotation = true\nlog-outputs = ['/var/lib/etcd/a']\nlog-rotation-config-json = '{maxsize: 1}'",
    "enable-log-rotation = true\nlog-outputs = ['/var/lib/etcd/a']\nlog-rotation-config-json = '{\"maxsize\": 1.5}'",
    "enable-log-rotation = true\nlog-outputs = ['/var/lib/etcd/a']\nlog-rotation-config-json = '{}'",
    "logger = 'log4j'",
    "log-level = 'loud'",
    "auto-compaction-mode = 'often'",
    "auto-compaction-retention = 'often'",
    "auto-compaction-retention = '99999999999999999999'",
    "auto-compaction-retention = '-5m'",
    "heartbeat-interval = 0",
    "heartbeat-interval = 100\nelection-timeout = 499",
    "election-timeout = 50001",
    "experimental-compact-hash-check-time = '0s'",
    "experimental-enable-lease-checkpoint-persist = true",
    "experimental-enable-distributed-tracing = true\nexperimental-distributed-tracing-sampling-rate = -1",
    "experimental-enable-distributed-tracing = true\nexperimental-distributed-tracing-sampling-rate = 1000001",
    "enable-v2 = true\nv2-deprecation = 'gone'",
    "[etcd.config.client-transport-security]\nallowed-cn = ['a']\nallowed-hostname = ['b']",
];

/// Accepted by both, each list as a whole.
const GOOD: &[&[&str]] = &[
    &[
        "listen-metrics-urls = 'http://0.0.0.0:2381, https://localhost:2382'",
        "cors = 'https://example.com:443'",
        "cipher-suites = ['TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256', 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305']",
        "auth-token = 'jwt,sign-method=PS256,priv-key=KEY,pub-key=PUB,ttl=1h30m'",
        "log-outputs = ['stdout']",
        "auto-compaction-retention = '5m'",
        "heartbeat-interval = 100",
        "election-timeout = 500",
        "metrics = 'extensive'",
        "quota-backend-bytes = 8589934592",
        "snapshot-count = 1",
        "bcrypt-cost = 4",
        "v2-deprecation = 'write-only'",
    ],
    &[
        "listen-metrics-urls = 'http://[::]:2381'",
        "listen-client-http-urls = 'https://10.77.0.11:2382'",
        "cors = '*'",
        "tls-min-version = 'TLS1.3'",
        "auth-token = 'jwt,sign-method=HS512,priv-key=KEY'",
        "logger = 'zap'",
        "log-outputs = ['/var/lib/etcd/etcd.log', 'stderr']",
        "enable-log-rotation = true",
        "log-rotation-config-json = '{\"maxSize\": 1, \"compress\": true}'",
        "log-level = 'debug'",
        "auto-compaction-retention = '8'",
        "experimental-enable-lease-checkpoint = true",
        "experimental-enable-lease-checkpoint-persist = true",
        "experimental-compact-hash-check-time = '1s'",
    ],
    &[
        "listen-metrics-urls = ''",
        "cors = ''",
        "cipher-suites = []",
        "tls-max-version = 'TLS1.2'",
        "auth-token = 'simple'",
        "log-outputs = ['default']",
        "auto-compaction-mode = 'revision'",
        "auto-compaction-retention = '1000'",
        "enable-v2 = true",
        "experimental-enable-distributed-tracing = true",
        "experimental-distributed-tracing-sampling-rate = 1000000",
    ],
];

struct Lab {
    directory: tempfile::TempDir,
    releases: Vec<(Release, PathBuf)>,
}

impl Lab {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let here = directory.path();
        let openssl = |arguments: &[&str]| {
            let mut command = Command::new("openssl");
            support::run(command.current_dir(here).args(arguments).stderr(Stdio::null()));
        };
        openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            "k.pem",
            "-out",
            "c.pem",
            "-days",
            "30",
            "-subj",
            "/CN=member",
            "-addext",
            "subjectAltName=IP:127.0.0.1,IP:10.77.0.11,DNS:localhost",
        ]);
        openssl(&["genrsa", "-out", "jwt.key", "2048"]);
        openssl(&["rsa", "-in", "jwt.key", "-pubout", "-out", "jwt.pub"]);
        let mut releases = Vec::new();
        for suite in ["bookworm", "trixie", "sid"] {
            let root = here.join(suite);
            for deb in support::debs(suite) {
                support::run(Command::new("dpkg-deb").arg("-x").args([&deb, &root]));
            }
            let etcd = root.join("usr/bin/etcd");
            let said = support::run(Command::new(&etcd).arg("--version"));
            let release = said.lines().next().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
            releases.push((release, etcd));
        }
        Self { directory, releases }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn written(&self, options: &str) -> String {
        options.replace("KEY", &self.path("jwt.key")).replace("PUB", &self.path("jwt.pub"))
    }

    /// Kiln's verdict on a profile with these options.
    fn kiln(&self, release: Release, options: &str) -> Result<Profile, String> {
        let text = format!(
            "schema = 1\n[cluster]\nname = 't'\n[network]\ncidr = '10.77.0.0/24'\n[[node]]\nname = 'a'\naddress = '10.77.0.11'\n\
             [etcd]\nversion = '{release}'\naccept-risk = ['{release}']\n[etcd.config]\n{}\n",
            self.written(options)
        );
        let source = Source::file(Path::new("t.toml"), text.into_bytes());
        let read = profile::read(&source, &[(release, Arch::Amd64)], kiln::carrier::all());
        read.map(|(profile, _)| profile).map_err(|mistakes| mistakes.render(false))
    }

    /// A member's config file: the plan's, with directories of this test. Options that Kiln refuses are added.
    fn config(&self, profile: &Profile, extra: &str, name: &str) -> PathBuf {
        let plan = kiln::plan::resolve(profile, &kiln::plan::Named::by(&Token::placeholder()));
        let mut document = Map::new();
        let put = |document: &mut Map<String, Value>, key: &str, value: Value| match key.split_once('.') {
            Some((table, key)) => {
                let table = document.entry(table).or_insert_with(|| Map::new().into());
                table.as_object_mut().unwrap().insert(key.to_owned(), value);
            }
            None => drop(document.insert(key.to_owned(), value)),
        };
        for setting in &plan.nodes[0].settings {
            put(&mut document, &setting.key, setting.value.to_json());
        }
        let extra: toml::Table = toml::from_str(&self.written(&extra.replace("etcd.config.", ""))).unwrap();
        for (key, value) in extra {
            match serde_json::to_value(value).unwrap() {
                Value::Object(table) => {
                    for (below, value) in table {
                        put(&mut document, &format!("{key}.{below}"), value);
                    }
                }
                Value::String(text)
                    if keys::lookup(profile.etcd.release, &key) == Some(keys::GoType::Duration) =>
                {
                    let nanos = kiln::etcd::parse_duration(&text).unwrap();
                    put(&mut document, &key, nanos.into());
                }
                value => put(&mut document, &key, value),
            }
        }
        for side in ["client", "peer"] {
            for (file, path) in [("cert-file", "c.pem"), ("key-file", "k.pem"), ("trusted-ca-file", "c.pem")]
            {
                put(&mut document, &format!("{side}-transport-security.{file}"), self.path(path).into());
            }
        }
        let data = self.path(&format!("{name}.etcd"));
        fs::create_dir(&data).unwrap();
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
        let text = Value::Object(document).to_string().replace("/var/lib/etcd", &data);
        let file = self.directory.path().join(format!("{name}.json"));
        fs::write(&file, text).unwrap();
        file
    }

    /// Whether etcd starts and serves, or else its last message.
    fn etcd(&self, program: &Path, config: &Path) -> Result<(), String> {
        let log = config.with_extension("log");
        let out = fs::File::create(&log).unwrap();
        let script =
            "ip link set lo up && ip address add 10.77.0.11/32 dev lo && exec \"$0\" --config-file \"$1\"";
        let mut member = Command::new("unshare")
            .args(["--map-root-user", "--net", "sh", "-c", script])
            .args([program, config])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        let begun = Instant::now();
        let said = || fs::read_to_string(&log).unwrap();
        let served = loop {
            if member.try_wait().unwrap().is_some() {
                break false;
            }
            if self.answers(program, member.id()) {
                break true;
            }
            assert!(begun.elapsed() < PATIENCE, "{}: {}", config.display(), said());
            std::thread::sleep(Duration::from_millis(20));
        };
        member.kill().unwrap();
        member.wait().unwrap();
        match served {
            true => Ok(()),
            false => Err(said().lines().rev().take(3).collect::<Vec<_>>().join("\n")),
        }
    }

    /// Whether a member answers a client: after a log line alone it may still be about to stop.
    fn answers(&self, program: &Path, member: u32) -> bool {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &member.to_string(), "--user", "--net"])
            .arg(program.with_file_name("etcdctl"));
        command.args([
            "--endpoints",
            "https://127.0.0.1:2379",
            "--dial-timeout",
            "2s",
            "--command-timeout",
            "2s",
            "get",
            "x",
        ]);
        command.args(["--cacert", "c.pem", "--cert", "c.pem", "--key", "k.pem"]).env("ETCDCTL_API", "3");
        command.current_dir(self.directory.path()).output().unwrap().status.success()
    }

    /// The number of compared values, and those on which Kiln and etcd disagree.
    fn compare(&self, release: Release, program: &Path) -> (usize, Vec<String>) {
        let (mut compared, mut different) = (0, Vec::new());
        let plain = self.kiln(release, "").unwrap();
        for (at, options) in BAD.iter().enumerate().filter(|(_, options)| self.knows(release, options)) {
            compared += 1;
            if self.kiln(release, options).is_ok() {
                different.push(format!("{release}: Kiln takes {options:?}"));
            }
            let config = self.config(&plain, options, &format!("{release}-bad-{at}"));
            if self.etcd(program, &config).is_ok() {
                different.push(format!("{release}: etcd starts with {options:?}"));
            }
        }
        for (at, options) in GOOD.iter().enumerate() {
            let options: Vec<&str> = options.iter().filter(|one| self.knows(release, one)).copied().collect();
            let options = options.join("\n");
            compared += 1;
            let profile = match self.kiln(release, &options) {
                Ok(profile) => profile,
                Err(why) => {
                    different.push(format!("{release}: Kiln refuses {options}\n{why}"));
                    continue;
                }
            };
            let config = self.config(&profile, "", &format!("{release}-good-{at}"));
            if let Err(why) = self.etcd(program, &config) {
                different.push(format!("{release}: etcd does not start with\n{options}\n{why}"));
            }
        }
        (compared, different)
    }

    fn knows(&self, release: Release, options: &str) -> bool {
        let table: toml::Table = toml::from_str(&options.replace("etcd.config.", "")).unwrap();
        table.iter().all(|(key, value)| match value {
            toml::Value::Table(below) => {
                below.keys().all(|below| keys::lookup(release, &format!("{key}.{below}")).is_some())
            }
            _ => keys::lookup(release, key).is_some(),
        })
    }
}

#[test]
fn option_values_are_judged_as_etcd_judges_them() {
    let lab = Lab::new();
    let found: Vec<(usize, Vec<String>)> = std::thread::scope(|scope| {
        let each =
            lab.releases.iter().map(|(release, program)| scope.spawn(|| lab.compare(*release, program)));
        each.collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let different: Vec<String> = found.iter().flat_map(|(_, different)| different.clone()).collect();
    assert!(different.is_empty(), "{}", different.join("\n"));
    let compared: usize = found.iter().map(|(count, _)| count).sum();
    assert!(compared > 100, "only {compared} values were compared");
}

/// With `--version` etcd parses all of its flags, exits with 2 for an unknown one, and starts nothing.
#[test]
fn flag_only_options_are_flags_of_the_release() {
    let lab = Lab::new();
    let table = include_str!("../../../builder/etcd/keys.txt");
    for (release, program) in &lab.releases {
        let mut count = 0;
        for key in
            table.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(' ').next().unwrap())
        {
            let Some(go_type) = keys::flag_only(*release, key) else { continue };
            let value = match go_type {
                keys::GoType::Duration => "7s",
                keys::GoType::Bool => "true",
                _ => "7",
            };
            support::run(Command::new(program).arg(format!("--{key}={value}")).arg("--version"));
            count += 1;
        }
        assert!(count >= 3, "etcd {release} has {count}");
    }
}
