//! CAs of nodes, below the cluster's: each issues the certificates of one port of one node, and no others.

use super::authority::{Authority, Issued};
use super::certificate::common_name;
use super::made::{Maker, One};
use super::node_ca::NodeCa;
use crate::failure::{Doing, Result};
use crate::plan::{CertificateSpec, IssuerSpec};
use crate::profile::Algorithm;
use crate::values::Lifetime;

impl Authority {
    /// The CA of a node, and a certificate from it as the node itself would make it.
    ///
    /// # Errors
    /// As `issue`.
    pub(super) fn issue_below(
        &self,
        spec: &CertificateSpec,
        issuer: &IssuerSpec,
        algorithm: Algorithm,
        lifetime: Lifetime,
    ) -> Result<Issued> {
        let (below, ca) = self.below(issuer).doing(|| format!("making the CA {}", issuer.common_name))?;
        let issued = below.issue(&CertificateSpec { issuer: None, ..spec.clone() }, algorithm, lifetime)?;
        Ok(Issued { issuer: Some(ca), ..issued })
    }

    fn below(&self, spec: &IssuerSpec) -> Result<(Authority, NodeCa)> {
        let round = self.issue.label();
        let maker = Maker { secret: &self.secret, algorithm: Algorithm::P256, first: self.issue.date };
        let by = self.signer();
        let (key, certificate) = maker.make(&One {
            label: &[self.cluster.as_str(), &round, &spec.label],
            subject: &common_name(&spec.common_name)?,
            lifetime: spec.lifetime,
            length: 0,
            permits: Some(&spec.permits),
            usages: &spec.usages,
            by: Some(by),
            within: Some(self.validity()),
        })?;
        let key_pem = key.to_pem()?;
        let (subject, serial) = (certificate.name(), certificate.serial());
        let (not_before, not_after) = (certificate.not_before(), certificate.not_after());
        let chain = self.chain().with_below(certificate)?;
        let mut cert_pem = String::new();
        for one in chain.intermediates() {
            cert_pem.push_str(&one.pem()?);
        }
        let below = self.with_chain(key, chain)?;
        Ok((below, NodeCa { cert_pem, key_pem, subject, serial, not_before, not_after }))
    }
}
