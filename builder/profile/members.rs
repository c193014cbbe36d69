//! The number of members that a cluster may have.

use super::Span;
use super::diagnostics::Diagnostics;
use super::mistake::Mistake;
use super::reader::Section;
use crate::values::{Members, counted};

/// Checks the number of members by the quorum and the number of tolerated failures, the reason for every rule here.
pub(super) fn check_count(diagnostics: &mut Diagnostics, tables: &[Section], two_allowed: Option<Span>) {
    let count = tables.len();
    let (majority, tolerated) = (Members::new(count).quorum(), Members::new(count).tolerates());
    let last = tables.last().and_then(|table| table.span.clone());
    if let (Some(span), true) = (&two_allowed, count != 2) {
        diagnostics
            .warn(Some(span), format!("allow-two-members has no effect: the cluster has {count} members"));
    }
    match count {
        0 => diagnostics.mistake(Mistake::missing(None, "the profile has no node").help(
            "write, for example:
[[node]]
name = \"cp-a\"
address = \"10.240.16.10\"",
        )),
        2 if two_allowed.is_some() => {
            diagnostics.warn(two_allowed.as_ref(), "two members have a quorum of 2 and tolerate no failure");
        }
        2 => diagnostics.mistake(
            Mistake::unsafe_unless_allowed(
                last,
                "two members have a quorum of 2 and tolerate no failure; a single member is more reliable",
            )
            .help("use three members or one, or write allow-two-members = true in [cluster]"),
        ),
        10.. => diagnostics.mistake(
            Mistake::new(
                last,
                format!(
                    "a cluster of {count} members is too large: every write waits for {majority} of them"
                ),
            )
            .help(
                "use five or seven members; more members do not add capacity, and Kiln builds at most nine",
            ),
        ),
        _ if count.is_multiple_of(2) => diagnostics.warn(
            last.as_ref(),
            format!(
                "{count} members have a quorum of {majority} and tolerate {}, no more than {} members do",
                counted(tolerated, "failure"),
                count - 1
            ),
        ),
        8.. => diagnostics.warn(
            last.as_ref(),
            format!(
                "{count} members: every write waits for {majority} of them; at most seven are recommended"
            ),
        ),
        _ => {}
    }
}
