//! Which of several places that say the same option a member takes it from.
//!
//! A flag is stronger than a variable (`SetFlagsFromEnv` in pkg/flags/flag.go of etcd). Of variables, a file of
//! `EnvironmentFile=` is stronger than `Environment=`, and a later file than an earlier one (systemd.exec(5)). Beside
//! `--config-file`, etcd reads neither flags nor variables (`parse` in server/etcdmain/config.go).

use super::command;
use super::draft::{Draft, Place, Strength};
use super::member::{self, CONFIG_FILE, DAEMON_ARGS, Given, Variables, value};
use super::unit::{self, Parsed};

const FLAG: &str = "a flag is stronger than a variable";

/// All that one list says and another, stronger one says differently.
fn put(strength: &mut Strength, weak: &Given, strong: &Given, why: &'static str) {
    for (key, value, place) in &weak.0 {
        // Of one list, the last is used.
        let stronger = strong.0.iter().rev().find(|(other, _, _)| other == key);
        if let Some((_, _, at)) = stronger.filter(|(_, other, _)| other != value) {
            let text = format!("differs from {}:{}, which counts: {why}", at.file, at.line);
            strength.over.entry((place.clone(), key.clone())).or_insert(text);
        }
    }
}

fn ignore(strength: &mut Strength, weak: &Given, at: &Place) {
    for (key, _, place) in &weak.0 {
        let text = format!(
            "is not used: beside --config-file ({}:{}), etcd reads neither flags nor variables",
            at.file, at.line
        );
        strength.over.insert((place.clone(), key.clone()), text);
    }
}

/// A file of variables.
struct File<'f> {
    name: &'f str,
    given: Given,
    variables: Variables,
}

/// What is wrong in the flags that are filled in is told to the draft; all else is told when the files are read.
pub fn look(draft: &mut Draft, files: &[(String, Vec<u8>)]) -> Strength {
    let mut strength = Strength::default();
    let mut nowhere = Draft::default();
    let (mut units, mut others): (Vec<(&str, Parsed)>, Vec<File>) = (Vec::new(), Vec::new());
    for (name, bytes) in files {
        let Ok(text) = std::str::from_utf8(bytes) else { continue };
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if unit::is_unit(text) {
            units.push((name, unit::parse(&mut nowhere, text, name)));
        } else if member::is_environment(text) {
            let variables = member::variables(&mut nowhere, text, name);
            others.push(File { name, given: member::of_etcd(&variables), variables });
        }
    }
    let matches = related(&units, &others);
    for (at, file) in others.iter().enumerate() {
        let of_file = units.iter().zip(&matches).filter(|(_, files)| files[at].is_some());
        let of_file: Vec<&Parsed> = of_file.map(|((_, unit), _)| unit).collect();
        of_variables(draft, &mut strength, file, &of_file);
    }
    for ((_, unit), files) in units.iter().zip(&matches) {
        if let Some(place) = missing(unit, files) {
            draft.miss(place);
        }
        put(&mut strength, &unit.environment, &unit.command.flags, FLAG);
        let mut ordered: Vec<(usize, &File)> =
            files.iter().zip(&others).filter_map(|(at, file)| Some(((*at)??, file))).collect();
        ordered.sort_by_key(|(position, _)| *position);
        for (index, (position, weak)) in ordered.iter().enumerate() {
            let why = "a later EnvironmentFile= is stronger";
            let later = ordered[index..].iter().rev().filter(|(other, _)| other > position);
            later.for_each(|(_, strong)| put(&mut strength, &weak.given, &strong.given, why));
        }
        if let Some(place) = &unit.config_file {
            ignore(&mut strength, &unit.command.flags, place);
            ignore(&mut strength, &unit.environment, place);
        }
    }
    strength
}

/// Where a unit names a file that is not among these. One with another name was renamed, and may be any of those that
/// none has the name of.
fn missing<'u>(unit: &'u Parsed, files: &[Option<Option<usize>>]) -> Option<&'u Place> {
    let is_there = |at: usize| files.contains(&Some(Some(at)));
    let renamed = files.iter().filter(|at| **at == Some(None)).count();
    let mut unnamed = unit.files.iter().enumerate().filter(|(at, _)| !is_there(*at));
    unnamed.nth(renamed).map(|(_, (_, place))| place)
}

/// A file of variables, and the units that read it: the flags that it fills in, and what is stronger than it.
fn of_variables(draft: &mut Draft, strength: &mut Strength, file: &File, units: &[&Parsed]) {
    let mut flags = Given::default();
    let mut config_file = value(&file.variables, CONFIG_FILE).map(|(_, place)| place.clone());
    for unit in units {
        let used = unit.command.used();
        strength.used.extend(used.into_iter().filter(|name| value(&file.variables, name).is_some()));
        let filled = unit.command.fill(draft, &mut flags, &file.variables, &unit.variables);
        config_file = filled.or(config_file);
    }
    if let Some((words, place)) = value(&file.variables, DAEMON_ARGS).filter(|_| units.is_empty()) {
        strength.used.insert(DAEMON_ARGS.to_owned());
        config_file = command::flags(draft, &mut flags, words, place).or(config_file);
    }
    put(strength, &file.given, &flags, FLAG);
    for unit in units {
        put(strength, &file.given, &unit.command.flags, FLAG);
        put(strength, &unit.environment, &flags, FLAG);
        let why = "EnvironmentFile= is stronger than Environment=";
        put(strength, &unit.environment, &file.given, why);
        if let Some(place) = unit.config_file.as_ref().or(config_file.as_ref()) {
            [&flags, &file.given, &unit.command.flags, &unit.environment]
                .into_iter()
                .for_each(|given| ignore(strength, given, place));
        }
    }
    if let Some(place) = &config_file {
        ignore(strength, &flags, place);
        ignore(strength, &file.given, place);
    }
    strength.flags.insert(file.name.to_owned(), flags.0);
}

/// For each unit, for each file of variables: whether the unit reads it, and as which of its files, if its name says
/// that. A file with a name of its own was renamed when it was copied: it belongs to every unit that has such files.
fn related(units: &[(&str, Parsed)], files: &[File]) -> Vec<Vec<Option<Option<usize>>>> {
    let positions = |(name, unit): &(&str, Parsed), file: &File| {
        let stem = base(name).trim_end_matches(".service");
        let is_it = |(path, _): &(String, Place)| {
            base(&path.replace("%p", stem).replace("%N", stem)) == base(file.name)
        };
        unit.files.iter().rposition(is_it)
    };
    let is_beside = |unit: &str, file: &File| directory(unit) == directory(file.name);
    let of_unit = |unit: &(&str, Parsed)| {
        let of_file = |file: &File| {
            let (own, theirs) = (name_of(&unit.1.command.flags), name_of(&file.given));
            let is_other = matches!((own, theirs), (Some(own), Some(theirs)) if own != theirs);
            let named = positions(unit, file);
            let is_named_beside =
                |unit: &&(&str, Parsed)| is_beside(unit.0, file) && positions(unit, file).is_some();
            if named.is_some() {
                // Of several hosts' files in a directory each, those of one directory belong together.
                let is_elsewhere =
                    !is_beside(unit.0, file) && units.iter().any(|unit| is_named_beside(&unit));
                return (!is_elsewhere).then_some(named);
            }
            let is_of_another = units.iter().any(|unit| positions(unit, file).is_some());
            (!unit.1.files.is_empty() && !is_other && !is_of_another).then_some(None)
        };
        files.iter().map(of_file).collect()
    };
    units.iter().map(of_unit).collect()
}

fn name_of(given: &Given) -> Option<&str> {
    let mut names = given.0.iter().filter(|(key, value, _)| key == "name" && !value.contains('$'));
    names.next_back().map(|(_, name, _)| name.as_str())
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn directory(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}
