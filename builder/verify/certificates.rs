//! The certificates: those that the members send are compared with those in the bundle; and their remaining lifetime.

use std::net::IpAddr;

use super::baked::{Baked, BakedPort};
use super::look::Observed;
use super::made_by_node::MadeByNode;
use super::shown::short;
use crate::bundle::Manifest;
use crate::causes::Fault;
use crate::cluster::{Authorities, PathUse};
use crate::pki::Presented;
use crate::report::Check;
use crate::values::{Epoch, SOON_DAYS, counted};

const DAY: u64 = 86_400;

/// A row for each port's certificate, one for its dates and one for the dates of the manifest.
pub fn check(
    manifest: &Manifest,
    seen: &[Observed<'_>],
    authorities: &Authorities,
    now: Epoch,
) -> Vec<Check> {
    let all: Vec<_> = seen.iter().map(|one| (one.name(), one.baked)).collect();
    let judge_port = |one: &Observed<'_>, check: &str, presented: Result<&[Vec<u8>], &str>, port: Port| {
        let node = Some(one.name());
        let read =
            |ders: &[Vec<u8>]| ders.iter().map(|der| Presented::from_der(der)).collect::<Result<Vec<_>, _>>();
        let chain = match presented {
            Err(why) => return Check::skipped(check, node, why),
            Ok([]) => return Check::skipped(check, node, "it sent none"),
            Ok(ders) => match read(ders) {
                Ok(chain) => chain,
                Err(failure) => return Check::failed(check, node, Fault::NotEtcd, failure.to_string()),
            },
        };
        let node_of = one.target.node;
        let address = if port == Port::Peer { node_of.peer_address() } else { node_of.address };
        let expected = Expected { node: one.name(), address, port, all: &all, now };
        match expected.judge(&chain, authorities) {
            None => Check::skipped(check, node, "the bundle does not hold it"),
            Some(Ok(detail)) => Check::ok(check, node, detail),
            Some(Err((fault, detail))) => Check::failed(check, node, fault, detail),
        }
    };
    let mut checks: Vec<_> = seen
        .iter()
        .map(|one| {
            let presented = if one.is_stranger() { Err(one.silence()) } else { Ok(&one.presented[..]) };
            let presented = match presented {
                Ok([]) if one.status.is_err() => Err(one.silence()),
                other => other,
            };
            judge_port(one, "certificate as baked", presented, Port::Client)
        })
        .collect();
    checks.extend(seen.iter().map(|one| {
        let presented =
            if one.is_stranger() { Err(one.silence()) } else { one.peer.as_deref().map_err(String::as_str) };
        judge_port(one, "peer certificate as baked", presented, Port::Peer)
    }));
    checks.extend(seen.iter().map(|one| presented_in_date(one, now)));
    checks.push(match first(manifest) {
        Some((from, to, what)) => judge("all certificates in date", None, from, to, now, &what),
        None => Check::skipped("all certificates in date", None, "the manifest lists none"),
    });
    checks
}

/// Whether the certificate that a member sends to its clients is valid now.
fn presented_in_date(one: &Observed<'_>, now: Epoch) -> Check {
    let (check, node) = ("presented certificate in date", Some(one.name()));
    if one.is_stranger() {
        return Check::skipped(check, node, one.silence());
    }
    match one.presented.first().and_then(|der| Presented::from_der(der).ok()) {
        Some(leaf) => {
            let (from, to) = (leaf.not_before().seconds(), leaf.not_after().seconds());
            judge(check, node, from, to, now, "the server certificate")
        }
        None if one.status.is_err() => Check::skipped(check, node, one.silence()),
        None => Check::skipped(check, node, "it sent none"),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Port {
    Client,
    Peer,
}

impl Port {
    fn baked(self, baked: &Baked) -> BakedPort<'_> {
        let [server, peer] = baked.ports();
        match self {
            Port::Client => server,
            Port::Peer => peer,
        }
    }

    fn wanted(self, address: IpAddr) -> PathUse {
        match self {
            Port::Client => PathUse::Server(address),
            Port::Peer => PathUse::Peer(address),
        }
    }
}

/// The certificate that a port of a node must send.
struct Expected<'a> {
    node: &'a str,
    address: IpAddr,
    port: Port,
    /// Every node with its files from the bundle.
    all: &'a [(&'a str, &'a Baked)],
    now: Epoch,
}

impl Expected<'_> {
    /// `None` when the bundle has no certificate to compare with. `shown` is not empty.
    fn judge(
        &self,
        shown: &[Presented],
        authorities: &Authorities,
    ) -> Option<Result<String, (Fault, String)>> {
        let baked = self.all.iter().find(|(name, _)| *name == self.node)?;
        let own = self.port.baked(baked.1);
        let baked = own.chain;
        let (want, leaf) = (baked.first()?, shown.first()?);
        if leaf.der() == want.der() {
            return Some(self.judge_chain(baked, shown));
        }
        let is = format!("it sends serial {}; the bundle has {}", short(leaf), short(want));
        let others = self.all.iter().filter(|(name, _)| *name != self.node);
        let owner = others.filter(|(_, other)| {
            self.port.baked(other).chain.first().is_some_and(|one| one.der() == leaf.der())
        });
        if let Some((owner, _)) = owner.into_iter().next() {
            return Some(Err((Fault::WrongName, format!("it sends the certificate of {owner}"))));
        }
        if let Some(renewed) = own.renewed {
            let others = self.all.iter().filter(|(name, _)| *name != self.node);
            let others: Vec<_> = others.map(|(name, baked)| (*name, self.port.baked(baked).chain)).collect();
            let wanted = self.port.wanted(self.address);
            let made = MadeByNode { baked, renewed, others: &others, wanted, now: self.now };
            return Some(made.judge(leaf, shown, authorities));
        }
        let dates = format!(
            "it sends serial {}, valid from {}; the bundle has {}, valid from {}",
            short(leaf),
            leaf.not_before(),
            short(want),
            want.not_before()
        );
        Some(Err(if !authorities.have_signed(leaf, baked.get(1..).unwrap_or_default()) {
            (Fault::UnknownAuthority, format!("{is}; it is {} of the CA {}", leaf.subject(), leaf.issuer()))
        } else if !leaf.names(self.address) {
            (Fault::WrongName, format!("{is}; it does not name {}", self.address))
        } else if leaf.not_after() < self.now {
            (Fault::Expired, format!("{dates}; it expired on {}", leaf.not_after()))
        } else if leaf.not_before() < want.not_before() {
            (Fault::OlderCertificate, dates)
        } else if leaf.not_before() > want.not_before() {
            (Fault::NewerCertificate, dates)
        } else {
            (Fault::OtherCertificate, is)
        }))
    }

    fn judge_chain(&self, baked: &[Presented], shown: &[Presented]) -> Result<String, (Fault, String)> {
        let same = baked.len() == shown.len() && baked.iter().zip(shown).all(|(a, b)| a.der() == b.der());
        let issuers = |chain: &[Presented]| match &chain[1..] {
            [] => "no intermediate certificate".to_owned(),
            above => {
                let named = |ca: &Presented| format!("{} (serial {})", ca.subject(), short(ca));
                above.iter().map(named).collect::<Vec<_>>().join(", then ")
            }
        };
        match same {
            true => Ok(format!("serial {}", short(&baked[0]))),
            false => Err((
                Fault::OtherChain,
                format!("after its own it sends {}; the bundle has {}", issuers(shown), issuers(baked)),
            )),
        }
    }
}

fn days(number: u64) -> String {
    counted(usize::try_from(number).unwrap_or(usize::MAX), "day")
}

/// A note when the first certificate is about to end.
pub fn note(manifest: &Manifest, now: Epoch) -> Option<String> {
    let (_, to, what) = first(manifest)?;
    let left = now.days_until(Epoch::from_seconds(to).ok()?)?;
    (left < SOON_DAYS).then(|| {
        format!(
            "{what} expires in {}; before that, run kiln keystore renew, build again and copy the new certificates \
             to the nodes",
            days(left)
        )
    })
}

/// The certificate of the manifest that ends first: its first and last second, and its name. The first ones of nodes
/// that renew theirs are replaced long before they end: those have a row of their own.
fn first(manifest: &Manifest) -> Option<(u64, u64, String)> {
    let lasting = || manifest.certificates.iter().filter(|certificate| certificate.renewed.is_none());
    let first = lasting().min_by_key(|certificate| certificate.not_after)?;
    let of = first.node.as_ref().map(|node| format!(" of {node}")).unwrap_or_default();
    // The one that begins last, so that a clock that is far behind is noticed, too.
    let begin = lasting().map(|certificate| certificate.not_before).max()?;
    Some((begin.seconds(), first.not_after.seconds(), format!("{}{of}", first.file)))
}

/// The row of a certificate by its first and last second.
pub(super) fn judge(check: &str, node: Option<&str>, from: u64, to: u64, now: Epoch, what: &str) -> Check {
    let now = now.seconds();
    let date = |seconds: u64| Epoch::from_seconds(seconds).map(|epoch| epoch.to_string()).unwrap_or_default();
    if now > to {
        Check::failed(check, node, Fault::Expired, format!("{what} expired on {}", date(to)))
    } else if now < from {
        Check::failed(check, node, Fault::NotYetValid, format!("{what} is not valid before {}", date(from)))
    } else {
        Check::ok(check, node, format!("{what} expires in {}", days((to - now) / DAY)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Outcome;

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

    /// A CA that issues the certificates of a test.
    struct Lab(rcgen::Issuer<'static, rcgen::KeyPair>, Authorities);

    impl Lab {
        fn new() -> Self {
            let key = rcgen::KeyPair::generate().unwrap();
            let mut params = rcgen::CertificateParams::default();
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            let pem = params.self_signed(&key).unwrap().pem();
            Self(rcgen::Issuer::new(params, key), Authorities::from_pem(pem.as_bytes()).unwrap())
        }

        fn leaf(&self, address: &str, year: i32) -> Presented {
            let key = rcgen::KeyPair::generate().unwrap();
            let mut params = rcgen::CertificateParams::new(vec![address.into()]).unwrap();
            params.not_before = rcgen::date_time_ymd(year, 1, 1);
            params.not_after = rcgen::date_time_ymd(year + 2, 1, 1);
            Presented::from_der(params.signed_by(&key, &self.0).unwrap().der()).unwrap()
        }
    }

    fn copy(of: &Presented) -> Presented {
        Presented::from_der(of.der()).unwrap()
    }

    #[test]
    fn a_certificate_is_held_against_the_baked_one() {
        let (lab, other) = (Lab::new(), Lab::new());
        let baked = |address: &str| Baked {
            server: vec![lab.leaf(address, 2026)],
            peer: Vec::new(),
            peer_trust: Vec::new(),
            trust: Vec::new(),
            renewed: [None, None],
            options: None,
        };
        let (a, b) = (baked("10.0.0.1"), baked("10.0.0.2"));
        let all = [("a", &a), ("b", &b)];
        let now: Epoch = "2026-06-01".parse().unwrap();
        let (node, address) = ("a", "10.0.0.1".parse().unwrap());
        let expected = Expected { node, address, port: Port::Client, all: &all, now };
        let judge = |shown: &[Presented]| expected.judge(shown, &lab.1).unwrap();
        assert_eq!(judge(&[copy(&a.server[0])]), Ok(format!("serial {}", short(&a.server[0]))));
        let cases = [
            (vec![copy(&b.server[0])], Fault::WrongName, "it sends the certificate of b"),
            (vec![other.leaf("10.0.0.1", 2026)], Fault::UnknownAuthority, "of the CA"),
            (vec![lab.leaf("10.0.0.9", 2026)], Fault::WrongName, "does not name 10.0.0.1"),
            (vec![lab.leaf("10.0.0.1", 2020)], Fault::Expired, "expired on 2022-01-01"),
            (vec![lab.leaf("10.0.0.1", 2025)], Fault::OlderCertificate, "valid from 2025-01-01"),
            (vec![lab.leaf("10.0.0.1", 2027)], Fault::NewerCertificate, "valid from 2027-01-01"),
            (vec![lab.leaf("10.0.0.1", 2026)], Fault::OtherCertificate, "the bundle has"),
            (vec![copy(&a.server[0]), copy(&b.server[0])], Fault::OtherChain, "no intermediate"),
        ];
        for (shown, fault, text) in cases {
            let (is, detail) = judge(&shown).unwrap_err();
            assert!(is == fault && detail.contains(text), "{is:?} {detail}");
        }
        let expected = Expected { port: Port::Peer, ..expected };
        assert!(expected.judge(&[copy(&a.server[0])], &lab.1).is_none());
    }
}
