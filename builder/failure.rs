//! The one error type: a sentence for people and an exit code for scripts.

use std::fmt;
use std::io::ErrorKind;

use crate::values::{printable, printable_lines, without_private_keys};

/// The exit codes of `kiln`. Part of the command line's contract (README, "Exit codes").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The cluster or the bundle does not match, or is invalid.
    Wrong = 1,
    /// The command line is invalid.
    Usage = 2,
    /// The profile has mistakes.
    Profile = 3,
    /// An artifact, key or certificate cannot be trusted, or is missing a part.
    Untrusted = 4,
    /// Reading or writing failed.
    Io = 5,
    /// Refused because it would be unsafe.
    Unsafe = 6,
    /// Another run of Kiln holds the lock.
    Locked = 7,
    /// Ctrl-C or SIGTERM.
    Interrupted = 130,
    /// The reader of standard output has closed the pipe, as in `kiln plan … | head`. Of a program that SIGPIPE ends, a
    /// shell says the same.
    Unheard = 141,
}

impl Exit {
    /// Every code except 0, in order, with its meaning: the source of the help and the README.
    pub const ALL: [(Exit, &str); 9] = [
        (Exit::Wrong, "a check failed, or a bundle is damaged"),
        (Exit::Usage, "wrong usage, or the command line names a missing file"),
        (Exit::Profile, "a profile has mistakes"),
        (Exit::Untrusted, "an artifact or certificate cannot be trusted, or is missing"),
        (Exit::Io, "input/output error"),
        (Exit::Unsafe, "refused as unsafe"),
        (Exit::Locked, "locked by another run"),
        (Exit::Interrupted, "interrupted"),
        (Exit::Unheard, "the reader of standard output closed the pipe"),
    ];

    /// The README's table of exit codes.
    pub fn markdown() -> String {
        let rows = Self::ALL.map(|(exit, about)| format!("| {} | {about} |\n", exit as u8));
        format!("| exit code | |\n|---|---|\n| 0 | done |\n{}", rows.concat())
    }
}

/// A refusal or a fault. Its text never contains a secret: modules that handle keys put only names and paths in it.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    reason: String,
    /// The steps that failed, innermost first, as lower-case gerunds ("reading profiles/ha3.toml").
    doing: Vec<String>,
    /// Whether the reason is a complete text with a heading of its own for each mistake.
    report: bool,
    /// For programs, instead of such a text: a sentence, and a list of mistakes.
    details: Option<Box<(String, serde_json::Value)>>,
    /// Instead of the exit's own number: the exit code of a program that ran in Kiln's place.
    code: Option<u8>,
}

const INTERRUPTED: &str = "interrupted";

/// The result of every function of Kiln that may fail.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// `reason` is printed after `error: ` and the steps that failed; it has no full stop at its end.
    pub fn new(exit: Exit, reason: impl Into<String>) -> Self {
        Self { exit, reason: reason.into(), doing: Vec::new(), report: false, details: None, code: None }
    }

    /// A text of several lines that already contains `error:` and the places of the mistakes; it is printed unchanged.
    pub fn report(exit: Exit, text: impl Into<String>) -> Self {
        Self { report: true, ..Self::new(exit, text) }
    }

    /// The form of a report for programs: a sentence, and a list of mistakes.
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

    /// Whether to print it unchanged, without `error: ` before it.
    pub fn is_report(&self) -> bool {
        self.report
    }

    /// [`Exit::Wrong`], for this reason.
    pub fn wrong(reason: impl Into<String>) -> Self {
        Self::new(Exit::Wrong, reason)
    }

    /// [`Exit::Untrusted`], for this reason.
    pub fn untrusted(reason: impl Into<String>) -> Self {
        Self::new(Exit::Untrusted, reason)
    }

    /// [`Exit::Unsafe`], for this reason.
    pub fn unsafe_to(reason: impl Into<String>) -> Self {
        Self::new(Exit::Unsafe, reason)
    }

    /// [`Exit::Io`], for this reason.
    pub fn io(reason: impl Into<String>) -> Self {
        Self::new(Exit::Io, reason)
    }

    /// Only the verb knows what remains of the work: it adds that to the failure.
    pub fn interrupted() -> Self {
        Self::new(Exit::Interrupted, INTERRUPTED)
    }

    /// Adds what an interruption leaves behind, unless that is already there.
    pub fn leaving(mut self, what: &str) -> Self {
        if self.reason == INTERRUPTED {
            self.reason = format!("{INTERRUPTED}; {what}");
        }
        self
    }

    /// [`Exit::Unheard`], without a message.
    pub fn unheard() -> Self {
        Self::report(Exit::Unheard, "")
    }

    /// A program that ran in Kiln's place, and has printed its own error, ended with this code.
    pub fn passed_on(code: u8) -> Self {
        Self { code: Some(code), ..Self::report(Exit::Wrong, "") }
    }

    /// The exit code of the process.
    pub fn code(&self) -> u8 {
        self.code.unwrap_or(self.exit as u8)
    }

    /// The same failure with another exit code.
    pub fn with_exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// The same failure, with another exit code for what is wrong: of a file that is neither a bundle nor a part of it.
    pub fn wrong_is(self, exit: Exit) -> Self {
        if self.exit == Exit::Wrong { self.with_exit(exit) } else { self }
    }

    /// Whether there is no message, and no reader for it.
    pub fn is_unheard(&self) -> bool {
        self.report && self.reason.is_empty()
    }

    /// The kind of failure. The process may exit with another number; see [`Failure::code`].
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The reason alone, without the steps that failed.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Adds the step that failed, outermost last.
    pub fn while_doing(mut self, doing: impl Into<String>) -> Self {
        self.doing.push(doing.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.report {
            // It may be coloured; the maker of a report has made its parts printable.
            return f.write_str(&self.reason);
        }
        // An argument that is repeated may be a key in place of the path of its file.
        let shown = |text: &str| without_private_keys(text);
        self.doing.iter().rev().try_for_each(|doing| write!(f, "{}: ", printable(&shown(doing))))?;
        f.write_str(&printable_lines(&shown(&self.reason)))
    }
}

impl std::error::Error for Failure {}

/// Adds the step that failed to an error as it is returned.
pub trait Doing<T> {
    /// `what` is called only after a failure: it returns a lower-case gerund with its object, such as "reading
    /// profiles/ha3.toml".
    ///
    /// # Errors
    /// The failure itself; an `io::Error` becomes `Exit::Io`, and a missing permission names the user that lacks it.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|failure| failure.while_doing(what()))
    }
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Failure::io(with_way_out(&error)).while_doing(what()))
    }
}

/// The text of a system error; for a missing permission, with what is true of any file, socket or program.
fn with_way_out(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::PermissionDenied => {
            let user = rustix::process::geteuid().as_raw();
            format!("{error}; kiln runs as UID {user}, which lacks the permission")
        }
        // Only a file system returns it.
        ErrorKind::ReadOnlyFilesystem => format!("{error}; use a directory that can be written to"),
        _ => error.to_string(),
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
    fn missing_permission_names_no_way_out() {
        let text = |code: i32| {
            let failed: std::io::Result<()> = Err(std::io::Error::from_raw_os_error(code));
            failed.doing(|| "writing x".into()).unwrap_err().to_string()
        };
        let user = rustix::process::geteuid().as_raw();
        // EPERM, EACCES, EROFS and ENOENT (errno(3)).
        for code in [1, 13] {
            assert!(text(code).ends_with(&format!("; kiln runs as UID {user}, which lacks the permission")));
        }
        assert!(text(30).ends_with("; use a directory that can be written to"));
        assert!(text(2).ends_with("(os error 2)"));
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
