//! Parse, dispatch, print the error, return the exit code.

use std::process::ExitCode;

use clap::Parser;
use kiln::cli::Cli;
use kiln::failure::{Exit, Failure};
use kiln::{commands, interrupt, process};

fn main() -> ExitCode {
    match std::panic::catch_unwind(guarded) {
        Ok(code) => code,
        // It has been said where it happened; what was being made has gone away on the way here.
        Err(_) => exit(Exit::Io),
    }
}

fn guarded() -> ExitCode {
    if let Err(failure) = process::guard() {
        report(&failure);
        return exit(failure.exit());
    }
    // Asked here, so that a program also gets JSON for a command line that is wrong.
    let json =
        std::env::args_os().take_while(|argument| argument != "--").any(|argument| argument == "--json");
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are results, everything else is a message; clap knows which goes where.
            let _ = error.print();
            if json && error.use_stderr() {
                commands::refuse(
                    error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: "),
                );
            }
            return if error.use_stderr() { exit(Exit::Usage) } else { ExitCode::SUCCESS };
        }
    };
    match interrupt::listen().and_then(|()| commands::run(cli, json)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report(&failure);
            ExitCode::from(failure.code())
        }
    }
}

fn report(failure: &Failure) {
    use std::io::Write;
    let mut stderr = std::io::stderr().lock();
    let text = failure.to_string();
    // Nobody can be told that stderr is closed.
    let _ = match failure.is_report() {
        true if text.is_empty() => Ok(()),
        true => writeln!(stderr, "{}", text.trim_end()),
        false => writeln!(stderr, "error: {text}"),
    };
}

fn exit(exit: Exit) -> ExitCode {
    ExitCode::from(exit as u8)
}
