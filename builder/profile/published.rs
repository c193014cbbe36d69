//! The table of keys, published for people and for editors: Markdown, and a JSON Schema.

use serde_json::{Map, Value, json};

use super::key::{Key, Usual, ValueKind};
use super::schema;
use crate::values::Carrier;

/// The README's table: a row for each key.
pub fn markdown(carriers: &[Carrier]) -> String {
    let mut text = "| key | takes | default | |\n|---|---|---|---|\n".to_owned();
    for key in schema::all() {
        text.push_str(&format!(
            "| `{}` | {} | {} | {} |\n",
            key.path(),
            takes(key, carriers),
            usual(key),
            key.about
        ));
    }
    text
}

fn takes(key: &Key, carriers: &[Carrier]) -> String {
    let words = |words: &[&str]| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    match key.kind {
        ValueKind::Text => "string".to_owned(),
        // More do not fit on a line of the README; the JSON Schema has all.
        ValueKind::Choice(names) if names.len() > 4 => "string".to_owned(),
        ValueKind::Choice(names) => words(names),
        ValueKind::Bool => words(&["true", "false"]),
        ValueKind::Number(least, most) => format!("{least} to {most}"),
        ValueKind::Schema => "number".to_owned(),
        ValueKind::Texts => "strings".to_owned(),
        ValueKind::Carriers => words(&names(carriers)),
        ValueKind::Options | ValueKind::Table | ValueKind::Lines => "table".to_owned(),
        ValueKind::Nodes => "`true`, strings".to_owned(),
    }
}

fn usual(key: &Key) -> String {
    match key.usual {
        Usual::Required(_) => "required".to_owned(),
        Usual::Is(text) if matches!(key.kind, ValueKind::Text | ValueKind::Choice(_)) => {
            format!("`\"{text}\"`")
        }
        Usual::Is(text) => format!("`{text}`"),
        Usual::Follows(words) => words.to_owned(),
        Usual::None => "none".to_owned(),
    }
}

fn names(carriers: &[Carrier]) -> Vec<&'static str> {
    carriers.iter().map(|carrier| carrier.name).collect()
}

/// A JSON Schema (2020-12) of profiles, for editors that complete and validate TOML with one. A valid file may still
/// be wrong: the schema does not cover relations between keys, or values inside of strings.
pub fn json_schema(carriers: &[Carrier]) -> Value {
    let mut top = object("", carriers);
    let mut needed = required("");
    let mut in_tables = json!({});
    let mut headers: Vec<&str> =
        schema::all().map(|key| key.table).filter(|table| !table.is_empty()).collect();
    headers.dedup();
    for header in headers {
        let name = header.trim_matches(['[', ']']);
        let table = object(header, carriers);
        let missing = required(header);
        let is_list = header.starts_with("[[");
        // `[pki.ca]` is a property of `[pki]`, which comes before it; `[etcd.service]` is one already, by its own row.
        if let Some((above, name)) = name.rsplit_once('.') {
            let inside = above.split('.').fold(&mut top, |table, name| {
                let table = &mut table["properties"][name];
                // `[client.subject]` is a property of each `[[client]]`.
                if table.get("items").is_some() { &mut table["items"] } else { table }
            });
            if inside["properties"].get(name).is_none() {
                inside["properties"][name] = if is_list { list_of(table, &missing) } else { table };
            }
            if !is_list && !missing.is_empty() {
                let inside =
                    above.split('.').fold(&mut in_tables, |table, name| &mut table[name]["properties"]);
                inside[name]["required"] = json!(missing);
            }
            continue;
        }
        top["properties"][name] = match is_list {
            true => list_of(table, &missing),
            false => {
                if !missing.is_empty() {
                    in_tables[name]["required"] = json!(missing);
                    needed.extend((!schema::may_be_omitted(header)).then_some(name));
                }
                table
            }
        };
    }
    needed.push("node");
    top["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    top["title"] = json!("Kiln profile");
    // A profile that extends another may omit whatever the base has.
    top["if"] = json!({ "required": ["extends"] });
    top["else"] = json!({ "required": needed, "properties": in_tables });
    top
}

fn list_of(mut item: Value, missing: &[&str]) -> Value {
    item["required"] = json!(missing);
    // The words are about the list for editors.
    let about = item.as_object_mut().and_then(|item| item.remove("description"));
    json!({ "type": "array", "description": about, "items": item })
}

/// One table of a profile, by its header.
fn object(table: &str, carriers: &[Carrier]) -> Value {
    let keys = schema::all().filter(|key| key.table == table);
    let properties: Map<String, Value> =
        keys.map(|key| (key.name.to_owned(), property(key, carriers))).collect();
    let mut table_of = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if let Some(about) = schema::about(table) {
        table_of["description"] = json!(about);
    }
    table_of
}

fn required(table: &str) -> Vec<&'static str> {
    let keys = schema::all().filter(|key| key.table == table && matches!(key.usual, Usual::Required(_)));
    keys.map(|key| key.name).collect()
}

fn property(key: &Key, carriers: &[Carrier]) -> Value {
    let several = |one: Value| json!({ "anyOf": [one.clone(), { "type": "array", "items": one }] });
    let mut property = match key.kind {
        ValueKind::Text => json!({ "type": "string" }),
        ValueKind::Choice(names) => json!({ "enum": names }),
        ValueKind::Bool => json!({ "type": "boolean" }),
        ValueKind::Number(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        ValueKind::Schema => json!({ "const": super::SCHEMA }),
        ValueKind::Texts => several(json!({ "type": "string" })),
        ValueKind::Carriers => several(json!({ "enum": names(carriers) })),
        ValueKind::Options => json!({ "type": "object" }),
        ValueKind::Nodes => json!({ "anyOf": [
            { "type": "boolean" }, { "type": "string" }, { "type": "array", "items": { "type": "string" } },
        ] }),
        ValueKind::Table => object(&key.below(), carriers),
        ValueKind::Lines => {
            json!({ "type": "object", "additionalProperties": several(json!({ "type": "string" })) })
        }
    };
    property["description"] = match key.usual {
        Usual::Required(_) => json!(format!("{} (required)", key.about)),
        Usual::Is(_) => json!(key.about),
        Usual::Follows(_) | Usual::None => json!(format!("{} (default: {})", key.about, usual(key))),
    };
    if let Usual::Is(text) = key.usual {
        property["default"] = match key.kind {
            ValueKind::Bool | ValueKind::Number(..) | ValueKind::Nodes => {
                text.parse().unwrap_or_else(|_| json!(text))
            }
            _ => json!(text),
        };
    }
    property
}

#[cfg(test)]
mod tests {
    use super::super::{Source, read};
    use super::*;
    use crate::etcd::Release;
    use crate::values::{Arch, example_carriers};

    const LEAST: &str = "schema = 1\n[cluster]\nname = \"a\"\ndomain = \"lan\"\n[network]\ncidr = \"10.0.0.0/24\"\n[[node]]\nname = \"b\"\n\
                         address = \"10.0.0.10\"\npublic-address = \"192.0.2.10\"\n";

    /// Reads a profile with a line added to one of its tables.
    fn read_with(table: &str, line: &str) -> Result<String, String> {
        let mut least = LEAST.to_owned();
        // It has required keys, and a key of each node comes with it.
        if table.starts_with("[network.peer") {
            least.push_str("peer-address = \"10.1.0.10\"\n[network.peer]\ncidr = \"10.1.0.0/24\"\n");
        }
        if table.ends_with(".bond]") {
            let needs_mode = ["lacp-rate", "hash-policy"].iter().any(|key| line.starts_with(key));
            let mode = if needs_mode { "mode = \"802.3ad\"\n" } else { "" };
            least.push_str(&format!("{table}\ncards = [\"eno1\", \"eno2\"]\n{mode}"));
        }
        if table == "[[network.subnet]]" {
            least.push_str("[[network.subnet]]\ncidr = \"10.0.0.0/25\"\ngateway = \"10.0.0.1\"\n");
        }
        if table.starts_with("[backup") {
            let recipient = "age1ykdregx80u7llcmfxzsv8xttws0g69wxadd7axn0fw4wfwnqjpgstnusn7";
            least.push_str(&format!(
                "[backup]\nrecipients = {recipient:?}\nsecrets = \"s\"\nretention = \"90d\"\n[backup.s3]\nendpoint = \
                 \"https://s3.lan\"\nbucket = \"etcd\"\n"
            ));
        }
        let text = match least.contains(table) {
            true => least.replacen(table, &format!("{table}\n{line}"), 1),
            false => format!("{least}{table}\n{line}\n"),
        };
        let source = Source::file("a.toml".as_ref(), text.into());
        match read(&source, &[(Release::new(3, 5, 33), Arch::Amd64)], &example_carriers()) {
            Ok((profile, _)) => {
                let mut profile = super::super::Profile { written: Default::default(), ..profile };
                // How the profile calls a key is no value of it.
                profile.pki.ca.keys = Default::default();
                profile.pki.ca.is_described = false;
                profile.pki.ca.is_derived = false;
                Ok(format!("{profile:?}"))
            }
            Err(mistakes) => Err(mistakes.render(false)),
        }
    }

    /// The value of a key as a line of TOML.
    fn line(key: &Key, value: &str) -> String {
        match key.kind {
            ValueKind::Bool | ValueKind::Number(..) | ValueKind::Nodes => format!("{} = {value}", key.name),
            _ => format!("{} = {value:?}", key.name),
        }
    }

    #[test]
    fn a_default_that_is_written_changes_nothing() {
        let plain = read_with("", "").unwrap();
        let mut tried = 0;
        for key in schema::all() {
            if let Usual::Is(value) = key.usual {
                // The table itself says that there is such a network, bond or subnet, or that nodes take snapshots.
                let table = key.table.trim_start_matches('[');
                let says_more = ["network.", "backup"].iter().any(|name| table.starts_with(name));
                let plain = if says_more { read_with(key.table, "").unwrap() } else { plain.clone() };
                assert_eq!(read_with(key.table, &line(key, value)).unwrap(), plain, "{}", key.path());
                tried += 1;
            }
        }
        assert!(tried > 12, "{tried}");
    }

    #[test]
    fn a_choice_takes_its_words_and_a_number_its_range() {
        for key in schema::all() {
            let fits = |value: &str| read_with(key.table, &line(key, value));
            let complains = |value: &str| fits(value).is_err_and(|said| said.contains(key.name));
            match key.kind {
                ValueKind::Choice(names) => {
                    // There is no release for another architecture here.
                    let names = names.iter().filter(|name| key.name != "arch" || **name == "amd64");
                    names.for_each(|name| assert!(fits(name).is_ok(), "{} {name}", key.path()));
                    assert!(complains("nonsense"), "{}", key.path());
                }
                ValueKind::Number(least, most) => {
                    for good in [least, most] {
                        assert!(fits(&good.to_string()).is_ok(), "{} {good}", key.path());
                    }
                    for bad in [i64::from(least) - 1, i64::from(most) + 1] {
                        assert!(complains(&bad.to_string()), "{} {bad}", key.path());
                    }
                }
                ValueKind::Bool => assert!(complains("7"), "{}", key.path()),
                _ => {}
            }
        }
    }
}
