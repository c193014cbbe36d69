//! Asking a running cluster whether it is what the bundle holds, and saying what is wrong and why.

mod ask;
mod baked;
mod certificates;
mod checks;
mod etcdctl;
mod look;
mod members;
mod notes;
mod options;
mod p521;
mod probe;
mod running;
mod trust;
mod who;
mod writes;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

pub use etcdctl::{Etcdctl, baked_etcdctl};

use crate::bundle::Manifest;
use crate::bundle::manifest::Node;
use crate::causes::Fault;
use crate::disk::{self, Scratch};
use crate::failure::{Doing, Failure, Result};
use crate::interrupt;
use crate::parallel;
use crate::report::{Check, Report};
use crate::values::{Epoch, Url};
use look::Asked;
use probe::Identity;
use who::Authorities;

/// PEM files in a bundle are a few kilobytes.
const PEM_LIMIT: u64 = 1 << 20;

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

/// A node and where its ports are reached from here.
struct Target<'a> {
    node: &'a Node,
    client: SocketAddr,
    /// Not known when the client port was given from outside.
    peer: Option<SocketAddr>,
}

impl Target<'_> {
    fn endpoint(&self) -> String {
        format!("https://{}", self.client)
    }
}

/// The client ports of a bundle's nodes as etcdctl's `--endpoints` takes them, by address, in the bundle's order.
///
/// # Errors
/// `Exit::Wrong` when a node has no https URL with a port.
pub fn endpoints(manifest: &Manifest) -> Result<Vec<String>> {
    Ok(targets(manifest, &BTreeMap::new())?.iter().map(Target::endpoint).collect())
}

fn targets<'a>(manifest: &'a Manifest, given: &BTreeMap<String, SocketAddr>) -> Result<Vec<Target<'a>>> {
    if let Some(unknown) =
        given.keys().find(|name| manifest.nodes.iter().all(|node| node.name.as_str() != *name))
    {
        return Err(Failure::new(
            crate::failure::Exit::Usage,
            format!("the bundle has no node {unknown} to take an endpoint for"),
        ));
    }
    let all = manifest.nodes.iter().map(|node| {
        let at = |urls: &[Url], what: &str| match urls.first() {
            Some(url) => Ok(url.address()),
            None => Err(Failure::wrong(format!("the manifest gives {} no https {what} URL", node.name))),
        };
        Ok(match given.get(node.name.as_str()) {
            Some(client) => Target { node, client: *client, peer: None },
            None => Target {
                node,
                client: at(&node.client_urls, "client")?,
                peer: Some(at(&node.peer_urls, "peer")?),
            },
        })
    });
    all.collect()
}

/// Makes every check. What could not be checked is in the report as skipped.
///
/// # Errors
/// `Exit::Wrong` or `Exit::Untrusted` when the bundle itself is not fit to ask with; `Exit::Interrupted`.
pub fn run(bundle: &Path, manifest: &Manifest, options: &Options) -> Result<Report> {
    let scratch = Scratch::swept("verify")?;
    let etcdctl = Etcdctl::new(bundle, manifest, scratch.path())?;
    let read = |name: &str| disk::read(&bundle.join("client").join(name), PEM_LIMIT);
    let visitors = look::Visitors {
        client: Identity::from_pem(&read("etcdctl.pem")?, &read("etcdctl-key.pem")?)
            .doing(|| "reading client/etcdctl.pem".into())?,
        stranger: match &options.stranger {
            Some(stranger) => Some(Identity::from_pem(&stranger.certificate, &stranger.key)?),
            None => None,
        },
        peers_by_name: manifest.etcd.peers_by_name,
        authorities: Authorities::from_pem(&read("ca.pem")?).doing(|| "reading client/ca.pem".into())?,
    };
    let targets = targets(manifest, &options.endpoints)?;
    let baked = each(&targets, |target| baked::read(bundle, manifest, target.node));
    let baked = baked.into_iter().collect::<Result<Vec<_>>>()?;
    let pairs: Vec<_> = targets.iter().zip(&baked).collect();
    let (asked, times) = ask_until_at_rest(|| {
        let asked = each(&pairs, |(target, baked)| look::ask(target, baked, &etcdctl, &visitors));
        interrupt::check().map(|()| asked)
    })?;
    let ports = each(&asked, |asked| asked.ports(&visitors));
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
    let (whom, trusts_more) = trust::check(bundle, &seen)?;
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

/// Does the same with every item at once, a thread for each, and keeps their order.
fn each<'a, T: Sync, R: Send>(items: &'a [T], work: impl Fn(&'a T) -> R + Sync) -> Vec<R> {
    parallel::all(items, items.len(), work)
}
