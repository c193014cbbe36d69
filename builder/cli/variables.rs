//! Options that an environment variable may give as well: `KILN_OUT` for `--out`.

use std::collections::BTreeSet;
use std::ffi::OsString;

use clap::builder::{OsStr, Resettable};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

/// Values that switch a flag off, as clap's `FalseyValueParser` has them.
const OFF: [&str; 6] = ["n", "no", "f", "false", "off", "0"];

/// The command for these arguments, without the variables that do not count: empty ones, flags that are switched off,
/// and those whose option is excluded by one that the arguments give, or by a flag that another variable switches on.
pub fn settled(
    command: Command,
    arguments: &[OsString],
    value: &dyn Fn(&str) -> Option<OsString>,
) -> Command {
    // What the arguments alone say; mistakes in them are reported when they are read for good.
    let bare = everywhere(command.clone(), &|argument| without(argument)).ignore_errors(true);
    let matches = bare.try_get_matches_from(arguments).ok();
    settle(command, matches.as_ref(), value)
}

/// The same change to every argument of a command and of the verbs below it.
pub fn everywhere(command: Command, change: &dyn Fn(Arg) -> Arg) -> Command {
    command.mut_args(change).mut_subcommands(|verb| everywhere(verb, change))
}

fn without(argument: Arg) -> Arg {
    argument.env(Resettable::<OsStr>::Reset)
}

fn settle(
    command: Command,
    matches: Option<&ArgMatches>,
    value: &dyn Fn(&str) -> Option<OsString>,
) -> Command {
    let is_given = |argument: &Arg| {
        matches.and_then(|matches| matches.value_source(argument.get_id().as_str()))
            == Some(ValueSource::CommandLine)
    };
    let excludes = |one: &Arg, other: &Arg| {
        let has = |from: &Arg, to: &Arg| {
            command.get_arg_conflicts_with(from).iter().any(|argument| argument.get_id() == to.get_id())
        };
        has(one, other) || has(other, one)
    };
    let set = |argument: &Arg| argument.get_env().and_then(|name| value(name.to_str()?));
    let is_flag = |argument: &Arg| matches!(argument.get_action(), ArgAction::SetTrue);
    let is_on = |argument: &Arg| {
        let off = |value: OsString| OFF.iter().any(|off| value.eq_ignore_ascii_case(off));
        is_flag(argument) && set(argument).is_some_and(|value| !off(value))
    };
    let yields = |argument: &Arg| {
        let to = |other: &Arg| excludes(argument, other) && (is_given(other) || is_on(other));
        set(argument).is_none() || is_flag(argument) && !is_on(argument) || command.get_arguments().any(to)
    };
    let dropped: BTreeSet<_> = command
        .get_arguments()
        .filter(|argument| yields(argument))
        .map(|argument| argument.get_id().clone())
        .collect();
    command
        .mut_args(|argument| if dropped.contains(argument.get_id()) { without(argument) } else { argument })
        .mut_subcommands(|verb| {
            let below = matches.and_then(|matches| matches.subcommand_matches(verb.get_name()));
            settle(verb, below, value)
        })
}
