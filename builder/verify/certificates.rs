//! How long the cluster's certificates last: those of the manifest, and those that the members show.

use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::causes::Fault;
use super::look::Seen;
use super::report::Check;
use crate::bundle::Manifest;
use crate::values::Epoch;

const DAY: u64 = 86_400;

/// A certificate that ends sooner is mentioned, though nothing is wrong yet.
const SOON_DAYS: u64 = 30;

/// A row for the manifest, and one for each member's server certificate.
pub fn check(manifest: &Manifest, seen: &[Seen<'_>], now: Epoch) -> Vec<Check> {
    let mut checks: Vec<_> = seen
        .iter()
        .map(|one| {
            let (check, node) = ("presented certificate in date", Some(one.name()));
            match one.presented.as_deref().and_then(dates) {
                Some((from, to)) => judge(check, node, from, to, now, "the server certificate"),
                None if one.status.is_err() => Check::skipped(check, node, super::checks::SILENT),
                None => Check::skipped(check, node, "it showed none"),
            }
        })
        .collect();
    checks.push(match first(manifest) {
        Some((from, to, what)) => judge("all certificates in date", None, from, to, now, &what),
        None => Check::skipped("all certificates in date", None, "the manifest lists none"),
    });
    checks
}

/// A word of warning when the first certificate is about to end.
pub fn note(manifest: &Manifest, now: Epoch) -> Option<String> {
    let (_, to, what) = first(manifest)?;
    let days = to.checked_sub(now.seconds())? / DAY;
    (days < SOON_DAYS).then(|| format!("{what} ends in {days} days; before that, run kiln keystore renew, build again and bring the nodes their new certificates"))
}

/// The certificate of the manifest that ends first: not before, not after, and which it is.
fn first(manifest: &Manifest) -> Option<(u64, u64, String)> {
    let first = manifest.certificates.iter().min_by_key(|certificate| certificate.not_after)?;
    let of = first.node.as_ref().map(|node| format!(" of {node}")).unwrap_or_default();
    // The one that begins last, so that a clock far behind is seen too.
    let begin = manifest.certificates.iter().map(|certificate| certificate.not_before).max()?;
    Some((begin.seconds(), first.not_after.seconds(), format!("{}{of}", first.file)))
}

fn judge(check: &str, node: Option<&str>, from: u64, to: u64, now: Epoch, what: &str) -> Check {
    let now = now.seconds();
    let date = |seconds: u64| Epoch::from_seconds(seconds).map(|epoch| epoch.to_string()).unwrap_or_default();
    if now > to {
        Check::failed(check, node, Fault::Expired, format!("{what} ended on {}", date(to)))
    } else if now < from {
        Check::failed(check, node, Fault::NotYetValid, format!("{what} begins on {}", date(from)))
    } else {
        Check::ok(check, node, format!("{what} ends in {} days", (to - now) / DAY))
    }
}

/// Not before and not after, in seconds since 1970.
fn dates(der: &[u8]) -> Option<(u64, u64)> {
    let certificate = Certificate::from_der(der).ok()?;
    let validity = certificate.tbs_certificate().validity();
    Some((validity.not_before.to_unix_duration().as_secs(), validity.not_after.to_unix_duration().as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::report::Outcome;

    #[test]
    fn dates_are_judged_by_the_given_day() {
        let (from, to) = (10 * DAY, 20 * DAY);
        let cases = [
            (9 * DAY, Outcome::Failed, Some(Fault::NotYetValid)),
            (10 * DAY, Outcome::Ok, None),
            (20 * DAY, Outcome::Ok, None),
            (20 * DAY + 1, Outcome::Failed, Some(Fault::Expired)),
        ];
        for (now, outcome, fault) in cases {
            let check = judge("c", None, from, to, Epoch::from_seconds(now).unwrap(), "x");
            assert_eq!((check.outcome, check.fault), (outcome, fault), "{now}: {}", check.detail);
        }
    }

    #[test]
    fn dates_are_read_from_a_certificate() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["cp-a".into()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2051, 1, 1);
        let certificate = params.self_signed(&key).unwrap();
        assert_eq!(dates(certificate.der()), Some((1_767_225_600, 2_556_144_000)));
        assert_eq!(dates(b"junk"), None);
    }
}
