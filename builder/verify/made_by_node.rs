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
            std::cmp::Ordering::Less => (Fault::OlderCertificate, detail),
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
