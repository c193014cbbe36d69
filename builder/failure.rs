//! The one error type: a sentence for a person and an exit code for a script.

use std::fmt;

use crate::values::{printable, printable_lines};

/// What `kiln` exits with. Part of the command line's contract (README, "Exit codes").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The cluster or the bundle is not what it should be.
    Wrong = 1,
    /// The command line is not one that Kiln knows.
    Usage = 2,
    /// The profile has mistakes.
    Profile = 3,
    /// An artifact, key or certificate cannot be trusted, or is missing a part.
    Untrusted = 4,
    /// Reading or writing went wrong.
    Io = 5,
    /// Refused because it would be unsafe.
    Unsafe = 6,
    /// Another run of Kiln holds the lock.
    Locked = 7,
    /// Ctrl-C, SIGTERM, or the reader of standard output went away.
    Interrupted = 130,
}

impl Exit {
    /// Every code but 0, in their order, and what it says: help and README list them from here.
    pub const ALL: [(Exit, &str); 8] = [
        (Exit::Wrong, "the cluster or the bundle is not what it should be"),
        (Exit::Usage, "usage: the command line, or something that it names, is not there"),
        (Exit::Profile, "the profile is wrong"),
        (Exit::Untrusted, "an artifact or certificate cannot be trusted, or is missing"),
        (Exit::Io, "input/output"),
        (Exit::Unsafe, "refused because it would be unsafe"),
        (Exit::Locked, "locked by another run"),
        (Exit::Interrupted, "interrupted"),
    ];

    /// The README's table of exit codes.
    pub fn markdown() -> String {
        let rows = Self::ALL.map(|(exit, about)| format!("| {} | {about} |\n", exit as u8));
        format!("| exit code | |\n|---|---|\n| 0 | done |\n{}", rows.concat())
    }
}

/// A refusal or a fault. Its text never holds a secret: rooms that handle keys put names and paths in it only.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    reason: String,
    /// Innermost first: what was being done, as lower-case gerunds ("reading profiles/ha3.toml").
    doing: Vec<String>,
    /// Whether the reason is a whole text with a heading of its own for each mistake.
    report: bool,
    /// For programs, in the place of such a text: a sentence, and a list of what is wrong.
    details: Option<Box<(String, serde_json::Value)>>,
    /// Instead of the exit's own number: what a program that ran in Kiln's place ended with.
    code: Option<u8>,
}

const INTERRUPTED: &str = "interrupted";

pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub fn new(exit: Exit, reason: impl Into<String>) -> Self {
        Self { exit, reason: reason.into(), doing: Vec::new(), report: false, details: None, code: None }
    }

    /// A text of several lines that already says `error:` where it has to, and where the mistakes are: to be
    /// printed as it is.
    pub fn report(exit: Exit, text: impl Into<String>) -> Self {
        Self { report: true, ..Self::new(exit, text) }
    }

    /// What a program is told instead of a report: a sentence, and a list of mistakes.
    pub fn detailed(mut self, message: impl Into<String>, mistakes: serde_json::Value) -> Self {
        self.details = Some(Box::new((message.into(), mistakes)));
        self
    }

    /// `{exit, message, mistakes}`, for programs.
    pub fn json(&self) -> serde_json::Value {
        let (message, mistakes) = match &self.details {
            Some(details) => (details.0.clone(), details.1.clone()),
            None => (self.to_string(), serde_json::json!([])),
        };
        serde_json::json!({ "exit": self.exit as u8, "message": message, "mistakes": mistakes })
    }

    /// Whether to print it as it is, without `error:` before it.
    pub fn is_report(&self) -> bool {
        self.report
    }

    pub fn wrong(reason: impl Into<String>) -> Self {
        Self::new(Exit::Wrong, reason)
    }

    pub fn untrusted(reason: impl Into<String>) -> Self {
        Self::new(Exit::Untrusted, reason)
    }

    pub fn unsafe_to(reason: impl Into<String>) -> Self {
        Self::new(Exit::Unsafe, reason)
    }

    pub fn io(reason: impl Into<String>) -> Self {
        Self::new(Exit::Io, reason)
    }

    /// What stays of the work, only the verb knows: it is added on the way out.
    pub fn interrupted() -> Self {
        Self::new(Exit::Interrupted, INTERRUPTED)
    }

    /// Says what an interruption leaves behind, unless it has been said.
    pub fn leaving(mut self, what: &str) -> Self {
        if self.reason == INTERRUPTED {
            self.reason = format!("{INTERRUPTED}; {what}");
        }
        self
    }

    /// The reader of standard output went away, as in `kiln plan … | head`: nobody wants to be told.
    pub fn unheard() -> Self {
        Self::report(Exit::Interrupted, "")
    }

    /// A program that ran in Kiln's place, and has said itself what was wrong, ended with this code.
    pub fn passed_on(code: u8) -> Self {
        Self { code: Some(code), ..Self::report(Exit::Wrong, "") }
    }

    /// What the process exits with.
    pub fn code(&self) -> u8 {
        self.code.unwrap_or(self.exit as u8)
    }

    /// The same, for another reason to exit.
    pub fn with_exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// Whether there is nothing to say, and nobody to say it to.
    pub fn is_unheard(&self) -> bool {
        self.report && self.reason.is_empty()
    }

    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The reason alone, without what was being done.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Says what was being done, outermost last.
    pub fn while_doing(mut self, doing: impl Into<String>) -> Self {
        self.doing.push(doing.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.report {
            // It may be coloured; whoever makes a report has made its parts printable.
            return f.write_str(&self.reason);
        }
        self.doing.iter().rev().try_for_each(|doing| write!(f, "{}: ", printable(doing)))?;
        f.write_str(&printable_lines(&self.reason))
    }
}

impl std::error::Error for Failure {}

/// Adds what was being done to an error on its way out.
pub trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|failure| failure.while_doing(what()))
    }
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Failure::io(error.to_string()).while_doing(what()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_reads_from_the_outside_in() {
        let failure = Failure::io("No such file").while_doing("reading a.toml").while_doing("building ha3");
        assert_eq!(failure.to_string(), "building ha3: reading a.toml: No such file");
        assert_eq!(failure.exit(), Exit::Io);
    }

    #[test]
    fn what_an_interruption_leaves_is_said_once() {
        let said =
            |failure: Failure| failure.leaving("machines go on").leaving("nothing is left").to_string();
        assert_eq!(said(Failure::interrupted()), "interrupted; machines go on");
        assert_eq!(
            said(Failure::new(Exit::Interrupted, "interrupted; a tag is there")),
            "interrupted; a tag is there"
        );
        assert_eq!(said(Failure::io("full")), "full");
    }

    #[test]
    fn what_others_wrote_does_not_steer_the_terminal() {
        let failure = Failure::io("no \u{1b}[2J\u{9b}31m\nhere").while_doing("reading a\nerror: b");
        assert_eq!(failure.to_string(), "reading a\u{fffd}error: b: no \u{fffd}[2J\u{fffd}31m\nhere");
    }

    #[test]
    fn a_report_is_printed_as_it_is() {
        let failure =
            Failure::report(Exit::Profile, "error: x\n  --> a.toml:1:1").while_doing("building ha3");
        assert_eq!(failure.to_string(), "error: x\n  --> a.toml:1:1");
        assert!(failure.is_report());
    }
}
