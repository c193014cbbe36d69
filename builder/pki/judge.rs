//! Whether a build may be made from a keystore: it must not contradict what the keystore has issued, and the clusters
//! that have formed.

use std::path::Path;

use super::differences;
use super::keystore::Keystore;
use super::record::{Fixed, Formed, Member, Series, Signer};
use super::recorded;
use crate::disk;
use crate::failure::{Failure, Result};
use crate::plan::{self, AuthoritySpec, Plan};
use crate::profile::CaKeys;
use crate::values::{ClusterName, Url};

/// A message for the user who builds.
pub enum Remark {
    /// Expected, such as what a build records for the first time; `-q` hides it.
    Note(String),
    /// Allowed, but perhaps not intended; always printed.
    Warning(String),
}

impl Keystore {
    /// Compares a plan with the record here, and records what this build is the first to fix; `is_unsaved` then says
    /// whether there is something to save. `dir` is the directory of the keystore.
    ///
    /// # Errors
    /// `Exit::Unsafe` with every reason, when members of the cluster that has formed, or that this keystore has issued
    /// certificates to, could not run with the bundle.
    pub fn admit(&mut self, dir: &Path, plan: &Plan) -> Result<Vec<Remark>> {
        self.check_imported(dir, plan)?;
        let signer = self.signer(plan.pki.ca.algorithm, plan.pki.ca.lifetime)?;
        let is_imported = |name: &str| self.has_imported(name);
        let authorities = recorded::to_record(self.cluster(), is_imported, &plan.authorities);
        let peers = self.peers_signer()?;
        let etcd = Series::from(plan.release);
        let mut reasons = Vec::new();
        let mut remarks: Vec<Remark> = self.ignored(plan).collect();
        remarks.extend(self.begin_renewal(dir, plan)?);
        let successors = self.successors().record();
        if let Some(fixed) = self.fixed() {
            let successors = successors.clone();
            let is = Fixed { signer, peers, authorities: authorities.clone(), successors, etcd };
            match other_renewal(fixed, plan) {
                Some(reason) => reasons.push(reason),
                None => reasons.extend(other_authorities(fixed, &is, plan)),
            }
        }
        let formed = self.formed(&plan.cluster.token);
        if let Some(formed) = formed {
            reasons.extend(other_members(formed, plan));
            reasons.extend(other_release(Series::from(formed.release), plan));
        } else if let Some(other) = self.sealed().next()
            && !self.is_sealed(&plan.cluster.token)
        {
            reasons.push(format!(
                "the token is {}, but the formed cluster has {other}: another token makes another cluster; {}, and bootstrap \
                 another cluster from another --keystore",
                plan.cluster.token,
                match other == self.token() {
                    true => "remove [cluster] token from the profile".to_owned(),
                    false => format!("set [cluster] token = \"{other}\""),
                }
            ));
        }
        if !reasons.is_empty() {
            return Err(refusal(dir, plan, formed, &reasons));
        }
        match formed.map(|formed| Series::from(formed.release)) {
            Some(from) if from != etcd => remarks.push(Remark::Note(format!(
                "{} formed with etcd {from}: upgrade one member at a time to {etcd}, and when all of them run it, record that \
                 with kiln seal",
                plan.cluster.name
            ))),
            _ => {}
        }
        match self.fixed().map(|fixed| fixed.etcd) {
            Some(newest) if etcd < newest => remarks.push(Remark::Warning(format!(
                "an earlier build from {} had etcd {newest}, and etcd does not go back to {etcd}: members that run {newest} \
                 would not start",
                dir.display()
            ))),
            Some(newest) if etcd == newest => {}
            _ => self.fix(Fixed { signer, peers, authorities, successors, etcd }),
        }
        Ok(remarks)
    }

    /// At the first build of a cluster whose nodes renew: the successors of its CAs.
    fn begin_renewal(&mut self, dir: &Path, plan: &Plan) -> Result<Option<Remark>> {
        if plan.pki.renewal.is_none() || self.fixed().is_some() {
            return Ok(None);
        }
        let remark = (self.is_stored() && !self.has_successors_secret()).then(|| {
            Remark::Warning(format!(
                "this build gives the keystore {} the secret of the successors of its CAs: back it up again, and copy it to other \
                 machines only from now on",
                dir.display()
            ))
        });
        self.make_successors(&plan.authorities)?;
        Ok(remark)
    }

    /// A profile that describes a CA which the keystore does not make.
    fn ignored(&self, plan: &Plan) -> impl Iterator<Item = Remark> {
        let is_ignored = |ca: &&AuthoritySpec| {
            self.has_imported(ca.name) && (ca.is_described || !ca.is_usual(self.cluster()))
        };
        plan.authorities.iter().filter(is_ignored).map(|ca| {
            let (of_peers, name) = (plan::of_peers(ca.name), ca.name);
            Remark::Warning(format!(
                "the keystore has an imported CA{of_peers}, which is as its certificate says: algorithm, lifetime, subject, \
                 common-name, intermediate and name-constraints of [pki.{name}] have no effect; omit them"
            ))
        })
    }

    /// A profile may say that its CA is an imported one. One that was imported for peers is for a profile with such a
    /// CA: without it, the first CA would issue for peers.
    fn check_imported(&self, dir: &Path, plan: &Plan) -> Result<()> {
        let shown = dir.display();
        let missing = |ca: &&AuthoritySpec| ca.is_imported && !self.has_imported(ca.name);
        if let Some(ca) = plan.authorities.iter().find(missing) {
            let (of, of_peers) = (ca.name, plan::of_peers(ca.name));
            let way_out = self.way_to_import(dir, of)?;
            return Err(Failure::untrusted(format!(
                "[pki.{of}] source is \"imported\", but the keystore {shown} has no imported CA{of_peers}; {way_out}"
            )));
        }
        let other = |ca: &&AuthoritySpec| ca.is_derived && self.has_imported(ca.name);
        if let Some(ca) = plan.authorities.iter().find(other) {
            let (of, of_peers) = (ca.name, plan::of_peers(ca.name));
            return Err(Failure::unsafe_to(format!(
                "[pki.{of}] source is \"derived\", but the keystore {shown} has an imported CA{of_peers}, and would issue under \
                 it; write source = \"imported\", or use another --keystore for a cluster with a CA that Kiln makes"
            )));
        }
        let imported = plan.authorities.iter().find(|ca| self.has_imported(ca.name));
        if let Some(ca) = imported.filter(|_| plan.pki.renewal.is_some()) {
            return Err(Failure::unsafe_to(format!(
                "renewal = \"node\" needs CAs that Kiln makes, and the keystore {shown} has an imported CA{}; write renewal = \
                 \"desk\" in [pki], or use another --keystore for a new cluster",
                plan::of_peers(ca.name)
            )));
        }
        if self.has_imported(plan::PEER_CA) && plan.authority(plan::PEER_CA).is_none() {
            return Err(Failure::unsafe_to(format!(
                "the keystore {shown} has an imported CA for peers, which this profile does not use: write source = \"imported\" \
                 in [pki.peer-ca], or use another --keystore for a cluster with one CA"
            )));
        }
        Ok(())
    }

    /// How to import the CA of a profile that the keystore does not have, as the end of a sentence.
    ///
    /// # Errors
    /// `Exit::Io` when the place of the keystore cannot be looked at.
    pub fn way_to_import(&self, dir: &Path, authority: &str) -> Result<String> {
        let (cluster, shown) = (self.cluster(), dir.display());
        // What has issued takes no other CA (`Keystore::import`).
        if self.has_issued() {
            return Ok(format!(
                "it has issued certificates, so none can be imported any more; for a new cluster under the CA, {}",
                steps_to_import(cluster, "DIR", authority, "create another keystore")
            ));
        }
        // The keystore of a first build is not on the disk yet.
        let create = if disk::look(dir)?.is_some() { "" } else { "create the keystore" };
        Ok(steps_to_import(cluster, &shown.to_string(), authority, create))
    }
}

/// `create`: what to do first, unless the keystore is there.
fn steps_to_import(cluster: &ClusterName, keystore: &str, authority: &str, create: &str) -> String {
    let option = if authority == plan::PEER_CA { " --as peer-ca" } else { "" };
    let first = match create {
        "" => String::new(),
        create => format!("{create} with kiln keystore init {cluster} --keystore {keystore}, and "),
    };
    format!(
        "{first}import the CA with kiln keystore import-ca {cluster} --keystore {keystore} --cert {authority}.pem \
         --key {authority}-key.pem{option}"
    )
}

fn refusal(dir: &Path, plan: &Plan, formed: Option<&Formed>, reasons: &[String]) -> Failure {
    let dir = dir.display();
    let reasons: String = reasons.iter().map(|reason| format!("\n  {reason}")).collect();
    let (name, new) = (&plan.cluster.name, plan.cluster.id);
    Failure::unsafe_to(match formed {
        Some(formed) if formed.id != new => format!(
            "{name} has formed (sealed in {dir}) with the cluster ID {}; this profile describes another cluster, {new}, \
             which does not match the nodes' data:{reasons}\n  \
             How to change a running cluster by hand: README, \"Changing a formed cluster\"",
            formed.id
        ),
        Some(_) => format!("{name} has formed (sealed in {dir}), and this profile does not fit it:{reasons}"),
        None => format!("this profile does not fit the keystore {dir}:{reasons}"),
    })
}

const REFUSE: &str = "nodes with the certificates that were issued before would refuse the new ones";

fn of_another_ca(of_peers: &str) -> String {
    format!(
        "certificates were issued under another CA{of_peers} than its present one: {REFUSE}; use the keystore as it was then, \
         from a backup, or another --keystore for a new cluster"
    )
}

/// Who renews is decided with the first certificates: CAs above nodes are others than those that are not.
fn other_renewal(was: &Fixed, plan: &Plan) -> Option<String> {
    let (is, way_out) = match (was.renews_on_nodes(), plan.pki.renewal.is_some()) {
        (false, true) => (
            "a build renews the certificates that it has issued",
            "write renewal = \"desk\" in [pki], or omit it",
        ),
        (true, false) => (
            "nodes renew the certificates that it has issued",
            "write renewal = \"node\" in [pki], or omit it",
        ),
        _ => return None,
    };
    Some(format!(
        "{is}, and nodes would not trust the CAs that the other way needs; {way_out}, or use another --keystore for a new \
         cluster"
    ))
}

/// Why the CAs that have issued are not those that would issue now.
fn other_authorities(was: &Fixed, is: &Fixed, plan: &Plan) -> Vec<String> {
    // Another kind of CA has no differences besides.
    let is_same_kind = matches!(
        (was.signer, is.signer),
        (Signer::Derived { .. }, Signer::Derived { .. }) | (Signer::Imported(_), Signer::Imported(_))
    );
    let mut reasons = Vec::new();
    if was.signer != is.signer {
        reasons.extend(other_signer(&was.signer, &is.signer, &plan.pki.ca.keys));
    }
    if is_same_kind {
        reasons.extend(differences::of(plan::CA, was, is, plan));
    }
    reasons.extend(match was.peers == is.peers {
        true => differences::of(plan::PEER_CA, was, is, plan),
        false => Some(of_another_ca(plan::of_peers(plan::PEER_CA))),
    });
    reasons
}

/// `keys` are the CA's in the profile.
fn other_signer(was: &Signer, is: &Signer, keys: &CaKeys) -> Vec<String> {
    let refuse = REFUSE;
    let (was, is) = match (was, is) {
        (
            Signer::Derived { algorithm, lifetime },
            Signer::Derived { algorithm: new_algorithm, lifetime: new_lifetime },
        ) => ((algorithm, lifetime), (new_algorithm, new_lifetime)),
        _ => return vec![of_another_ca("")],
    };
    let mut reasons = Vec::new();
    if was.0 != is.0 {
        reasons.push(format!(
            "the CA's key would be {}, but certificates were issued under a CA key of {}: {refuse}; set {} = \"{}\" \
             (leaf-algorithm may change), or use another --keystore for a new cluster",
            is.0, was.0, keys.algorithm, was.0
        ));
    }
    if was.1 != is.1 {
        reasons.push(format!(
            "the CA would be another certificate, made for {} instead of {}; set {} = \"{}\" (leaf-lifetime may change), or \
             use another --keystore for a new cluster",
            is.1, was.1, keys.lifetime, was.1
        ));
    }
    reasons
}

fn other_members(formed: &Formed, plan: &Plan) -> Vec<String> {
    let mut reasons = Vec::new();
    let by_name = |name: &str| formed.members.iter().find(|member| member.name.as_str() == name);
    let is_at = |member: &Member, url: &Url| member.peer_url == *url;
    let by_url = |url: &Url| formed.members.iter().find(|member| is_at(member, url));
    for node in &plan.nodes {
        let (name, url) = (&node.name, &node.peer_url);
        match (by_name(name.as_str()), by_url(url)) {
            (Some(member), _) if is_at(member, url) => {}
            (Some(Member { peer_url, .. }), Some(other)) => reasons.push(format!(
                "{name} has the peer URL {peer_url}, but {url} is that of {}: restore each node's own address",
                other.name
            )),
            (Some(Member { id, peer_url, .. }), None) => reasons.push(format!(
                "{name} has the peer URL {peer_url}, not {url}: to change the running cluster, run etcdctl member update \
                 {id} --peer-urls={url}"
            )),
            (None, Some(member)) => reasons.push(format!(
                "the member at {url} is {}, not {name}: members keep the names of their certificates",
                member.name
            )),
            (None, None) => reasons.push(format!(
                "{name} ({url}) is not a member: to change the running cluster, run etcdctl member add {name} --peer-urls={url}; \
                 {name} then starts with initial-cluster-state: existing"
            )),
        }
    }
    let is_there = |member: &&Member| {
        plan.nodes.iter().any(|node| node.name == member.name || is_at(member, &node.peer_url))
    };
    for Member { name, id, .. } in formed.members.iter().filter(|member| !is_there(member)) {
        reasons.push(format!(
            "the member {name} is missing: restore its [[node]]; only if the node is gone for good, run etcdctl member remove \
             {id}"
        ));
    }
    reasons
}

fn other_release(from: Series, plan: &Plan) -> Option<String> {
    let to = Series::from(plan.release);
    if from.leads_to(to) {
        return None;
    }
    Some(match to < from {
        true => format!(
            "etcd {} does not start with the data of {from}: set [etcd] version to a release of {from}",
            plan.release
        ),
        false => format!(
            "etcd goes up one minor release at a time, and {} is more than one from {from}: build with {} first, and when \
             every member runs it, record that with kiln seal",
            plan.release,
            from.next()
        ),
    })
}
