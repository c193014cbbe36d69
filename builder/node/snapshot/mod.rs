//! `kiln-node snapshot`: one run of the timer. Each member takes snapshots of itself and keeps them; the leader's go to
//! the bucket, and another member's where the leader's do not come.

mod bucket;
pub mod command;
mod local;
mod member;
mod ping;
mod prune;
mod ring;
mod status;
mod take;
pub mod trailer;
mod upload;

use std::time::Duration;

use kiln_wire::{Backup, Record, Secrets};

use crate::clock;
use crate::failure::{Failure, Result};
use crate::say::{Level, say};
use crate::steps::reached;
use crate::words;
use bucket::Bucket;
use local::Local;
use ping::Pings;
pub use status::Status;
use take::Tools;

/// Takes a snapshot, and uploads what is queued. Whether all is well is returned; the reason why not has been said.
pub fn snapshot(policy: &Backup) -> bool {
    let start = clock::now();
    let (secrets, secrets_error) = match bucket::secrets(policy) {
        Ok(secrets) => (secrets, None),
        Err(why) => (None, Some(why)),
    };
    let pings = Pings::of(policy, secrets.as_ref());
    pings.start();
    let local = match Local::open(policy) {
        Ok(local) => local,
        Err(why) => {
            cannot_begin(policy, start, &pings, &format!("has taken no snapshot: {why}"));
            return false;
        }
    };
    reached("locked");
    let status = Status::default();
    let mut run = Run { policy, local: &local, start, now: start, status, wrong: Vec::new() };
    run.wrong.extend(secrets_error.map(|why| format!("cannot use its secrets: {why}")));
    run.act(secrets.as_ref());
    reached("acted");
    let is_good = run.report(&pings);
    drop(local);
    is_good
}

/// Says why a run ends before it begins.
fn cannot_begin(policy: &Backup, at: u64, pings: &Pings<'_>, why: &str) {
    say(Level::Error, &policy.node, why);
    let failures = Status::failures_before(policy).saturating_add(1);
    let status = Status { at, failures, error: Some(why.to_owned()), ..Status::default() };
    if let Err(why) = status.write(policy) {
        say(Level::Error, &policy.node, &format!("cannot write its status: {why}"));
    }
    pings.failure(why);
}

struct Run<'r> {
    policy: &'r Backup,
    local: &'r Local<'r>,
    start: u64,
    /// When the snapshot is taken.
    now: u64,
    status: Status,
    /// What went wrong, as said after the node's name.
    wrong: Vec<String>,
}

impl Run<'_> {
    fn act(&mut self, secrets: Option<&Secrets>) {
        let bucket = match Bucket::of(self.policy, secrets) {
            Ok(bucket) => bucket,
            Err(why) => {
                self.wrong.push(format!("cannot upload its snapshots: {why}"));
                None
            }
        };
        match self.take(bucket.as_ref()) {
            Ok(record) => {
                let text = format!("has taken a snapshot: {}, {} bytes", record.name, record.size);
                say(Level::Info, &self.policy.node, &text);
            }
            Err(why) => self.wrong.push(format!("has taken no snapshot: {why}")),
        }
        // What a failed one has left takes room.
        let tidied = self.local.sweep().and_then(|()| self.local.turn(self.now));
        self.wrong.extend(tidied.err().map(|why| format!("cannot tidy its snapshots: {why}")));
        reached("turned");
        if let Some(bucket) = &bucket {
            self.upload(bucket);
            self.prune(bucket);
        }
    }

    fn take(&mut self, bucket: Option<&Bucket<'_>>) -> Result<Record> {
        let policy = self.policy;
        if self.now < policy.built {
            return Err(Failure::new(words::before_build(self.now, policy.built)));
        }
        let tools = Tools::load(policy)?;
        let member = member::look(policy)?;
        self.status.leader = member.is_leader;
        reached("looked");
        // A name has the second in which it was taken.
        while self.local.names()?.iter().any(|name| name.taken() == self.now) {
            clock::wait(Duration::from_secs(1));
            self.now = clock::now();
        }
        let is_for_upload = || policy.s3.is_some() && (member.is_leader || self.is_needed(bucket));
        take::take(policy, self.local, &tools, &member, self.now, is_for_upload)
    }

    /// Whether a snapshot of a member that is not the leader is wanted: the bucket has none of one and a half
    /// intervals, or nobody knows.
    fn is_needed(&self, bucket: Option<&Bucket<'_>>) -> bool {
        let Some(bucket) = bucket else { return true };
        let interval = self.policy.interval;
        let since = self.now.saturating_sub(interval + interval / 2);
        match bucket.has_since(since, self.now) {
            Ok(has) => !has,
            Err(why) => {
                let text = format!("queues its snapshot, as it cannot see the leader's in the bucket: {why}");
                say(Level::Warning, &self.policy.node, &text);
                true
            }
        }
    }

    fn upload(&mut self, bucket: &Bucket<'_>) {
        match upload::upload(self.local, bucket) {
            Ok(uploaded) => {
                self.status.uploaded = uploaded.done.len() as u64;
                for name in uploaded.done {
                    say(Level::Info, &self.policy.node, &format!("has uploaded {name}"));
                }
                self.wrong.extend(uploaded.wrong);
            }
            Err(why) => {
                let waiting = self.local.queue().map_or(0, |queue| queue.len());
                self.wrong.push(format!("cannot upload its snapshots, of which {waiting} wait: {why}"));
            }
        }
    }

    fn prune(&mut self, bucket: &Bucket<'_>) {
        let Some(rule) = self.policy.retention() else { return };
        match prune::prune(self.policy, bucket, rule, self.now) {
            Ok(pruned) => {
                self.status.pruned = pruned.gone as u64;
                if pruned.is_held {
                    say(
                        Level::Info,
                        &self.policy.node,
                        "leaves old snapshots in the bucket: it does not let them be removed yet",
                    );
                }
            }
            Err(why) => self.wrong.push(why.to_string()),
        }
    }

    /// Says what went wrong, and writes the status. Whether all is well is returned.
    fn report(mut self, pings: &Pings<'_>) -> bool {
        let newest = self.local.newest(self.now).ok().flatten();
        self.status.of_newest(newest.as_ref());
        self.status.pending = self.local.queue().map_or(0, |queue| queue.len() as u64);
        for wrong in &self.wrong {
            say(Level::Error, &self.policy.node, wrong);
        }
        self.status.at = clock::now();
        self.status.seconds = self.status.at.saturating_sub(self.start);
        self.status.good = self.wrong.is_empty();
        self.status.failures =
            if self.status.good { 0 } else { Status::failures_before(self.policy).saturating_add(1) };
        self.status.error = (!self.wrong.is_empty()).then(|| self.wrong.join("; "));
        // Monitoring is not worth a run that counts as failed for the switch.
        let written = self.status.write(self.policy);
        if let Err(why) = &written {
            say(Level::Error, &self.policy.node, &format!("cannot write its status: {why}"));
        }
        match &self.status.error {
            None => pings.success(),
            Some(why) => pings.failure(why),
        }
        self.status.good && written.is_ok()
    }
}
