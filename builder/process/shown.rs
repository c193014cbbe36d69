//! The command line of a program, for messages.

use std::ffi::{OsStr, OsString};

use super::Program;
use crate::values::counted;

impl Program {
    /// The last arguments, as a user has typed them: they may contain a password, so they are never shown.
    pub fn private_args<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, arguments: I) -> Self {
        let before = self.arguments.len();
        self = self.args(arguments);
        self.private = self.arguments.len() - before;
        self
    }

    /// The program and its arguments in the syntax of a shell. Its environment is left out, because secrets are passed
    /// there.
    pub(super) fn shown(&self) -> String {
        let shown = &self.arguments[..self.arguments.len() - self.private];
        let words = std::iter::once(self.path.as_os_str()).chain(shown.iter().map(OsString::as_os_str));
        let mut line = words.map(quoted).collect::<Vec<_>>().join(" ");
        if self.private > 0 {
            line += &format!(" [{} not shown]", counted(self.private, "argument"));
        }
        line
    }
}

/// One word of a shell's command line.
fn quoted(word: &OsStr) -> String {
    let text = word.to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.into_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_shown_as_a_shell_takes_it_and_without_what_is_private() {
        let program =
            Program::new("/bin/sh").args(["-c", "echo 'a b'", ""]).private_args(["user", "root:hunter2"]);
        assert_eq!(program.shown(), r"/bin/sh -c 'echo '\''a b'\''' '' [2 arguments not shown]");
        assert_eq!(Program::new("true").shown(), "true");
    }
}
