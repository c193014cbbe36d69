//! The dead man's switch of a node: it hears of each run, and raises an alarm where it hears nothing.

use kiln_s3::Roots;
use kiln_wire::{Backup, Secret, Secrets};

use super::bucket::roots;
use crate::say::{Level, say};

/// Characters of a reason.
const LONGEST: usize = 100;

/// Where runs are reported, if anywhere.
pub struct Pings<'p> {
    policy: &'p Backup,
    address: Option<Secret>,
    roots: Vec<u8>,
}

impl<'p> Pings<'p> {
    /// Does not connect yet.
    pub fn of(policy: &'p Backup, secrets: Option<&Secrets>) -> Self {
        let address = secrets.and_then(|secrets| secrets.ping.clone());
        let roots =
            address.as_ref().map(|_| roots(policy.s3.as_ref()).unwrap_or_default()).unwrap_or_default();
        Self { policy, address, roots }
    }

    /// A run begins.
    pub fn start(&self) {
        self.send("/start", "");
    }

    /// It was good.
    pub fn success(&self) {
        self.send("", "");
    }

    /// It was not, for this reason.
    pub fn failure(&self, why: &str) {
        let text: String = why.chars().filter(char::is_ascii).take(LONGEST).collect();
        self.send("/fail", &text);
    }

    /// What is not heard becomes an alarm there, so it is no failure here.
    fn send(&self, ending: &str, text: &str) {
        let Some(address) = &self.address else { return };
        let address = zeroize::Zeroizing::new(format!("{}{ending}", address.reveal()));
        if let Err(why) = kiln_s3::ping(&address, text, Roots(&self.roots)) {
            let why = match why {
                kiln_s3::Error::Away(why) => format!("it cannot be reached: {why}"),
                kiln_s3::Error::Refused { status, .. } => format!("it answers {status}"),
                other => other.to_string(),
            };
            say(Level::Warning, &self.policy.node, &format!("cannot report its snapshots: {why}"));
        }
    }
}
