//! One renewal, step by step. It may end at each of them, and the next run goes on from what it finds.

use kiln_wire::Policy;

use crate::decide::{Dates, Step, decide, new_one};
use crate::failure::{Failure, Result};
use crate::generation::{Generation, Generations, Which};
use crate::issuer::Issuers;
use crate::prove::{Proof, prove};
use crate::say::{Level, say};
use crate::steps::reached;
use crate::words;

/// What it needs; the directory is locked.
pub struct Run<'r> {
    /// What is wanted.
    pub policy: &'r Policy,
    /// What there is.
    pub generations: &'r Generations<'r>,
    /// The node's own CAs, or why they cannot be used.
    pub issuers: Result<Issuers>,
    /// In seconds since 1970.
    pub now: u64,
    /// etcd does not run, so nothing is proven.
    pub ensure: bool,
}

impl Run<'_> {
    /// Does what is to be done.
    ///
    /// # Errors
    /// Why that is not possible. What etcd reads is as good as before, or better.
    pub fn act(&self) -> Result<()> {
        // Then no date of a certificate says anything.
        if self.now < self.policy.built {
            return Err(Failure::new(words::before_build(self.now, self.policy.built)));
        }
        if let Some(before) = self.generations.before()? {
            self.settle(before)?;
            reached("settled");
        }
        let which = self.generations.live()?;
        let live = which.and_then(|which| self.sound(which, true));
        let valid = live.as_ref().filter(|live| live.validity().has(self.now));
        if valid.is_none()
            && let Some(other) = self.another(which, false)?
        {
            match self.switch(which, other) {
                Ok(proven) => {
                    let (level, words) = words::other(other == Which::First);
                    self.tell(level, &format!("{words}; {proven}"));
                    return self.generations.prune();
                }
                // A new one may do.
                Err(why) => self
                    .tell(Level::Warning, &format!("does not get on with certificates that it has: {why}")),
            }
        }
        let made = self.make(which, live.as_ref());
        if made.is_err() && !self.is_usable(which) {
            // Better than none: one that is due, or that the policy does not want any more.
            if let Some(other) = self.another(which, true)? {
                let proven = self.switch(which, other)?;
                let words = "uses certificates of an earlier generation, which are still valid";
                self.tell(Level::Warning, &format!("{words}; {proven}"));
            }
        }
        made.and_then(|()| self.generations.prune())?;
        reached("pruned");
        Ok(())
    }

    fn tell(&self, level: Level, text: &str) {
        say(level, &self.policy.node, text);
    }

    /// One that is what the policy wants.
    fn sound(&self, which: Which, is_told: bool) -> Option<Generation> {
        let loaded = self.generations.load(which);
        let unlike = loaded.as_ref().map_or_else(Some, |found| found.unlike.as_ref());
        match unlike {
            None => loaded.ok(),
            Some(why) => {
                if is_told {
                    self.tell(
                        Level::Warning,
                        &format!("has certificates that are not as they should be: {why}"),
                    );
                }
                None
            }
        }
    }

    /// Whether etcd can use it now, whatever the policy wants.
    fn is_usable(&self, which: Option<Which>) -> bool {
        let loaded = which.and_then(|which| self.generations.load(which).ok());
        loaded.is_some_and(|found| found.validity().has(self.now))
    }

    /// The newest other generation that is valid: sound and not due, or just usable.
    fn another(&self, live: Option<Which>, just_usable: bool) -> Result<Option<Which>> {
        let own = self.generations.own()?;
        let all = own.iter().rev().map(|number| Which::Own(*number)).chain([Which::First]);
        let is_good = |which: &Which| match just_usable {
            true => self.is_usable(Some(*which)),
            false => self.sound(*which, false).is_some_and(|found| {
                let validity = found.validity();
                validity.has(self.now) && self.now < validity.due()
            }),
        };
        Ok(all.filter(|which| Some(*which) != live).find(is_good))
    }

    /// A new generation, if one is due.
    fn make(&self, which: Option<Which>, live: Option<&Generation>) -> Result<()> {
        let issuers = self.issuers.as_ref().map_err(|why| Failure::new(why.to_string()))?;
        let own = self.generations.own()?;
        let Policy { life, .. } = *self.policy;
        // A node that runs from memory has forgotten what it made before its last start.
        let is_first = own.is_empty() && !self.generations.are_in_memory();
        let dates = Dates { now: self.now, issuers: issuers.validity(), life, is_first };
        let step = decide(&dates, live.map(Generation::validity));
        reached("decided");
        let reason = match step {
            Step::Keep => return Ok(()),
            Step::Refuse(refusal) => return Err(Failure::new(words::refusal(refusal, &dates))),
            Step::Replace(reason) => reason,
        };
        let number = own.last().map_or(Some(1), |last| last.checked_add(1));
        let number = number.ok_or_else(|| Failure::new("there is a generation with the highest number"))?;
        let minted = issuers.mint(self.policy, new_one(&dates))?;
        reached("minted");
        self.generations.add(number, &minted)?;
        reached("named");
        let new = Which::Own(number);
        let proven = self.switch(which, new).inspect_err(|_| {
            // It would be the next one to be tried. What cannot be removed now is removed when it is old.
            let _ = self.discard(new);
        })?;
        let why = words::reason(reason);
        self.tell(Level::Info, &format!("has new certificates (generation {number}): {why}; {proven}"));
        Ok(())
    }

    /// From one generation to another, if etcd follows; in words.
    fn switch(&self, from: Option<Which>, to: Which) -> Result<String> {
        // Without one that can be used there is nothing to return to.
        if let Some(before) = from.filter(|from| self.is_usable(Some(*from))) {
            self.generations.remember(before)?;
        }
        reached("remembered");
        self.generations.point(to)?;
        reached("linked");
        self.prove(to)
    }

    /// Removes one that was made for nothing.
    fn discard(&self, which: Which) -> Result<()> {
        match self.generations.live()? == Some(which) {
            true => Ok(()),
            false => self.generations.discard(which),
        }
    }

    /// The proof, and what follows from it; in words.
    fn prove(&self, which: Which) -> Result<String> {
        if self.ensure {
            // The next run without it proves them.
            return Ok("etcd is to start next".to_owned());
        }
        let generation = self.generations.load(which)?;
        let each = self.policy.pairs.iter().zip(&generation.leaves);
        let mut proofs = each.map(|(pair, (leaf, key))| prove(pair, leaf, key));
        let proof = proofs.try_fold(Proof::default(), |all, one| one.map(|one| all.and(one)));
        reached("proven");
        match proof {
            Ok(proof) => {
                self.generations.forget()?;
                reached("forgotten");
                Ok(words::proven(&proof))
            }
            Err(why) => Err(self.take_back(&why)),
        }
    }

    /// Returns to the generation before one that etcd does not present.
    fn take_back(&self, why: &Failure) -> Failure {
        let back = || {
            let Some(before) = self.generations.before()? else {
                return Ok("there are no others to return to");
            };
            if !self.is_usable(Some(before)) {
                self.generations.forget()?;
                return Ok("those from before are not valid any more");
            }
            self.generations.point(before)?;
            reached("returned");
            self.generations.forget()?;
            Ok("the certificates from before are back")
        };
        match back() {
            Ok(what) => Failure::new(format!("{why}; {what}")),
            Err::<_, Failure>(other) => Failure::new(format!("{why}; {other}")),
        }
    }

    /// After a run that has proven nothing: it was killed, or etcd was to start next.
    fn settle(&self, before: Which) -> Result<()> {
        let live = self.generations.live()?;
        match live.filter(|live| *live != before && self.is_usable(Some(*live))) {
            Some(live) => {
                let proven = self.prove(live).inspect_err(|_| {
                    // As in `make`.
                    let _ = self.discard(live);
                })?;
                if !self.ensure {
                    self.tell(Level::Info, &format!("keeps the certificates of the last run: {proven}"));
                }
                Ok(())
            }
            None => {
                if self.is_usable(Some(before)) {
                    self.generations.point(before)?;
                }
                self.generations.forget()
            }
        }
    }
}
