//! Certificates that a node makes with its own CA, held against the first of them, which is in the bundle.

use super::shown::{day, short};
use crate::bundle::manifest::Renewed;
use crate::causes::Fault;
use crate::cluster::{Authorities, PathUse};
use crate::pki::Presented;
use crate::values::{Epoch, Lifetime};

/// kiln-node dates certificates back by up to an hour, so that much longer they may live.
const BACK_DATING: Lifetime = Lifetime::hours(1);

/// What a port of a node must send whose certificates the node renews.
pub struct MadeByNode<'a> {
    /// The first certificate, its CA, and what is sent after them.
    pub baked: &'a [Presented],
    pub renewed: &'a Renewed,
    /// The same of the other nodes, by name.
    pub others: &'a [(&'a str, &'a [Presented])],
    pub wanted: PathUse,
    pub now: Epoch,
}

type Verdict<T> = Result<T, (Fault, String)>;

impl MadeByNode<'_> {
    /// `leaf` is not the first certificate itself; it begins `shown`.
    ///
    /// # Errors
    /// The first difference, and its fault.
    pub fn judge(&self, leaf: &Presented, shown: &[Presented], authorities: &Authorities) -> Verdict<String> {
        let [first, ca, ..] = self.baked else {
            return Err((Fault::OtherChain, "the bundle has no CA of this node".to_owned()));
        };
        self.judge_issuer(leaf, shown, authorities)?;
        same_form(first, leaf)?;
        self.judge_dates(ca, leaf)?;
        let made = format!("made by the node on {}, serial {}", day(made_on(leaf)), short(leaf));
        authorities
            .accept(shown, self.wanted, self.now)
            .map_err(|(fault, why)| (fault, format!("{made}: clients refuse its chain: {why}")))?;
        Ok(made)
    }

    /// The CA is the one that the bundle gives this node.
    fn judge_issuer(&self, leaf: &Presented, shown: &[Presented], authorities: &Authorities) -> Verdict<()> {
        let (ca, above) = (&self.baked[1], &self.baked[2..]);
        let sent = shown.get(1..).unwrap_or_default();
        if ca.has_signed(leaf) {
            let same = sent.len() == self.baked.len() - 1
                && sent.iter().zip(&self.baked[1..]).all(|(one, other)| one.der() == other.der());
            return if same {
                Ok(())
            } else {
                let detail =
                    "it does not send its CA as the bundle has it, so clients cannot follow the chain";
                Err((Fault::OtherChain, detail.to_owned()))
            };
        }
        let owner = self.others.iter().find(|(_, chain)| chain.get(1).is_some_and(|ca| ca.has_signed(leaf)));
        if let Some((owner, _)) = owner {
            let serial = short(leaf);
            return Err((
                Fault::WrongName,
                format!("it sends serial {serial}, which the CA of {owner} has made"),
            ));
        }
        // The CA of the same node from another issue of the keystore.
        let of_other_issue = sent.first().filter(|sent| {
            sent.subject_der() == ca.subject_der()
                && sent.has_signed(leaf)
                && authorities.have_signed(sent, above)
        });
        let Some(sent) = of_other_issue else {
            let is =
                format!("it sends serial {}, {} of the CA {}", short(leaf), leaf.subject(), leaf.issuer());
            let fault = if authorities.have_signed(leaf, above) {
                Fault::OtherCertificate
            } else {
                Fault::UnknownAuthority
            };
            return Err((fault, format!("{is}; the bundle has the CA {}", ca.subject())));
        };
        let detail = format!(
            "the CA of its certificate is serial {}, valid from {}; the bundle has {}, valid from {}",
            short(sent),
            sent.not_before(),
            short(ca),
            ca.not_before()
        );
        Err(match sent.not_before().cmp(&ca.not_before()) {
            // kiln-node makes one with the new CA when it next runs, every six hours.
            std::cmp::Ordering::Less => (
                Fault::OlderCertificate,
                format!("{detail}; with the new files there, `kiln-node renew` makes one"),
            ),
            std::cmp::Ordering::Greater => (Fault::NewerCertificate, detail),
            std::cmp::Ordering::Equal => (Fault::OtherCertificate, detail),
        })
    }

    fn judge_dates(&self, ca: &Presented, leaf: &Presented) -> Verdict<()> {
        let (from, until, longest) = (leaf.not_before(), leaf.not_after(), self.renewed.lifetime);
        let serial = short(leaf);
        if until > ca.not_after() || from < ca.not_before() {
            let ends = ca.not_after();
            let detail = format!(
                "serial {serial} is valid from {from} to {until}, and its CA from {} to {ends}",
                ca.not_before()
            );
            return Err((Fault::TooLong, detail));
        }
        let life = until.seconds().saturating_sub(from.seconds());
        if life > longest.seconds() + BACK_DATING.seconds() && from == ca.not_before() {
            // A build gives a node its first certificate together with its CA.
            let detail = format!("serial {serial} is the first one of another build; deliver this bundle's");
            return Err((Fault::OlderCertificate, detail));
        }
        if life > longest.seconds() + BACK_DATING.seconds() {
            let days = life / 86_400;
            let detail =
                format!("serial {serial} lives {days}d ({from} to {until}); the bundle allows {longest}");
            return Err((Fault::TooLong, detail));
        }
        if until < self.now {
            return Err((Fault::Expired, format!("serial {serial} expired on {until}")));
        }
        if from > self.now {
            return Err((Fault::NotYetValid, format!("serial {serial} is not valid before {from}")));
        }
        Ok(())
    }
}

/// Subject, names and uses; the order of names and uses does not matter.
fn same_form(first: &Presented, leaf: &Presented) -> Verdict<()> {
    let serial = short(leaf);
    let differs = |detail: String| Err((Fault::OtherForm, format!("serial {serial} {detail}")));
    if first.subject_der() != leaf.subject_der() {
        return differs(format!("has the subject {}, not {}", leaf.subject(), first.subject()));
    }
    let lists = |of: fn(&Presented) -> crate::failure::Result<Vec<String>>| {
        let read = |one: &Presented| {
            of(one).map_err(|failure| (Fault::OtherForm, format!("serial {serial}: {failure}")))
        };
        Ok((read(first)?, read(leaf)?))
    };
    for (what, (wanted, found)) in [("names", lists(Presented::sans)?), ("is for", lists(Presented::usages)?)]
    {
        let more: Vec<_> = found.iter().filter(|one| !wanted.contains(one)).map(String::as_str).collect();
        let missing: Vec<_> = wanted.iter().filter(|one| !found.contains(one)).map(String::as_str).collect();
        if !more.is_empty() {
            return differs(format!("also {what} {}", more.join(", ")));
        }
        if found.is_empty() && !missing.is_empty() {
            return differs(if what == "names" {
                "has no names".to_owned()
            } else {
                "is for every use".to_owned()
            });
        }
        if !missing.is_empty() {
            return differs(format!(
                "{}{}",
                if what == "names" { "does not name " } else { "is not for " },
                missing.join(", ")
            ));
        }
    }
    Ok(())
}

fn made_on(leaf: &Presented) -> Epoch {
    leaf.not_before().plus(BACK_DATING)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    use rcgen::{BasicConstraints, CertificateParams, DnType, GeneralSubtree, IsCa, Issuer, KeyPair};

    use super::*;

    const DAY: i64 = 86_400;
    const HOUR: Duration = Duration::from_secs(3600);
    /// Of these certificates, in seconds since 1970: 2026-01-01.
    const BEGIN: i64 = 1_767_225_600;
    const ADDRESS: &str = "10.0.0.1";
    const TAG: &str = "peer-1.kiln.invalid";

    /// Of day `number` from the beginning on.
    fn at(number: i64) -> Epoch {
        Epoch::from_seconds(u64::try_from(BEGIN + number * DAY).unwrap()).unwrap()
    }

    fn named(mut params: CertificateParams, name: &str, from: i64, to: i64) -> CertificateParams {
        params.distinguished_name = Default::default();
        params.distinguished_name.push(DnType::CommonName, name);
        let zero = rcgen::date_time_ymd(1970, 1, 1);
        params.not_before = zero + Duration::from_secs(at(from).seconds());
        params.not_after = zero + Duration::from_secs(at(to).seconds());
        params
    }

    /// A CA and its certificate.
    struct Ca(Issuer<'static, KeyPair>, Presented, String);

    impl Ca {
        fn root(name: &str) -> Self {
            let key = KeyPair::generate().unwrap();
            let mut params = named(CertificateParams::default(), name, 0, 4000);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let made = params.self_signed(&key).unwrap();
            Self(Issuer::new(params, key), Presented::from_der(made.der()).unwrap(), made.pem())
        }

        /// Valid from this day on, for a thousand days.
        fn below(&self, name: &str, from: i64) -> Self {
            let key = KeyPair::generate().unwrap();
            let mut params = named(CertificateParams::default(), name, from, from + 1000);
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            let permitted_subtrees = vec![GeneralSubtree::DnsName(TAG.into())];
            params.name_constraints =
                Some(rcgen::NameConstraints { permitted_subtrees, excluded_subtrees: vec![] });
            let made = params.signed_by(&key, &self.0).unwrap();
            Self(Issuer::new(params, key), Presented::from_der(made.der()).unwrap(), made.pem())
        }

        /// The certificate of a peer for these days, with a change, and this CA.
        fn peer(&self, days: (i64, i64), change: impl Fn(&mut CertificateParams)) -> Vec<Presented> {
            let names = vec![TAG.to_owned(), ADDRESS.to_owned()];
            let mut params = named(CertificateParams::new(names).unwrap(), "etcd-peer", days.0, days.1);
            params.extended_key_usages = vec![ServerAuth, ClientAuth];
            change(&mut params);
            let made = params.signed_by(&KeyPair::generate().unwrap(), &self.0).unwrap();
            vec![Presented::from_der(made.der()).unwrap(), self.1.clone()]
        }
    }

    type Case = (Vec<Presented>, Fault, &'static str);

    /// The verdicts of the node a, 100 days after its CA was made.
    fn judge(root: &Ca, a: &Ca, b: &Ca, shown: &[Presented]) -> Verdict<String> {
        let (first, of_b) = (a.peer((0, 365), |_| ()), b.peer((0, 365), |_| ()));
        let renewed =
            Renewed { issuer: "etc/kiln/issuer/peer.pem".parse().unwrap(), lifetime: Lifetime::days(90) };
        let made = MadeByNode {
            baked: &first,
            renewed: &renewed,
            others: &[("b", &of_b)],
            wanted: PathUse::Peer(ADDRESS.parse().unwrap()),
            now: at(100),
        };
        made.judge(&shown[0], shown, &Authorities::from_pem(root.2.as_bytes()).unwrap())
    }

    #[test]
    fn a_certificate_that_the_node_made_is_the_nodes() {
        let root = Ca::root("peers");
        let (a, b) = (root.below("a", 0), root.below("b", 0));
        let good = a.peer((90, 180), |params| {
            params.not_before -= HOUR;
            params.subject_alt_names.reverse();
            params.extended_key_usages.reverse();
        });
        let said = judge(&root, &a, &b, &good).unwrap();
        assert_eq!(said, format!("made by the node on 2026-04-01, serial {}", short(&good[0])));
        let too_long = a.peer((90, 180), |params| params.not_before -= HOUR + Duration::from_secs(1));
        assert_eq!(judge(&root, &a, &b, &too_long).unwrap_err().0, Fault::TooLong);
    }

    #[test]
    fn each_issuer_is_told_from_the_nodes_own() {
        let root = Ca::root("peers");
        let (a, b) = (root.below("a", 10), root.below("b", 10));
        let (older, newer, stranger) = (root.below("a", 0), root.below("a", 20), Ca::root("peers"));
        let usual = (90, 180);
        let mut alone = a.peer(usual, |_| ());
        alone.truncate(1);
        let mut with_root = a.peer(usual, |_| ());
        with_root.push(root.1.clone());
        let cases: [Case; 8] = [
            (b.peer(usual, |_| ()), Fault::WrongName, "which the CA of b has made"),
            (
                older.peer(usual, |_| ()),
                Fault::OlderCertificate,
                "valid from 2026-01-01T00:00:00Z; the bundle has",
            ),
            (
                newer.peer(usual, |_| ()),
                Fault::NewerCertificate,
                "valid from 2026-01-21T00:00:00Z; the bundle has",
            ),
            (
                root.below("a", 10).peer(usual, |_| ()),
                Fault::OtherCertificate,
                "the CA of its certificate is",
            ),
            (
                root.peer(usual, |_| ()),
                Fault::OtherCertificate,
                "of the CA CN=peers; the bundle has the CA CN=a",
            ),
            (stranger.below("a", 10).peer(usual, |_| ()), Fault::UnknownAuthority, "of the CA CN=a"),
            (alone, Fault::OtherChain, "does not send its CA"),
            (with_root, Fault::OtherChain, "does not send its CA"),
        ];
        for (shown, fault, text) in cases {
            let (is, detail) = judge(&root, &a, &b, &shown).unwrap_err();
            assert!(is == fault && detail.contains(text), "{is:?} {detail}");
        }
    }

    #[test]
    fn each_difference_of_form_and_dates_is_named() {
        let root = Ca::root("peers");
        let (a, b) = (root.below("a", 0), root.below("b", 0));
        let name =
            |name: &str| CertificateParams::new(vec![name.to_owned()]).unwrap().subject_alt_names.remove(0);
        let peer = |days, change: &dyn Fn(&mut CertificateParams)| a.peer(days, change);
        let usual = (90, 180);
        let cases: [Case; 13] = [
            (
                peer(usual, &|p| p.distinguished_name.push(DnType::CommonName, "root")),
                Fault::OtherForm,
                "has the subject CN=root, not CN=etcd-peer",
            ),
            (
                peer(usual, &|p| p.subject_alt_names.push(name("10.0.0.7"))),
                Fault::OtherForm,
                "also names IP:10.0.0.7",
            ),
            (
                peer(usual, &|p| p.subject_alt_names.retain(|one| *one == name(ADDRESS))),
                Fault::OtherForm,
                "does not name DNS:peer-1.kiln.invalid",
            ),
            (peer(usual, &|p| p.subject_alt_names.clear()), Fault::OtherForm, "has no names"),
            (peer(usual, &|p| _ = p.extended_key_usages.pop()), Fault::OtherForm, "is not for clientAuth"),
            (peer(usual, &|p| p.extended_key_usages.clear()), Fault::OtherForm, "is for every use"),
            (
                peer(usual, &|p| p.extended_key_usages.push(rcgen::ExtendedKeyUsagePurpose::CodeSigning)),
                Fault::OtherForm,
                "also is for 1.3.6.1.5.5.7.3.3",
            ),
            (
                peer(usual, &|p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0))),
                Fault::OtherForm,
                "clients refuse its chain",
            ),
            (peer((90, 190), &|_| ()), Fault::TooLong, "lives 100d"),
            (peer((95, 1001), &|_| ()), Fault::TooLong, "and its CA from 2026-01-01T00:00:00Z to"),
            (peer((-1, 50), &|_| ()), Fault::TooLong, "and its CA from 2026-01-01T00:00:00Z to"),
            (peer((9, 99), &|_| ()), Fault::Expired, "expired on 2026-04-10"),
            (peer((101, 180), &|_| ()), Fault::NotYetValid, "is not valid before 2026-04-12"),
        ];
        for (shown, fault, text) in cases {
            let (is, detail) = judge(&root, &a, &b, &shown).unwrap_err();
            assert!(is == fault && detail.contains(text), "{is:?} {detail}");
        }
    }
}
