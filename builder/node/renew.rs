//! `kiln-node renew`: the member's certificates stay valid, with new keys each time.

use std::time::Duration;

use kiln_wire::{Policy, Validity};

use crate::account::account;
use crate::clock::{self, date};
use crate::failure::Failure;
use crate::generation::{Generation, Generations};
use crate::issuer::Issuers;
use crate::run::Run;
use crate::say::{Level, say};
use crate::status::Status;
use crate::steps::reached;
use crate::words::REBUILD;

/// What a run has found and done.
struct Outcome {
    /// What etcd reads now, if it can use it.
    live: Option<Generation>,
    /// The time in which all the node's own CAs are valid.
    issuers: Option<Validity>,
    /// Why not all is well.
    error: Option<Failure>,
    /// Whether it could look at what etcd reads.
    has_looked: bool,
}

/// Renews what is due. `ensure`: etcd is to start next, so all is well if it has certificates that are valid now.
/// Whether all is well is returned; the reason why not has been said.
pub fn renew(policy: &Policy, ensure: bool) -> bool {
    if ensure {
        wait_for_the_clock(policy);
    }
    let now = clock::now();
    let outcome = act(policy, now, ensure);
    reached("acted");
    let error = outcome.error.as_ref().map(ToString::to_string);
    let status = Status::new(now, outcome.live.as_ref(), outcome.issuers, error);
    let is_valid = outcome.live.as_ref().is_some_and(|live| live.validity().has(now));
    report(policy, now, &outcome);
    // Monitoring is not worth an etcd that does not start.
    let written = status.write(policy);
    if let Err(why) = &written {
        say(Level::Error, &policy.node, &format!("cannot write its status: {why}"));
    }
    if ensure { is_valid } else { status.good && written.is_ok() }
}

/// etcd does not start before the clock shows a time after the build (its guard), so what it starts with is decided
/// then.
fn wait_for_the_clock(policy: &Policy) {
    let mut waited = false;
    while clock::now() < policy.built {
        if !waited {
            let text = format!(
                "waits for the clock: it shows {}, which is before this node was built, {}",
                date(clock::now()),
                date(policy.built)
            );
            say(Level::Warning, &policy.node, &text);
        }
        waited = true;
        clock::wait(Duration::from_secs(1));
    }
    if waited {
        say(Level::Info, &policy.node, &format!("has the time: {}", date(clock::now())));
    }
}

fn act(policy: &Policy, now: u64, ensure: bool) -> Outcome {
    let known = account(policy.account.as_str()).and_then(|owner| Generations::new(policy, owner));
    let generations = match known {
        Ok(generations) => generations,
        Err(why) => return Outcome { live: None, issuers: None, error: Some(why), has_looked: false },
    };
    let issuers = Issuers::load(policy);
    let validity = issuers.as_ref().ok().map(Issuers::validity);
    let done = generations.open().and_then(|lock| {
        reached("locked");
        let run = Run { policy, generations: &generations, issuers, now, ensure };
        let done = run.act();
        drop(lock);
        done
    });
    let live = generations.live().and_then(|live| live.map(|live| generations.load(live)).transpose());
    let (live, error) = match (live, done) {
        (Ok(live), done) => (live, done.err()),
        (Err(_), Err(why)) => (None, Some(why)),
        (Err(why), Ok(())) => (None, Some(why)),
    };
    Outcome { live, issuers: validity, error, has_looked: true }
}

/// What people have to know, as loud as it is urgent.
fn report(policy: &Policy, now: u64, outcome: &Outcome) {
    let node = &policy.node;
    let live = outcome.live.as_ref().map(Generation::validity);
    let urgent = live.is_none_or(|live| !live.has(now) || now >= live.failing());
    let level = if urgent { Level::Error } else { Level::Warning };
    if let Some(why) = &outcome.error {
        say(level, node, &format!("has not renewed its certificates: {why}"));
    }
    match live {
        None if !outcome.has_looked => {}
        None => say(level, node, "has no certificates that etcd can use"),
        Some(live) if now < live.from => {
            say(level, node, &format!("has certificates that are valid from {} on", date(live.from)));
        }
        Some(live) if now > live.until => {
            say(level, node, &format!("has certificates that expired at {}", date(live.until)));
        }
        Some(live) if now >= live.overdue() => {
            let (due, until) = (date(live.due()), date(live.until));
            say(
                level,
                node,
                &format!("has certificates that end at {until}; their renewal is overdue since {due}"),
            );
        }
        Some(_) => {}
    }
    if let Some(issuers) = outcome.issuers
        && issuers.has(now)
        && now.saturating_add(policy.life) > issuers.until
    {
        let until = date(issuers.until);
        say(
            Level::Warning,
            node,
            &format!("cannot renew its certificates beyond {until}, the end of its own CAs; {REBUILD}"),
        );
    }
}
