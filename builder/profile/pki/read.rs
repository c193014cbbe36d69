//! Reads `[pki]` with the tables of the kinds of certificates.

use toml::Spanned;

use super::authorities::{self, Lives};
use super::fields;
use super::pattern::{Pattern, certificate_file, key_file};
use super::renewal;
use super::subject::Subject;
use super::types::{Ca, Leaf, Link, Pki};
use crate::profile::diagnostics::Diagnostics;
use crate::profile::mistake::Mistake;
use crate::profile::reader::{Section, quoted, what};
use crate::profile::{Algorithm, Certificates, OPERATOR, PEER_COMMON_NAME, Span, directories};
use crate::values::{
    InstanceName, Invalid, Lifetime, Mode, NODE_FILES, OPERATOR_FILES, PEER_FILES, PemPair, SERVER_FILES,
};

/// Also returns the place of its directory. `of_clients` are the lifetimes of `[[client]]`, which issues from the same
/// CA.
pub fn pki(
    diagnostics: &mut Diagnostics,
    table: &Section,
    instance: &InstanceName,
    of_clients: Vec<Spanned<Lifetime>>,
) -> Option<(Pki, Option<Span>)> {
    let both = table.choice(diagnostics, "algorithm", Algorithm::CHOICES).unwrap_or(Algorithm::P256);
    let leaf_algorithm = table.choice(diagnostics, "leaf-algorithm", Algorithm::CHOICES).unwrap_or(both);
    let given = table.value::<Lifetime>(diagnostics, "leaf-lifetime");
    let leaf_lifetime = given.as_ref().map_or(Lifetime::days(365), |given| *given.get_ref());
    let certificates =
        table.choice(diagnostics, "certificates", Certificates::CHOICES).unwrap_or(Certificates::PerUse);
    let subject = table.table(diagnostics, "subject", "[pki.subject]");
    let of_leaves = fields::subject(diagnostics, &subject);
    subject.finish(diagnostics);
    let own = of_clients.into_iter().map(|life| ("[[client]]", life)).collect();
    let mut lives = Lives { usual: leaf_lifetime, usual_place: given.as_ref().map(Spanned::span), own };
    let [server, peer, client, node] =
        KINDS.map(|kind| leaf(diagnostics, table, &kind, (certificates, &of_leaves), &mut lives));
    let ca = authorities::ca(diagnostics, table, both, &lives);
    let peer_ca = authorities::peer_ca(diagnostics, table, both, certificates, &lives);
    let issuing = std::iter::once(&ca).chain(&peer_ca).map(Ca::issuing_lifetime).min();
    let renewal = renewal::read(diagnostics, table, issuing);
    let client = match &renewal {
        Some(_) => renewal::client(diagnostics, table, client),
        None => client,
    };
    let peer_ca = peer_ca.or_else(|| renewal.as_ref().map(|_| authorities::like(&ca)));
    let links = links(diagnostics, table, &ca.file, peer_ca.as_ref().map(|ca| ca.file.as_str()));
    let given = table.value_with(diagnostics, "directory", directories::keys);
    let span = given.as_ref().map(Spanned::span);
    let directory = match given {
        Some(given) => given.into_inner(),
        None => format!("etc/etcd{}/pki", instance.suffix()).parse().ok()?,
    };
    let pki = Pki {
        leaf_algorithm,
        leaf_lifetime,
        directory,
        certificates,
        subject: of_leaves,
        server,
        peer,
        client,
        node,
        ca,
        peer_ca,
        links,
        says_who_renews: table.place("renewal").is_some(),
        desk_because: None,
        renewal,
    };
    renewal::check(diagnostics, table, &pki);
    Some((pki, span))
}

/// A kind of certificate on every node: its table, and what is usual.
struct Kind {
    key: &'static str,
    title: &'static str,
    /// The header of the table with its subject.
    subject: &'static str,
    /// Its files without a profile's word: `server.pem`, `server-key.pem`.
    files: PemPair,
    common_name: &'static str,
    /// The layout that has it.
    of: Certificates,
}

const KINDS: [Kind; 4] = [
    Kind {
        key: "server",
        title: "[pki.server]",
        subject: "[pki.server.subject]",
        files: SERVER_FILES,
        common_name: "{{node}}",
        of: Certificates::PerUse,
    },
    Kind {
        key: "peer",
        title: "[pki.peer]",
        subject: "[pki.peer.subject]",
        files: PEER_FILES,
        common_name: PEER_COMMON_NAME,
        of: Certificates::PerUse,
    },
    Kind {
        key: "client",
        title: "[pki.client]",
        subject: "[pki.client.subject]",
        files: OPERATOR_FILES,
        common_name: OPERATOR,
        of: Certificates::PerUse,
    },
    Kind {
        key: "node",
        title: "[pki.node]",
        subject: "[pki.node.subject]",
        files: NODE_FILES,
        common_name: "{{node}}",
        of: Certificates::OnePerNode,
    },
];

/// Modes of a key's file; its owner is the account that uses it.
const KEY_MODES: &[(&str, &str)] = &[("0400", "0400"), ("0600", "0600"), ("0640", "0640")];
/// Modes of a certificate's file, which is root's.
const CERT_MODES: &[(&str, &str)] = &[("0444", "0444"), ("0644", "0644")];

fn leaf(
    diagnostics: &mut Diagnostics,
    pki: &Section,
    kind: &Kind,
    (layout, of_leaves): (Certificates, &Subject),
    lives: &mut Lives,
) -> Leaf {
    let table = pki.table(diagnostics, kind.key, kind.title);
    if table.span.is_some() && layout != kind.of {
        let text = format!("{} has no effect with [pki] certificates = \"{layout}\"", kind.title);
        diagnostics.warn(table.span.as_ref(), text);
    }
    let mode = |given: Option<&str>, usual: Mode| given.and_then(|mode| mode.parse().ok()).unwrap_or(usual);
    let key_mode = table.choice(diagnostics, "key-mode", KEY_MODES);
    let cert_mode = table.choice(diagnostics, "cert-mode", CERT_MODES);
    let mut one = |key, read: fn(&str) -> Result<Pattern, Invalid>, usual: &str| {
        let given = table.value_with(diagnostics, key, read).map(Spanned::into_inner);
        given.unwrap_or_else(|| Pattern::of(usual))
    };
    let cert = one("cert", Pattern::certificate, kind.files.cert);
    let key = one("key", Pattern::key, kind.files.key);
    let common_name = one("common-name", Pattern::common_name, kind.common_name);
    let names = table.values(diagnostics, "names", Pattern::alternative).unwrap_or_default();
    fields::few(diagnostics, kind.title, &names);
    let lifetime = table.value::<Lifetime>(diagnostics, "lifetime");
    let inner = table.table(diagnostics, "subject", kind.subject);
    let subject = fields::subject(diagnostics, &inner).or(of_leaves);
    inner.finish(diagnostics);
    table.finish(diagnostics);
    if let Some(lifetime) = lifetime.as_ref().filter(|_| layout == kind.of) {
        lives.own.push((kind.title, lifetime.clone()));
    }
    Leaf {
        cert,
        key,
        common_name,
        subject,
        lifetime: lifetime.map_or(lives.usual, Spanned::into_inner),
        cert_mode: mode(cert_mode, Mode::FILE),
        key_mode: mode(key_mode, Mode::SECRET),
        names: names.into_iter().map(Spanned::into_inner).collect(),
    }
}

/// `[pki.links]`: the name of a link, and an authority or a file name.
fn links(diagnostics: &mut Diagnostics, pki: &Section, ca: &str, peer_ca: Option<&str>) -> Vec<Link> {
    let table = pki.table(diagnostics, "links", "[pki.links]");
    let mut links = Vec::new();
    for (name, span, value) in table.entries() {
        if name.contains('/') {
            let reason =
                format!("[pki.links] {} is a path; a link is in the directory of the keys", quoted(name));
            let help = "write a name without /, or link from elsewhere: [[file]] with path and link";
            diagnostics.mistake(Mistake::new(span, reason).help(help));
            continue;
        }
        let mut wrong = |span: Span, reason: String| {
            diagnostics
                .mistake(Mistake::new(span, reason).help("write, for example, \"client-ca.crt\" = \"ca\""));
        };
        let is_name = |text: &str| match certificate_file(text) {
            Ok(_) => Pattern::certificate(text),
            Err(_) if key_file(text).is_ok() => Pattern::key(text),
            Err(_) => Pattern::certificate(text).or_else(|_| Pattern::key(text)),
        };
        let link = match is_name(name) {
            Ok(link) => link,
            Err(_) => {
                wrong(
                    span,
                    format!(
                        "[pki.links] {} is not the name of a file: it ends in .crt, .pem or .key",
                        quoted(name)
                    ),
                );
                continue;
            }
        };
        let Some(target) = value.get_ref().as_str() else {
            wrong(
                value.span(),
                format!("[pki.links] {} takes a quoted string, not {}", quoted(name), what(value.get_ref())),
            );
            continue;
        };
        let target = match (target, peer_ca) {
            ("ca", _) => Ok(Pattern::of(ca)),
            ("peer-ca", Some(file)) => Ok(Pattern::of(file)),
            ("peer-ca", None) => {
                Err("there is no [pki.peer-ca]; the CA \"ca\" issues to peers, too".to_owned())
            }
            (file, _) => {
                is_name(file).map_err(|_| "it takes \"ca\", \"peer-ca\" or the name of a file".to_owned())
            }
        };
        match target {
            Ok(target) => links.push(Link { name: link, target }),
            Err(why) => wrong(value.span(), format!("[pki.links] {} cannot lead there: {why}", quoted(name))),
        }
    }
    links
}
