//! Parse, dispatch, print the error, return the exit code.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use kiln::cli;
use kiln::failure::{Exit, Failure};
use kiln::values::{printable_lines, without_passwords, without_private_keys};
use kiln::{commands, environ, interrupt, process};

fn main() -> ExitCode {
    match std::panic::catch_unwind(guarded) {
        Ok(code) => code,
        // The panic has been reported where it happened; unfinished output was removed as its owners were dropped.
        Err(_) => exit(Exit::Io),
    }
}

fn guarded() -> ExitCode {
    // Before the arguments are read, so that signals are handled from the start.
    if let Err(failure) = process::guard().and_then(|()| interrupt::listen(process::ignores)) {
        report(&failure);
        return exit(failure.exit());
    }
    let arguments: Vec<_> = std::env::args_os().collect();
    // Checked here, so that a program also gets JSON for an invalid command line.
    let json = arguments.iter().take_while(|argument| *argument != "--").any(|argument| argument == "--json");
    let cli = match cli::parse(&arguments, &environ::value, commands::long_version) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are results, everything else is a message.
            if !error.use_stderr() {
                return match error.print() {
                    Ok(()) => ExitCode::SUCCESS,
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => exit(Exit::Unheard),
                    Err(error) => {
                        report(&Failure::io(format!("writing to standard output: {error}")));
                        exit(Exit::Io)
                    }
                };
            }
            // It quotes the arguments, which a script may have taken from elsewhere.
            let text = without_passwords(&without_private_keys(&error.to_string()));
            let lines: Vec<String> = printable_lines(text.trim_end()).lines().map(shortened).collect();
            eprintln_quietly(&lines.join("\n"));
            if json {
                // Its first paragraph: a list of missing arguments is on lines of its own.
                let lines = text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim);
                commands::refuse(lines.collect::<Vec<_>>().join(" ").trim_start_matches("error: "));
            }
            return exit(Exit::Usage);
        }
    };
    match commands::run(cli, json) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report(&failure);
            ExitCode::from(failure.code())
        }
    }
}

fn report(failure: &Failure) {
    let text = failure.to_string();
    match failure.is_report() {
        true if text.is_empty() => {}
        true => eprintln_quietly(text.trim_end()),
        false => eprintln_quietly(&format!("error: {text}")),
    }
}

/// The longest line of clap's that is shown whole, in characters: an argument can have megabytes.
const MAX_LINE: usize = 400;

fn shortened(line: &str) -> String {
    match line.char_indices().nth(MAX_LINE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

/// An error of stderr itself cannot be reported.
fn eprintln_quietly(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

fn exit(exit: Exit) -> ExitCode {
    ExitCode::from(exit as u8)
}
