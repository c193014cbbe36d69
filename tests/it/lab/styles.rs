//! The three styles of configuration give a member the same options, as etcd itself says when it starts.

use std::fs;

use serde_json::Value;

use crate::support::{Workshop, run, store};
use crate::verify::running::Running;

const PROFILE: &str = r#"schema = 1
[cluster]
name = "styles"
[network]
cidr = "10.240.0.0/16"
[[node]]
name = "cp-a"
address = "10.240.16.10"
[etcd]
version = "3.5.16"
metrics-port = 2383
wal-dir = "/var/lib/etcd-wal/wal"
config-style = "STYLE"
[etcd.config]
heartbeat-interval = 250
election-timeout = 2500
snapshot-count = 5000
quota-backend-bytes = 4294967296
max-request-bytes = 2097152
auto-compaction-mode = "periodic"
auto-compaction-retention = "8h"
experimental-initial-corrupt-check = false
experimental-compact-hash-check-enabled = true
experimental-compact-hash-check-time = "2m"
pre-vote = true
log-level = "debug"
cors = "https://kloud.lan:443"
host-whitelist = "10.240.16.10,localhost"
tls-min-version = "TLS1.2"
cipher-suites = ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"]
"#;

/// The fields of the line in which etcd lists its options (`startEtcd` in server/embed/etcd.go), without its time and
/// its place in the source.
fn started(running: &Running) -> Value {
    let log = fs::read_to_string(running.log("cp-a")).unwrap();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut line = lines
        .into_iter()
        .find(|line| line["msg"] == "starting an etcd server")
        .unwrap_or_else(|| panic!("{log}"));
    let fields = line.as_object_mut().unwrap();
    for name in ["ts", "caller", "level"] {
        fields.remove(name);
    }
    line
}

#[test]
fn the_styles_of_configuration_give_a_member_the_same_options() {
    let work = Workshop::new();
    let started = ["file", "flags", "env"].map(|style| {
        work.file("styles.toml", PROFILE.replace("STYLE", style));
        let mut build = work.kiln(["build", "--profile", "./styles.toml", "--artifacts"]);
        run(build.arg(store()));
        let bundle = work.path().join("out/styles");
        let running = Running::new(&bundle);
        let options = started(&running);
        drop(running);
        fs::rename(bundle, work.path().join(style)).unwrap();
        options
    });
    // So that it cannot be empty.
    assert_eq!(started[0]["heartbeat-interval"], "250ms");
    assert_eq!(started[0]["election-timeout"], "2.5s");
    assert_eq!(started[0]["snapshot-count"], 5000);
    assert_eq!(started[0]["quota-backend-bytes"], 4_294_967_296_u64);
    assert!(started[0].to_string().contains("/var/lib/etcd-wal/wal"), "{}", started[0]);
    assert!(started[0].as_object().unwrap().len() > 25, "{}", started[0]);
    assert_eq!(started[0], started[1], "file and flags");
    assert_eq!(started[0], started[2], "file and env");
}

/// In double quotes, systemd takes single ones as they are.
#[test]
fn a_common_name_with_quotes_reaches_etcd_in_each_style() {
    let _turn = crate::support::turn::cluster();
    let work = Workshop::new();
    let name = r#"it's "50%" of $HOME; a\b"#;
    for style in ["file", "flags", "env"] {
        let text = format!(
            "schema = 1\n[cluster]\nname = \"quotes\"\n[etcd]\nversion = \"3.5.16\"\naccept-risk = \"3.5.16\"\n\
             config-style = \"{style}\"\n[network]\ncidr = \"10.240.0.0/16\"\n[[node]]\nname = \"cp-a\"\n\
             address = \"10.240.16.10\"\n[pki.peer]\ncommon-name = '''{name}'''\n"
        );
        work.file("quotes.toml", text);
        let bundle = work.build("./quotes.toml");
        let report = run(work.kiln(["rehearse", "--quiet", "--json", "--allow-unverified"]).arg(&bundle));
        let report: Value = serde_json::from_str(&report).unwrap();
        assert_eq!(report["passed"], true, "{style}: {report}");
        let checks = report["checks"].as_array().unwrap();
        let skipped = checks.iter().filter(|check| check["status"] == "skipped").collect::<Vec<_>>();
        assert!(skipped.is_empty(), "{style}: {skipped:?}");
    }
}
