//! `kiln-node status`: what the last runs said, and the generation of the data, of each instance on the node.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use kiln_wire::{Backup, Policy, Wipe};
use serde::Serialize;

use crate::clock::{self, date};
use crate::disk;
use crate::failure::{Failure, Result};
use crate::instances::{KILN, directories};
use crate::policy;
use crate::restore::{RECORD, Record};
use crate::say;
use crate::snapshot::Status as Taken;
use crate::status::Status as Renewed;

/// Eight times the six hours after which `renew` looks again.
const LONGEST_REST: u64 = 2 * 86_400;

/// A line of the table.
#[derive(Serialize)]
struct Row {
    /// The directory of its instance.
    instance: String,
    /// `certificates`, `snapshots`, `data`.
    what: &'static str,
    /// Whether nobody has to act.
    good: bool,
    state: &'static str,
    /// In words, for people.
    more: String,
}

/// Prints it, as a table or as JSON. Whether all is well is returned.
pub fn overview(as_json: bool) -> bool {
    let now = clock::now();
    let rows: Vec<_> = match instances() {
        Ok(all) => all.iter().flat_map(|instance| rows(instance, now)).collect(),
        Err(why) => {
            say::line(say::Level::Error, &format!("kiln: {why}"));
            return false;
        }
    };
    let good = !rows.is_empty() && rows.iter().all(|row| row.good);
    say::print(&match as_json {
        true => json(now, good, &rows),
        false => table(&rows),
    });
    good
}

/// Directories of Kiln's with a policy for this program.
fn instances() -> Result<Vec<PathBuf>> {
    let has_policy =
        |place: &PathBuf| ["renew.json", "backup.json"].iter().any(|name| disk::is_there(&place.join(name)));
    Ok(directories()?.into_iter().filter(has_policy).collect())
}

fn rows(instance: &Path, now: u64) -> Vec<Row> {
    let row =
        |what, (good, state, more)| Row { instance: instance.display().to_string(), what, good, state, more };
    let wrong = |why: Failure| (false, "unknown", why.to_string());
    let of = |name: &str| Some(instance.join(name)).filter(|path| disk::is_there(path));
    let renew = of("renew.json").map(|path| certificates(&path, now).unwrap_or_else(wrong));
    let backup = of("backup.json").map(|path| snapshots(&path, now).unwrap_or_else(wrong));
    let data = of("wipe.json").map(|path| generation(&path).unwrap_or_else(wrong));
    let all = [("certificates", renew), ("snapshots", backup), ("data", data)];
    all.into_iter().filter_map(|(what, found)| Some(row(what, found?))).collect()
}

type Found = (bool, &'static str, String);

/// Without what controls a terminal.
fn plain(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).collect()
}

fn certificates(policy: &Path, now: u64) -> Result<Found> {
    let policy = policy::read(policy, Policy::check)?;
    let Some(last) = Renewed::read(&policy)? else {
        return Ok((false, "not run", "kiln-node renew has not run since the machine started".to_owned()));
    };
    let until = last.not_after.map(|until| format!("valid until {}", date(until)));
    let due = last.due.map(|due| format!("to be renewed from {}", date(due)));
    let more: Vec<_> = last.error.as_deref().map(plain).into_iter().chain(until).chain(due).collect();
    let more = format!("{}; looked at {}", more.join("; "), date(last.at));
    Ok(match () {
        () if last.not_after.is_none_or(|until| now > until) => (false, "expired", more),
        () if last.overdue || last.at < now.saturating_sub(LONGEST_REST) => (false, "overdue", more),
        () if !last.good || last.error.is_some() => (false, "failed", more),
        () => (true, "good", more),
    })
}

fn snapshots(policy: &Path, now: u64) -> Result<Found> {
    let policy = policy::read(policy, Backup::check)?;
    let Some(last) = Taken::read(&policy)? else {
        // Its timer comes five minutes after the start.
        let late = since_boot() > policy.interval.saturating_mul(2).saturating_add(600);
        let more = "kiln-node snapshot has not run since the machine started".to_owned();
        return Ok((!late, if late { "overdue" } else { "not run" }, more));
    };
    let newest = match (last.last_success, last.revision) {
        (Some(taken), Some(revision)) => format!("the newest is of {}, revision {revision}", date(taken)),
        _ => "there is none on this node".to_owned(),
    };
    let more: Vec<_> = last.error.as_deref().map(plain).into_iter().chain([newest]).collect();
    let more = format!("{}; {} to be uploaded; ran at {}", more.join("; "), last.pending, date(last.at));
    // One run may be late, or fail.
    let oldest = now.saturating_sub(policy.interval.saturating_mul(2));
    Ok(match () {
        () if last.last_success.is_none_or(|taken| taken < oldest) => (false, "overdue", more),
        () if !last.good => (false, "failed", more),
        () => (true, "good", more),
    })
}

/// Seconds since the machine has started; 0 where the kernel does not say it.
fn since_boot() -> u64 {
    let text = disk::of_kernel(Path::new("/proc/uptime"));
    text.split('.').next().and_then(|seconds| seconds.parse().ok()).unwrap_or_default()
}

/// Of the record beside the data, which etcd's account can write.
fn generation(list: &Path) -> Result<Found> {
    let list = policy::read(list, Wipe::check)?;
    let path = Path::new(list.data.as_str()).join(RECORD);
    if !disk::is_there(&path) {
        return Ok((true, "new", format!("{} has served no cluster yet", list.data)));
    }
    let text = disk::read_others(&path)?;
    let record = Record::parse(&String::from_utf8_lossy(&text))
        .ok_or_else(|| Failure::new(format!("{} is not a record of Kiln's", path.display())))?;
    let more =
        format!("generation {} of {}, cluster {:x}", record.generation(), list.cluster, record.cluster);
    Ok(match record.cluster == list.cluster_id {
        true => (true, "good", more),
        false => (false, "foreign", format!("{more}, and this node was built for {:x}", list.cluster_id)),
    })
}

fn table(rows: &[Row]) -> String {
    if rows.is_empty() {
        return format!("{KILN} has no policy for kiln-node: there is nothing to tell.\n");
    }
    let width = rows.iter().map(|row| row.instance.len()).max().unwrap_or_default();
    let mut text = String::new();
    for Row { instance, what, state, more, .. } in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{instance:width$}  {what:12}  {state:8}  {more}");
    }
    text
}

fn json(now: u64, good: bool, rows: &[Row]) -> String {
    let all = serde_json::json!({"schema": 1, "at": now, "good": good, "rows": rows});
    format!("{all:#}\n")
}
