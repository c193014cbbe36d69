//! What is ours held to what others wrote: encryption to Debian's age, signatures of requests to botocore.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use kiln_age::{Recipient, encrypt};
use kiln_s3::Credentials;
use kiln_s3::sign::{Request, headers};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use super::services::python;
use crate::support::{Workshop, run};

/// Three identities, `a`, `b` and the SSH key `c`, and their recipients.
fn identities(work: &Path) -> [Recipient; 3] {
    for name in ["a", "b"] {
        run(Command::new("age-keygen").arg("-o").arg(work.join(name)));
    }
    run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(work.join("c")));
    let of = |name: &str| run(Command::new("age-keygen").arg("-y").arg(work.join(name)));
    let ssh = std::fs::read_to_string(work.join("c.pub")).unwrap();
    [of("a"), of("b"), ssh].map(|text| text.trim().parse().unwrap())
}

/// What age makes of it, if anything.
fn decrypted(work: &Path, identity: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let file = work.join("encrypted");
    std::fs::write(&file, bytes).unwrap();
    let output =
        Command::new("age").arg("-d").arg("-i").arg(work.join(identity)).arg(&file).output().unwrap();
    output.status.success().then_some(output.stdout)
}

fn encrypted(recipients: &[Recipient], bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    assert_eq!(encrypt(recipients, bytes, &mut out).unwrap(), bytes.len() as u64);
    out
}

#[test]
fn age_decrypts_what_is_encrypted_for_each_recipient() {
    let work = Workshop::new();
    let all = identities(work.path());
    let sizes = || {
        let chunks = (0_usize..4, -2_i64..=2)
            .prop_map(|(chunks, off)| (chunks << 16).saturating_add_signed(off as isize));
        prop_oneof![chunks, 0_usize..300_000]
    };
    let subset = (1_u8..8).prop_map(|bits| (0..3_usize).filter(|at| bits >> at & 1 == 1).collect::<Vec<_>>());
    let mut runner = TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
    let asked = runner.run(&(sizes(), subset, any::<u64>()), |(size, whom, seed)| {
        let bytes: Vec<u8> = (0..size as u64).map(|at| (at.wrapping_mul(seed | 1) >> 7) as u8).collect();
        let recipients: Vec<_> = whom.iter().map(|at| all[*at].clone()).collect();
        let out = encrypted(&recipients, &bytes);
        for (at, identity) in ["a", "b", "c"].iter().enumerate() {
            let found = decrypted(work.path(), identity, &out);
            match whom.contains(&at) {
                true => prop_assert!(found.as_ref() == Some(&bytes), "{} of {}", identity, size),
                false => prop_assert!(found.is_none(), "{} of {}", identity, size),
            }
        }
        Ok(())
    });
    asked.unwrap();
    // Nothing is the same twice, and nothing that was cut or changed is taken.
    let bytes = vec![7; 200_000];
    let [one, two] = [(); 2].map(|()| encrypted(&all[..1], &bytes));
    assert_ne!(one[..300], two[..300]);
    for length in [one.len() - 1, one.len() - 16, one.len() - 65_552, 300, 100, 0] {
        assert_ne!(decrypted(work.path(), "a", &one[..length]), Some(bytes.clone()), "{length}");
    }
    for at in [30, 120, 180, 250, 70_000, one.len() - 1] {
        let mut other = one.clone();
        other[at] ^= 1;
        assert_ne!(decrypted(work.path(), "a", &other), Some(bytes.clone()), "{at}");
    }
}

#[test]
fn botocore_signs_each_request_alike() {
    let text = "[ -~éß漢\u{1f600}]{0,40}";
    let method = prop::sample::select(vec!["GET", "PUT", "HEAD", "DELETE"]);
    let pairs = prop::collection::vec(("[a-z-]{1,12}", text), 0..4);
    let token = prop::option::of("[A-Za-z0-9/+=]{1,200}");
    let asked = (method, text, pairs, "[A-Za-z0-9/+]{1,60}", token, any::<[u8; 32]>(), 0_u64..4_000_000_000);
    let mut lines = String::new();
    let mut runner = TestRunner::new(Config { cases: 1500, failure_persistence: None, ..Config::default() });
    let made = std::cell::RefCell::new(&mut lines);
    let done = runner.run(&asked, |(method, key, pairs, secret, token, body, now)| {
        let credentials = Credentials {
            access_key_id: "AKIATEST".to_owned(),
            secret_access_key: secret.clone().into(),
            session_token: token.clone().map(Into::into),
        };
        let path = format!("/bucket/{key}");
        let query: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let sent = [
            ("if-none-match", "*".to_owned()),
            ("x-amz-object-lock-mode", "COMPLIANCE".to_owned()),
            ("x-amz-meta-odd", " two  spaces ".to_owned()),
        ];
        let host = "s3.lan:9000";
        let request = Request { method, host, path: &path, query: &query, headers: &sent, body };
        let all: Vec<_> = headers(&request, &credentials, "eu-1", now)
            .into_iter()
            .map(|(name, value)| (name, value.to_string()))
            .collect();
        let line = json!({"method": method, "host": host, "path": path, "query": pairs, "headers": all,
            "id": "AKIATEST", "secret": secret, "token": token, "region": "eu-1"});
        made.borrow_mut().push_str(&format!("{line}\n"));
        Ok(())
    });
    done.unwrap();
    let script = crate::support::root().join("tests/it/lab/snapshots/oracle.py");
    let mut oracle =
        Command::new(python()).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    oracle.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let said = String::from_utf8(oracle.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(said, "end\n", "{}", &said[..said.len().min(3000)]);
}
