//! Checks that a running cluster matches the bundle, and reports the differences and their likely causes.

mod baked;
mod certificates;
mod checks;
mod clients;
mod forged;
mod look;
mod made_by_node;
mod members;
mod notes;
mod options;
mod pace;
mod renewal;
mod shown;
mod trust;
mod writes;

pub use renewal::UNPROVEN;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::bundle::manifest::Node;
use crate::bundle::{CLIENT_CA, CLIENT_PEER_CA, Manifest, OPERATOR_CERT, OPERATOR_KEY, client_file};
use crate::causes::Fault;
use crate::cluster::{Authorities, Etcdctl, Identity, Target, targets};
use crate::disk::{self, Scratch};
use crate::failure::{Doing, Failure, Result};
use crate::interrupt;
use crate::parallel;
use crate::pki::{Keystore, Presented};
use crate::report::{Check, Report};
use crate::values::Epoch;
use baked::Baked;
use forged::Copies;
use look::{Asked, Observed, Visitors};
use pace::Pace;

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
    /// The cluster's, where certificates are to be tried that a copy of a node's CA could make.
    pub keystore: Option<Keystore>,
    /// Whether the nodes renew their certificates, which in a rehearsal nothing does.
    pub renews: bool,
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
    let copies = options.keystore.as_ref().map(|keystore| Copies::of(keystore, &pairs, options.now));
    let copies = copies.transpose()?;
    let Look { seen, times, pace } = look_at_members(&pairs, &etcdctl, &visitors)?;
    let etcdctl = etcdctl.with(pace.patience());
    let at_once = pace.at_once(seen.len());

    let mut checks = checks::all(manifest, &seen, &etcdctl, at_once);
    interrupt::check()?;
    let mut notes: Vec<String> = etcdctl.note.iter().cloned().collect();
    notes.extend((times > 1).then(|| notes::asked_again(times, pace)));
    if options.read_only {
        notes.push("read-only: no test keys were written".to_owned());
    } else {
        // The name of the scratch directory is unique on this machine, and random, so probably unique elsewhere.
        let unique = scratch.path().file_name().and_then(|name| name.to_str()).unwrap_or("kiln-verify");
        checks.extend(writes::check(manifest, &seen, &etcdctl, unique, at_once));
        interrupt::check()?;
    }
    checks.extend(checks::refusals(&seen));
    let (whom, trusts_more) = trust::check(manifest, &client.certificate, &seen, etcdctl.patience(), at_once);
    checks.extend(whom);
    let (of_options, untold) = notes::options(&seen);
    checks.extend(of_options);
    if let Some(copies) = &copies {
        checks.extend(copies.check(&seen, at_once)?);
        interrupt::check()?;
    }
    let of_certificates = certificates::check(manifest, &seen, &visitors.authorities, options.now);
    let (renewals, late) = renewal::check(&seen, &of_certificates, options.now, options.renews);
    checks.extend(of_certificates);
    checks.extend(clients::check(manifest, options.now));
    checks.extend(renewals);
    know_the_user(&mut checks);

    notes.extend(notes::quorum(&seen));
    notes.extend(notes::closed_peer_ports(&seen));
    notes.extend(notes::started_before(manifest, &seen));
    notes.extend(untold);
    notes.extend(certificates::note(manifest, options.now));
    notes.extend(late);
    notes.extend(copies.is_none().then(|| forged::note(&pairs)).flatten());
    notes.extend(trusts_more);
    notes.extend(notes::any_peer(manifest));
    let cluster = (manifest.cluster.name.to_string(), manifest.cluster.id.to_string());
    Ok(Report::new(cluster, seen.iter().map(Observed::member).collect(), checks, notes))
}

/// The answers and the behaviour of the members.
struct Look<'a> {
    seen: Vec<Observed<'a>>,
    /// The number of rounds of requests.
    times: usize,
    /// That of the last round, which all further requests have, too.
    pace: Pace,
}

fn look_at_members<'a>(
    members: &[(&'a Target<'a>, &'a Baked)],
    etcdctl: &Etcdctl,
    visitors: &Visitors,
) -> Result<Look<'a>> {
    let (asked, times, pace) = ask_until_at_rest(|pace| {
        let etcdctl = etcdctl.with(pace.patience());
        let asked = parallel::all(members, pace.at_once(members.len()), |(target, baked)| {
            look::ask(target, baked, &etcdctl, visitors)
        });
        interrupt::check().map(|()| asked)
    })?;
    let ports = parallel::all(&asked, pace.at_once(asked.len()), |asked| asked.ports(visitors));
    interrupt::check()?;
    let seen = asked.into_iter().zip(ports).map(|(asked, ports)| asked.with(ports)).collect();
    Ok(Look { seen, times, pace })
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

/// The time between two rounds.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// The answers of the members, the number of rounds, and the pace of the last.
fn ask_until_at_rest<'a>(
    ask: impl Fn(Pace) -> Result<Vec<Asked<'a>>>,
) -> Result<(Vec<Asked<'a>>, usize, Pace)> {
    let begun = Instant::now();
    let (mut times, mut pace) = (1, Pace::Usual);
    loop {
        let asked = ask(pace)?;
        let next = look::motion(&asked).and_then(|motion| pace.next(motion, begun.elapsed()));
        let Some(next) = next else { return Ok((asked, times, pace)) };
        pace = next;
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
