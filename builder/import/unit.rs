//! A systemd unit of etcd's: its command line, and its settings.

use std::collections::BTreeMap;

use super::command::Command;
use super::draft::{Draft, Lines, MAX_ENTRIES, Place};
use super::guard;
use super::member::{self, CONFIG_FILE, Given, Variables, assignment, is_blank, settings_file, value};
use super::text::is_number;
use super::words::split;

/// Whether a text is a systemd unit.
pub fn is_unit(text: &str) -> bool {
    text.lines().any(|line| line.trim() == "[Service]")
}

/// Settings that Kiln's own unit has as well, or that do not change the member.
const USUAL: [&str; 2] = ["Type", "WorkingDirectory"];
/// Settings with one value that have a key of their own, and the group.
const SINGLE: [&str; 6] = ["Description", "Group", "LimitNOFILE", "Restart", "RestartSec", "User"];
/// Lists of units, and those that Kiln's own unit has in them.
const DEPENDENCIES: [&str; 5] = ["After", "Before", "Requires", "WantedBy", "Wants"];
const USUAL_UNITS: [&str; 3] = ["network-online.target", "network.target", "multi-user.target"];

/// What a unit says besides its command line.
#[derive(Default)]
struct Said {
    /// Settings with one value, of which systemd takes the last.
    single: BTreeMap<&'static str, (String, Place)>,
    lines: Lines,
    count: usize,
}

/// A line with those that continue it, each with its number.
type Parts<'t> = Vec<(usize, &'t str)>;

fn logical(text: &str) -> Vec<Parts<'_>> {
    let mut all: Vec<Parts> = Vec::new();
    let mut is_open = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        // A comment does not end the line that it is in (systemd.syntax(7)); a blank line does.
        let is_comment = !line.is_empty() && is_blank(line);
        if is_comment || !is_open && is_blank(line) {
            continue;
        }
        let (part, more) = line.strip_suffix('\\').map_or((line, false), |part| (part, true));
        match all.last_mut().filter(|_| is_open) {
            Some(parts) => parts.push((index + 1, part)),
            None => all.push(vec![(index + 1, part)]),
        }
        is_open = more;
    }
    all
}

/// A unit, before it is known which of its options other files replace.
#[derive(Default)]
pub struct Parsed {
    pub command: Command,
    /// etcd's variables of `Environment=`, and all of them.
    pub environment: Given,
    pub variables: Variables,
    /// The paths of `EnvironmentFile=`.
    pub files: Vec<(String, Place)>,
    /// Where a configuration file is named, beside which etcd reads nothing else.
    pub config_file: Option<Place>,
    is_etcd: bool,
    said: Said,
}

pub fn unit(draft: &mut Draft, text: &str, file: &str) {
    let parsed = parse(draft, text, file);
    let used = parsed.command.used();
    let others: Variables =
        parsed.variables.iter().filter(|(name, _, _)| !used.contains(name)).cloned().collect();
    member::others(draft, &others);
    let given = parsed.command.own(draft, &parsed.variables);
    let style = if given.0.is_empty() && used.is_empty() { "env" } else { "flags" };
    // etcd's flags are stronger than its environment.
    let mut all = given.last(draft);
    all.0.append(&mut parsed.environment.last(draft).0);
    finish(draft, parsed.said, parsed.is_etcd);
    named(draft, &all, file);
    if !parsed.is_etcd {
        draft.running(&Place { file: file.to_owned(), line: 1 });
    }
    all.take(draft, style);
}

pub fn parse(draft: &mut Draft, text: &str, file: &str) -> Parsed {
    let (mut parsed, mut section) = (Parsed::default(), "");
    // The words of each ExecStart=, with their lines.
    let mut commands: Vec<Vec<(String, usize)>> = Vec::new();
    let place = |line: usize| Place { file: file.to_owned(), line };
    for parts in logical(text) {
        let Some((line, first)) = parts.first().copied() else { continue };
        if let Some(header) = first.strip_prefix('[').and_then(|first| first.strip_suffix(']')) {
            section = match header {
                "Unit" => "unit",
                "Service" => "service",
                "Install" => "install",
                _ => "",
            };
            continue;
        }
        let Some((name, value)) = first.split_once('=') else {
            draft.leave(&place(line), "not NAME=VALUE");
            continue;
        };
        let (name, value) = (name.trim(), value.trim());
        let all = std::iter::once((line, value)).chain(parts[1..].iter().copied());
        if name == "ExecStart" {
            let words = all.flat_map(|(line, part)| split(part).into_iter().map(move |word| (word, line)));
            let words: Vec<_> = words.collect();
            match words.is_empty() {
                true => commands.clear(),
                false => commands.push(words),
            }
        } else {
            let value = all.map(|(_, part)| part.trim()).collect::<Vec<_>>().join(" ");
            setting(draft, &mut parsed, (section, name, value.trim()), &place(line));
        }
    }
    parsed.is_etcd = match commands.first() {
        Some(words) => parsed.command.read(draft, words, true, file),
        None => true,
    };
    for (_, line) in commands.iter().skip(1).filter_map(|words| words.first()) {
        draft.leave(&place(*line), "another ExecStart: only the first one is read");
    }
    parsed.environment = member::of_etcd(&parsed.variables);
    let config_file = value(&parsed.variables, CONFIG_FILE).map(|(_, place)| place.clone());
    parsed.config_file = parsed.command.config_file.clone().or(config_file);
    parsed
}

/// The unit has its file's name, unless the file was named after the member when it was copied here.
fn named(draft: &mut Draft, given: &Given, file: &str) {
    let member = given.0.iter().find(|(key, _, _)| key == "name").map(|(_, name, _)| name.clone());
    let name = file.rsplit('/').next().unwrap_or(file);
    if let Some(stem) = name.strip_suffix(".service") {
        draft.units.push((member, stem.to_owned(), Place { file: file.to_owned(), line: 1 }));
    }
}

fn setting(
    draft: &mut Draft,
    parsed: &mut Parsed,
    (section, name, value): (&'static str, &str, &str),
    place: &Place,
) {
    let said = &mut parsed.said;
    if let Some(single) = SINGLE.iter().find(|single| **single == name) {
        said.single.insert(single, (value.to_owned(), place.clone()));
        // Each is judged by itself.
        said.count += 1;
        return;
    }
    match name {
        // An empty one takes back those before it.
        "EnvironmentFile" if value.is_empty() => parsed.files.clear(),
        "EnvironmentFile" => {
            let path = value.trim_start_matches('-');
            parsed.files.push((path.to_owned(), place.clone()));
            settings_file(draft, path, place);
        }
        "Environment" if value.is_empty() => parsed.variables.clear(),
        "Environment" => {
            for word in split(value) {
                match assignment(&word) {
                    Some((name, value)) if value.contains('%') => {
                        if member::may_say_identity(name) {
                            draft.miss(place);
                        }
                        draft.leave(place, format!("the variable {name} has a variable of systemd's"));
                    }
                    Some((name, value)) => {
                        parsed.variables.push((name.to_owned(), value.to_owned(), place.clone()));
                    }
                    None => draft.leave(place, "a word of Environment that is not NAME=VALUE"),
                }
            }
        }
        "PassEnvironment" | "UnsetEnvironment" => {
            draft.miss(place);
            line(said, section, name, value, place);
        }
        // It may contain a password, or the text of a key.
        "SetCredential" | "SetCredentialEncrypted" => draft.leave(place, format!("{name} of the unit")),
        name if USUAL.contains(&name) => {}
        // systemd's settings have names of letters and digits; anything else is no key of a profile.
        name if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            draft.leave(place, "a line of the unit that is no setting of systemd".to_owned());
        }
        name if section.is_empty() || name.starts_with("Exec") => {
            // Its value may contain a password.
            draft.leave(place, format!("{name} of the unit"));
        }
        name => line(said, section, name, value, place),
    }
}

/// An empty value takes back those before it (systemd.syntax(7)).
fn line(said: &mut Said, section: &'static str, name: &str, value: &str, place: &Place) {
    let mut value = value.to_owned();
    if DEPENDENCIES.contains(&name) && !value.is_empty() {
        let others = value.split_whitespace().filter(|unit| !USUAL_UNITS.contains(unit));
        value = others.collect::<Vec<_>>().join(" ");
        if value.is_empty() {
            return;
        }
    }
    let entry = said.lines.entry((section, name.to_owned()));
    let (values, _) = entry.or_insert_with(|| (Vec::new(), place.clone()));
    match value.is_empty() {
        true => values.clear(),
        false => values.push(value),
    }
    // Each is judged by itself.
    said.count += 1;
}

fn finish(draft: &mut Draft, said: Said, is_etcd: bool) {
    if said.count > MAX_ENTRIES {
        draft.too_many = Some("lines of a unit");
        return;
    }
    single(draft, said.single);
    for (key, (values, place)) in said.lines.into_iter().filter(|(_, (values, _))| !values.is_empty()) {
        let name = &key.1;
        if let Some(what) = values.iter().find_map(|value| guard::secret(value)) {
            draft.leave(&place, format!("{name} of the unit is {what}, which is not read"));
            continue;
        }
        if !is_etcd {
            draft.leave(&place, format!("{name} of the unit: it is about the program that ExecStart starts"));
            continue;
        }
        match draft.lines.get(&key) {
            Some((there, _)) if *there == values => {}
            Some((_, first)) => {
                let text = format!("{name} differs from {}:{}, which was read first", first.file, first.line);
                draft.leave(&place, text);
            }
            None => {
                draft.lines.insert(key, (values, place));
            }
        }
    }
}

/// Settings with one value. An empty one is systemd's default.
fn single(draft: &mut Draft, mut said: BTreeMap<&'static str, (String, Place)>) {
    let user = said.get("User").map(|(user, _)| user.clone()).unwrap_or_default();
    said.retain(|_, (value, _)| !value.is_empty());
    for (name, (value, place)) in said {
        let is_seconds = value.bytes().all(|byte| byte.is_ascii_digit());
        let (table, key) = match name {
            "User" => ("[etcd]", "user"),
            "Restart" => ("[etcd.service]", "restart"),
            "RestartSec" if is_seconds => {
                draft.say(("[etcd.service]", "restart-sec"), &format!("{value}s"), &place);
                continue;
            }
            "RestartSec" => ("[etcd.service]", "restart-sec"),
            "LimitNOFILE" if is_number(&value) => ("[etcd.service]", "limit-nofile"),
            // systemd would fill in its own specifiers; in a profile, % is a plain character.
            "Description" if !value.contains('%') => ("[etcd.service]", "description"),
            "Group" if value == user => continue,
            "Group" => {
                let text = "Group is not User: the group of etcd's account has the account's name";
                draft.leave(&place, text);
                continue;
            }
            // Its value may contain a password.
            _ => {
                draft.leave(&place, format!("{name} of the unit"));
                continue;
            }
        };
        draft.say((table, key), &value, &place);
    }
}
