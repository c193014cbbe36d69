//! Reads how the certificates of members are renewed: at the desk, or by each node.

use toml::Spanned;

use super::types::{Leaf, Pki, Renewal};
use crate::etcd::{PeerNames, Release};
use crate::profile::diagnostics::Diagnostics;
use crate::profile::mistake::Mistake;
use crate::profile::reader::Section;
use crate::profile::{Algorithm, Certificates, ConfigStyle, NodeCaConstraints, RenewedBy};
use crate::values::Lifetime;

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

/// `None` where the desk renews.
pub fn read(diagnostics: &mut Diagnostics, pki: &Section) -> Option<Renewal> {
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
        leaf_lifetime: lifetime(&leaf, USUAL_LEAF),
        ca_lifetime: lifetime(&ca, USUAL_CA),
        constraints: constraints.unwrap_or(NodeCaConstraints::Strict),
    };
    if let Some(leaf) = leaf.filter(|leaf| *leaf.get_ref() < SHORTEST_LEAF) {
        let reason = format!("{LEAF_LIFETIME} {} is shorter than {SHORTEST_LEAF}", leaf.get_ref());
        let help = "a node looks at its certificates every six hours; give them at least two days";
        diagnostics.mistake(Mistake::new(leaf.span(), reason).help(help));
    } else if renewal.ca_lifetime.seconds() / LEAVES_IN_A_CA < renewal.leaf_lifetime.seconds() {
        let reason = format!(
            "{CA_LIFETIME} {} is not three times {LEAF_LIFETIME}, {}",
            renewal.ca_lifetime, renewal.leaf_lifetime
        );
        let help = "a node's CAs end what it makes with them; make them longer, or the certificates shorter";
        let place = ca.map(|ca| ca.span()).or_else(|| pki.place(LEAF_LIFETIME));
        diagnostics.mistake(Mistake::new(place, reason).help(help));
    }
    Some(renewal)
}

/// What a node cannot make by itself. `pki` is the table.
pub fn check(diagnostics: &mut Diagnostics, table: &Section, pki: &Pki) {
    let Some(Renewal { place, .. }) = &pki.renewal else { return };
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
    if pki.leaf_algorithm == Algorithm::P521 {
        refuse(
            "makes keys of p256, p384 and ed25519",
            "choose another leaf-algorithm in [pki], or renewal = \"desk\"",
        );
    }
    let wide = |leaf: &Leaf| leaf.names.iter().any(|name| name.is_wildcard_of_one_label());
    if wide(&pki.server) || wide(&pki.peer) {
        refuse(
            "cannot have names like *.localhost: rustls refuses them under a CA with name constraints",
            "write them in full, as in etcd.localhost, or renewal = \"desk\"",
        );
    }
    for (key, title) in [("server", "[pki.server]"), ("peer", "[pki.peer]")] {
        let leaf = table.table(diagnostics, key, title);
        for mode in ["cert-mode", "key-mode"] {
            if let Some(place) = leaf.place(mode) {
                let reason =
                    format!("{title} {mode} has no effect with renewal = \"node\": the node makes the file");
                diagnostics.mistake(Mistake::new(place, reason).help("omit the key"));
            }
        }
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
}
