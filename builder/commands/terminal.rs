//! The appearance of results at a terminal: within its width, and in colour where it supports colour. The same text is
//! always printed elsewhere.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use comfy_table::{ContentArrangement, Table, presets};

use crate::report::{Report, Verdict};
use crate::values::printable_lines;
use crate::verbose;

/// For terminals that do not report their width.
const USUAL_WIDTH: usize = 80;

/// Text is not fitted to terminals narrower than this.
const LEAST_WIDTH: usize = 40;

/// The most important columns of the table of members.
const SHORT: [&str; 6] = ["NODE", "ENDPOINT", "VERSION", "DB SIZE", "LEADER", "HEALTH"];

/// The terminal that text is printed to.
#[derive(Clone, Copy)]
pub struct Terminal {
    width: usize,
    colour: bool,
    /// Whether tables are shown in full, however wide.
    long: bool,
}

impl Default for Terminal {
    fn default() -> Self {
        Self { width: USUAL_WIDTH, colour: false, long: false }
    }
}

impl Terminal {
    /// `None` where stdout is not a terminal.
    pub fn here() -> Option<Self> {
        Self::at(&io::stdout())
    }

    /// `None` where this stream is not a terminal.
    pub fn at(stream: &(impl IsTerminal + AsFd + RawStream)) -> Option<Self> {
        if !IsTerminal::is_terminal(stream) {
            return None;
        }
        let columns = rustix::termios::tcgetwinsize(stream).map_or(0, |size| usize::from(size.ws_col));
        let width = if columns == 0 { USUAL_WIDTH } else { columns.max(LEAST_WIDTH) };
        Some(Self { width, colour: AutoStream::choice(stream) != ColorChoice::Never, long: verbose::is_on() })
    }

    /// A text whose long lines are wrapped and indented.
    pub fn fit(self, text: &str) -> String {
        let hanging = |line: &str| line.len() - line.trim_start().len() + 4;
        text.lines().map(|line| self.fit_line(line, hanging(line)) + "\n").collect()
    }

    /// One line, broken at spaces; continuation lines begin at a column. Widths are counted in characters: Kiln prints
    /// names, numbers and paths.
    fn fit_line(self, line: &str, hanging: usize) -> String {
        let hanging = " ".repeat(hanging.min(self.width / 2 + 4));
        let mut fitted = String::new();
        let mut room = self.width;
        let mut rest = line;
        while rest.chars().count() > room {
            let end = rest.char_indices().nth(room).map_or(rest.len(), |(at, _)| at);
            let begin = rest.len() - rest.trim_start().len();
            if begin >= end {
                break;
            }
            // A word that is too long stays whole.
            let before = match rest[end..].starts_with(' ') {
                true => Some(end),
                false => rest[begin..end].rfind(' ').map(|at| begin + at),
            };
            let Some(cut) = before.or_else(|| rest[end..].find(' ').map(|at| end + at)) else { break };
            fitted += rest[..cut].trim_end();
            fitted.push('\n');
            fitted += &hanging;
            rest = rest[cut..].trim_start();
            room = self.width - hanging.len();
        }
        fitted + rest
    }

    /// A report of `verify` or `rehearse`.
    pub fn report(self, report: &Report) -> String {
        let mut text = self.members(report);
        text.push_str("\n\n");
        for [outcome, check, detail] in report.lines() {
            let colour = match &*outcome {
                "ok" => AnsiColor::Green.on_default(),
                "FAILED" => AnsiColor::Red.on_default().bold(),
                "skipped" => AnsiColor::Yellow.on_default(),
                _ => Style::new(),
            };
            let (line, hanging) = match &*check {
                "" => (format!("{outcome:<8} {detail}"), 9),
                _ => (format!("{outcome:<8} {check:<34} {detail}"), 44),
            };
            let line = self.fit_line(&printable_lines(&line), hanging);
            // Only the outcome is coloured, never text from a server.
            let (word, rest) = line.split_at(outcome.len());
            text.push_str(&self.paint(colour, word));
            text.push_str(rest);
            text.push('\n');
        }
        let colour = match report.verdict() {
            Verdict::Matches { .. } => AnsiColor::Green,
            Verdict::Differs { .. } => AnsiColor::Red,
            Verdict::Unknown { .. } => AnsiColor::Yellow,
        };
        let sentence = self.fit_line(&printable_lines(&report.sentence()), 4);
        text + "\n" + &self.paint(colour.on_default().bold(), &sentence)
    }

    /// The table of members: in full where that fits or is requested, else the columns of [`SHORT`].
    fn members(self, report: &Report) -> String {
        let rows = report.rows();
        let long = table(&rows, None);
        let is_wide = long.lines().any(|line| line.chars().count() > self.width);
        if self.long || !is_wide {
            return long;
        }
        let names = rows.first().cloned().unwrap_or_default();
        let chosen = |row: &Vec<String>| -> Vec<String> {
            let cells = names.iter().zip(row).filter(|(name, _)| SHORT.contains(&name.as_str()));
            cells.map(|(_, cell)| cell.clone()).collect()
        };
        table(&rows.iter().map(chosen).collect::<Vec<_>>(), Some(self.width))
    }

    fn paint(self, style: Style, text: &str) -> String {
        if self.colour { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

/// With a frame like that of etcdctl's tables.
fn table(rows: &[Vec<String>], width: Option<usize>) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_FULL_CONDENSED);
    if let Some(width) = width {
        table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(u16::try_from(width).unwrap_or(u16::MAX));
    }
    if let [names, rows @ ..] = rows {
        table.set_header(names).add_rows(rows);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causes::Fault;
    use crate::report::{Check, Member};

    const EIGHTY: Terminal = Terminal { width: 80, colour: false, long: false };

    fn report() -> Report {
        let member = |node: &str| Member {
            node: node.into(),
            endpoint: "https://10.240.16.10:2379".into(),
            member_id: Some("62e430e43b1b3d71".into()),
            version: Some("3.5.16".into()),
            db_size: Some(20_480),
            is_leader: Some(false),
            healthy: Some(true),
            ..Member::default()
        };
        let nodes = ["cp-a", "cp-b", "cp-c"];
        let mut checks: Vec<_> = nodes
            .map(|node| Check::ok("a write reaches every member", Some(node), "revision 2, read at 2 others"))
            .into();
        checks.push(Check::failed(
            "client port refuses no certificate",
            Some("cp-a"),
            Fault::Stopped,
            "it let everybody in",
        ));
        checks.push(Check::skipped("one leader", None, "too few answered"));
        let note = "not checked, because etcd does not report it: cipher-suites, data-dir, quota-backend-bytes, metrics, x";
        Report::new(("ha3".into(), "0".repeat(16)), nodes.map(member).into(), checks, vec![note.into()])
    }

    fn widest(text: &str) -> usize {
        text.lines().map(|line| line.chars().count()).max().unwrap()
    }

    #[test]
    fn a_report_fits_and_is_long_where_that_is_wanted() {
        assert!(widest(&report().table()) > 120);
        let short = EIGHTY.report(&report());
        assert!(widest(&short) <= 80, "{short}");
        for want in [
            "| cp-a | https://10.240.16.10:2379 |",
            "HEALTH",
            "\n         ",
            "cp-c: revision 2,",
            "NOT match",
        ] {
            assert!(short.contains(want), "{want}:\n{short}");
        }
        assert!(!short.contains("RAFT") && !short.contains('\u{1b}'), "{short}");
        let words = |text: &str| text.split_whitespace().filter(|word| word.len() > 2).count();
        assert!(words(&short) > words(&report().table()) / 2);
        let long = Terminal { long: true, ..EIGHTY }.report(&report());
        let wide = Terminal { width: 200, ..EIGHTY }.report(&report());
        for text in [&long, &wide] {
            assert!(text.contains("RAFT INDEX") && text.contains("62e430e43b1b3d71"), "{text}");
        }
    }

    #[test]
    fn outcomes_and_the_verdict_have_colour_and_details_have_none() {
        let text = Terminal { colour: true, ..EIGHTY }.report(&report());
        for want in ["\u{1b}[32mok\u{1b}[0m ", "FAILED\u{1b}[0m ", "\u{1b}[33mskipped\u{1b}[0m "] {
            assert!(text.contains(want), "{text:?}");
        }
        assert!(
            text.ends_with("\u{1b}[0m") && text.contains("\u{1b}[1m\u{1b}[31mha3: the cluster"),
            "{text:?}"
        );
    }

    #[test]
    fn lines_are_cut_at_spaces_and_words_stay_whole() {
        let narrow = Terminal { width: 40, ..EIGHTY };
        let fitted = narrow.fit("  one two three four five six seven eight nine ten\nshort\n");
        assert_eq!(fitted, "  one two three four five six seven\n      eight nine ten\nshort\n");
        let word = "x".repeat(60);
        assert_eq!(narrow.fit(&word), format!("{word}\n"));
        assert_eq!(narrow.fit(&format!("a {word} b")), format!("a\n    {word}\n    b\n"));
        let exact = "a".repeat(36) + " bcd";
        assert_eq!(narrow.fit(&format!("{exact} ü")), format!("{exact}\n    ü\n"));
        let letters = "a".repeat(36) + " bcüd ef";
        assert_eq!(narrow.fit(&letters), format!("{}\n    bcüd ef\n", "a".repeat(36)));
        let indented = " ".repeat(90) + "x y";
        assert_eq!(narrow.fit(&indented), format!("{indented}\n"));
    }
}
