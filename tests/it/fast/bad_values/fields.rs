//! The fields of a JSON document, and the document with invalid values in one of them.

use std::collections::BTreeMap;

use super::texts::{bad_texts, odd_texts};
use serde_json::{Map, Value, json};

/// Values of other types than the field's: a string, a number, a boolean, a list and an object.
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

/// A value of a document, to be changed.
pub struct Field {
    /// A JSON pointer (RFC 6901).
    pub pointer: String,
    /// The pointer with one form for all entries of a list, and for all files.
    pub kind: String,
    good: Value,
}

pub fn fields(document: &Value) -> Vec<Field> {
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

/// Texts for people, which may be any line; and the path of a file on the node, which may have any name.
const FREE: [&str; 5] = [
    "/builder",
    "/etcd/sources/*/file",
    "/base/cmdline",
    "/certificates/*/subject",
    "/certificates/*/trusts",
];

/// The documents with invalid values in a field.
pub fn changed(document: &Value, field: &Field) -> Vec<Value> {
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
    // Where a field may be omitted, `null` means the same.
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
        "/certificates/*/renewed",
        "/certificates/*/trusts",
        "/kiln_node",
        "/nodes/cp-a/bundle",
        "/nodes/cp-a/system",
    ]
    .contains(&kind)
}
