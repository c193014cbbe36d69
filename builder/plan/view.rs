//! A plan, printed for people and for programs.

use std::collections::BTreeMap;
use std::fmt;

use ipnet::IpNet;
use serde_json::{Value, json};

use super::{AuthoritySpec, CA, CertificateSpec, Cluster, Node, Owner, Plan, backup, failure, renewal};
use crate::profile::{Bucket, Subject};
use crate::values::{By, Card, Epoch, Members, PeerTag, counted};

/// A plan to be printed. Without a keystore the token and the IDs that follow from it are not known yet.
pub struct View<'a> {
    pub plan: &'a Plan,
    pub identity_known: bool,
    /// Whether there is a keystore, from which the name follows that only peers have.
    pub tag_known: bool,
    /// Instead of the CAs that the profile describes: `ca` and `peer-ca`.
    pub imported: BTreeMap<&'static str, ImportedCa>,
}

/// A CA that was imported into the keystore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedCa {
    /// `CN=Example CA`.
    pub subject: String,
    /// `P-256`, `Ed25519`, `RSA 2048`.
    pub algorithm: String,
    /// The period in which it, and all CAs above it, are valid: no certificate is valid outside of it.
    pub not_before: Epoch,
    pub not_after: Epoch,
    /// The subject of the certificate that clients trust: the root, or the topmost that was imported.
    pub clients_trust: String,
    /// Whether that one is a root, that is, self-signed.
    pub is_rooted: bool,
}

impl ImportedCa {
    /// For people: `CN=Example CA, RSA 2048, ends 2035-01-01T00:00:00Z`.
    pub fn line(&self) -> String {
        let Self { subject, algorithm, not_after, .. } = self;
        format!("{subject}, {algorithm}, ends {not_after}")
    }

    pub fn json(&self) -> Value {
        json!({
            "origin": "imported", "subject": self.subject, "algorithm": self.algorithm,
            "not_before": self.not_before.to_string(), "not_after": self.not_after.to_string(),
            "clients_trust": self.clients_trust, "is_rooted": self.is_rooted,
        })
    }
}

/// Of a CA that the profile has imported.
const MISSING: &str = "imported: missing; a build is refused until kiln keystore import-ca";

const LATER: &str = "known once the keystore is created";

impl View<'_> {
    fn identity(&self, text: String) -> String {
        if self.identity_known { text } else { LATER.to_owned() }
    }

    pub fn json(&self) -> Value {
        let known = |text: String| if self.identity_known { Value::from(text) } else { Value::Null };
        let plan = self.plan;
        let mut view = json!({
            "profile": plan.name,
            "cluster": {
                "name": plan.cluster.name,
                "domain": plan.cluster.domain,
                "token": known(plan.cluster.token.to_string()),
                "id": known(plan.cluster.id.to_string()),
                "formed": plan.cluster.formed, "generation": plan.cluster.generation(),
            },
            "ca": self.ca_json(),
            "etcd": { "version": plan.release, "arch": plan.arch },
            "network": plan.network,
            "nodes": plan.nodes.iter().map(|node| json!({
                "name": node.name,
                "fqdn": node.fqdn,
                "address": node.address,
                "public_address": node.public_address,
                "mac": node.mac,
                "cards": node.cards,
                "member_id": known(node.member_id.to_string()),
                "unit": node.unit,
                "peer_url": node.peer_url,
                "client_url": node.client_url,
                "config": node.settings.iter().map(|setting| json!({
                    "key": setting.key,
                    "value": self.setting_value(&setting.key, setting.value.to_json()),
                    "from": setting.origin.to_string(),
                })).collect::<Vec<_>>(),
                "certificates": node.certificates.iter().map(|spec| self.certificate(spec)).collect::<Vec<_>>(),
                "links": node.links.iter().map(|(name, target)| json!({ "name": name, "target": target }))
                    .collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
            "authorities": plan.authorities.iter().map(|one| self.authority_json(one)).collect::<Vec<_>>(),
            "client_certificates": plan.clients.iter().map(|spec| self.certificate(spec)).collect::<Vec<_>>(),
            "renewal": renewal::view(&plan.pki),
        });
        if let Value::Object(view) = &mut view
            && !plan.hosts.is_empty()
        {
            view.insert("hosts".into(), json!(plan.hosts));
        }
        if let Value::Object(view) = &mut view
            && !plan.instance.name.owns_host()
        {
            view.insert("instance".into(), json!(plan.instance.name));
        }
        if let (Some(snapshots), Value::Object(view)) = (self.snapshots_json(), &mut view) {
            view.insert("snapshots".into(), snapshots);
        }
        if let (Some(login), Value::Object(view)) = (&plan.machine.login, &mut view) {
            view.insert("login".into(), json!({ "user": login.user, "keys": login.keys }));
        }
        view
    }

    fn snapshots_json(&self) -> Option<Value> {
        let (backup, places) = self.plan.backup()?;
        let s3 = |Bucket { endpoint, name, prefix, region, .. }: &Bucket| json!({ "endpoint": endpoint, "bucket": name, "prefix": prefix, "region": region });
        Some(json!({
            "interval": backup.interval, "keep": backup.keep, "directory": places.directory(),
            "recipients": backup.recipients, "s3": backup.bucket.as_ref().map(s3), "prune": backup.prune,
            "retention": backup.retention,
        }))
    }

    fn ca_json(&self) -> Value {
        let ca = &self.plan.pki.ca;
        match self.imported.get(CA) {
            Some(imported) => imported.json(),
            None if ca.is_imported => json!({ "origin": "missing" }),
            None => json!({
                "origin": "derived", "algorithm": ca.algorithm.to_string(), "lifetime": ca.lifetime.to_string(),
            }),
        }
    }

    fn authority_json(&self, authority: &AuthoritySpec) -> Value {
        let made = &authority.made;
        let mut view = json!({
            "name": authority.name, "file": authority.file, "root_file": authority.root_file,
            "origin": match self.imported.contains_key(authority.name) {
                true => "imported",
                false if authority.is_imported => "missing",
                false => "derived",
            },
        });
        if view["origin"] == "derived" {
            let (length, below) = made.path_lengths();
            view["subject"] = subject(&made.subject, &made.common_name).into();
            view["algorithm"] = made.algorithm.to_string().into();
            view["lifetime"] = made.lifetime.to_string().into();
            view["path_length"] = length.into();
            view["intermediate"] = made.intermediate.as_ref().map_or(Value::Null, |(name, lifetime)| json!({
                "subject": subject(&made.subject, name), "lifetime": lifetime.to_string(), "path_length": below,
            }));
            view["permits"] = json!(made.permits);
        }
        view
    }

    fn setting_value(&self, key: &str, value: Value) -> Value {
        let is_keystores =
            matches!(key, "initial-cluster-token" | "peer-transport-security.allowed-hostname");
        if is_keystores && !self.identity_known { Value::Null } else { value }
    }

    fn certificate(&self, spec: &CertificateSpec) -> Value {
        let is_known = |name: &&String| self.tag_known || name.as_str() != PeerTag::placeholder().as_str();
        let dns: Vec<_> = spec.dns.iter().filter(is_known).collect();
        json!({
            "file": spec.file, "label": spec.label, "common_name": spec.common_name, "dns": dns, "ips": spec.ips,
            "usages": spec.usages, "read_by_etcd": spec.owner == Owner::Etcd, "roles": spec.roles,
            "authority": spec.authority, "subject": subject(&spec.subject, &spec.common_name),
            "lifetime": spec.lifetime.to_string(), "renewed_by": spec.issuer.as_ref().map(|issuer| &issuer.common_name),
            "certificate": { "name": spec.cert_path, "mode": spec.cert_mode },
            "key": { "name": spec.key_path, "mode": spec.key_mode },
            "copies": spec.copies.iter().map(|(cert, key)| json!({ "certificate": cert, "key": key }))
                .collect::<Vec<_>>(),
        })
    }

    /// Without a keystore, the name that only peers have is not known.
    fn names(&self, text: String) -> String {
        match self.tag_known {
            true => text,
            false => text.replace(PeerTag::placeholder().as_str(), &format!("({LATER})")),
        }
    }

    fn ca_line(&self) -> String {
        let ca = &self.plan.pki.ca;
        match self.imported.get(CA) {
            Some(imported) => format!("imported: {}", imported.line()),
            None if ca.is_imported => MISSING.to_owned(),
            None => format!("{}, {}", ca.algorithm, ca.lifetime),
        }
    }

    fn node(&self, f: &mut fmt::Formatter<'_>, node: &Node) -> fmt::Result {
        writeln!(f, "\nnode {} ({})", node.name, node.fqdn)?;
        node.cards.iter().enumerate().try_for_each(|(at, one)| card(f, at, one, self.plan))?;
        if let Some(public) = node.public_address {
            writeln!(f, "  public     {public}, through NAT")?;
        }
        writeln!(f, "  member ID  {}", self.identity(node.member_id.to_string()))?;
        if node.unit != "etcd.service" {
            writeln!(f, "  unit       {}", node.unit)?;
        }
        writeln!(f, "  clients    {}", node.client_url)?;
        writeln!(f, "  peers      {}", node.peer_url)?;
        writeln!(f, "  certificates")?;
        let directory = self.plan.pki.directory.absolute();
        for certificate in &node.certificates {
            writeln!(f, "    {directory}/{}  {}", certificate.cert_path, self.names(describe(certificate)))?;
            writeln!(f, "      {}", details(certificate))?;
        }
        for (name, target) in &node.links {
            writeln!(f, "    {directory}/{name} -> {target}")?;
        }
        writeln!(f, "  config")?;
        let width = node.settings.iter().map(|setting| setting.key.len()).max().unwrap_or(0);
        for setting in &node.settings {
            let text = match self.setting_value(&setting.key, setting.value.to_json()) {
                Value::Null => format!("({LATER})"),
                _ => setting.value.to_flag(),
            };
            writeln!(f, "    {:width$}  {text}  # {}", setting.key, setting.origin)?;
        }
        Ok(())
    }
}

/// `address    10.1.0.11  mac 52:54:00:00:00:01`; with the prefix where it is not the whole network's.
fn card(f: &mut fmt::Formatter<'_>, at: usize, card: &Card, plan: &Plan) -> fmt::Result {
    let whole = plan.network.cidr.prefix_len();
    let is_whole = |link: &IpNet| link.prefix_len() == whole && plan.network.cidr.contains(&link.addr());
    let shown = |link: &IpNet| match at == 0 && is_whole(link) {
        true => link.addr().to_string(),
        false => link.to_string(),
    };
    let addresses: Vec<_> = card.addresses.iter().map(shown).collect();
    let what = if at == 0 { "address" } else { "for peers" };
    write!(f, "  {what:<10} {}  ", addresses.join(", "))?;
    match &card.by {
        By::Mac => write!(f, "mac {}", card.mac)?,
        By::Name(name) => write!(f, "card {name}")?,
        By::Bond(bond) => {
            let cards: Vec<_> = bond.cards.iter().map(ToString::to_string).collect();
            write!(f, "bond of {} ({})", cards.join(" and "), bond.mode.as_str())?;
        }
    }
    if let Some(dhcp) = card.dhcp {
        write!(f, "  DHCP {}", dhcp.as_str())?;
    }
    if let Some(id) = card.vlan {
        write!(f, "  VLAN {id}")?;
    }
    for route in card.routes.iter().filter(|route| route.on_link || plan.network.gateway != Some(route.via)) {
        write!(
            f,
            "  {} via {}{}",
            if route.to.prefix_len() == 0 { "all".into() } else { route.to.to_string() },
            route.via,
            if route.on_link { " on-link" } else { "" }
        )?;
    }
    writeln!(f)
}

/// `C=CA, O=Kloud, CN=cp-a`.
fn subject(subject: &Subject, common_name: &str) -> String {
    let all = subject.attributes().chain([("CN", common_name)]);
    all.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
}

fn describe(certificate: &CertificateSpec) -> String {
    let names = certificate.dns.iter().cloned().chain(certificate.ips.iter().map(ToString::to_string));
    let names: Vec<_> = names.collect();
    let names = if names.is_empty() { String::new() } else { format!(" for {}", names.join(", ")) };
    format!("{}{names}", subject(&certificate.subject, &certificate.common_name))
}

/// Its key's file, modes, lifetime, issuer and copies.
fn details(spec: &CertificateSpec) -> String {
    let CertificateSpec { cert_mode, key_path, key_mode, lifetime, authority, .. } = spec;
    let copies: Vec<_> = spec.copies.iter().map(|(cert, key)| format!("{cert} and {key}")).collect();
    let copies = if copies.is_empty() { String::new() } else { format!(", also {}", copies.join(", ")) };
    let by = match &spec.issuer {
        Some(issuer) => format!("CN={}, below {authority}", issuer.common_name),
        None => (*authority).to_owned(),
    };
    format!("{cert_mode}, key {key_path} {key_mode}, {lifetime}, by {by}{copies}")
}

/// `C=CA, CN=etcd.kloud.lan, p521, 20y`, and what is below it.
fn made(authority: &AuthoritySpec) -> String {
    let made = &authority.made;
    let mut text =
        format!("{}, {}, {}", subject(&made.subject, &made.common_name), made.algorithm, made.lifetime);
    if let Some((common_name, lifetime)) = &made.intermediate {
        text += &format!(", over {}, {lifetime}", subject(&made.subject, common_name));
    }
    if let Some(permits) = &made.permits {
        let names = permits.dns.iter().cloned().chain(permits.ips.iter().map(ToString::to_string));
        text += &format!(", for {} only", names.collect::<Vec<_>>().join(" "));
    }
    text
}

fn state(f: &mut fmt::Formatter<'_>, cluster: &Cluster) -> fmt::Result {
    if let Some(restored) = &cluster.restored {
        writeln!(f, "  generation {}, restored from a snapshot", restored.generation)?;
    }
    if cluster.formed {
        writeln!(f, "  has formed: an empty disk never bootstraps a new cluster")?;
    }
    Ok(())
}

impl fmt::Display for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { cluster, release, arch, network, nodes, pki, .. } = self.plan;
        writeln!(f, "cluster {}", cluster.name)?;
        writeln!(f, "  etcd       {release} {arch}")?;
        let instance = &self.plan.instance.name;
        if !instance.owns_host() {
            writeln!(f, "  instance   {instance}, on nodes that another cluster sets up")?;
        }
        writeln!(f, "  token      {}", self.identity(cluster.token.to_string()))?;
        writeln!(f, "  cluster ID {}", self.identity(cluster.id.to_string()))?;
        state(f, cluster)?;
        let gateway = network.gateway.map_or(String::new(), |gateway| format!(", gateway {gateway}"));
        writeln!(f, "  network    {}{gateway}", network.cidr)?;
        if let Some(ipv6) = &network.ipv6 {
            let gateway = ipv6.gateway.map_or(String::new(), |gateway| format!(", gateway {gateway}"));
            writeln!(f, "  IPv6       {}{gateway}", ipv6.cidr)?;
        }
        for subnet in &network.subnets {
            writeln!(f, "  subnet     {}, gateway {}", subnet.cidr, subnet.gateway)?;
        }
        if let Some(peer) = &network.peer {
            writeln!(f, "  peers      {}, a network of their own", peer.cidr)?;
        }
        writeln!(f, "  CA         {}", self.ca_line())?;
        for authority in &self.plan.authorities {
            let what = match self.imported.get(authority.name) {
                Some(_) if authority.name == CA => "imported".to_owned(),
                Some(ca) => format!("imported: {}", ca.line()),
                None if authority.is_imported => MISSING.to_owned(),
                None => made(authority),
            };
            let root =
                authority.root_file.iter().map(|root| format!(", its root in {root}")).collect::<String>();
            writeln!(f, "  {:<10} {} {what}{root}", authority.name, authority.file)?;
        }
        writeln!(f, "  leaves     {}, {}", pki.leaf_algorithm, pki.leaf_lifetime)?;
        writeln!(f, "  renewal    {}", renewal::line(pki))?;
        if let Some((backup, places)) = self.plan.backup() {
            writeln!(f, "  snapshots  {}", backup::line(backup, places.directory()))?;
        }
        if let Some(login) = &self.plan.machine.login {
            writeln!(f, "  login      {}, {}", login.user, counted(login.keys.len(), "key"))?;
        }
        let members = Members::new(nodes.len());
        writeln!(
            f,
            "  members    {} (quorum {}, tolerates {})",
            nodes.len(),
            members.quorum(),
            counted(members.tolerates(), "failure")
        )?;
        write!(f, "{}", failure::Table(&self.plan.hosts))?;
        nodes.iter().try_for_each(|node| self.node(f, node))?;
        writeln!(f, "\nclient certificates, in the bundle's client/")?;
        self.plan.clients.iter().try_for_each(|spec| {
            writeln!(f, "  {}  {}\n    {}", spec.cert_path, describe(spec), details(spec))
        })
    }
}
