//! The report as text, with a table in the style of etcdctl.

use super::{Check, Outcome, Report};
use crate::values::printable;

impl Report {
    /// The table, a line per check, the verdict. Ends with a newline.
    pub fn table(&self) -> String {
        let lines = self.lines().into_iter().map(|[outcome, check, detail]| match &*check {
            "" => format!("{outcome:<8} {detail}\n"),
            _ => format!("{outcome:<8} {check:<34} {detail}\n"),
        });
        format!("{}\n{}\n{}\n", grid(&self.rows()), lines.collect::<String>(), self.sentence())
    }

    /// The checks and the notes: a word for the outcome, the check, the detail. The advice below a failed check has no
    /// outcome, and neither it nor a note has a check.
    pub fn lines(&self) -> Vec<[String; 3]> {
        let mut lines = Vec::new();
        for group in self.checks.chunk_by(|a, b| a.check == b.check) {
            lines.extend(lines_of(group));
        }
        lines.extend(self.skipped_lines());
        lines.extend(self.notes.iter().map(|note| ["note".to_owned(), String::new(), note.clone()]));
        lines
    }

    /// An unreachable member makes many checks impossible; they are summarized in one line.
    fn skipped_lines(&self) -> Vec<[String; 3]> {
        let mut reasons: Vec<(String, Vec<&str>)> = Vec::new();
        for check in self.checks.iter().filter(|check| check.outcome == Outcome::Skipped) {
            let node = check.node.as_ref().map(|node| format!("{node}: ")).unwrap_or_default();
            let reason = format!("{node}{}", check.detail);
            match reasons.iter_mut().find(|(there, _)| *there == reason) {
                Some((_, checks)) => checks.push(&check.check),
                None => reasons.push((reason, vec![&check.check])),
            }
        }
        let line = |(reason, checks): &(String, Vec<&str>)| {
            let what = match checks[..] {
                [one] => one.to_owned(),
                _ => format!("{} checks", checks.len()),
            };
            ["skipped".to_owned(), what, reason.clone()]
        };
        reasons.iter().map(line).collect()
    }

    /// The table of members; the first row has the names of the columns.
    pub fn rows(&self) -> Vec<Vec<String>> {
        let header = [
            "NODE",
            "ENDPOINT",
            "MEMBER ID",
            "VERSION",
            "DB SIZE",
            "LEADER",
            "LEARNER",
            "RAFT TERM",
            "RAFT INDEX",
            "APPLIED",
            "HEALTH",
        ];
        let mut rows = vec![header.map(str::to_owned).to_vec()];
        rows.extend(self.members.iter().map(|m| {
            let flag = |value: Option<bool>| show(value);
            vec![
                m.node.clone(),
                m.endpoint.clone(),
                show(m.member_id.as_deref()),
                show(m.version.as_deref()),
                show(m.db_size.map(human_size)),
                flag(m.is_leader),
                flag(m.is_learner),
                show(m.raft_term),
                show(m.raft_index),
                show(m.raft_applied_index),
                show(m.healthy),
            ]
        }));
        rows
    }
}

fn show(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".into(), |value| printable(&value.to_string()).into_owned())
}

/// Decimal units, as in etcdctl's table (`humanize.Bytes`): `20 kB`, `2.1 MB`.
fn human_size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut units = ["B", "kB", "MB", "GB", "TB"].into_iter().peekable();
    let mut unit = units.next().unwrap_or("B");
    while value >= 1000.0
        && let Some(next) = units.next()
    {
        value /= 1000.0;
        unit = next;
    }
    if unit == "B" || value >= 10.0 { format!("{value:.0} {unit}") } else { format!("{value:.1} {unit}") }
}

/// A table in the style of etcdctl: the first row is the header, every cell is centred in its column.
fn grid(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row.get(column).map_or(0, |c| c.chars().count())).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let rule: String =
        widths.iter().map(|w| format!("+{}", "-".repeat(w + 2))).chain(["+\n".into()]).collect();
    let mut text = rule.clone();
    for (at, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            text.push_str(&format!("| {cell:^width$} "));
        }
        text.push_str("|\n");
        if at == 0 {
            text.push_str(&rule);
        }
    }
    text.push_str(&rule);
    text
}

/// One line for all members that pass a check, and a line for each that does not.
fn lines_of(group: &[Check]) -> Vec<[String; 3]> {
    let mut lines = Vec::new();
    let good: Vec<_> = group.iter().filter(|check| check.outcome == Outcome::Ok).collect();
    if let Some(first) = good.first() {
        let same = good.iter().all(|check| check.detail == first.detail);
        let nodes: Vec<_> = good.iter().filter_map(|check| check.node.as_deref()).collect();
        let detail = match (same, nodes.len()) {
            (true, 0) => first.detail.clone(),
            (true, _) => format!("{}: {}", nodes.join(", "), first.detail),
            (false, _) => good
                .iter()
                .map(|c| format!("{}: {}", c.node.as_deref().unwrap_or("cluster"), c.detail))
                .collect::<Vec<_>>()
                .join("; "),
        };
        lines.push(["ok".to_owned(), first.check.clone(), detail]);
    }
    let bad: Vec<_> = group.iter().filter(|check| check.outcome == Outcome::Failed).collect();
    for (at, check) in bad.iter().enumerate() {
        let node = check.node.as_ref().map(|node| format!("{node}: ")).unwrap_or_default();
        lines.push(["FAILED".to_owned(), check.check.clone(), format!("{node}{}", check.detail)]);
        // The same advice for several members is given once, after the last of them.
        let again = bad.get(at + 1).is_some_and(|next| next.fault == check.fault);
        if let (Some(cause), Some(way_out), false) = (&check.cause, &check.way_out, again) {
            lines.push([String::new(), String::new(), format!("{cause} {way_out}")]);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::Member;
    use super::*;
    use crate::causes::Fault;

    pub fn sample() -> Report {
        let member = |node: &str, leader| Member {
            node: node.into(),
            endpoint: "https://10.240.16.10:2379".into(),
            version: Some("3.5.16".into()),
            db_size: Some(20_480),
            is_leader: leader,
            ..Member::default()
        };
        Report::new(
            ("ha3".into(), "0".repeat(16)),
            vec![member("cp-a", Some(true)), member("cp-b", None)],
            vec![
                Check::ok("reachable", Some("cp-a"), "yes"),
                Check::failed("reachable", Some("cp-b"), Fault::Stopped, "connection refused <&>"),
                Check::skipped("one leader", None, "too few answered"),
            ],
            vec!["a note".into()],
        )
    }

    #[test]
    fn the_table_is_aligned_and_tells_cause_and_way_out() {
        let text = sample().table();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("+------+--"), "{text}");
        assert!(lines[..6].iter().all(|line| line.len() == lines[0].len()), "{text}");
        assert!(lines[3].contains("| cp-a |") && lines[3].contains("20 kB"), "{text}");
        for want in [
            "ok       reachable                          cp-a: yes",
            "FAILED   reachable                          cp-b: connection refused",
            Fault::Stopped.cause(),
            Fault::Stopped.way_out(),
            "skipped  one leader",
            "note     a note",
            "ha3: the cluster does NOT match the bundle (1 of 3 checks failed, 1 skipped).",
        ] {
            assert!(text.contains(want), "{text}\nlacks {want}");
        }
    }

    #[test]
    fn sizes_read_as_in_etcdctl() {
        let cases = [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (20_480, "20 kB"), (2_100_000, "2.1 MB")];
        for (bytes, want) in cases {
            assert_eq!(human_size(bytes), want);
        }
    }

    #[test]
    fn json_gives_the_same_report_back() {
        let json = serde_json::to_string(&sample()).unwrap();
        let back: Report = serde_json::from_str(&json).unwrap();
        assert_eq!(back.table(), sample().table());
        assert!(json.contains("\"fault\":\"stopped\""), "{json}");
        assert!(json.contains("\"passed\":false,\"verdict\":\"differs\","), "{json}");
    }
}
