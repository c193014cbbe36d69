//! `kiln-node renew`: the member's certificates stay valid, with new keys each time.

use std::path::Path;

use kiln_wire::{Pair, Policy};

use crate::clock;
use crate::decide::{Dates, Reason, Refusal, Step, Validity, decide, new_one};
use crate::disk;
use crate::failure::{Failure, Result};
use crate::generation::{Generation, Generations, Which};
use crate::issuer::{Issuer, Minted};
use crate::prove::{Proof, prove};
use crate::say::{Level, say};
use crate::status::Status;
use crate::steps::reached;

/// Reads the policy.
///
/// # Errors
/// Where it is not this program's user's alone, or not a policy.
pub fn policy(path: &Path) -> Result<Policy> {
    let text = disk::read(path, false)?;
    let policy: Policy = serde_json::from_slice(&text)
        .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    policy.check().map_err(|why| Failure::new(format!("{}: {why}", path.display())))?;
    Ok(policy)
}

/// Renews what is due. `ensure`: etcd is to start next, so all is well if it has certificates that are valid now.
/// Whether that is so is returned.
///
/// # Errors
/// Where not even that can be known.
pub fn renew(policy: &Policy, ensure: bool) -> Result<bool> {
    let now = clock::now();
    let generations = Generations::open(policy)?;
    let issuers = policy.pairs.iter().map(Issuer::load).collect::<Result<Vec<_>>>();
    let (issuers, broken) = match issuers {
        Ok(issuers) => (issuers, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    let run = Run { policy, generations, issuers, now };
    let outcome = broken.map_or_else(|| run.act(), Err);
    reached("acted");
    let live = run.live()?.and_then(|which| run.load(which).ok());
    let validity = live.as_ref().map(validity);
    let serials = live.iter().flat_map(|live| live.leaves.iter().map(|leaf| leaf.serial())).collect();
    let mut status = Status::new(now, validity, run.validity(), serials);
    let served = validity.is_some_and(|live| live.has(now));
    if let Err(why) = outcome {
        let level = if status.good && !status.overdue { Level::Notice } else { Level::Error };
        say(level, &policy.node, &format!("has not renewed its certificates: {why}"));
        status.error = Some(why.to_string());
    }
    status.write(policy)?;
    Ok(if ensure { served } else { status.good })
}

struct Run<'p> {
    policy: &'p Policy,
    generations: Generations<'p>,
    /// One per pair; none where they cannot be read.
    issuers: Vec<Issuer>,
    now: u64,
}

fn validity(generation: &Generation) -> Validity {
    let (from, until) = generation.validity();
    Validity { from, until }
}

impl Run<'_> {
    fn live(&self) -> Result<Option<Which>> {
        self.generations.live()
    }

    fn load(&self, which: Which) -> Result<Generation> {
        if self.issuers.is_empty() {
            return Err(Failure::new("the node's own CAs cannot be read"));
        }
        self.generations.load(which, &self.issuers)
    }

    /// The time in which all issuers are valid.
    fn validity(&self) -> Option<Validity> {
        let from = self.issuers.iter().map(|issuer| issuer.not_before).max()?;
        let until = self.issuers.iter().map(|issuer| issuer.not_after).min()?;
        Some(Validity { from, until })
    }

    fn act(&self) -> Result<()> {
        let issuers = self.validity().ok_or_else(|| Failure::new("the policy has no issuers"))?;
        let own = self.generations.own()?;
        let dates = Dates {
            now: self.now,
            built: self.policy.built,
            issuers,
            life: self.policy.life,
            is_first: own.is_empty(),
        };
        // A run that was killed before its proof: what it has made is proven now, or taken back.
        if let Some(before) = self.generations.before()? {
            self.settle(before)?;
        }
        let which = self.live()?;
        let live = which.map(|which| self.load(which));
        if let Some(Err(why)) = &live {
            say(Level::Warning, &self.policy.node, &format!("has a generation that is not sound: {why}"));
        }
        let live = live.and_then(Result::ok);
        let step = decide(&dates, live.as_ref().map(validity));
        reached("decided");
        let reason = match step {
            Step::Keep => return Ok(()),
            Step::Refuse(refusal) => return Err(Failure::new(words(refusal, &dates))),
            Step::Replace(reason) => reason,
        };
        if reason != Reason::Due
            && let Some(other) = self.another(&own, which)
        {
            self.generations.point(other)?;
            say(
                Level::Warning,
                &self.policy.node,
                "uses an earlier generation of its certificates, which is valid",
            );
            return Ok(());
        }
        let number = own.last().map_or(1, |last| last + 1);
        let until = new_one(&dates);
        let minted = self.mint(until)?;
        reached("minted");
        self.generations.add(number, &minted)?;
        reached("named");
        // Without one that is valid there is nothing to return to.
        if let Some(before) = which.filter(|_| live.as_ref().is_some_and(|live| validity(live).has(self.now)))
        {
            self.generations.remember(before)?;
        }
        reached("remembered");
        self.generations.point(Which::Own(number))?;
        reached("linked");
        self.finish(number, &minted, reason)
    }

    /// The newest other generation that is sound, valid, and not due.
    fn another(&self, own: &[u32], live: Option<Which>) -> Option<Which> {
        let all = own.iter().rev().map(|number| Which::Own(*number)).chain([Which::First]);
        let is_good = |which: &Which| {
            let good = self.load(*which).ok().map(|generation| validity(&generation));
            Some(*which) != live && good.is_some_and(|good| good.has(self.now) && self.now < good.due())
        };
        all.filter(|which| Some(*which) != live).find(is_good)
    }

    fn mint(&self, at: Validity) -> Result<Vec<Minted>> {
        let pairs = self.policy.pairs.iter().zip(&self.issuers);
        pairs.map(|(pair, issuer)| issuer.mint(pair, at.from, at.until)).collect()
    }

    /// The proof, and what follows from it.
    fn finish(&self, number: u32, minted: &[Minted], reason: Reason) -> Result<()> {
        let pairs: Vec<(&Pair, &Minted)> = self.policy.pairs.iter().zip(minted).collect();
        let proofs = pairs.iter().map(|(pair, minted)| prove(pair, minted)).collect::<Result<Vec<_>>>();
        reached("proven");
        match proofs {
            Ok(proofs) => {
                self.generations.forget()?;
                self.generations.prune()?;
                let proven = if proofs.contains(&Proof::Presented) {
                    "etcd presents them"
                } else {
                    "etcd does not serve yet"
                };
                let why = match reason {
                    Reason::Due => "two thirds of their life were over",
                    Reason::Early => "the last ones were not valid yet",
                    Reason::Expired => "the last ones had expired",
                    Reason::Unsound => "there were no sound ones",
                };
                let node = &self.policy.node;
                say(
                    Level::Info,
                    node,
                    &format!("has new certificates (generation {number}): {why}; {proven}"),
                );
                Ok(())
            }
            Err(why) => match self.generations.before()? {
                Some(before) => {
                    self.generations.point(before)?;
                    self.generations.forget()?;
                    Err(Failure::new(format!("{why}; the certificates from before are back")))
                }
                None => Err(Failure::new(format!("{why}; there are no others that are valid"))),
            },
        }
    }

    /// After a kill between the link and the proof.
    fn settle(&self, before: Which) -> Result<()> {
        let live = self.live()?;
        let is_good =
            |which: Which| self.load(which).is_ok_and(|generation| validity(&generation).has(self.now));
        match live {
            Some(live) if live != before && is_good(live) => {}
            _ => self.generations.point(before)?,
        }
        self.generations.forget()
    }
}

fn words(refusal: Refusal, dates: &Dates) -> String {
    let Dates { now, built, issuers, .. } = dates;
    match refusal {
        Refusal::BeforeBuild => {
            format!("the clock shows {now}, which is before this node was built ({built}); set it")
        }
        Refusal::IssuerEarly => {
            format!("the clock shows {now}, but the node's own CAs begin at {}; set it", issuers.from)
        }
        Refusal::IssuerExpired => {
            format!("the node's own CAs have ended ({}); build this node again and deliver it", issuers.until)
        }
        Refusal::LateFirstUse => format!(
            "the clock shows {now}, when two thirds of the life of the node's own CAs are over, and they have never been \
             used: set the clock, or build this node again"
        ),
        Refusal::IssuerEnds => {
            format!(
                "the node's own CAs end at {}, with its certificates; build this node again and deliver it",
                issuers.until
            )
        }
    }
}
