//! What the program says of dates.

use crate::clock::date;
use crate::decide::{Dates, Reason, Refusal};
use crate::prove::Proof;
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

/// What etcd does with new certificates. A port that does not answer has proven nothing, and is named.
pub fn proven(proof: &Proof) -> String {
    let silent: Vec<_> = proof.silent.iter().map(ToString::to_string).collect();
    match (proof.presented, silent.join(" and ")) {
        (0, _) => "etcd does not serve yet".to_owned(),
        (_, silent) if silent.is_empty() => "etcd presents them".to_owned(),
        (_, silent) => format!("etcd presents them, but {silent} did not answer and was not asked"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_could_not_be_asked_is_named() {
        let silent = |ports: &[&str]| ports.iter().map(|port| port.parse().unwrap()).collect();
        let both = silent(&["10.0.0.1:2379", "10.0.0.1:2380"]);
        for (presented, silent, said) in [
            (2, Vec::new(), "etcd presents them"),
            (
                1,
                silent(&["10.0.0.1:2380"]),
                "etcd presents them, but 10.0.0.1:2380 did not answer and was not asked",
            ),
            (0, both, "etcd does not serve yet"),
        ] {
            let of_ports = silent.iter().map(|port| Proof { presented: 0, silent: vec![*port] });
            let proof = of_ports.fold(Proof { presented, silent: Vec::new() }, Proof::and);
            assert_eq!(proven(&proof), said);
        }
    }
}
