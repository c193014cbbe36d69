//! Sealing: recording, from a bundle, that its cluster has formed, and its identity.

use std::path::Path;

use super::certificate::Certificate;
use super::chain::Chain;
use super::key::Key;
use super::keystore::Keystore;
use super::made::derived;
use super::record::{Fixed, Formed, Series, Signer};
use super::{pem, signature};
use crate::etcd::Release;
use crate::failure::{Doing, Failure, Result};
use crate::plan::{self, Made};
use crate::profile::Algorithm;
use crate::values::{ClusterName, Digest, Lifetime, NodeName, Token, Url};

/// What to do with a keystore that is older than its first build.
const BUILD_FIRST: &str = "use the keystore as it was when the bundle was built, or build the bundle's profile from this one once, \
                           which records its CAs, and seal again";

/// The identity of a bundle's cluster, and the certificates that prove which keystore it is from.
pub struct Witness {
    /// etcd's `initial-cluster-token`, by which the keystore records the cluster.
    pub token: Token,
    /// The etcd release in the bundle.
    pub release: Release,
    /// Name and peer URL of each.
    pub members: Vec<(NodeName, Url)>,
    /// The certificate for etcdctl, and the intermediate CAs where there are any; PEM.
    pub certificate: Vec<u8>,
    /// The CA that clients trust, PEM.
    pub trust: Vec<u8>,
    /// The same of the peers' own CA, where the bundle has one.
    pub peer_trust: Option<Vec<u8>>,
}

/// The result of sealing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealed {
    /// This call has sealed the cluster.
    New,
    /// It was sealed before, and nothing has changed.
    Already,
    /// It was sealed before, and its record now names a newer minor release of etcd.
    Newer,
    /// It was sealed before there was a record, and has one now.
    Adopted,
    /// It was sealed before there was a record, and still has none.
    Unrecorded,
}

impl Keystore {
    /// Records that the cluster of this bundle has formed, and its identity: from now on no build bootstraps it again,
    /// and builds that contradict the record are refused. An existing record is not written again.
    ///
    /// With `adopt`, a cluster that was sealed without a record gets one.
    ///
    /// The certificate proves which keystore the bundle is from. A token does not, because a profile may set it, and a
    /// CA does not, because two keystores may have imported the same one.
    ///
    /// # Errors
    /// As `open`; `Exit::Untrusted` when a certificate is invalid; `Exit::Unsafe` when it has a key that this keystore
    /// has never issued, or the cluster was sealed with another identity.
    pub fn seal(dir: &Path, cluster: &ClusterName, witness: &Witness, adopt: bool) -> Result<Sealed> {
        let mut keystore = Self::open_to_change(dir, cluster)?;
        let formed = keystore.recognise(dir, witness)?;
        let outcome = match (keystore.is_sealed(&witness.token), keystore.formed(&witness.token)) {
            (false, _) if adopt => {
                return Err(Failure::unsafe_to(format!(
                    "{} is not sealed in {}, so there is nothing to adopt; seal it without --adopt",
                    witness.token,
                    dir.display()
                )));
            }
            (false, _) => Sealed::New,
            (true, None) if adopt => Sealed::Adopted,
            (true, None) => return Ok(Sealed::Unrecorded),
            (true, Some(there)) => {
                check_same(dir, there, &formed)?;
                match Series::from(formed.release) > Series::from(there.release) {
                    true => Sealed::Newer,
                    false => return Ok(Sealed::Already),
                }
            }
        };
        keystore.note_formed(dir, formed, witness)?;
        keystore.save(dir)?;
        Ok(outcome)
    }

    /// Records the identity of a cluster that was sealed without a record, if the bundle is one of it; `is_unsaved`
    /// then says that there is something to save. `dir` is the directory of the keystore.
    ///
    /// # Errors
    /// As `seal`.
    pub fn adopt(&mut self, dir: &Path, witness: &Witness) -> Result<()> {
        if self.lacks_record(&witness.token) {
            let formed = self.recognise(dir, witness)?;
            self.note_formed(dir, formed, witness)?;
        }
        Ok(())
    }

    /// Whether the cluster with this token was sealed by a version of Kiln that did not record its identity.
    pub fn lacks_record(&self, token: &Token) -> bool {
        self.is_sealed(token) && self.formed(token).is_none()
    }

    fn note_formed(&mut self, dir: &Path, formed: Formed, witness: &Witness) -> Result<()> {
        if self.fixed().is_none() {
            self.check_peers(dir, witness)?;
            let etcd = Series::from(formed.release);
            let peers = self.peers_signer()?;
            // A CA that needs more of a record was not recognised, and one for peers is not derived.
            self.fix(Fixed {
                signer: formed.signer,
                peers,
                authorities: Vec::new(),
                successors: Vec::new(),
                etcd,
            });
        }
        self.set_formed(formed);
        Ok(())
    }

    /// A keystore that has not recorded its CAs yet, such as a backup from before the first build, can record from a
    /// bundle that its peers have no CA of their own, or the imported one. A derived one is recorded by a build.
    fn check_peers(&self, dir: &Path, witness: &Witness) -> Result<()> {
        let there = witness.peer_trust.as_deref().map(Certificate::from_pem).transpose();
        let there = there.doing(|| "reading the bundle's CA for peers".into())?;
        let imported = self.imported(plan::PEER_CA).map(|(chain, _)| Chain::from_pem(chain)).transpose()?;
        let dir = dir.display();
        Err(Failure::unsafe_to(match (there, imported) {
            (None, None) => return Ok(()),
            (Some(there), Some(imported)) if imported.top().der() == there.der() => return Ok(()),
            (Some(_), None) => format!(
                "the bundle's peers have a CA of their own, of which {dir} has no record; {BUILD_FIRST}"
            ),
            (_, Some(imported)) => format!(
                "{dir} has an imported CA for peers, {}, which is not the bundle's; use the keystore as it was when the \
                 bundle was built, from a backup",
                imported.ca().name()
            ),
        }))
    }

    /// The cluster that a bundle of this keystore forms.
    fn recognise(&self, dir: &Path, witness: &Witness) -> Result<Formed> {
        let leaf = Certificate::from_pem(&witness.certificate)
            .doing(|| "reading the bundle's certificate".into())?;
        if !self.has_keyed(&plan::operator(Lifetime::days(1)).label, &leaf)? {
            return Err(Failure::unsafe_to(format!(
                "no key in the bundle derives from {}: the bundle was built with another keystore; name that one with \
                 --keystore",
                dir.display()
            )));
        }
        let signer = self.signer_of(&leaf, witness)?.filter(|signer| {
            // The CA that issues now takes precedence over the one that did when the bundle was built.
            self.fixed().is_none_or(|fixed| fixed.signer == *signer)
        });
        let signer = signer.ok_or_else(|| {
            let of = "the bundle's certificates were issued under another CA than";
            let dir = dir.display();
            Failure::unsafe_to(match self.fixed() {
                Some(_) => {
                    format!("{of} that of {dir}; use the keystore as it was then, from a backup")
                }
                None => format!("{of} the usual one of {dir}, which has no record of its CA; {BUILD_FIRST}"),
            })
        })?;
        Formed::of(&witness.token, witness.release, signer, &witness.members)
            .doing(|| "reading the bundle's manifest".into())
    }

    /// Whether the key of this certificate was derived from this keystore with this label, at any issue.
    fn has_keyed(&self, label: &str, certificate: &Certificate) -> Result<bool> {
        for issue in self.all_issues() {
            let label = [self.cluster().as_str(), &issue.label(), label];
            for (_, algorithm) in Algorithm::CHOICES {
                if Key::derive(self.secret(), *algorithm, &label)?.public()? == *certificate.public_key() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// The CA that issued a leaf, if this keystore has it: the current one, or the derived one of any algorithm and
    /// lifetime.
    fn signer_of(&self, leaf: &Certificate, witness: &Witness) -> Result<Option<Signer>> {
        let mut issuer = None;
        for text in [&witness.certificate, &witness.trust] {
            for block in pem::blocks(text)? {
                let Ok(ca) = Certificate::from_der(&block.der) else { continue };
                let signed = || {
                    signature::verify(ca.public_key(), leaf.algorithm(), leaf.signed(), leaf.signature())
                        .is_ok()
                };
                if ca.subject() == leaf.issuer() && signed() {
                    issuer = issuer.or(Some(ca));
                }
            }
        }
        let Some(issuer) = issuer else { return Ok(None) };
        if let Some((chain, _)) = self.imported(plan::CA)
            && Chain::from_pem(chain)?.ca().der() == issuer.der()
        {
            return Ok(Some(Signer::Imported(Digest::of(issuer.der()))));
        }
        let first = self.first_issued();
        let derived = |made: &Made| derived(self.secret(), self.cluster(), plan::CA, made, first);
        if let Some((fixed, made)) = self.fixed().and_then(|fixed| Some((fixed, fixed.made()?)))
            && derived(made)?.1.ca().der() == issuer.der()
        {
            return Ok(Some(fixed.signer));
        }
        let seconds = issuer.not_after().seconds().saturating_sub(first.seconds());
        let Ok(lifetime) = Lifetime::from_seconds(seconds) else { return Ok(None) };
        for (_, algorithm) in Algorithm::CHOICES {
            let (_, chain) = derived(&Made::plain(self.cluster(), *algorithm, lifetime))?;
            if chain.ca().der() == issuer.der() {
                return Ok(Some(Signer::Derived { algorithm: *algorithm, lifetime }));
            }
        }
        Ok(None)
    }

    /// The SHA-256 of the issuing certificate of an imported CA for peers.
    pub(super) fn peers_signer(&self) -> Result<Option<Digest>> {
        let Some((chain, _)) = self.imported(plan::PEER_CA) else { return Ok(None) };
        Ok(Some(Digest::of(Chain::from_pem(chain)?.ca().der())))
    }

    /// The CA that a build with these settings signs with.
    ///
    /// # Errors
    /// `Exit::Untrusted` when the imported one cannot be read.
    pub(super) fn signer(&self, algorithm: Algorithm, lifetime: Lifetime) -> Result<Signer> {
        Ok(match self.imported(plan::CA) {
            Some((chain, _)) => Signer::Imported(Digest::of(Chain::from_pem(chain)?.ca().der())),
            None => Signer::Derived { algorithm, lifetime },
        })
    }
}

/// The members of two records of one cluster must be the same: members that differ were not in the cluster that
/// formed.
fn check_same(dir: &Path, there: &Formed, new: &Formed) -> Result<()> {
    let names = |formed: &Formed| -> String {
        let all: Vec<_> = formed.members.iter().map(|m| format!("{} ({})", m.name, m.peer_url)).collect();
        all.join(", ")
    };
    if there.members == new.members && there.id == new.id {
        return Ok(());
    }
    Err(Failure::unsafe_to(format!(
        "{} is sealed in {} with other members than this bundle has: sealed {}; in the bundle {}. Only a bundle of the \
         formed cluster can record it",
        there.token,
        dir.display(),
        names(there),
        names(new)
    )))
}
