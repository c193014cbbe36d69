//! What can be judged only with the nodes: files with one name, and clients with the names of peers.

use std::collections::BTreeMap;

use super::around::Around;
use super::pattern::{AltName, Filling, Pattern, alternative};
use super::renewal;
use super::subject;
use super::types::{Ca, Client, Leaf, OnNodes, Pki};
use crate::profile::backup::{BUCKET_CA, DESK_KEY};
use crate::profile::diagnostics::Diagnostics;
use crate::profile::mistake::Mistake;
use crate::profile::{Certificates, Node, OPERATOR, Span};
use crate::values::{CA_FILES, Invalid, OPERATOR_FILES, PEER_CA_FILES, PemFile, Purpose};

pub fn check(diagnostics: &mut Diagnostics, around: &Around<'_>) {
    for client in around.clients {
        if let OnNodes::Some(names) = &client.get_ref().nodes {
            let what = format!("the client {} is for the node", client.get_ref().name);
            around.nodes.check_named(diagnostics, names, &what, Some(client.span()));
        }
    }
    common_names(diagnostics, around);
    client_directory(diagnostics, around);
    if around.pki.renewal.is_some() {
        renewal::warn_of_names_above(diagnostics, around);
    }
    for (at, node) in around.nodes.list.iter().enumerate() {
        let fqdn = around.cluster.fqdn(&node.name);
        let filling = Filling::of(around.cluster, at, &node.name, &fqdn);
        let mut files =
            Files { place: around.place.clone(), on: format!("on {}", node.name), seen: BTreeMap::new() };
        let before = diagnostics.mistakes.len();
        on_node(diagnostics, around, (node, &filling), &mut files);
        // The other nodes have the same mistakes.
        if diagnostics.mistakes.len() > before {
            return;
        }
    }
}

impl Pki {
    /// The kinds of certificates that a node has, with the names of their tables.
    pub fn kinds(&self) -> Vec<(&'static str, &Leaf)> {
        match self.certificates {
            Certificates::PerUse => {
                vec![
                    ("[pki.server]", &self.server),
                    ("[pki.peer]", &self.peer),
                    ("[pki.client]", &self.client),
                ]
            }
            Certificates::OnePerNode => vec![("[pki.node]", &self.node)],
        }
    }

    /// The CAs, with the names of their tables.
    fn authorities(&self) -> Vec<(&'static str, &Ca)> {
        let peer = self.peer_ca.iter().map(|ca| ("[pki.peer-ca]", ca));
        std::iter::once(("[pki.ca]", &self.ca)).chain(peer).collect()
    }

    /// The common names of peers' certificates.
    fn of_peers(&self) -> &Pattern {
        match self.certificates {
            Certificates::PerUse => &self.peer.common_name,
            Certificates::OnePerNode => &self.node.common_name,
        }
    }
}

/// The files of a directory, each with what it is of.
struct Files {
    place: Option<Span>,
    on: String,
    seen: BTreeMap<String, Seen>,
}

/// What is in a file, and for whom.
struct Seen {
    of: String,
    /// `None` for a link.
    holds: Option<PemFile>,
}

impl Files {
    fn add(
        &mut self,
        diagnostics: &mut Diagnostics,
        file: &str,
        (of, holds): (&str, Option<PemFile>),
        place: Option<&Span>,
    ) {
        let seen = Seen { of: of.to_owned(), holds };
        let Some(Seen { of: other, .. }) = self.seen.insert(file.to_owned(), seen) else { return };
        let reason = format!("{file} would be two files {}: of {other} and of {of}", self.on);
        let place = place.cloned().or(self.place.clone());
        diagnostics.mistake(Mistake::new(place, reason).help("give one of them another name"));
    }
}

/// Files and names of a node, as the placeholders give them.
fn on_node(
    diagnostics: &mut Diagnostics,
    around: &Around<'_>,
    (node, filling): (&Node, &Filling<'_>),
    files: &mut Files,
) {
    let pki = around.pki;
    for (title, ca) in pki.authorities() {
        for file in std::iter::once(&ca.file).chain(&ca.root_file) {
            files.add(diagnostics, file, (title, Some(PemFile::Certificate)), None);
        }
    }
    for (title, leaf) in pki.kinds() {
        files.add(diagnostics, &leaf.cert.fill(filling), (title, Some(PemFile::Certificate)), None);
        files.add(diagnostics, &leaf.key.fill(filling), (title, Some(PemFile::Key)), None);
        let is_renewed = pki.renewal.is_some() && ["[pki.server]", "[pki.peer]"].contains(&title);
        let unfit = |name: &str| is_renewed.then(|| renewal::unfit(name)).flatten();
        let why = |name: &str| alternative(name).err().or_else(|| unfit(name).map(Invalid));
        let wrong = leaf.names.iter().map(|name| (name, why(&name.fill(filling))));
        let common_name = (&leaf.common_name, subject::name(&leaf.common_name.fill(filling)).err());
        for (name, why) in wrong.chain([common_name]) {
            if let Some(Invalid(why)) = why {
                let reason =
                    format!("{title}: {:?} cannot be a name of {}: {why}", name.fill(filling), filling.node);
                diagnostics.mistake(Mistake::new(files.place.clone(), reason));
            }
        }
    }
    if around.has_backup {
        let of = |kind: PemFile| (kind.usual(Purpose::Snapshot.name()), ("[backup]", Some(kind)));
        for (file, of) in [PemFile::Certificate, PemFile::Key].map(of) {
            files.add(diagnostics, &file, of, None);
        }
    }
    for client in around.clients {
        let (client, place) = (client.get_ref(), client.span());
        if client.nodes.has(&node.name) {
            add_client(diagnostics, files, client, &place);
        }
    }
    links(diagnostics, pki, filling, files);
}

/// Symbolic links among these files.
fn links(diagnostics: &mut Diagnostics, pki: &Pki, filling: &Filling<'_>, files: &mut Files) {
    let links: Vec<_> =
        pki.links.iter().map(|link| (link.name.fill(filling), link.target.fill(filling))).collect();
    for (name, _) in &links {
        files.add(diagnostics, name, ("[pki.links]", None), None);
    }
    for (name, target) in &links {
        let holds = files.seen.get(target).and_then(|seen| seen.holds);
        if holds.is_some() && holds != PemFile::of(name) {
            let reason =
                format!("the link {name} leads to {target}: one is the name of a key, the other is not");
            let help = "give a link to a key a name that ends in .key or -key.pem";
            diagnostics.mistake(Mistake::new(files.place.clone(), reason).help(help));
        }
        // Of links to links some lead to themselves.
        let is_link = links.iter().any(|(other, _)| other == target);
        if is_link || !files.seen.contains_key(target) {
            let reason = match is_link {
                true => format!("the link {name} leads to {target}, which is a link itself"),
                false => format!(
                    "the link {name} leads to {target}, which is not in the directory of the certificates"
                ),
            };
            diagnostics.mistake(
                Mistake::new(files.place.clone(), reason).help("name \"ca\", \"peer-ca\" or a file"),
            );
        }
    }
}

fn add_client(diagnostics: &mut Diagnostics, files: &mut Files, client: &Client, place: &Span) {
    let what = format!("the client {}", client.name);
    let own = (client.cert.clone(), client.key.clone());
    for (cert, key) in std::iter::once(&own).chain(&client.copies) {
        files.add(diagnostics, cert, (&what, Some(PemFile::Certificate)), Some(place));
        files.add(diagnostics, key, (&what, Some(PemFile::Key)), Some(place));
    }
}

/// The bundle's directory `client/`.
fn client_directory(diagnostics: &mut Diagnostics, around: &Around<'_>) {
    let of_all = [CA_FILES.cert, PEER_CA_FILES.cert, OPERATOR_FILES.cert, OPERATOR_FILES.key];
    let of_backup = [DESK_KEY, BUCKET_CA].into_iter().filter(|_| around.has_backup);
    let seen =
        |file: &str| (file.to_owned(), Seen { of: "every bundle".to_owned(), holds: PemFile::of(file) });
    let seen = of_all.into_iter().chain(of_backup).map(seen).collect();
    let mut files = Files { place: None, on: "in the bundle's client/".to_owned(), seen };
    for client in around.clients {
        add_client(diagnostics, &mut files, client.get_ref(), &client.span());
    }
}

/// etcd's `peer-cert-allowed-cn` takes names with commas between them from 3.5.30 on (server/etcdmain/config.go).
fn without_commas(diagnostics: &mut Diagnostics, around: &Around<'_>, names: &[String]) {
    let Some(name) = names.iter().find(|name| name.contains(',')) else { return };
    let title = match around.pki.certificates {
        Certificates::PerUse => "[pki.peer]",
        Certificates::OnePerNode => "[pki.node]",
    };
    let reason = format!("{title} common-name cannot be {name:?}: etcd reads a comma as the end of a name");
    diagnostics.mistake(Mistake::new(around.place.clone(), reason).help("write it without the comma"));
}

/// A pattern as each of the nodes has it.
fn on_each_node(around: &Around<'_>, pattern: &Pattern) -> Vec<String> {
    let filled = around.nodes.list.iter().enumerate().map(|(at, node)| {
        let fqdn = around.cluster.fqdn(&node.name);
        pattern.fill(&Filling::of(around.cluster, at, &node.name, &fqdn))
    });
    filled.collect()
}

/// A client with the name of a peer would be accepted on the peer port (`allowed-cn`).
fn common_names(diagnostics: &mut Diagnostics, around: &Around<'_>) {
    let names = on_each_node(around, around.pki.of_peers());
    without_commas(diagnostics, around, &names);
    let why = match around.pki.certificates {
        Certificates::OnePerNode => {
            "with [pki] certificates = \"one-per-node\" the peer port accepts every certificate with the name of a node"
        }
        Certificates::PerUse => "the peer port accepts every certificate with the common name of a peer",
    };
    let is_nodes = |name: &str| around.nodes.list.iter().any(|node| node.name.as_str() == name);
    for client in around.clients.iter().filter(|client| names.contains(&client.get_ref().common_name)) {
        let name = &client.get_ref().common_name;
        let reason = match is_nodes(name) {
            true => format!("a client cannot have the name of the node {name}"),
            false => format!("a client cannot have the common name {name}, which peers have"),
        };
        let help = format!("{why}; give one of them another name");
        diagnostics.mistake(Mistake::new(client.span(), reason).help(help));
    }
    let of_root = match around.pki.certificates {
        Certificates::PerUse => on_each_node(around, &around.pki.client.common_name),
        Certificates::OnePerNode => Vec::new(),
    };
    if names.iter().any(|name| name == OPERATOR) {
        let reason = match is_nodes(OPERATOR) {
            true => {
                format!("a node cannot be called {OPERATOR}, as the client certificate of every bundle is")
            }
            false => format!(
                "a peer cannot have the common name {OPERATOR}, as the client certificate of every bundle does"
            ),
        };
        let help = match is_nodes(OPERATOR) {
            true => format!("{why}; give the node another name"),
            false => format!("{why}; give the peers another one"),
        };
        diagnostics.mistake(Mistake::new(None, reason).help(help));
    } else if let Some(same) = of_root.iter().find(|name| names.contains(name)) {
        let reason = format!("[pki.client] and [pki.peer] have the same common name, {same}");
        diagnostics.mistake(Mistake::new(around.place.clone(), reason).help(why));
    }
}

impl AltName {
    /// Sorted into host names and addresses.
    pub fn sorted(names: impl IntoIterator<Item = Self>) -> (Vec<String>, Vec<std::net::IpAddr>) {
        let (mut dns, mut ips) = (Vec::new(), Vec::new());
        for name in names {
            match name {
                AltName::Dns(name) if !dns.contains(&name) => dns.push(name),
                AltName::Ip(ip) if !ips.contains(&ip) => ips.push(ip),
                _ => {}
            }
        }
        (dns, ips)
    }
}
