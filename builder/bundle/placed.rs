//! Whether the hosts of a manifest have its nodes, each once.

use std::collections::BTreeSet;

use super::manifest::Manifest;
use super::problem::Problem;

/// Every inconsistency, which no build writes.
pub fn misplaced(manifest: &Manifest) -> Vec<Problem> {
    let (mut hosts, mut placed, mut problems) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    let mut problem = |path: &str, problem: String| problems.push(Problem { path: path.to_owned(), problem });
    for host in &manifest.hosts {
        if !hosts.insert(&host.name) {
            problem(&host.name, "is a host that is listed twice".to_owned());
        }
        for node in &host.nodes {
            if !manifest.nodes.iter().any(|there| there.name == *node) {
                problem(&host.name, format!("is the host of {node}, which is no node"));
            } else if !placed.insert(node) {
                problem(node, "is on two hosts".to_owned());
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::example;
    use super::*;

    type Case = (fn(&mut Value), &'static str);

    #[test]
    fn hosts_and_links_that_do_not_fit_are_refused() {
        let cases: Vec<Case> = vec![
            (
                |m| m["hosts"] = json!([{ "name": "pve1", "nodes": ["c"] }]),
                "is the host of c, which is no node",
            ),
            (
                |m| m["hosts"] = json!([{ "name": "x", "nodes": ["a"] }, { "name": "y", "nodes": ["a"] }]),
                "is on two hosts",
            ),
            (
                |m| m["hosts"] = json!([{ "name": "x", "nodes": ["a"] }, { "name": "x", "nodes": ["b"] }]),
                "listed twice",
            ),
            (
                |m| m["hosts"] = json!([{ "name": "x", "nodes": [], "connect": "qemu+ssh://a:b@c/system" }]),
                "it has a password",
            ),
            (|m| m["machine"]["link"] = json!({ "bridge": "-x" }), "an interface has"),
            (|m| m["machine"]["link"] = json!({ "network": "a/b" }), "a network has"),
            (|m| m["machine"]["link"] = json!("shared"), "unknown variant"),
        ];
        for (change, want) in cases {
            let mut value = example::json();
            change(&mut value);
            let why = Manifest::from_json(value.to_string().as_bytes()).expect_err(want).to_string();
            assert!(why.contains(want), "{want}: {why}");
        }
    }
}
