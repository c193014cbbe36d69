//! What the program says of dates.

use crate::clock::date;
use crate::decide::{Dates, Reason, Refusal};
use crate::say::Level;

/// Why nothing can be done, and what to do.
pub fn refusal(refusal: Refusal, dates: &Dates) -> String {
    let [now, from, until] = [dates.now, dates.issuers.from, dates.issuers.until].map(date);
    match refusal {
        Refusal::IssuerEarly => {
            format!("the clock shows {now}, but the node's own CAs are valid from {from} on; set the clock")
        }
        Refusal::IssuerExpired => {
            format!(
                "the clock shows {now}, and the node's own CAs ended at {until}; {REBUILD}, or set the clock"
            )
        }
        Refusal::LateFirstUse => format!(
            "the clock shows {now}, when two thirds of the life of the node's own CAs are over (they end at {until}), \
             and this node has never used them; set the clock, or {REBUILD}"
        ),
        Refusal::IssuerEnds => {
            format!("the node's own CAs end at {until}, as do its certificates; {REBUILD}")
        }
    }
}

/// The clock is certainly wrong.
pub fn before_build(now: u64, built: u64) -> String {
    format!("the clock shows {}, but this node was built at {}; set the clock", date(now), date(built))
}

/// The way out where the issuers end.
pub const REBUILD: &str = "build this node again and deliver its files";

/// What is used instead of one that is not valid, or not what the policy wants.
pub fn other(is_delivered: bool) -> (Level, &'static str) {
    match is_delivered {
        true => (Level::Info, "uses the certificates that were delivered"),
        false => (Level::Warning, "uses an earlier generation of its certificates, which is valid"),
    }
}

/// Why there are new certificates.
pub fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Due => "two thirds of the life of the last ones were over",
        Reason::Early => "the last ones were not valid yet",
        Reason::Expired => "the last ones had expired",
        Reason::Unsound => "there were none that the policy wants",
    }
}
