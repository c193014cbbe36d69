//! Checks that a running cluster matches the bundle, and reports the differences and their likely causes.

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

use crate::bundle::manifest::Node;
use crate::bundle::{CLIENT_CA, CLIENT_PEER_CA, Manifest, OPERATOR_CERT, OPERATOR_KEY, client_file};
use crate::causes::Fault;
use crate::cluster::{Authorities, Etcdctl, Identity, Patience, Target, targets};
use crate::disk::{self, Scratch};
use crate::failure::{Doing, Failure, Result};
use crate::interrupt;
use crate::parallel;
use crate::pki::Presented;
use crate::report::{Check, Report};
use crate::values::Epoch;
use baked::Baked;
use look::{Asked, Motion, Observed, Visitors};

/// PEM files in a bundle are a few kilobytes.
const MAX_PEM_BYTES: u64 = 1 << 20;

pub struct Options {
    /// Today's date, with which certificates are checked.
    pub now: Epoch,
    /// Other addresses of nodes' client ports, by node, such as a forwarded port.
    pub endpoints: BTreeMap<String, SocketAddr>,
    /// A client certificate of an unknown CA, which every port must refuse.
    pub stranger: Option<Stranger>,
    /// Omits the checks that write.
    pub read_only: bool,
}

/// A certificate of a CA that this cluster does not know, in PEM, with its key.
#[derive(Clone)]
pub struct Stranger {
    pub certificate: Vec<u8>,
    pub key: Vec<u8>,
}

impl Stranger {
    fn identity(&self) -> Result<Identity> {
        Identity::from_pem(&self.certificate, &self.key)
    }
}

/// Makes every check. Checks that could not be made are in the report as skipped.
///
/// # Errors
/// `Exit::Wrong` or `Exit::Untrusted` when the bundle itself cannot be used for requests; `Exit::Interrupted`.
pub fn run(bundle: &Path, manifest: &Manifest, options: &Options) -> Result<Report> {
    let scratch = Scratch::swept("verify")?;
    let etcdctl = Etcdctl::new(bundle, manifest, scratch.path())?;
    let client = Client::read(bundle, manifest)?;
    let visitors = Visitors {
        client: client.identity,
        stranger: options.stranger.as_ref().map(Stranger::identity).transpose()?,
        peers_by_name: manifest.etcd.peers_by_name,
        authorities: client.authorities,
    };
    let targets = targets(manifest, &options.endpoints)?;
    let baked = parallel::all(&targets, targets.len(), |target| baked::read(bundle, manifest, target.node));
    let baked = baked.into_iter().collect::<Result<Vec<_>>>()?;
    let pairs: Vec<_> = targets.iter().zip(&baked).collect();
    let Look { seen, times, motion } = look_at_members(&pairs, &etcdctl, &visitors)?;
    let etcdctl = etcdctl.with(patience(motion));

    let mut checks = checks::all(manifest, &seen, &etcdctl);
    interrupt::check()?;
    let mut notes: Vec<String> = etcdctl.note.iter().cloned().collect();
    notes.extend(motion.map(|motion| notes::asked_again(times, motion)));
    if options.read_only {
        notes.push("read-only: no test keys were written".to_owned());
    } else {
        // The name of the scratch directory is unique on this machine, and random, so probably unique elsewhere.
        let unique = scratch.path().file_name().and_then(|name| name.to_str()).unwrap_or("kiln-verify");
        let at_once = at_once(motion, seen.len());
        checks.extend(writes::check(manifest, &seen, &etcdctl, unique, at_once));
        interrupt::check()?;
    }
    checks.extend(checks::refusals(&seen));
    let (whom, trusts_more) = trust::check(manifest, &client.certificate, &seen, etcdctl.patience());
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
        let note = "the peer port accepts every certificate of this CA: this release and configuration cannot check the names of peers";
        notes.push(note.to_owned());
    }
    let cluster = (manifest.cluster.name.to_string(), manifest.cluster.id.to_string());
    Ok(Report::new(cluster, seen.iter().map(Observed::member).collect(), checks, notes))
}

/// The answers and the behaviour of the members.
struct Look<'a> {
    seen: Vec<Observed<'a>>,
    /// The number of rounds of requests.
    times: usize,
    /// The reason for the last of the rounds but the first.
    motion: Option<Motion>,
}

fn look_at_members<'a>(
    members: &[(&'a Target<'a>, &'a Baked)],
    etcdctl: &Etcdctl,
    visitors: &Visitors,
) -> Result<Look<'a>> {
    let (asked, times, motion) = ask_until_at_rest(|motion| {
        let etcdctl = etcdctl.with(patience(motion));
        let asked = parallel::all(members, at_once(motion, members.len()), |(target, baked)| {
            look::ask(target, baked, &etcdctl, visitors)
        });
        interrupt::check().map(|()| asked)
    })?;
    let ports = parallel::all(&asked, at_once(motion, asked.len()), |asked| asked.ports(visitors));
    interrupt::check()?;
    let seen = asked.into_iter().zip(ports).map(|(asked, ports)| asked.with(ports)).collect();
    Ok(Look { seen, times, motion })
}

/// The number of members that are asked at the same time: on a machine that is too slow for all of them, one after the
/// other.
fn at_once(motion: Option<Motion>, members: usize) -> usize {
    match motion {
        Some(Motion::Slow | Motion::Silent) => 1,
        Some(Motion::Electing) | None => members,
    }
}

fn patience(motion: Option<Motion>) -> Patience {
    match motion {
        Some(Motion::Slow | Motion::Silent) => Patience::LONG,
        Some(Motion::Electing) | None => Patience::USUAL,
    }
}

/// The options with which a node's etcd starts, by flag; `None` where Kiln did not write its unit or its configuration.
///
/// # Errors
/// `Exit::Io` when the node's archive cannot be read, `Exit::Wrong` when it is not an archive of Kiln's.
pub fn baked_options(
    bundle: &Path,
    manifest: &Manifest,
    node: &Node,
) -> Result<Option<BTreeMap<String, String>>> {
    Ok(baked::read(bundle, manifest, node)?.options.and_then(|options| options.values))
}

/// The files for clients in a bundle.
struct Client {
    certificate: Presented,
    identity: Identity,
    authorities: Authorities,
}

impl Client {
    fn read(bundle: &Path, manifest: &Manifest) -> Result<Self> {
        let read = |name: &str| disk::read(&bundle.join("client").join(name), MAX_PEM_BYTES);
        let certificate = read(OPERATOR_CERT)?;
        let (identity, chain) = Identity::from_pem(&certificate, &read(OPERATOR_KEY)?)
            .and_then(|identity| Ok((identity, Presented::all_from_pem(&certificate)?)))
            .doing(|| format!("reading {}", client_file(OPERATOR_CERT)))?;
        let leaf = chain.into_iter().next();
        let mut authorities = read(CLIENT_CA)?;
        if manifest.files.contains_key(client_file(CLIENT_PEER_CA).as_str()) {
            authorities.extend(read(CLIENT_PEER_CA)?);
        }
        Ok(Self {
            certificate: leaf.ok_or_else(|| {
                Failure::untrusted(format!("{} has no certificate", client_file(OPERATOR_CERT)))
            })?,
            identity,
            authorities: Authorities::from_pem(&authorities)
                .doing(|| format!("reading {}", client_file(CLIENT_CA)))?,
        })
    }
}

/// The time for members to agree on a leader. An election takes a few election timeouts (raft's are a second, plus up
/// to another at random); a cluster without a quorum does not change.
///
/// Emulated machines without KVM need several rounds of some seconds: answering is itself much work for them.
const ELECTION_TIMEOUT: Duration = Duration::from_secs(20);

/// The time for members that have a leader to answer in time. They have a quorum, so there is something to wait for.
const SLOWNESS_TIMEOUT: Duration = Duration::from_secs(60);

/// The time between two rounds.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// The answers of the members, the number of rounds, and the reason for the last one but the first.
fn ask_until_at_rest<'a>(
    ask: impl Fn(Option<Motion>) -> Result<Vec<Asked<'a>>>,
) -> Result<(Vec<Asked<'a>>, usize, Option<Motion>)> {
    let begun = Instant::now();
    let mut times = 1;
    let mut reason = None;
    loop {
        let asked = ask(reason)?;
        let motion = look::motion(&asked);
        let is_over = match motion {
            None => true,
            Some(Motion::Electing) => begun.elapsed() >= ELECTION_TIMEOUT,
            Some(Motion::Slow) => begun.elapsed() >= SLOWNESS_TIMEOUT,
            // A process that hangs is silent for ever, so it is asked once more, with the patience for a busy one.
            Some(Motion::Silent) => patience(reason) == Patience::LONG,
        };
        if is_over {
            return Ok((asked, times, reason));
        }
        reason = motion;
        std::thread::sleep(POLL_INTERVAL);
        times += 1;
    }
}

/// Releases up to 3.5.27 answer most requests of a user that does not exist with "permission denied"; one answer that
/// names the reason explains the others.
fn know_the_user(checks: &mut [Check]) {
    if !checks.iter().any(|check| check.fault == Some(Fault::NoUser)) {
        return;
    }
    for check in checks.iter_mut().filter(|check| check.fault == Some(Fault::Permission)) {
        *check = Check::failed(&check.check, check.node.as_deref(), Fault::NoUser, check.detail.as_str());
    }
}
