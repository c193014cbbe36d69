//! Whether the fields of a manifest are consistent, which the type of one field cannot express.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use ipnet::IpNet;

use super::contents::needed;
use super::files::below;
use super::json;
use super::layout::{self, MANIFEST, MANIFEST_SCHEMA};
use super::manifest::{Certificate, Manifest, Node};
use super::placed;
use super::problem::{MAX_PROBLEMS_SHOWN, Problem, listed};
use super::programs;
use super::wired;
use crate::failure::{Failure, Result};
use crate::profile;
use crate::values::{At, Carrier, Url, steers};

impl Manifest {
    /// # Errors
    /// `Exit::Wrong` when it is not a manifest of this schema, or is inconsistent.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        json::check_schema(bytes, "a bundle's manifest", MANIFEST_SCHEMA)?;
        let manifest: Self =
            serde_json::from_slice(bytes).map_err(|error| json::not_written("manifest", &error))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Checks what the type of one field cannot express: that the fields are consistent.
    ///
    /// # Errors
    /// `Exit::Wrong` with the inconsistencies.
    pub fn check(&self) -> Result<()> {
        let problems = judge(self);
        if problems.is_empty() {
            return Ok(());
        }
        Err(Failure::wrong(format!("the manifest is inconsistent{}", listed(&problems, MAX_PROBLEMS_SHOWN))))
    }
}

/// Every inconsistency, which no build writes.
fn judge(manifest: &Manifest) -> Vec<Problem> {
    let mut judge = Judge { manifest, problems: Vec::new() };
    judge.problems.extend(programs::mislaid(manifest));
    judge.nodes();
    judge.problems.extend(placed::misplaced(manifest));
    judge.problems.extend(wired::miswired(manifest));
    judge.certificates();
    judge.files();
    judge.problems
}

struct Judge<'m> {
    manifest: &'m Manifest,
    problems: Vec<Problem>,
}

impl Judge<'_> {
    fn problem(&mut self, path: impl Display, problem: impl Display) {
        self.problems.push(Problem { path: path.to_string(), problem: problem.to_string() });
    }

    fn nodes(&mut self) {
        let manifest = self.manifest;
        if manifest.nodes.is_empty() {
            self.problem(MANIFEST, "names no node");
        }
        let mut names = FirstNodes::default();
        let mut addresses = FirstNodes::default();
        let mut macs = FirstNodes::default();
        let mut ids = FirstNodes::default();
        for node in &manifest.nodes {
            let shown = format!("node {}", node.name);
            for twice in [
                names.twice(&node.name, node, "name"),
                addresses.twice(node.address, node, "address"),
                macs.twice(&node.mac, node, "MAC"),
                ids.twice(&node.member_id, node, "member ID"),
            ] {
                twice.into_iter().for_each(|twice| self.problem(&shown, twice));
            }
            for card in &node.cards {
                let more = card.addresses.iter().map(IpNet::addr).filter(|address| *address != node.address);
                let twice = more.filter_map(|address| addresses.twice(address, node, "address"));
                let twice: Vec<_> = twice.collect();
                let mac = macs.twice(&card.mac, node, "MAC").filter(|_| card.mac != node.mac);
                twice.into_iter().chain(mac).for_each(|twice| self.problem(&shown, twice));
            }
            self.node(node, &shown);
        }
    }

    fn node(&mut self, node: &Node, shown: &str) {
        let network = &self.manifest.network;
        if let Err(why) = profile::check_member_name(&node.name) {
            self.problem(shown, format!("has a name that is not valid: {why}"));
        }
        if let Err(why) = profile::check_host(node.address, &network.cidr) {
            self.problem(shown, format!("cannot have the address {}: {why}", node.address));
        }
        for (what, urls) in [("peer", &node.peer_urls), ("client", &node.client_urls)] {
            if urls.is_empty() {
                self.problem(shown, format!("has no {what} URL"));
            }
            let is_own = |url: &&Url| match url.name() {
                Some(name) => name.split('.').next() == Some(node.name.as_str()),
                None => url.address().is_some_and(|address| {
                    node.has(address) || what == "client" && node.public_address == Some(address)
                }),
            };
            for url in urls.iter().filter(|url| !is_own(url)) {
                self.problem(shown, format!("has the {what} URL {url}, but the address {}", node.address));
            }
        }
        let there = below(&self.manifest.files, &format!("nodes/{}", node.name));
        let there: Vec<_> = there.map(|(path, _)| path.file_name()).collect();
        let listed: Vec<_> = node.files.iter().map(|file| file.as_str()).collect();
        if there != listed {
            self.problem(shown, "lists other files than the manifest has in its directory");
        }
    }

    fn certificates(&mut self) {
        let manifest = self.manifest;
        let nodes: BTreeSet<&str> = manifest.nodes.iter().map(|node| node.name.as_str()).collect();
        let mut seen = BTreeSet::new();
        let mut with = BTreeSet::new();
        // A node's own CA names no ports and no one.
        let is_plain =
            |one: &&Certificate| one.renewed.is_none() && one.ports.is_empty() && one.sans.is_empty();
        let plain = manifest.certificates.iter().filter(is_plain);
        let issuers: BTreeSet<_> = plain.map(|one| (one.node.as_deref(), one.file.as_str())).collect();
        for certificate in &manifest.certificates {
            let file = &certificate.file;
            let shown = match &certificate.node {
                Some(node) => format!("certificate {file} of {node}"),
                None => format!("certificate {file}"),
            };
            if file.contains(steers) || certificate.trusts.as_ref().is_some_and(|path| path.contains(steers))
            {
                self.problem(&shown, "has a path that cannot be shown");
            }
            if !seen.insert((certificate.node.as_deref(), file.as_str())) {
                self.problem(&shown, "is listed twice");
            }
            if certificate.not_before >= certificate.not_after {
                self.problem(&shown, "ends before it begins");
            }
            if certificate.renewed.is_some() && manifest.kiln_node.is_none() {
                self.problem(&shown, "is renewed by a program that is not listed");
            }
            if let Some(renewed) = &certificate.renewed
                && !issuers.contains(&(certificate.node.as_deref(), renewed.issuer.as_str()))
            {
                self.problem(&shown, "is renewed by a CA that is not listed");
            }
            match certificate.node.as_deref() {
                Some(node) if !nodes.contains(node) => self.problem(&shown, "belongs to no node"),
                Some(node) => _ = with.insert(node),
                None if !manifest.files.contains_key(file) => self.problem(&shown, "has no file"),
                None => {}
            }
        }
        for path in manifest.files.keys().filter(|path| layout::is_client_certificate(path)) {
            if !seen.contains(&(None, path.as_str())) {
                self.problem(path, "is a certificate that the manifest does not list as one");
            }
        }
        for node in nodes.difference(&with) {
            self.problem(format_args!("node {node}"), "has no certificate");
        }
    }

    fn files(&mut self) {
        let manifest = self.manifest;
        let nodes: BTreeSet<&str> = manifest.nodes.iter().map(|node| node.name.as_str()).collect();
        for (path, file) in &manifest.files {
            let mut parts = path.split('/');
            let stray =
                parts.next() == Some("nodes") && !parts.next().is_some_and(|node| nodes.contains(node));
            match layout::mode(path) {
                Some(_) if stray => self.problem(path, "belongs to no node"),
                Some(mode) if mode != file.mode => {
                    self.problem(
                        path,
                        format!("has the mode {} in the manifest; expected {mode}", file.mode),
                    );
                }
                Some(_) => {}
                None => self.problem(path, "is not part of a bundle"),
            }
        }
        let boots = |carrier: &Carrier| carrier.files.iter().any(|file| file.at == At::Boot);
        if manifest.base.is_some() && !manifest.carriers.iter().any(boots) {
            self.problem("base", "is present, but no carrier has boot files");
        }
        for names in needed(manifest) {
            if !names.iter().any(|name| manifest.files.contains_key(name.as_str())) {
                self.problem(names.join(" or "), "is not in the manifest");
            }
        }
    }
}

/// The first node that has each value.
struct FirstNodes<'m, T>(BTreeMap<T, &'m Node>);

impl<T> Default for FirstNodes<'_, T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'m, T: Ord + Display> FirstNodes<'m, T> {
    fn twice(&mut self, value: T, node: &'m Node, what: &str) -> Option<String> {
        match self.0.get(&value) {
            Some(first) => Some(format!("has the {what} {value}, which {} has", first.name)),
            None => {
                self.0.insert(value, node);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::bundle::example;
    use crate::failure::Exit;

    fn refused(change: impl Fn(&mut Value)) -> String {
        let mut value = example::json();
        change(&mut value);
        let failure = Manifest::from_json(value.to_string().as_bytes()).unwrap_err();
        assert_eq!(failure.exit(), Exit::Wrong);
        failure.to_string()
    }

    #[test]
    fn a_manifest_comes_back_as_it_was_written() {
        let written = example::manifest().to_json().unwrap();
        assert_eq!(Manifest::from_json(&written).unwrap().to_json().unwrap(), written);
    }

    #[test]
    fn a_manifest_from_before_some_fields_is_read() {
        let mut value = example::json();
        value.as_object_mut().unwrap().remove("machine");
        value.as_object_mut().unwrap().remove("kiln_node");
        value["cluster"].as_object_mut().unwrap().remove("formed");
        assert!(!Manifest::from_json(value.to_string().as_bytes()).unwrap().cluster.formed);
    }

    #[test]
    fn another_schema_is_named_before_its_fields_are_read() {
        let why = refused(|value| *value = json!({ "schema": 2, "clusters": [] }));
        assert!(why.contains("schema 2"), "{why}");
    }

    #[test]
    fn parts_that_do_not_fit_together_are_refused() {
        type Change = fn(&mut Value);
        let cases: &[(Change, &str)] = &[
            (|m| m["nodes"] = json!([]), "names no node"),
            (|m| m["nodes"][1]["name"] = json!("a"), "has the name a, which a has"),
            (
                |m| m["nodes"][1]["address"] = m["nodes"][0]["address"].clone(),
                "has the address 10.0.0.11, which a has",
            ),
            (|m| m["nodes"][1]["mac"] = m["nodes"][0]["mac"].clone(), "which a has"),
            (|m| m["nodes"][1]["member_id"] = m["nodes"][0]["member_id"].clone(), "which a has"),
            (|m| m["nodes"][0]["name"] = json!("localhost"), "has a name that is not valid"),
            (|m| m["nodes"][0]["address"] = json!("127.0.0.1"), "loopback"),
            (|m| m["nodes"][0]["address"] = json!("10.1.0.1"), "it is not in 10.0.0.0/24"),
            (|m| m["network"]["gateway"] = json!("10.0.0.11"), "the gateway's"),
            (|m| m["network"]["gateway"] = json!("10.9.0.1"), "gateway cannot be"),
            (|m| m["nodes"][0]["peer_urls"] = json!([]), "has no peer URL"),
            (|m| m["nodes"][0]["client_urls"] = json!(["https://9.9.9.9:1"]), "URL https://9.9.9.9:1"),
            (|m| m["nodes"][0]["files"] = json!([]), "lists other files"),
            (|m| m["nodes"][0]["files"][0] = json!("domain.xml"), "lists other files"),
            (|m| m["certificates"] = json!([]), "has no certificate"),
            (|m| m["certificates"][1]["node"] = json!("c"), "belongs to no node"),
            (|m| m["certificates"][2] = m["certificates"][1].clone(), "is listed twice"),
            (|m| m["certificates"][0]["file"] = json!("client/x.pem"), "has no file"),
            (|m| m["certificates"][0]["not_after"] = json!(0), "ends before"),
            (|m| _ = m["etcd"]["binaries"].as_object_mut().unwrap().remove("etcdctl"), "is part of etcd"),
            (
                |m| m["etcd"]["binaries"]["etcd"]["path"] = json!("usr/bin/sh"),
                "whose last part is another name",
            ),
            (|m| m["files"]["nodes/a/overlay.tar.gz"]["mode"] = json!("0644"), "expected 0600"),
            (|m| m["files"]["network.xml"]["mode"] = json!("4755"), "expected 0644"),
            (|m| m["files"]["notes"] = m["files"]["network.xml"].clone(), "not part of a bundle"),
            (|m| m["files"]["bundle.json"] = m["files"]["network.xml"].clone(), "not part of a bundle"),
            (
                |m| m["files"]["nodes/c/overlay.tar.gz"] = m["files"]["nodes/a/overlay.tar.gz"].clone(),
                "belongs to no node",
            ),
            (|m| m["files"]["client/x.pem"] = m["files"]["network.xml"].clone(), "does not list as one"),
            (|m| m["carriers"] = json!(["ignition"]), "nodes/a/config.ign is not in the manifest"),
            (|m| m["binaries"] = json!("shared"), "layers/etcd.tar.gz is not in the manifest"),
            (|m| m["carriers"] = json!(["tar", "tar"]), "twice"),
            (
                |m| {
                    let file = json!({ "sha256": "7f".repeat(32), "size": 1 });
                    m["base"] = json!({ "kernel": file, "initrd": file, "cmdline": "quiet" });
                },
                "no carrier has boot files",
            ),
            (|m| m["carriers"] = json!(["floppy"]), "it is tar or initramfs"),
            (|m| m["secret"] = json!(1), "unknown field"),
        ];
        for (change, want) in cases {
            let why = refused(change);
            assert!(why.contains(want), "{want}: {why}");
        }
    }

    #[test]
    fn kilns_own_program_has_a_place_and_a_version() {
        type Change = fn(&mut Value);
        let cases: [(Change, &str); 4] = [
            (|m| m["kiln_node"]["path"] = json!("usr/bin/sh"), "whose last part is another name"),
            (|m| m["kiln_node"]["path"] = json!("usr/$x/kiln-node"), "not valid for a program"),
            (|m| m["kiln_node"]["version"] = json!("one"), "write a version"),
            (|m| m["kiln_node"]["interpreter"] = json!("/lib/ld.so"), "unknown field"),
        ];
        for (change, want) in cases {
            let why = refused(change);
            assert!(why.contains(want), "{want}: {why}");
        }
    }

    #[test]
    fn a_key_that_is_there_twice_is_refused() {
        let text = example::json().to_string();
        let twice = |from: &str, to: &str| {
            assert_eq!(text.matches(from).count(), 1);
            let why = Manifest::from_json(text.replace(from, to).as_bytes()).unwrap_err().to_string();
            assert!(why.contains("twice") || why.contains("duplicate field"), "{why}");
        };
        let digest = "7f".repeat(32);
        let file = format!(r#""network.xml":{{"size":1,"mode":"0644","sha256":"{digest}"}}"#);
        twice(&file, &format!("{file},{file}"));
        twice(r#""epoch":1767225600"#, r#""epoch":1767225600,"epoch":1767225600"#);
    }

    #[test]
    fn only_the_first_problems_are_listed() {
        let why = refused(|m| {
            for n in 0..1000 {
                m["files"][format!("notes/{n}")] = m["files"]["network.xml"].clone();
            }
        });
        assert_eq!(why.lines().count(), 22, "{why}");
        assert!(why.ends_with("and 980 more"), "{why}");
    }
}
