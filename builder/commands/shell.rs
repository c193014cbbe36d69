//! `kiln man`.

use std::path::Path;

use clap::Command;
use clap::builder::{Resettable, StyledStr};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::output::Output;
use crate::cli;
use crate::disk::{self, Kind};
use crate::failure::{Doing, Exit, Failure, Result};
use crate::values::{Mode, counted};

pub fn man(args: &cli::Man, out: &Output) -> Result<()> {
    let mut command = cli::command().disable_help_subcommand(true);
    // Gives the verbs their full names: kiln-artifacts-add.
    command.build();
    let Some(directory) = &args.directory else { return out.bytes(&page(&command)?) };
    if disk::look(&disk::resolved(directory))?.map(|found| found.kind) != Some(Kind::Directory) {
        return Err(Failure::new(Exit::Usage, format!("there is no directory {}", directory.display())));
    }
    disk::refuse_in_made(directory, None, "name another directory")?;
    let count = write(&command, directory)?;
    out.print(format_args!("{}: {}", directory.display(), counted(count, "manual page")))
}

/// Writes the page of a command and those of its subcommands; returns their number.
fn write(command: &Command, directory: &Path) -> Result<usize> {
    let file = Man::new(command.clone()).get_filename();
    disk::write_whole(&directory.join(file), &page(command)?, Mode::FILE)?;
    command.get_subcommands().try_fold(1, |count, verb| Ok(count + write(verb, directory)?))
}

/// A page for groff. The text after the options in `--help` is added last: clap_mangen would fill the lines of its
/// examples into one paragraph.
fn page(command: &Command) -> Result<Vec<u8>> {
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let mut bytes = Vec::new();
    let writing = || "writing a manual page".to_owned();
    Man::new(command.clone().after_help(Resettable::<StyledStr>::Reset))
        .source(concat!("kiln ", env!("CARGO_PKG_VERSION")))
        .manual("Kiln")
        .render(&mut bytes)
        .doing(writing)?;
    let mut roff = Roff::new();
    let examples = text.strip_prefix("Examples:\n");
    if examples.is_some() {
        roff.control("SH", ["EXAMPLES"]);
    }
    let mut is_notes = false;
    for line in examples.unwrap_or(&text).lines().filter(|line| !line.is_empty()) {
        if line.starts_with("  ") {
            roff.control("PP", []).control("EX", []).text([roman(line.trim_start())]).control("EE", []);
            continue;
        }
        if !is_notes {
            roff.control("SH", ["NOTES"]);
        }
        is_notes = true;
        roff.control("PP", []).text([roman(line)]);
    }
    roff.to_writer(&mut bytes).doing(writing)?;
    Ok(bytes)
}
