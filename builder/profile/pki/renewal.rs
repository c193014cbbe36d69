//! Reads how the certificates of members are renewed: at the desk, or by each node.

use std::net::IpAddr;

use kiln_wire::LONGEST_LIFE;
use toml::Spanned;

use super::around::Around;
use super::pattern::{Filling, Pattern};
use super::types::{Leaf, Pki, Renewal};
use crate::etcd::{PeerNames, Release};
use crate::profile::diagnostics::Diagnostics;
use crate::profile::mistake::Mistake;
use crate::profile::reader::Section;
use crate::profile::{Algorithm, Certificates, ConfigStyle, NodeCaConstraints, RenewedBy, Span};
use crate::values::{Lifetime, Mode, Purpose};

/// The key that says who renews.
const RENEWAL: &str = "renewal";
const LEAF_LIFETIME: &str = "node-leaf-lifetime";
const CA_LIFETIME: &str = "node-ca-lifetime";
const CONSTRAINTS: &str = "node-ca-constraints";

/// What a node makes lives for at least this long: it looks every six hours, and a clock may be an hour behind.
const SHORTEST_LEAF: Lifetime = Lifetime::days(2);
/// Its own CAs end with the last certificate under them, so that they live a few times as long.
const LEAVES_IN_A_CA: u64 = 3;
/// The usual lifetimes.
const USUAL_LEAF: Lifetime = Lifetime::days(90);
const USUAL_CA: Lifetime = Lifetime::days(5 * 365);

/// `None` where the desk renews. `issuing` is the shortest lifetime of the CAs that issue those of nodes.
pub fn read(diagnostics: &mut Diagnostics, pki: &Section, issuing: Option<Lifetime>) -> Option<Renewal> {
    let by = pki.choice(diagnostics, RENEWAL, RenewedBy::CHOICES);
    let leaf = pki.value::<Lifetime>(diagnostics, LEAF_LIFETIME);
    let ca = pki.value::<Lifetime>(diagnostics, CA_LIFETIME);
    let constraints = pki.choice(diagnostics, CONSTRAINTS, NodeCaConstraints::CHOICES);
    if by != Some(RenewedBy::Node) {
        for key in [LEAF_LIFETIME, CA_LIFETIME, CONSTRAINTS] {
            if let Some(place) = pki.place(key) {
                diagnostics
                    .warn(Some(&place), format!("[pki] {key} has no effect without renewal = \"node\""));
            }
        }
        return None;
    }
    let lifetime =
        |given: &Option<Spanned<Lifetime>>, usual| given.as_ref().map_or(usual, |given| *given.get_ref());
    let renewal = Renewal {
        place: pki.place(RENEWAL),
        is_of_keystore: false,
        leaf_lifetime: lifetime(&leaf, USUAL_LEAF),
        ca_lifetime: lifetime(&ca, issuing.map_or(USUAL_CA, |issuing| issuing.min(USUAL_CA))),
        constraints: constraints.unwrap_or(NodeCaConstraints::Strict),
    };
    if let Some(leaf) = leaf.as_ref().filter(|leaf| leaf.get_ref().seconds() > LONGEST_LIFE) {
        let longest = Lifetime::hours(LONGEST_LIFE / 3600);
        let reason = format!("{LEAF_LIFETIME} {} is longer than {longest}", leaf.get_ref());
        let help = "make it shorter: a renewal by the node costs nothing";
        diagnostics.mistake(Mistake::new(leaf.span(), reason).help(help));
    } else if let Some(leaf) = leaf.filter(|leaf| *leaf.get_ref() < SHORTEST_LEAF) {
        let reason = format!("{LEAF_LIFETIME} {} is shorter than {SHORTEST_LEAF}", leaf.get_ref());
        let help = "a node looks at its certificates every six hours; give them at least two days";
        diagnostics.mistake(Mistake::new(leaf.span(), reason).help(help));
    } else if renewal.ca_lifetime.seconds() / LEAVES_IN_A_CA < renewal.leaf_lifetime.seconds() {
        let reason = format!(
            "{CA_LIFETIME} {} is less than three times {LEAF_LIFETIME}, {}",
            renewal.ca_lifetime, renewal.leaf_lifetime
        );
        let help =
            "certificates end with the CA of the node; make its CAs longer, or the certificates shorter";
        let place = ca.map(|ca| ca.span()).or_else(|| pki.place(LEAF_LIFETIME));
        diagnostics.mistake(Mistake::new(place, reason).help(help));
    }
    Some(renewal)
}

/// The certificate for root's etcdctl, with a common name of each node's own where the profile has none.
pub fn client(diagnostics: &mut Diagnostics, pki: &Section, client: Leaf) -> Leaf {
    let written = pki.table(diagnostics, "client", "[pki.client]").place("common-name");
    let Some(place) = written else {
        return Leaf { common_name: Pattern::of(&Purpose::Etcdctl.of_each_node()), ..client };
    };
    if !client.common_name.is_per_node() {
        let text = "[pki.client] common-name is the same on every node: a key that is copied off one disk cannot be shut out \
                    alone; write {{node}} in it, or omit it";
        diagnostics.warn(Some(&place), text);
    }
    client
}

/// What a node cannot make by itself. `pki` is the table.
pub fn check(diagnostics: &mut Diagnostics, table: &Section, pki: &Pki) {
    let Some(renewal) = &pki.renewal else { return };
    let place = &renewal.place;
    let mut refuse = |reason: &str, help: &str| {
        diagnostics.mistake(Mistake::new(place.clone(), format!("renewal = \"node\" {reason}")).help(help));
    };
    if pki.certificates == Certificates::OnePerNode {
        refuse(
            "needs certificates for each use: one for all would let a node pass for a client",
            "write certificates = \"per-use\" in [pki], or renewal = \"desk\"",
        );
    }
    if pki.ca.is_imported || pki.peer_ca.as_ref().is_some_and(|ca| ca.is_imported) {
        refuse(
            "needs CAs that Kiln makes: an imported one is renewed where it is kept",
            "omit source = \"imported\", or write renewal = \"desk\"",
        );
    }
    let of_cas = std::iter::once(&pki.ca).chain(&pki.peer_ca).map(|ca| ca.algorithm);
    if of_cas.chain([pki.leaf_algorithm]).any(|algorithm| algorithm == Algorithm::P521) {
        refuse(
            "makes keys of p256, p384 and ed25519",
            "choose another leaf-algorithm in [pki], or renewal = \"desk\"",
        );
    }
    check_lives(diagnostics, table, pki, renewal);
    for (key, title) in [("server", "[pki.server]"), ("peer", "[pki.peer]")] {
        let leaf = table.table(diagnostics, key, title);
        let of = if key == "server" { &pki.server } else { &pki.peer };
        for (mode, given, made) in
            [("cert-mode", of.cert_mode, Mode::FILE), ("key-mode", of.key_mode, Mode::READ_ONLY_SECRET)]
        {
            if let Some(place) = leaf.place(mode).filter(|_| given != made) {
                let reason = format!(
                    "{title} {mode} cannot be {given} with renewal = \"node\": the node makes the file with {made}"
                );
                let help = format!("write {mode} = \"{made}\", or omit the key");
                diagnostics.mistake(Mistake::new(place, reason).help(help));
            }
        }
    }
}

/// Why a name cannot be in a certificate that a node makes.
pub fn unfit(name: &str) -> Option<String> {
    let is_wide = name.strip_prefix("*.").is_some_and(|rest| !rest.contains('.'));
    let is_mapped = matches!(name.parse(), Ok(IpAddr::V6(ip)) if ip.to_ipv4_mapped().is_some());
    match () {
        () if is_wide => Some(
            "with renewal = \"node\" its CA has name constraints, under which rustls refuses a wildcard of one label; write the \
             names in full"
                .to_owned(),
        ),
        () if is_mapped => Some("an IPv4 address is written as such, as in 10.0.0.9".to_owned()),
        () => None,
    }
}

/// A constraint to a name is one to all names below it, too (RFC 5280 4.2.1.10).
pub fn warn_of_names_above(diagnostics: &mut Diagnostics, around: &Around<'_>) {
    let fqdns: Vec<_> = around.nodes.list.iter().map(|node| around.cluster.fqdn(&node.name)).collect();
    for (at, (node, fqdn)) in around.nodes.list.iter().zip(&fqdns).enumerate() {
        let filling = Filling::of(around.cluster, at, &node.name, fqdn);
        let more = around.pki.server.names.iter().map(|name| name.fill(&filling));
        let own = [node.name.to_string(), fqdn.clone()].into_iter().chain(more);
        let own: Vec<_> = own.map(|name| name.strip_prefix("*.").unwrap_or(&name).to_owned()).collect();
        let others = fqdns.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, fqdn)| fqdn);
        let is_below = |other: &str, name: &str| {
            other.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        let mut covered =
            others.filter_map(|other| Some((own.iter().find(|name| is_below(other, name))?, other)));
        if let Some((name, other)) = covered.next() {
            let text = format!(
                "the CA of {} may also issue for {other}, as {name} is a name of {0}: whoever has a copy of that CA can be a \
                 server of this name; give {0} no name above those of other nodes",
                node.name
            );
            diagnostics.warn(around.place.as_ref(), text);
        }
    }
}

/// No certificate outlives the one above it: the CA, a node's CA, and the first certificate of the node.
fn check_lives(diagnostics: &mut Diagnostics, table: &Section, pki: &Pki, renewal: &Renewal) {
    let node_ca = renewal.ca_lifetime;
    let place = table.place(CA_LIFETIME).or_else(|| renewal.place.clone());
    let mut refuse = |longer: String, of: String, place: Option<Span>| {
        let help = "a certificate cannot outlive the CA that issued it; make it shorter, or the CA's lifetime longer";
        diagnostics.mistake(Mistake::new(place, format!("{longer} is longer than {of}")).help(help));
    };
    for (title, ca) in [("[pki.ca]", Some(&pki.ca)), ("[pki.peer-ca]", pki.peer_ca.as_ref())] {
        let Some(ca) = ca.filter(|ca| !ca.is_imported) else { continue };
        let issuing = ca.issuing_lifetime();
        if node_ca > issuing {
            refuse(
                format!("{CA_LIFETIME} {node_ca}"),
                format!("that of its CA, {issuing} ({title})"),
                place.clone(),
            );
            return;
        }
    }
    // The first renewal is due after two thirds of the first certificates' life, and must find a CA that has not ended.
    let is_long = |leaf: &&Leaf| leaf.lifetime.twice() > node_ca;
    if let Some(leaf) = [&pki.server, &pki.peer].into_iter().find(is_long) {
        let reason = format!(
            "{CA_LIFETIME} {node_ca} is less than twice the lifetime of the first certificates, {} (leaf-lifetime)",
            leaf.lifetime
        );
        let help = "make leaf-lifetime shorter: nodes replace these; or the node's CAs longer";
        diagnostics.mistake(Mistake::new(table.place("leaf-lifetime").or(place), reason).help(help));
    }
}

/// A node's certificates are known among peers by a name that only they have, which some releases cannot be told.
pub fn check_release(diagnostics: &mut Diagnostics, pki: Option<&Pki>, release: Release, style: ConfigStyle) {
    let Some(Renewal { place, .. }) = pki.and_then(|pki| pki.renewal.as_ref()) else { return };
    if style == ConfigStyle::File && release.peer_names() == PeerNames::FlagOnly {
        let reason = format!(
            "renewal = \"node\" needs allowed-hostname on the peer port, which the config file of etcd {release} does not know"
        );
        let help =
            "write config-style = \"flags\" in [etcd], choose etcd 3.5.14 or newer, or renewal = \"desk\"";
        diagnostics.mistake(Mistake::new(place.clone(), reason).help(help));
    }
}

#[cfg(test)]
mod tests {
    use crate::etcd::Release;
    use crate::profile::{Source, read};
    use crate::values::{Arch, example_carriers};

    #[test]
    fn what_nodes_make_has_no_effect_where_they_make_nothing() {
        let text = |pki: &str| {
            format!(
                "schema = 1\n[cluster]\nname = \"x\"\n[pki]\n{pki}\n[network]\ncidr = \"10.0.0.0/24\"\n[[node]]\nname = \
                 \"n\"\naddress = \"10.0.0.11\"\n"
            )
        };
        let said = |pki: &str| {
            let source = Source::file("profiles/x.toml".as_ref(), text(pki).into());
            let (profile, warnings) =
                read(&source, &[(Release::new(3, 5, 33), Arch::Amd64)], &example_carriers()).unwrap();
            (profile.pki.renewal.is_some(), profile.pki.peer_ca.is_some(), warnings.len())
        };
        let keys = "node-leaf-lifetime = \"30d\"\nnode-ca-lifetime = \"2y\"\nnode-ca-constraints = \"names\"";
        let plain = said("").2;
        assert_eq!(said(keys), (false, false, plain + 3));
        assert_eq!(said(&format!("renewal = \"node\"\n{keys}")), (true, true, plain));
    }

    #[test]
    fn a_name_above_those_of_other_nodes_is_told() {
        let said = |domain: &str, node: &str, pki: &str| {
            let text = format!(
                "schema = 1\n[cluster]\nname = \"x\"\nallow-two-members = true\n{domain}\n[pki]\nrenewal = \"node\"\n{pki}\n\
                 [network]\ncidr = \"10.0.0.0/24\"\n[[node]]\nname = \"{node}\"\naddress = \"10.0.0.11\"\n\
                 [[node]]\nname = \"b\"\naddress = \"10.0.0.12\"\n"
            );
            let source = Source::file("profiles/x.toml".as_ref(), text.into());
            let (_, warnings) =
                read(&source, &[(Release::new(3, 5, 33), Arch::Amd64)], &example_carriers()).unwrap();
            let told = warnings.into_iter().filter(|warning| warning.text.contains("may also issue for"));
            told.map(|warning| warning.text).collect::<Vec<_>>()
        };
        let names = |name: &str| format!("[pki.server]\nnames = [\"{name}\"]");
        let (domain, none) = ("domain = \"kloud.lan\"", Vec::<String>::new());
        assert_eq!(said("", "lan", ""), none);
        assert_eq!(said(domain, "a", &names("*.etcd.kloud.lan")), none);
        assert_eq!(said(domain, "a", &names("oud.lan")), none);
        let lan = said(domain, "lan", "");
        assert!(
            lan.len() == 1 && lan[0].starts_with("the CA of lan may also issue for b.kloud.lan"),
            "{lan:?}"
        );
        let both = said(domain, "a", &names("*.kloud.lan"));
        assert!(
            both.len() == 2 && both[1].starts_with("the CA of b may also issue for a.kloud.lan"),
            "{both:?}"
        );
    }
}
