//! Values that no build writes, in every field of what Kiln reads back: bundles' manifests, fleets' indexes, host states, keystores. The fields are
//! found in what was written, so that a new one is tried as well. Digests and the keystore's check are made anew, so that it is
//! the reader that refuses.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Output;

use crate::support::{Workshop, ha3_with, reseal, run};
use kiln::bundle::{Bundle, Index, Manifest};
use kiln::failure::{Exit, Failure};
use kiln::host::State;
use kiln::pki::Keystore;
use kiln::values::{Digest, steers};
use serde_json::{Map, Value, json};

/// As many as have to be refused in a field.
const VALUES: usize = 40;

/// What is no text of any field: characters that steer a terminal, and texts without an end.
fn bad_texts(good: &str) -> Vec<String> {
    let steering = [
        '\0', '\u{7}', '\t', '\n', '\r', '\u{1b}', '\u{7f}', '\u{85}', '\u{9b}', '\u{61c}', '\u{200e}',
        '\u{200f}', '\u{2028}', '\u{2029}', '\u{202a}', '\u{202e}', '\u{2066}', '\u{2069}',
    ];
    let mut all: Vec<String> = steering.iter().map(|c| format!("{good}{c}")).collect();
    all.extend(steering.iter().map(|c| format!("{c}{good}")));
    all.extend([
        format!("{good}\nnetns exec x /bin/sh"),
        "\u{1b}[2J\u{1b}[1;1H".to_owned(),
        "\u{1b}]0;x\u{7}".to_owned(),
        "a".repeat(5000),
        format!("{good}{}", "/x".repeat(3000)),
    ]);
    all
}

/// What no field but one for people's eyes takes besides.
fn odd_texts(good: &str) -> Vec<String> {
    let mut all: Vec<String> = [
        "",
        " ",
        "../x",
        "a/../b",
        "$(id)",
        "`id`",
        "%n",
        "{{x}}",
        "a,b=c",
        "a b",
        "'",
        "\"",
        "\\",
        "<x>",
        "&amp;",
        "é",
        "а",
        "*",
        "file=/etc/shadow,x=",
        "user@host",
        "x:y",
        "x;y",
        "x|y",
        "#",
    ]
    .map(str::to_owned)
    .into();
    all.extend([format!("{good} "), format!(" {good}"), format!("{good}/"), format!("{good}\u{feff}")]);
    all
}

/// What is of another type than a text, a number, a truth value, a list and an object.
fn of_other_types(good: &Value) -> Vec<Value> {
    let mut all = vec![json!(null), json!([good]), json!({ "a": good }), json!([[]]), json!({ "": {} })];
    match good {
        Value::String(_) => all.extend([json!(0), json!(-1), json!(1.5), json!(true)]),
        Value::Number(_) => {
            all.extend((1..=12).map(|n| json!(-n)));
            all.extend((1..=12).map(|n| json!(f64::from(n) + 0.5)));
            all.extend([1e19, 1e100, 1e300, -1e300, 1e-300].map(|n| json!(n)));
            all.extend(["", "0", "1", "-1", "0x1", "1 ", "\u{1b}[1m", "NaN"].map(|text| json!(text)));
            all.extend([json!(true), json!(false)]);
        }
        Value::Bool(_) => {
            all.extend((0..30).map(|n| json!(n)));
            all.extend(["", "true", "false", "yes", "\u{1b}[1m", "0"].map(|text| json!(text)));
        }
        Value::Array(_) | Value::Object(_) | Value::Null => {
            all.extend((0..20).map(|n| json!(n)));
            all.extend(["", "x", "{}", "[]", "\u{1b}[2J"].map(|text| json!(text)));
            all.extend([1.5, -1.0, 1e300].map(|n| json!(n)));
            all.extend([json!(true), json!(false), json!([null]), json!([0]), json!({ "\u{1b}": 0 })]);
            all.extend([json!({ "a": 1 }), json!({ "b": [] }), json!([{}, {}])]);
        }
    }
    all.retain(|value| !(good.is_array() && value.is_array() && value == good));
    all
}

/// A value of a document that may be changed.
struct Field {
    /// As JSON pointers are (RFC 6901).
    pointer: String,
    /// The same for all entries of a list, and for all files.
    kind: String,
    good: Value,
}

fn fields(document: &Value) -> Vec<Field> {
    fn walk(value: &Value, pointer: &str, kind: &str, found: &mut BTreeMap<String, Field>) {
        if !pointer.is_empty() {
            let field = Field { pointer: pointer.to_owned(), kind: kind.to_owned(), good: value.clone() };
            found.entry(kind.to_owned()).or_insert(field);
        }
        match value {
            Value::Array(list) => list
                .iter()
                .enumerate()
                .for_each(|(at, value)| walk(value, &format!("{pointer}/{at}"), &format!("{kind}/*"), found)),
            Value::Object(object) => {
                for (key, value) in object {
                    let escaped = key.replace('~', "~0").replace('/', "~1");
                    let is_file = kind == "/files" || kind == "/etcd/binaries";
                    let name = if is_file { "*" } else { key };
                    walk(value, &format!("{pointer}/{escaped}"), &format!("{kind}/{name}"), found);
                }
            }
            _ => {}
        }
    }
    let mut found = BTreeMap::new();
    walk(document, "", "", &mut found);
    found.into_values().collect()
}

/// Texts for people, which may be any line.
const FREE: [&str; 4] = ["/builder", "/etcd/sources/*/file", "/base/cmdline", "/certificates/*/subject"];

/// The documents in which a field has a value that is none.
fn changed(document: &Value, field: &Field) -> Vec<Value> {
    let mut values = of_other_types(&field.good);
    if let Value::String(good) = &field.good {
        values.extend(bad_texts(good).into_iter().map(Value::from));
        if !FREE.contains(&field.kind.as_str()) {
            values.extend(odd_texts(good).into_iter().map(Value::from));
        }
    }
    let with = |value: Value| {
        let mut changed = document.clone();
        *changed.pointer_mut(&field.pointer).unwrap() = value;
        changed
    };
    // Where a field may be left out, `null` says the same.
    let without_null = may_be_left_out(&field.kind);
    let mut all: Vec<Value> =
        values.into_iter().filter(|value| !(without_null && value.is_null())).map(with).collect();
    if let Value::Object(object) = &field.good {
        let sample = object.values().next().cloned().unwrap_or(Value::Null);
        for key in bad_texts("x").into_iter().chain(odd_texts("x")) {
            let mut object: Map<String, Value> = object.clone();
            object.insert(key, sample.clone());
            all.push(with(Value::Object(object)));
        }
    }
    all
}

fn may_be_left_out(kind: &str) -> bool {
    [
        "/base",
        "/machine",
        "/machine/base",
        "/network/gateway",
        "/shard",
        "/certificates/*/node",
        "/nodes/cp-a/bundle",
        "/nodes/cp-a/system",
    ]
    .contains(&kind)
}

#[track_caller]
fn assert_refused<T>(result: Result<T, Failure>, exit: Exit, kind: &str, value: &str) {
    let value: String = value.chars().take(200).collect();
    let Err(failure) = result else { panic!("{kind}: taken: {value:?}") };
    assert_eq!(failure.exit(), exit, "{kind}: {value:?}: {failure}");
    let text = failure.to_string();
    assert!(!text.contains(|c| c != '\n' && steers(c)), "{kind}: printed raw: {text:?}");
    assert!(text.lines().count() < 30 && text.len() < 10_000, "{kind}: {text:.1000}");
}

/// Every field of a document, with the reader in this process; one value of each is also left for the program.
fn try_all<T>(document: &Value, read: impl Fn(&[u8]) -> Result<T, Failure>) -> Vec<(String, Value)> {
    if let Err(failure) = read(document.to_string().as_bytes()) {
        panic!("the good one is refused: {failure}");
    }
    let mut samples = Vec::new();
    for field in fields(document) {
        let changed = changed(document, &field);
        assert!(changed.len() >= VALUES, "{}: {} values", field.kind, changed.len());
        for document in &changed {
            let value = document.pointer(&field.pointer).unwrap().to_string();
            assert_refused(read(document.to_string().as_bytes()), Exit::Wrong, &field.kind, &value);
        }
        // A text that steers, where there is one.
        let at = samples.len() % changed.len();
        let steering = changed.iter().find(|value| value.to_string().contains("\\u001b"));
        samples.push((field.kind, steering.unwrap_or(&changed[at]).clone()));
    }
    samples
}

#[track_caller]
fn assert_clean(output: &Output, code: i32, kind: &str) {
    assert_eq!(output.status.code(), Some(code), "{kind}: {}", String::from_utf8_lossy(&output.stderr));
    for text in [&output.stdout, &output.stderr] {
        let text = String::from_utf8(text.clone()).unwrap();
        assert!(!text.contains(|c| c != '\n' && steers(c)), "{kind}: {text:?}");
    }
}

/// A bundle with every field that a manifest may have; what it says of a base system is made up.
fn bundle(work: &Workshop) -> std::path::PathBuf {
    work.keystore("ha3");
    let changes = [
        ("# Client certificates", "[bundle]\nbinaries = \"shared\"\n\n# Client certificates"),
        ("cidr = \"10.240.0.0/16\"", "cidr = \"10.240.0.0/16\"\ngateway = \"10.240.0.1\""),
    ];
    work.file("ha3.toml", ha3_with(&changes));
    let bundle = work.build("./ha3.toml");
    reseal(&bundle, |manifest| {
        let input = manifest["etcd"]["sources"][0]["sha256"].clone();
        let input = json!({ "size": 7, "sha256": input });
        manifest["machine"]["base"] = json!("live");
        manifest["base"] = json!({ "kernel": input, "initrd": input, "cmdline": "console=ttyS0 quiet" });
        let file = manifest["files"]["network.xml"].clone();
        let mut secret = file.clone();
        secret["mode"] = json!("0600");
        let files = manifest["files"].as_object_mut().unwrap();
        for path in ["boot/vmlinuz", "boot/cmdline"] {
            files.insert(path.to_owned(), file.clone());
        }
        for node in ["cp-a", "cp-b", "cp-c"] {
            files.insert(format!("nodes/{node}/initrd.img"), secret.clone());
        }
        for node in manifest["nodes"].as_array_mut().unwrap() {
            let mut names: Vec<String> = serde_json::from_value(node["files"].clone()).unwrap();
            names.push("initrd.img".to_owned());
            names.sort();
            node["files"] = json!(names);
        }
    });
    bundle
}

#[test]
fn no_bad_value_of_a_manifest_is_taken() {
    let work = Workshop::new();
    let bundle = bundle(&work);
    let document: Value = serde_json::from_slice(&fs::read(bundle.join("bundle.json")).unwrap()).unwrap();
    let samples = try_all(&document, Manifest::from_json);
    assert!(samples.len() > 60, "{} fields", samples.len());
    for (number, (kind, bad)) in samples.into_iter().enumerate() {
        let (text, sums) = (bad.to_string(), bundle.join("SHA256SUMS"));
        let rest = fs::read_to_string(&sums).unwrap();
        let rest: String = rest
            .lines()
            .filter(|line| !line.ends_with("  bundle.json"))
            .map(|line| format!("{line}\n"))
            .collect();
        fs::write(sums, format!("{}  bundle.json\n{rest}", Digest::of(text.as_bytes()))).unwrap();
        fs::write(bundle.join("bundle.json"), text).unwrap();
        let verb: &[&str] = match number % 4 {
            0 => &["check", "out/ha3"],
            1 => &["show", "out/ha3"],
            2 => &["verify", "out/ha3"],
            _ => &["rehearse", "out/ha3"],
        };
        assert_clean(&work.kiln_without_network(verb).output().unwrap(), 1, &kind);
    }
}

#[test]
fn no_bad_value_of_an_index_is_taken() {
    let work = Workshop::new();
    let digest = "7f".repeat(32);
    let entry = |name: &str| {
        json!({
            "name": name, "cluster": name, "token": format!("{name}-1"), "id": "c1", "nodes": 3, "manifest": digest,
            "sums": digest,
        })
    };
    let document = json!({
        "schema": 1, "builder": "kiln 0.1.0", "profiles": digest, "shard": { "number": 1, "of": 2 },
        "bundles": [entry("a"), entry("b")],
    });
    let samples = try_all(&document, Index::from_json);
    assert!(samples.len() > 12, "{} fields", samples.len());
    for (kind, bad) in samples {
        work.file("fleet/fleet.json", bad.to_string());
        assert_clean(&work.kiln(["check", "fleet"]).output().unwrap(), 1, &kind);
        assert_clean(&work.kiln(["join", "fleet", "--out", "all"]).output().unwrap(), 1, &kind);
    }
}

/// What this host remembers of a bundle's machines, as every Kiln so far has written it.
#[test]
fn no_bad_value_of_a_host_state_is_taken() {
    let work = Workshop::new();
    work.keystore("ha3");
    work.file(
        "ha3.toml",
        ha3_with(&[("# Client certificates", "[bundle]\nbinaries = \"shared\"\n\n# Client certificates")]),
    );
    let bundle = Bundle::open(&work.build("./ha3.toml")).unwrap();
    let (id, digest) = (bundle.manifest.cluster.id.to_string(), "7f".repeat(32));
    let second = json!({
        "schema": 2, "cluster": "ha3", "cluster_id": id, "named_by": "id", "driver": "qemu", "carrier": "cloud-init",
        "accel": "tcg", "connect": "qemu:///system", "laid": true,
        "nodes": { "cp-a": { "formed": true, "bundle": digest, "system": digest } },
    });
    let first = json!({
        "schema": 1, "cluster": "ha3", "cluster_id": id, "driver": "qemu", "carrier": "cloud-init", "accel": "tcg",
        "connect": "qemu:///system", "defined": true, "formed": ["cp-a"],
    });
    for document in [second, first] {
        let samples = try_all(&document, |bytes| {
            work.file("out/.ha3.machines/machines.json", bytes);
            State::open(&bundle)
        });
        assert!(samples.len() >= 9, "{} fields", samples.len());
        for (kind, bad) in samples {
            work.file("out/.ha3.machines/machines.json", bad.to_string());
            assert_clean(&work.kiln(["status", "out/ha3"]).output().unwrap(), 1, &kind);
        }
    }
}

/// A text in TOML's own quotes.
fn quoted(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|c| match c {
            '"' | '\\' => format!("\\{c}"),
            c if steers(c) => format!("\\u{:04x}", u32::from(c)),
            c => c.to_string(),
        })
        .collect();
    format!("\"{escaped}\"")
}

/// Its lines are `key = value`, and the check is over all of them.
#[test]
fn no_bad_value_of_a_keystore_is_taken() {
    let work = Workshop::new();
    let cluster = "ha3".parse().unwrap();
    work.keystore("ha3");
    let keystore = work.path().join("keystore/ha3");
    // With all that a keystore records.
    work.file("ha3.toml", ha3_with(&[]));
    work.build("./ha3.toml");
    run(&mut work.kiln(["seal", "out/ha3"]));
    let good = fs::read_to_string(keystore.join("keystore.toml")).unwrap();
    assert_eq!(kiln::pki::resealed(&keystore, &good).unwrap(), good);
    let mut seen = BTreeMap::new();
    for (number, line) in good.lines().enumerate() {
        if let Some((key, value)) = line.split_once(" = ").filter(|(key, _)| *key != "check") {
            // In one table only of many that are alike.
            seen.entry(key.to_owned()).or_insert((number, value.to_owned()));
        }
    }
    assert!(seen.len() >= 8, "{seen:?}");
    let open = |dir: &Path| Keystore::open(dir, &cluster);
    for (key, (number, value)) in seen {
        let text = value.trim_matches('"');
        let mut bad: Vec<String> =
            bad_texts(text).iter().chain(&odd_texts(text)).map(|text| quoted(text)).collect();
        bad.extend(
            ["-1", "1.5", "1e300", "true", "[]", "[[]]", "{}", "[\"\"]", "{ a = 1 }", "1979-05-27"]
                .map(str::to_owned),
        );
        bad.retain(|bad| *bad != value);
        assert!(bad.len() >= VALUES, "{key}");
        let with = |bad: &str| {
            let mut lines: Vec<&str> = good.lines().collect();
            let line = format!("{key} = {bad}");
            lines[number] = &line;
            kiln::pki::resealed(&keystore, &(lines.join("\n") + "\n")).unwrap()
        };
        for bad in &bad {
            fs::write(keystore.join("keystore.toml"), with(bad)).unwrap();
            assert_refused(open(&keystore), Exit::Untrusted, &key, bad);
        }
        fs::write(keystore.join("keystore.toml"), with(&quoted("\u{1b}[2J"))).unwrap();
        assert_clean(&work.kiln(["keystore", "show", "ha3"]).output().unwrap(), 4, &key);
    }
    fs::write(keystore.join("keystore.toml"), &good).unwrap();
    assert!(open(&keystore).is_ok());
    // The secret is 64 hex digits, of which none may be seen.
    let secret = fs::read_to_string(keystore.join("secret")).unwrap();
    for bad in bad_texts(secret.trim()).into_iter().chain(odd_texts(secret.trim())) {
        // A line's end is no part of it.
        if bad.trim_end_matches('\n') == secret.trim() {
            continue;
        }
        fs::write(keystore.join("secret"), &bad).unwrap();
        let result = open(&keystore);
        assert!(!result.as_ref().is_err_and(|failure| failure.to_string().contains(secret.trim())));
        assert_refused(result, Exit::Untrusted, "secret", "");
    }
}
