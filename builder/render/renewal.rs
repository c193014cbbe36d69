//! What a node needs to renew its own certificates: the first ones, its CAs, and what its program is told.

use std::net::SocketAddr;

use kiln_wire::{self as wire, Policy};

use super::programs::path;
use super::renderer::{CERTIFICATES, NodeKeys, Renderer};
use super::told::{json, told, untold};
use crate::failure::Result;
use crate::pki::Issued;
use crate::plan::{CertificateSpec, IssuerSpec, Node, Plan, RenewalPlaces};
use crate::tree::{Entry, Origin, Tree};
use crate::values::Mode;

/// The origin of what is neither a certificate nor an overlay's.
const ORIGIN: &str = "renewal";

/// All of it; without keys, with empty files.
pub(super) fn insert(
    renderer: &Renderer<'_>,
    tree: &mut Tree,
    node: &Node,
    keys: Option<&NodeKeys<'_>>,
) -> Result<()> {
    let plan = renderer.plan;
    let Some(places) = plan.renewal_places() else { return Ok(()) };
    tree.insert(path(&places.issuers())?, Entry::directory(Mode::SECRET_DIRECTORY, CERTIFICATES))?;
    for (at, spec) in node.certificates.iter().enumerate() {
        if let Some(issuer) = &spec.issuer {
            let leaf = keys.and_then(|keys| keys.leaves.get(at));
            insert_pair(tree, &places, (spec, issuer), leaf)?;
        }
    }
    let policy = policy(renderer, node, &places)?;
    let json = json("renew.json", &policy, Policy::check)?;
    tree.insert(path(&places.policy())?, Entry::file(json, Mode::FILE, ORIGIN))?;
    let timer = format!("kiln-renew{}.timer", plan.instance.name.suffix());
    let link = path(&format!("etc/systemd/system/timers.target.wants/{timer}"))?;
    tree.insert(link, Entry::link(format!("/etc/systemd/system/{timer}"), Origin::Part(ORIGIN)))
}

fn insert_pair(
    tree: &mut Tree,
    places: &RenewalPlaces,
    (spec, issuer): (&CertificateSpec, &IssuerSpec),
    leaf: Option<&Issued>,
) -> Result<()> {
    let mut file =
        |place: &str, bytes: Vec<u8>, mode| tree.insert(path(place)?, Entry::file(bytes, mode, CERTIFICATES));
    let text = |text: Option<&String>| text.cloned().unwrap_or_default().into_bytes();
    let (first, own) = (places.leaf(issuer), places.issuer(issuer));
    file(&first.cert, text(leaf.map(|leaf| &leaf.cert_pem)), spec.cert_mode)?;
    file(&first.key, leaf.map(|leaf| leaf.key_pem.as_bytes().to_vec()).unwrap_or_default(), spec.key_mode)?;
    let ca = leaf.and_then(|leaf| leaf.issuer.as_ref());
    file(&own.cert, text(ca.map(|ca| &ca.cert_pem)), Mode::SECRET)?;
    file(&own.key, ca.map(|ca| ca.key_pem.as_bytes().to_vec()).unwrap_or_default(), Mode::SECRET)
}

fn policy(renderer: &Renderer<'_>, node: &Node, places: &RenewalPlaces) -> Result<Policy> {
    let plan = renderer.plan;
    let renewed = node.certificates.iter().filter_map(|spec| Some((spec, spec.issuer.as_ref()?)));
    let life = plan.pki.renewal.as_ref().map_or(0, |renewal| renewal.leaf_lifetime.seconds());
    Ok(Policy {
        schema: wire::SCHEMA,
        cluster: told(plan.cluster.name.as_str())?,
        node: told(node.name.as_str())?,
        built: renderer.epoch.seconds(),
        life,
        directory: told(&places.generations())?,
        first: told(&format!("/{}", places.first()))?,
        status: told(places.status())?,
        account: told(plan.instance.user.as_str())?,
        pairs: renewed
            .map(|(spec, issuer)| pair(plan, node, (spec, issuer), places))
            .collect::<Result<_>>()?,
    })
}

fn pair(
    plan: &Plan,
    node: &Node,
    (spec, issuer): (&CertificateSpec, &IssuerSpec),
    places: &RenewalPlaces,
) -> Result<wire::Pair> {
    let (cert, key) = issuer.files();
    let own = places.issuer(issuer);
    let anchors = plan.authority(spec.authority).map(|authority| authority.file.as_str()).unwrap_or_default();
    let attributes = spec.subject.attributes().chain([("CN", spec.common_name.as_str())]);
    let attribute = |(name, text): (&str, &str)| {
        let kind =
            wire::AttributeType::of(name).ok_or_else(|| untold(name, "it is no attribute of a subject"))?;
        Ok(wire::Attribute(kind, told(text)?))
    };
    Ok(wire::Pair {
        kind: issuer.kind,
        issuer: told(&format!("/{}", own.cert))?,
        issuer_key: told(&format!("/{}", own.key))?,
        anchors: told(&format!("{}/{anchors}", plan.pki.directory.absolute()))?,
        cert: told(cert)?,
        key: told(key)?,
        algorithm: told(&plan.pki.leaf_algorithm.to_string())?,
        subject: attributes.map(attribute).collect::<Result<_>>()?,
        dns: spec.dns.iter().map(|name| told(name)).collect::<Result<_>>()?,
        ips: spec.ips.clone(),
        usages: spec.usages.iter().map(|usage| usage.in_wire()).collect(),
        ports: match issuer.kind {
            wire::Kind::Server => vec![SocketAddr::new(node.address, plan.instance.client_port)],
            wire::Kind::Peer => vec![SocketAddr::new(node.peer_address, plan.instance.peer_port)],
        },
    })
}
