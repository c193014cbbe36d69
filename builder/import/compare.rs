//! What the members of the profile have in their configuration, and those that run have not: comments of the profile.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{Draft, Place};
use super::founders::{TOKEN, USUAL_TOKEN};
use super::options::boolean;
use crate::etcd::{Release, Value, keys, parse_duration};
use crate::plan::{self, Setting};
use crate::profile::Profile;
use crate::values::toml_string as quoted;

/// What etcd has where nothing is said (`NewConfig` in server/embed/config.go): of the options that Kiln always writes,
/// those that can be the same.
const DEFAULTS: [(&str, &str); 3] =
    [("initial-cluster-state", "new"), (TOKEN, USUAL_TOKEN), ("auto-compaction-mode", "periodic")];
/// One line for each option that differs; none where no file has a member's options.
pub fn notes(draft: &Draft, profile: &Profile) -> Vec<String> {
    let Some(token) = profile.cluster.token.as_ref().filter(|_| !draft.said.is_empty()) else {
        return Vec::new();
    };
    let plan = plan::resolve(profile, &crate::plan::Named::by(token));
    let named: BTreeSet<&str> = draft.said.iter().filter_map(|said| said.member.as_deref()).collect();
    let is_about = |node: &&plan::Node| named.is_empty() || named.contains(node.name.as_str());
    // An option that is the same on all nodes is told once.
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut order = Vec::new();
    for node in plan.nodes.iter().filter(is_about) {
        for setting in &node.settings {
            let Some(line) = difference(draft, plan.release, node.name.as_str(), setting) else { continue };
            let nodes = told.entry(line.clone()).or_default();
            if nodes.is_empty() {
                order.push(line);
            }
            nodes.push(node.name.to_string());
        }
    }
    let count = plan.nodes.iter().filter(is_about).count();
    let of_some = |line: &String| match told.get(line) {
        Some(nodes) if nodes.len() < count => format!("{}: {line}", nodes.join(", ")),
        _ => line.clone(),
    };
    let mut lines: Vec<String> = order.iter().map(of_some).collect();
    let has =
        |key: &str| plan.nodes.iter().any(|node| node.settings.iter().any(|setting| setting.key == key));
    let mut gone = BTreeSet::new();
    for said in draft.said.iter().filter(|said| !has(&said.key)) {
        // Most of these are listed already, each with its reason.
        let is_listed =
            draft.left.iter().any(|left| left.place == said.place && left.text.contains(&said.key));
        if !is_listed && !said.value.trim().is_empty() && boolean(said.value.trim()) != Some(false) {
            gone.insert(format!(
                "{} is not there ({}:{} has it)",
                said.key, said.place.file, said.place.line
            ));
        }
    }
    lines.extend(gone);
    lines
}

fn difference(draft: &Draft, release: Release, node: &str, setting: &Setting) -> Option<String> {
    let Setting { key, value, origin } = setting;
    let own = draft.said.iter().find(|said| said.key == *key && said.member.as_deref() == Some(node));
    let said = own.or_else(|| draft.said.iter().find(|said| said.key == *key && said.member.is_none()));
    let theirs = said
        .map(|said| said.value.as_str())
        .or_else(|| DEFAULTS.iter().find(|(default, _)| default == key).map(|(_, value)| *value));
    let ours = value.to_flag();
    if theirs.is_some_and(|theirs| canonical(release, key, theirs) == canonical(release, key, &ours)) {
        return None;
    }
    let shown = match value {
        // It may be a secret.
        _ if key == TOKEN => "another one".to_owned(),
        Value::Bool(_) | Value::Int(_) => ours,
        _ => quoted(&ours),
    };
    let instead = said.map_or_else(|| "no file says it".to_owned(), |said| elsewhere(&said.place));
    // `kiln: REASON`, or where the profile has it.
    let why = origin.to_string();
    let why = why.strip_prefix("kiln: ").map_or_else(String::new, |why| format!("; {why}"));
    Some(format!("{key} = {shown} ({instead}{why})"))
}

fn elsewhere(Place { file, line }: &Place) -> String {
    format!("{file}:{line} has another value")
}

/// A text that is the same for values that etcd takes to be the same.
fn canonical(release: Release, key: &str, value: &str) -> String {
    let value = value.trim();
    let number = || value.parse::<i64>().ok().map(|number| number.to_string());
    let kind = keys::lookup(release, key).or_else(|| keys::flag_only(release, key));
    match kind {
        Some(keys::GoType::Bool) => boolean(value).map(|value| value.to_string()),
        Some(keys::GoType::Int { .. }) => number(),
        Some(keys::GoType::Duration) => {
            number().or_else(|| parse_duration(value).ok().map(|nanos| nanos.to_string()))
        }
        // Lists of URLs and of names: their order is no matter.
        Some(_) => {
            let mut items: Vec<&str> =
                value.split(',').map(|item| item.trim().trim_end_matches('/')).collect();
            items.sort_unstable();
            Some(items.join(","))
        }
        None => None,
    }
    .unwrap_or_else(|| value.to_owned())
}
