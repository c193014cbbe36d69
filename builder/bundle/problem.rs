//! Problems with a bundle or a fleet.

use std::path::Path;

use serde::Serialize;

use crate::failure::Failure;
use crate::values::printable;

/// A difference between a bundle and its manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    pub path: String,
    pub problem: String,
}

/// More problems than this are counted, not listed.
pub const MAX_PROBLEMS_SHOWN: usize = 20;

/// A line for each of the first `most`, and one for the number of the others, to follow a sentence that says what they
/// mean. Parts of a line may come from an untrusted bundle.
pub fn listed(problems: &[Problem], most: usize) -> String {
    let line = |found: &Problem| format!("\n  {} {}", printable(&found.path), printable(&found.problem));
    let mut text: String = problems.iter().take(most).map(line).collect();
    if problems.len() > most {
        text.push_str(&format!("\n  and {} more", problems.len() - most));
    }
    text
}

/// An error that says how a bundle or a fleet differs from what was built.
pub fn differs(path: &Path, problems: &[Problem]) -> Failure {
    Failure::wrong(format!(
        "{} does not match its manifest; build it again or copy it again{}",
        path.display(),
        listed(problems, MAX_PROBLEMS_SHOWN)
    ))
}
