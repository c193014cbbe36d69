//! A command line of etcd's: its flags, and variables in them.

use std::collections::BTreeSet;
use std::iter::Peekable;

use super::draft::{Draft, Place};
use super::member::{Given, Variables, key_of_flag, settings_file, value};
use super::variable;
use super::words::split;
use super::{founders, guard, options};
use crate::etcd::keys;

/// What systemd takes before a program (systemd.service(5), "Command lines").
const PREFIXES: [char; 6] = ['-', '@', ':', '+', '!', '|'];

/// A command line, before its variables are filled in.
#[derive(Default)]
pub struct Command {
    /// Flags without variables.
    pub flags: Given,
    /// Those with variables: the option, and the value with `$NAME` or `${NAME}` in it.
    templates: Vec<(String, String, Place)>,
    /// Words that are variables: systemd puts the words of the variable there.
    arguments: Vec<(String, Place)>,
    pub config_file: Option<Place>,
}

impl Command {
    /// Names of the variables that it has.
    pub fn used(&self) -> BTreeSet<String> {
        let in_values = self.templates.iter().flat_map(|(_, value, _)| variable::names(value));
        in_values.chain(self.arguments.iter().map(|(name, _)| name.clone())).collect()
    }

    /// Adds the flags that it has with these variables, and with those of the unit where these do not say them. What
    /// has none of these in it is left out. Returns where a configuration file is named.
    pub fn fill(
        &self,
        draft: &mut Draft,
        given: &mut Given,
        variables: &Variables,
        of_unit: &Variables,
    ) -> Option<Place> {
        let mut config_file = None;
        for (name, _) in &self.arguments {
            if let Some((words, place)) = value(variables, name) {
                config_file = flags(draft, given, words, place).or(config_file);
            }
        }
        for (key, template, place) in &self.templates {
            let all = |name: &str| value(variables, name).or_else(|| value(of_unit, name));
            let is_of_these = variable::names(template).iter().any(|name| value(variables, name).is_some());
            let filled = variable::filled(template, |name| all(name).map(|(value, _)| value));
            given.0.extend(filled.filter(|_| is_of_these).map(|value| (key.clone(), value, place.clone())));
        }
        config_file
    }

    /// The flags that it has with the unit's variables alone. What a file of variables says of one is stronger, and
    /// read with that file; what nothing says is reported.
    pub fn own(&self, draft: &mut Draft, of_unit: &Variables) -> Given {
        let mut given = self.flags.clone();
        let mut own = Command::default();
        for (name, place) in &self.arguments {
            if draft.strength.is_used(name) {
                continue;
            }
            match value(of_unit, name) {
                Some(_) => own.arguments.push((name.clone(), place.clone())),
                None => {
                    draft.miss(place);
                    draft.leave(place, format!("the words of the variable {name}, which no file here sets"));
                }
            }
        }
        for template in &self.templates {
            let names = variable::names(&template.1);
            let is_elsewhere = |name: &String| draft.strength.is_used(name);
            let is_known = |name: &String| is_elsewhere(name) || value(of_unit, name).is_some();
            if !names.iter().all(is_known) {
                unfilled(draft, template);
            } else if !names.iter().any(is_elsewhere) {
                own.templates.push(template.clone());
            }
        }
        own.fill(draft, &mut given, of_unit, of_unit);
        given
    }

    /// A flag whose value has variables of systemd's.
    fn with_variables(
        &mut self,
        draft: &mut Draft,
        key: Option<String>,
        flag: &str,
        value: String,
        place: Place,
    ) {
        let is_filled = !value.contains('%') && !variable::names(&value).is_empty();
        match key {
            Some(key) if is_filled => self.templates.push((key, value, place)),
            key => has_variable(draft, key.as_deref(), guard::key(flag), &place),
        }
    }

    /// Whether it starts etcd itself.
    pub fn read(
        &mut self,
        draft: &mut Draft,
        words: &[(String, usize)],
        has_program: bool,
        file: &str,
    ) -> bool {
        let place = |line: usize| Place { file: file.to_owned(), line };
        let mut words = words.iter().peekable();
        if let Some((program, line)) = words.next_if(|(word, _)| has_program && !word.starts_with("--")) {
            if !is_etcd(draft, program, &place(*line)) {
                return false;
            }
            // Behind `@`, the next word is the name that the program gets.
            let prefixes = program.split(|c| !PREFIXES.contains(&c)).next();
            words.next_if(|_| prefixes.is_some_and(|prefixes| prefixes.contains('@')));
        }
        while let Some((word, line)) = words.next() {
            if let Some(name) = variable::alone(word) {
                self.arguments.push((name.to_owned(), place(*line)));
                continue;
            }
            let Some(flag) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else {
                draft.leave(&place(*line), "a word of the command line that is not a flag");
                continue;
            };
            let (flag, Some(value)) = valued(flag, &mut words) else {
                draft.leave(&place(*line), format!("--{} has no value", guard::key(flag)));
                continue;
            };
            let key = key_of_flag(flag);
            if value.contains('$') || value.contains('%') {
                self.with_variables(draft, key, flag, value, place(*line));
                continue;
            }
            match key {
                Some(key) => self.flags.0.push((key, value, place(*line))),
                // Its file is to be imported, too.
                None if flag == "config-file" => {
                    self.config_file = Some(place(*line));
                    settings_file(draft, &value, &place(*line));
                }
                None => {
                    let no_flag = || format!("--{} is not a flag of etcd's", guard::key(flag));
                    draft.leave(&place(*line), options::not_written(flag).unwrap_or_else(no_flag));
                }
            }
        }
        true
    }
}

fn is_etcd(draft: &mut Draft, program: &str, place: &Place) -> bool {
    let path = program.trim_start_matches(PREFIXES);
    match path.rsplit_once('/') {
        Some((directory, "etcd")) => draft.say(("[etcd]", "bin-dir"), directory, place),
        None if path == "etcd" => {}
        _ => {
            draft.leave(place, "ExecStart does not start etcd itself; its flags are not read");
            return false;
        }
    }
    true
}

fn unfilled(draft: &mut Draft, (key, _, place): &(String, String, Place)) {
    let flag = keys::flag_name(key).unwrap_or_else(|| key.clone());
    has_variable(draft, Some(key), &flag, place);
}

fn has_variable(draft: &mut Draft, key: Option<&str>, flag: &str, place: &Place) {
    if key.is_some_and(founders::is_identity) {
        draft.miss(place);
    }
    draft.leave(place, format!("--{flag} has a variable of systemd's or the shell's"));
}

/// The flags of a text of words, and where a configuration file is named.
pub fn flags(draft: &mut Draft, given: &mut Given, words: &str, place: &Place) -> Option<Place> {
    let words: Vec<_> = split(words).into_iter().map(|word| (word, place.line)).collect();
    let mut command = Command::default();
    command.read(draft, &words, false, &place.file);
    for (name, place) in &command.arguments {
        draft.miss(place);
        draft.leave(place, format!("the variable {name} in another variable is not filled in"));
    }
    command.templates.iter().for_each(|template| unfilled(draft, template));
    given.0.append(&mut command.flags.0);
    command.config_file
}

/// A flag and its value, as Go's flag package reads them: a switch has no next word, and every other flag takes it,
/// whatever it is.
fn valued<'w>(
    flag: &'w str,
    words: &mut Peekable<impl Iterator<Item = &'w (String, usize)>>,
) -> (&'w str, Option<String>) {
    if let Some((flag, value)) = flag.split_once('=') {
        return (flag, Some(value.to_owned()));
    }
    let value = match key_of_flag(flag) {
        Some(key) if keys::is_switch(&key) => Some("true".to_owned()),
        None if flag != "config-file" => {
            let next = words.next_if(|(word, _)| !word.starts_with('-'));
            Some(next.map(|(word, _)| word.clone()).unwrap_or_default())
        }
        _ => words.next().map(|(word, _)| word.clone()),
    };
    (flag, value)
}
