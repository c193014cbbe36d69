//! The later life of a cluster: certificates of seconds, which its nodes renew while a client writes.

use std::fs;
use std::process::Stdio;

use serde_json::Value;

use super::{faults, said};
use crate::support::{self, Workshop, ha3_with, run, store, turn};

const RECIPIENT: &str = "age1czk7sk90cdpkk907syl36at7xqn9dcpu6sa4wfmu34ssmzpda5gqxtscax";

fn work(keystore: bool) -> Workshop {
    let work = Workshop::new();
    let more = format!(
        "[etcd]\nversion = \"3.5.16\"\n\n[backup]\nrecipients = [\"{RECIPIENT}\"]\n\n# Client certificates"
    );
    work.file("ha3.toml", ha3_with(&[("# Client certificates", &more)]));
    if keystore {
        work.desk("ha3");
    }
    run(work.kiln(["build", "--profile", "./ha3.toml", "--artifacts"]).arg(store()));
    work
}

/// Of a new keystore, whose nodes renew.
#[test]
fn nodes_renew_certificates_of_seconds_while_a_client_writes() {
    let _turn = turn::cluster();
    let work = work(false);
    fs::create_dir(work.path().join("tmp")).unwrap();
    let mut command = work.kiln(["rehearse", "out/ha3", "--leaf-life", "10s", "--json"]);
    command.env("TMPDIR", work.path().join("tmp")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let done = said(command);
    assert_eq!(done.code(), Some(0), "{}{}", done.stdout, done.stderr);
    let report = done.report();
    assert_eq!(faults(&report), Vec::<String>::new());
    let rows = |check: &str| -> Vec<&Value> {
        report["checks"].as_array().unwrap().iter().filter(|row| row["check"] == check).collect()
    };
    for (check, count, detail) in [
        ("certificates renewed", 3, "3 times, for 10 s each, without a restart"),
        ("writes while renewing", 1, " acknowledged, 0 failed, "),
        ("snapshot taken", 3, "ha3-20"),
    ] {
        let found = rows(check);
        assert_eq!(found.len(), count, "{check}");
        for row in found {
            assert!(row["outcome"] == "ok" && row["detail"].as_str().unwrap().contains(detail), "{row}");
        }
    }
    let acknowledged =
        rows("writes while renewing")[0]["detail"].as_str().unwrap().split(' ').next().unwrap();
    assert!(acknowledged.parse::<u32>().unwrap() > 20, "{acknowledged}");
    for node in ["cp-a", "cp-b", "cp-c"] {
        for generation in 1..=3 {
            let line = format!("{node} has new certificates (generation {generation})");
            assert!(done.stderr.contains(&line), "{line}: {}", done.stderr);
        }
    }
    assert!(!report["notes"].to_string().contains("renewals were not tried"), "{report}");
    assert!(fs::read_dir(work.path().join("tmp")).unwrap().next().is_none(), "something is left");
}

#[test]
fn what_cannot_be_renewed_is_refused_before_anything_starts() {
    let work = work(true);
    let refused = |arguments: &[&str]| {
        support::refused(&mut work.kiln([&["rehearse", "out/ha3"], arguments].concat()), 2)
    };
    assert!(
        refused(&["--leaf-life", "20s"]).contains("the nodes of out/ha3 do not renew their certificates")
    );
    assert!(refused(&["out/ha3", "--leaf-life", "20s"]).contains("name one bundle"));
    for bad in ["", "9", "9s", "301s", "-1", "20m", "1e1", "20 s", "18446744073709551616"] {
        assert!(refused(&[&format!("--leaf-life={bad}")]).contains("10s to 300s"), "{bad}");
    }
}
