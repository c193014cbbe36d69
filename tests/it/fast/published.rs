//! Tables in the README that the program generates. `KILN_BLESS=1` rewrites them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use kiln::failure::Exit;
use kiln::{carrier, profile, render};

/// Compares the text between two comments of the README, or writes it.
fn compare(name: &str, want: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->\n"));
    let from = text.find(&begin).unwrap_or_else(|| panic!("README.md has no {begin}")) + begin.len();
    let to = text.find(&end).unwrap_or_else(|| panic!("README.md has no {end}"));
    if std::env::var_os("KILN_BLESS").is_some() {
        fs::write(&path, format!("{}{want}{}", &text[..from], &text[to..])).unwrap();
        return;
    }
    assert_eq!(&text[from..to], want, "{name}: KILN_BLESS=1 cargo test --test fast published writes it anew");
}

/// One test, because each part of it may write the file.
#[test]
fn the_readme_has_the_programs_tables() {
    compare("keys", &profile::markdown(carrier::all()));
    compare("variables", &render::variables());
    compare("exit codes", &Exit::markdown());
}

/// The verbs and subcommands that a table's first cell names: `kiln cache show`, `prune`.
fn verbs_of(row: &str, command: &clap::Command) -> Vec<String> {
    let spans = row.split('`').skip(1).step_by(2);
    let mut above = None;
    let mut all = Vec::new();
    for span in spans {
        let mut words = span.split_whitespace();
        let first = words.next().unwrap();
        let verb = if first == "kiln" { words.next().unwrap() } else { first };
        let below = command.find_subcommand(verb).filter(|verb| verb.has_subcommands());
        match (first, below, above) {
            ("kiln", Some(_), _) => {
                all.push(format!("{verb} {}", words.next().unwrap()));
                above = Some(verb);
            }
            (_, _, Some(above)) if first != "kiln" => all.push(format!("{above} {verb}")),
            _ => all.push(verb.to_owned()),
        }
    }
    all
}

#[test]
fn the_readmes_table_of_verbs_has_every_verb() {
    let command = kiln::cli::command();
    let below = |above: &clap::Command| -> Vec<String> {
        above.get_subcommands().map(|one| one.get_name().to_owned()).filter(|name| name != "help").collect()
    };
    let mut want = BTreeSet::new();
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help") {
        match verb.has_subcommands() {
            true => want.extend(below(verb).into_iter().map(|name| format!("{} {name}", verb.get_name()))),
            false => want.extend([verb.get_name().to_owned()]),
        }
    }
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let section = text.split("\n## Verbs\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let found: BTreeSet<_> = rows.flat_map(|row| verbs_of(&format!("`{row}"), &command)).collect();
    assert_eq!(found, want);
}

/// A table in another one requires its keys, too; a profile that extends another may omit them.
#[test]
fn the_schema_requires_keys_of_nested_tables() {
    let schema = profile::json_schema(carrier::all());
    let needed = &schema["else"]["properties"]["network"];
    assert_eq!(needed["properties"]["peer"]["required"], serde_json::json!(["cidr"]));
    assert_eq!(needed["required"], serde_json::json!(["cidr"]));
    let network = &schema["properties"]["network"]["properties"];
    assert!(network["peer"].get("required").is_none(), "{network}");
    assert_eq!(network["subnet"]["items"]["required"], serde_json::json!(["cidr", "gateway"]));
}
