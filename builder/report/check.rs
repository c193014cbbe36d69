//! One check of a cluster or a member, and its result.

use serde::{Deserialize, Serialize};

use crate::causes::Fault;
use crate::values::printable;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Ok,
    Failed,
    /// The check could not be made; the reason is another check's failure, or is in the detail.
    Skipped,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Check {
    /// The checked property: `versions as baked`.
    pub check: String,
    /// Absent for checks of the cluster as a whole.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node: Option<String>,
    pub outcome: Outcome,
    /// The observation.
    pub detail: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fault: Option<Fault>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cause: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub way_out: Option<String>,
}

impl Check {
    pub fn ok(check: &str, node: Option<&str>, detail: impl Into<String>) -> Self {
        Self::plain(check, node, Outcome::Ok, detail.into())
    }

    pub fn skipped(check: &str, node: Option<&str>, why: impl Into<String>) -> Self {
        Self::plain(check, node, Outcome::Skipped, why.into())
    }

    pub fn failed(check: &str, node: Option<&str>, fault: Fault, detail: impl Into<String>) -> Self {
        Self {
            fault: Some(fault),
            cause: Some(fault.cause().to_owned()),
            way_out: Some(fault.way_out().to_owned()),
            ..Self::plain(check, node, Outcome::Failed, detail.into())
        }
    }

    fn plain(check: &str, node: Option<&str>, outcome: Outcome, detail: String) -> Self {
        let node = node.map(str::to_owned);
        // It may quote an unknown server's text: printed on one line, so that it cannot forge a row of the report.
        let detail = printable(&detail).into_owned();
        Self { check: check.to_owned(), node, outcome, detail, fault: None, cause: None, way_out: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_words_are_one_line() {
        let check = Check::failed("a", None, Fault::NotEtcd, "x\nok       all is well\u{1b}[2J");
        assert_eq!(check.detail, "x\u{fffd}ok       all is well\u{fffd}[2J");
    }
}
