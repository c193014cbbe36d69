//! Lines of logs in which a member, or the program that starts it, reports an error.

use serde_json::{Map, Value};

/// A line of a log: one of etcd's has fields, and any other is text.
pub struct Line<'a> {
    pub text: &'a str,
    fields: Option<Map<String, Value>>,
}

impl<'a> Line<'a> {
    pub fn of(text: &'a str) -> Self {
        Self { text, fields: serde_json::from_str(text).ok() }
    }

    pub fn level(&self) -> Option<&str> {
        self.fields.as_ref()?.get("level")?.as_str()
    }

    /// The error text of the line: of etcd's lines, the message and the error; of others, the whole text.
    pub fn error(&self) -> String {
        match &self.fields {
            None => self.text.to_owned(),
            Some(_) if !matches!(self.level(), Some("warn" | "error" | "dpanic" | "panic" | "fatal")) => {
                String::new()
            }
            Some(fields) => {
                let said = |name: &&str| fields.get(*name).and_then(Value::as_str);
                ["msg", "error"].iter().filter_map(said).collect::<Vec<_>>().join(": ")
            }
        }
    }

    /// A line of a console, where etcd's log follows the prefix of the journal. `None` where it is not an error of
    /// etcd's: kernels and services print words that would be an error in a member's log.
    pub fn of_console(line: &'a str) -> Option<Self> {
        let line = Self::of(&line[line.find('{')?..]);
        matches!(line.level(), Some("error" | "dpanic" | "panic" | "fatal")).then_some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causes::Fault;

    #[test]
    fn of_a_console_only_etcds_errors_count() {
        let fault = |line: &str| Line::of_console(line).and_then(|line| Fault::logged_in([line.error()]));
        let etcd = r#"[   9.1] etcd[210]: {"level":"fatal","msg":"listen failed","error":"bind: address already in use"}"#;
        assert_eq!(fault(etcd), Some(Fault::PortTaken));
        for harmless in [
            "[    2.0] systemd[1]: proc-fs.mount: No such file or directory",
            "EXT4-fs (vda): mounted read-only file system",
            r#"etcd[1]: {"level":"info","msg":"permission denied"}"#,
            "{",
        ] {
            assert_eq!(fault(harmless), None, "{harmless}");
        }
    }
}
