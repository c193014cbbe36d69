//! What is wrong with a bundle or a fleet, one thing after the other.

use std::path::Path;

use serde::Serialize;

use crate::failure::Failure;
use crate::values::printable;

/// Something in a bundle that is not as its manifest says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    pub path: String,
    pub problem: String,
}

/// As many problems as a person reads.
pub const SHOWN: usize = 20;

/// A line for each of the first `most`, and one for how many more there are, to stand below a sentence that says what
/// follows from them. The pieces of a line may be a stranger's.
pub fn listed(problems: &[Problem], most: usize) -> String {
    let line = |found: &Problem| format!("\n  {} {}", printable(&found.path), printable(&found.problem));
    let mut text: String = problems.iter().take(most).map(line).collect();
    if problems.len() > most {
        text.push_str(&format!("\n  and {} more", problems.len() - most));
    }
    text
}

/// That a bundle or a fleet is not as it was built, and how.
pub fn differs(path: &Path, problems: &[Problem]) -> Failure {
    Failure::wrong(format!(
        "{} is not as it was built; build it again or copy it again{}",
        path.display(),
        listed(problems, SHOWN)
    ))
}
