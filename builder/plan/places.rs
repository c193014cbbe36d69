//! Where a node that renews its own certificates has what it needs.

use super::issuer::IssuerSpec;
use super::{Owner, Plan};
use crate::values::InstanceName;

/// Of one cluster on a node: directories of its own, below those of Kiln.
pub(crate) struct RenewalPlaces {
    /// `etc/kiln`.
    etc: String,
    /// `/var/lib/kiln`.
    var: String,
    /// `/run/kiln`.
    run: String,
}

/// The two files of a certificate, as paths in the guest without a leading /.
pub(crate) struct Pair {
    pub cert: String,
    pub key: String,
}

impl RenewalPlaces {
    pub fn of(instance: &InstanceName) -> Self {
        let kiln = instance.directory();
        Self { etc: format!("etc/{kiln}"), var: format!("/var/lib/{kiln}"), run: format!("/run/{kiln}") }
    }

    /// The first generation, which Kiln has issued: `etc/kiln/pki`.
    pub fn first(&self) -> String {
        format!("{}/pki", self.etc)
    }

    /// The node's CAs.
    pub fn issuers(&self) -> String {
        format!("{}/issuer", self.etc)
    }

    /// What the node's program is told.
    pub fn policy(&self) -> String {
        format!("{}/renew.json", self.etc)
    }

    /// The directory of the generations, absolute.
    pub fn generations(&self) -> String {
        format!("{}/pki", self.var)
    }

    /// Where the program says what it has done, absolute.
    pub fn status(&self) -> &str {
        &self.run
    }

    /// A certificate of the first generation.
    pub fn leaf(&self, issuer: &IssuerSpec) -> Pair {
        pair(&self.first(), issuer)
    }

    /// The CA of that certificate.
    pub fn issuer(&self, issuer: &IssuerSpec) -> Pair {
        pair(&self.issuers(), issuer)
    }

    /// What the link to a certificate that is in use leads to, absolute.
    pub fn live(&self, issuer: &IssuerSpec) -> Pair {
        pair(&format!("{}/live", self.generations()), issuer)
    }
}

fn pair(directory: &str, issuer: &IssuerSpec) -> Pair {
    let (cert, key) = issuer.files();
    Pair { cert: format!("{directory}/{cert}"), key: format!("{directory}/{key}") }
}

impl Plan {
    /// `None` where the desk renews.
    pub(crate) fn renewal_places(&self) -> Option<RenewalPlaces> {
        self.pki.renewal.as_ref().map(|_| RenewalPlaces::of(&self.instance.name))
    }

    /// The account that has keys of this owner.
    pub(crate) fn account(&self, owner: Owner) -> &str {
        match owner {
            Owner::Etcd => self.instance.user.as_str(),
            Owner::Root => "root",
        }
    }
}
