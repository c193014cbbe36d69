//! Files of one top-level module that use each other in a circle.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::uses::Use;

/// The first component of a file's path: `bundle/read.rs` and `bundle.rs` are in the module `bundle`.
pub fn room_of(file: &str) -> &str {
    file.split('/').next().unwrap_or(file).trim_end_matches(".rs")
}

/// File -> the files of its module that it uses, each with the line and the item of the use.
type Edges<'a> = BTreeMap<&'a str, BTreeMap<&'a str, (usize, &'a str)>>;

/// The shortest circle through each file that is in one, each circle once, as a text that says which item each file
/// uses of the next. Unit tests, re-exports and the names of modules do not count as uses.
pub fn circles(uses: &[Use]) -> Vec<String> {
    let mut edges: Edges = BTreeMap::new();
    for a_use in uses.iter().filter(|a_use| !a_use.test && !a_use.re_export) {
        let (file, target) = (a_use.file.as_str(), a_use.target_file.as_str());
        let Some(item) = &a_use.item else { continue };
        if file != target && room_of(file) == room_of(target) {
            edges.entry(file).or_default().entry(target).or_insert((a_use.line, item));
        }
    }
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for start in edges.keys() {
        let Some(mut way) = shortest(&edges, start) else { continue };
        let least = (0..way.len()).min_by_key(|at| way[*at]).unwrap_or(0);
        way.rotate_left(least);
        if seen.insert(way.clone()) {
            found.push(told(&edges, &way));
        }
    }
    found
}

/// The files of the shortest path from `start` back to it.
fn shortest<'a>(edges: &Edges<'a>, start: &'a str) -> Option<Vec<&'a str>> {
    let mut came: BTreeMap<&str, &'a str> = BTreeMap::new();
    let mut next = VecDeque::from([start]);
    while let Some(file) = next.pop_front() {
        for target in edges.get(file).into_iter().flat_map(BTreeMap::keys) {
            if *target == start {
                let mut way = vec![file];
                while *way.last()? != start {
                    way.push(came[*way.last()?]);
                }
                way.reverse();
                return Some(way);
            }
            if !came.contains_key(target) {
                came.insert(target, file);
                next.push_back(target);
            }
        }
    }
    None
}

fn told(edges: &Edges, way: &[&str]) -> String {
    let mut text = String::new();
    for (at, file) in way.iter().enumerate() {
        let target = way[(at + 1) % way.len()];
        let (line, item) = edges[file][target];
        text.push_str(&format!("{file}:{line} uses {item} of {target}; "));
    }
    text.trim_end_matches("; ").to_owned()
}
