//! Whether nodes renew their certificates in time, by what their ports present, and how long their own CAs last.

use kiln_wire::Validity;

use super::baked::{Baked, BakedPort};
use super::look::Observed;
use super::shown::day;
use crate::causes::Fault;
use crate::pki::Presented;
use crate::report::{Check, Outcome};
use crate::values::Epoch;

const CHECK: &str = "renewal";

/// A note is given from this many days before the end of a node's CA.
const NOTED_DAYS: u64 = 365;

/// In a rehearsal without `--leaf-life`.
pub const UNPROVEN: &str = "renewals were not tried: a rehearsal starts etcd alone, and never kiln-node, which renews certificates on \
                        nodes; --leaf-life tries them";

/// A row for each node that renews its certificates, and notes. `judged` has the rows of [`super::certificates`]: only
/// a certificate that is the node's own says something of the node. `runs` says whether kiln-node runs beside the
/// members.
pub fn check(seen: &[Observed<'_>], judged: &[Check], now: Epoch, runs: bool) -> (Vec<Check>, Vec<String>) {
    let (mut checks, mut late, mut ending) = (Vec::new(), Vec::new(), Vec::new());
    for one in seen.iter().filter(|one| one.baked.is_renewed_there()) {
        let name = one.name();
        let is_own = |check: &str| {
            let is = |row: &&Check| row.check == check && row.node.as_deref() == Some(name);
            judged.iter().find(is).is_some_and(|row| row.outcome == Outcome::Ok)
        };
        let peer = one.peer.as_deref().unwrap_or_default();
        let ports = [
            ("server", "certificate as baked", &one.presented[..]),
            ("peer", "peer certificate as baked", peer),
        ];
        let leaves: Vec<_> = ports
            .into_iter()
            .filter(|(_, check, _)| is_own(check))
            .filter_map(|(what, _, ders)| Some((what, Presented::from_der(ders.first()?).ok()?)))
            .collect();
        let times: Vec<_> = leaves.iter().map(|(what, leaf)| (*what, leaf.validity())).collect();
        let (check, is_late) = judge(name, &times, one.baked, now, runs);
        checks.push(check);
        late.extend(is_late.then_some(name));
        ending.extend(first_end(one.baked).filter(|end| ends_soon(*end, now)).map(|end| (name, end)));
    }
    let notes = late_note(&late, runs).into_iter().chain(ending_note(&ending));
    let unproven = (!runs && !checks.is_empty()).then(|| UNPROVEN.to_owned());
    let notes = unproven.into_iter().chain(notes).collect();
    (checks, notes)
}

/// The row, and whether the renewal is late.
fn judge(name: &str, leaves: &[(&str, Validity)], baked: &Baked, now: Epoch, runs: bool) -> (Check, bool) {
    let node = Some(name);
    let at = now.seconds();
    let date = |seconds: u64| Epoch::from_seconds(seconds).map(day).unwrap_or_default();
    let is_late = leaves.iter().any(|(_, times)| at >= times.overdue());
    if let Some((what, times)) = leaves.iter().find(|(_, times)| runs && at >= times.failing()) {
        let detail = format!("its {what} certificate was due on {}", date(times.due()));
        return (Check::failed(CHECK, node, Fault::NotRenewed, detail), is_late);
    }
    for port in baked.ports().into_iter().filter(|port| port.renewed.is_some()) {
        let (Some(ca), Some(renewed)) = (port.chain.get(1), port.renewed) else { continue };
        let left = ca.not_after().seconds().saturating_sub(at);
        if left < renewed.lifetime.seconds() {
            let detail = format!(
                "{} ends on {}, in less than the {} of a certificate",
                ca.subject(),
                day(ca.not_after()),
                renewed.lifetime
            );
            return (Check::failed(CHECK, node, Fault::NodeCaEnds, detail), is_late);
        }
    }
    let Some(due) = leaves.iter().map(|(_, times)| times.due()).min() else {
        return (Check::skipped(CHECK, node, "it sends no certificate that is known to be its own"), false);
    };
    let detail = match at < due {
        _ if !runs => format!("its node has to renew from {} on", date(due)),
        true => format!("renews by itself, next on {}", date(due)),
        false => format!("renews by itself, due since {}", date(due)),
    };
    (Check::ok(CHECK, node, detail), is_late)
}

fn late_note(names: &[&str], runs: bool) -> Option<String> {
    let names = (!names.is_empty()).then(|| names.join(", "))?;
    Some(match runs {
        true => format!(
            "{names}: the renewal is late; read `journalctl -t kiln-node` there before the certificates expire"
        ),
        false => format!(
            "{names}: more than two thirds of the life of the bundle's first certificates are over; before you deliver it to \
             new nodes, run kiln keystore renew and build again"
        ),
    })
}

fn ending_note(ending: &[(&str, Epoch)]) -> Option<String> {
    let first = ending.iter().map(|(_, end)| *end).min()?;
    let names: Vec<_> = ending.iter().map(|(name, _)| *name).collect();
    Some(format!(
        "the CAs with which {} make their certificates end from {} on; before that, run kiln keystore renew, build again and \
         deliver the new files",
        names.join(", "),
        day(first)
    ))
}

fn first_end(baked: &Baked) -> Option<Epoch> {
    let cas = baked.ports().into_iter().filter(|port| port.renewed.is_some());
    cas.filter_map(|port: BakedPort<'_>| port.chain.get(1).map(Presented::not_after)).min()
}

/// `None` days are left of what is over.
fn ends_soon(end: Epoch, now: Epoch) -> bool {
    now.days_until(end).is_none_or(|days| days < NOTED_DAYS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::manifest::Renewed;
    use crate::values::Lifetime;

    const DAY: u64 = 86_400;

    /// The end of the node's CA, in days.
    fn baked(end: u64) -> Baked {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.not_before = rcgen::date_time_ymd(1970, 1, 1);
        params.not_after = params.not_before + std::time::Duration::from_secs(end * DAY);
        let ca = || Presented::from_der(params.self_signed(&key).unwrap().der()).unwrap();
        let renewed =
            Renewed { issuer: "etc/kiln/issuer/server.pem".parse().unwrap(), lifetime: Lifetime::days(90) };
        Baked {
            server: vec![ca(), ca()],
            peer: Vec::new(),
            trust: Vec::new(),
            peer_trust: Vec::new(),
            renewed: [Some(renewed), None],
            options: None,
        }
    }

    #[test]
    fn a_renewal_is_told_late_and_then_failed() {
        let between = |from, until| Validity { from: from * DAY, until: until * DAY };
        let times = [("server", between(1, 91)), ("peer", between(2, 92))];
        let at = |day: u64| Epoch::from_seconds(day * DAY).unwrap();
        let long = baked(2000);
        let (ok, failed) = (Outcome::Ok, Outcome::Failed);
        let cases = [
            (60, ok, false, "renews by itself, next on 1970-03-03"),
            (61, ok, false, "renews by itself, due since 1970-03-03"),
            (63, ok, true, "due since"),
            (75, ok, true, "due since"),
            (76, failed, true, "its server certificate was due on 1970-03-03"),
        ];
        for (day, outcome, late, text) in cases {
            let (check, is_late) = judge("a", &times, &long, at(day), true);
            assert!(
                (check.outcome, is_late) == (outcome, late) && check.detail.contains(text),
                "{day}: {check:?}"
            );
        }
        // In a rehearsal nothing renews.
        let (check, is_late) = judge("a", &times, &long, at(80), false);
        assert_eq!((check.outcome, is_late), (Outcome::Ok, true));
        assert_eq!(check.detail, "its node has to renew from 1970-03-03 on");
        assert_eq!(judge("a", &[], &long, at(1), true).0.outcome, Outcome::Skipped);
    }

    #[test]
    fn the_end_of_a_nodes_ca_is_noted_and_then_fails() {
        let at = |day: u64| Epoch::from_seconds(day * DAY).unwrap();
        let times = [("server", Validity { from: 900 * DAY, until: 990 * DAY })];
        let ending = baked(1000);
        for (day, fault, soon) in
            [(635, None, false), (636, None, true), (910, None, true), (911, Some(Fault::NodeCaEnds), true)]
        {
            assert_eq!(judge("a", &times, &ending, at(day), true).0.fault, fault, "{day}");
            assert_eq!(ends_soon(first_end(&ending).unwrap(), at(day)), soon, "{day}");
        }
        assert!(ends_soon(at(1000), at(1001)), "what is over, too");
        let note = ending_note(&[("a", at(1000)), ("b", at(900))]).unwrap();
        assert!(note.contains("with which a, b make") && note.contains("from 1972-06-19 on"), "{note}");
        assert_eq!((ending_note(&[]), late_note(&[], true)), (None, None));
    }
}
