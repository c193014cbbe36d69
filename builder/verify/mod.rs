//! Asking a running cluster whether it is what the bundle holds, and saying what is wrong and why.

mod baked;
mod certificates;
mod checks;
mod look;
mod members;
mod notes;
mod options;
mod trust;
mod writes;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::bundle::Manifest;
use crate::causes::Fault;
use crate::cluster::{Authorities, Etcdctl, Identity, targets};
use crate::disk::{self, Scratch};
use crate::failure::{Doing, Failure, Result};
use crate::interrupt;
use crate::parallel;
use crate::pki::Presented;
use crate::report::{Check, Report};
use crate::values::Epoch;
use look::Asked;

/// PEM files in a bundle are a few kilobytes.
const MAX_PEM_BYTES: u64 = 1 << 20;

pub struct Options {
    /// Today, which certificates are measured against.
    pub now: Epoch,
    /// Where a node's client port is reached instead of at its own address, by node: behind a forwarded port.
    pub endpoints: BTreeMap<String, SocketAddr>,
    /// A client certificate of another CA, which every port has to refuse.
    pub stranger: Option<Stranger>,
    /// Leaves out the checks that write.
    pub read_only: bool,
}

/// A certificate that this cluster has never heard of, in PEM, with its key.
#[derive(Clone)]
pub struct Stranger {
    pub certificate: Vec<u8>,
    pub key: Vec<u8>,
}

/// Makes every check. What could not be checked is in the report as skipped.
///
/// # Errors
/// `Exit::Wrong` or `Exit::Untrusted` when the bundle itself is not fit to ask with; `Exit::Interrupted`.
pub fn run(bundle: &Path, manifest: &Manifest, options: &Options) -> Result<Report> {
    let scratch = Scratch::swept("verify")?;
    let etcdctl = Etcdctl::new(bundle, manifest, scratch.path())?;
    let client = Client::read(bundle)?;
    let visitors = look::Visitors {
        client: client.identity,
        stranger: match &options.stranger {
            Some(stranger) => Some(Identity::from_pem(&stranger.certificate, &stranger.key)?),
            None => None,
        },
        peers_by_name: manifest.etcd.peers_by_name,
        authorities: client.authorities,
    };
    let targets = targets(manifest, &options.endpoints)?;
    let baked = parallel::all(&targets, targets.len(), |target| baked::read(bundle, manifest, target.node));
    let baked = baked.into_iter().collect::<Result<Vec<_>>>()?;
    let pairs: Vec<_> = targets.iter().zip(&baked).collect();
    let (asked, times) = ask_until_at_rest(|| {
        let asked = parallel::all(&pairs, pairs.len(), |(target, baked)| {
            look::ask(target, baked, &etcdctl, &visitors)
        });
        interrupt::check().map(|()| asked)
    })?;
    let ports = parallel::all(&asked, asked.len(), |asked| asked.ports(&visitors));
    let seen: Vec<_> = asked.into_iter().zip(ports).map(|(asked, ports)| asked.with(ports)).collect();
    interrupt::check()?;

    let mut checks = checks::all(manifest, &seen, &etcdctl);
    interrupt::check()?;
    let mut notes: Vec<String> = etcdctl.note.iter().cloned().collect();
    if times > 1 {
        notes.push(format!("the members were asked {times} times, for they were choosing a leader"));
    }
    if options.read_only {
        notes.push("read-only: no test keys were written".to_owned());
    } else {
        // The scratch directory's name is the only one of its kind on this machine, by chance elsewhere too.
        let unique = scratch.path().file_name().and_then(|name| name.to_str()).unwrap_or("kiln-verify");
        checks.extend(writes::check(manifest, &seen, &etcdctl, unique));
        interrupt::check()?;
    }
    checks.extend(checks::doors(&seen));
    let (whom, trusts_more) = trust::check(&client.certificate, &seen);
    checks.extend(whom);
    let (of_options, untold) = notes::options(&seen);
    checks.extend(of_options);
    checks.extend(certificates::check(manifest, &seen, &visitors.authorities, options.now));
    know_the_user(&mut checks);

    notes.extend(notes::quorum(&seen));
    notes.extend(notes::closed_peer_ports(&seen));
    notes.extend(notes::started_before(manifest, &seen));
    notes.extend(untold);
    notes.extend(certificates::note(manifest, options.now));
    notes.extend(trusts_more);
    if !manifest.etcd.peers_by_name {
        let note = "any certificate of this CA gets onto the peer port: this release and configuration cannot tell peers by name";
        notes.push(note.to_owned());
    }
    let cluster = (manifest.cluster.name.to_string(), manifest.cluster.id.to_string());
    Ok(Report::new(cluster, seen.iter().map(look::Seen::member).collect(), checks, notes))
}

/// What a bundle has for its clients.
struct Client {
    certificate: Presented,
    identity: Identity,
    authorities: Authorities,
}

impl Client {
    fn read(bundle: &Path) -> Result<Self> {
        let read = |name: &str| disk::read(&bundle.join("client").join(name), MAX_PEM_BYTES);
        let certificate = read("etcdctl.pem")?;
        let (identity, chain) = Identity::from_pem(&certificate, &read("etcdctl-key.pem")?)
            .and_then(|identity| Ok((identity, Presented::all_from_pem(&certificate)?)))
            .doing(|| "reading client/etcdctl.pem".into())?;
        let leaf = chain.into_iter().next();
        Ok(Self {
            certificate: leaf.ok_or_else(|| Failure::untrusted("client/etcdctl.pem has no certificate"))?,
            identity,
            authorities: Authorities::from_pem(&read("ca.pem")?).doing(|| "reading client/ca.pem".into())?,
        })
    }
}

/// How long members may take to agree on a leader. An election ends within a few election timeouts (raft's are a second, and
/// chance adds up to another); a cluster without a quorum stays as it is.
///
/// Emulated machines without KVM need several tries of some seconds: being asked is itself much work for them.
const PATIENCE: Duration = Duration::from_secs(20);

/// Between two questions.
const PAUSE: Duration = Duration::from_secs(2);

/// What the members answer, and how often they were asked.
fn ask_until_at_rest<'a>(ask: impl Fn() -> Result<Vec<Asked<'a>>>) -> Result<(Vec<Asked<'a>>, usize)> {
    let begun = Instant::now();
    let mut times = 1;
    loop {
        let asked = ask()?;
        if !look::is_in_motion(&asked) || begun.elapsed() >= PATIENCE {
            return Ok((asked, times));
        }
        std::thread::sleep(PAUSE);
        times += 1;
    }
}

/// Releases up to 3.5.27 say "permission denied" to most questions of a user that there is not; one answer that names the
/// reason tells what the others mean.
fn know_the_user(checks: &mut [Check]) {
    if !checks.iter().any(|check| check.fault == Some(Fault::NoUser)) {
        return;
    }
    for check in checks.iter_mut().filter(|check| check.fault == Some(Fault::Permission)) {
        *check = Check::failed(&check.check, check.node.as_deref(), Fault::NoUser, check.detail.as_str());
    }
}
