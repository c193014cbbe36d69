//! Certificates that a copy of a node's CA could make, for trying whether a port refuses them. They live ten minutes,
//! and exist in memory only.

use std::net::IpAddr;

use kiln_wire::{Kind, Usage, x509};
use x509_cert::ext::pkix::name::GeneralName;

use super::certificate::{Certificate, Content, common_name, encoding};
use super::chain;
use super::issuing::check;
use super::key::{Key, KeyPem};
use super::keystore::Keystore;
use super::presented::Presented;
use super::public;
use super::secret::Secret;
use crate::failure::{Failure, Result};
use crate::plan::issuer_label;
use crate::profile::Algorithm;
use crate::values::{Epoch, PeerTag};

/// Before and after now, in seconds: the clocks of members may differ.
const HALF_LIFE: u64 = 300;

/// What a certificate says that a port must refuse.
#[derive(Clone, Copy)]
pub(crate) enum Forged {
    /// The subject of a peer, but no alternative name: constraints say nothing of names that are absent.
    Nameless,
    /// The name of another cluster's peers, and this address.
    OtherTag(IpAddr),
    /// All that the first certificate of this CA says, for both uses of a peer.
    Faithful,
    /// CN=root, as a client.
    Root,
}

/// The CA of a node for one port, with its key from the keystore.
pub(crate) struct NodeMint {
    key: Key,
    /// The first certificate of the CA, which is in the bundle.
    first: Presented,
    ca: Certificate,
    /// The CA and those above it that are sent with it, PEM.
    sent: String,
}

impl Keystore {
    /// The CA of a node, of whichever issue it is. `chain` is the first certificate that it has made, itself, and what
    /// is sent after it.
    ///
    /// # Errors
    /// `Exit::Untrusted` when the keystore has not made the CA.
    pub(crate) fn node_mint(&self, node: &str, kind: Kind, chain: &[Presented]) -> Result<NodeMint> {
        let [first, ca, ..] = chain else {
            return Err(Failure::untrusted(format!("the bundle has no {} CA of {node}", kind.as_str())));
        };
        let label = issuer_label(node, kind);
        // The latest first: most bundles are of it.
        let mut numbers: Vec<_> = self.all_issues().collect();
        numbers.reverse();
        for issue in numbers {
            let round = issue.label();
            let key =
                Key::derive(self.secret(), Algorithm::P256, &[self.cluster().as_str(), &round, &label])?;
            if public::same(&key.public()?, ca.certificate().public_key()) {
                let sent = chain[1..].iter().map(|one| one.certificate().pem()).collect::<Result<_>>()?;
                let (first, ca) = (first.clone(), ca.certificate().clone());
                return Ok(NodeMint { key, first, ca, sent });
            }
        }
        Err(Failure::untrusted(format!(
            "this keystore did not make the {} CA of {node}: the bundle was built from another keystore of {}, or from a \
             later state of this one; pass the keystore that it was built from",
            kind.as_str(),
            self.cluster()
        )))
    }
}

impl NodeMint {
    /// Whether an alternative name of its first certificate is this address.
    pub fn names(&self, address: IpAddr) -> bool {
        self.first.names(address)
    }

    /// Whether the CA is valid, so that a refusal of its certificates is for another reason.
    pub fn is_valid(&self, at: Epoch) -> bool {
        (self.ca.not_before()..=self.ca.not_after()).contains(&at)
    }

    /// The certificate with its chain, PEM, and its key.
    ///
    /// # Errors
    /// `Exit::Io` without random bytes; `Exit::Untrusted` when what was made is wrong.
    pub fn mint(&self, forged: Forged, now: Epoch) -> Result<(String, KeyPem)> {
        // Nothing of what is tried follows from the keystore, except for the signature.
        let secret = Secret::random()?;
        let label = &["probe"];
        let key = Key::derive(&secret, Algorithm::P256, label)?;
        let (public_key, root) = (key.public()?, common_name("root")?);
        let both = [Usage::ServerAuth, Usage::ClientAuth];
        let (mut dns, mut ips, mut usages) = (Vec::new(), Vec::new(), &both[..]);
        let other = PeerTag::placeholder();
        let first = chain::alternative_names(self.first.certificate())?;
        match forged {
            Forged::Nameless => {}
            Forged::OtherTag(address) => {
                dns.push(other.as_str());
                ips.push(address);
            }
            Forged::Faithful => {
                dns.extend(first.iter().filter_map(dns_name));
                ips = self.first.addresses();
            }
            Forged::Root => usages = &both[1..],
        }
        let identifier = x509::identifier(&public_key);
        let issuer = chain::key_identifier(&self.ca)?;
        let leaf = x509::Leaf { dns: &dns, ips: &ips, usages, identifier, issuer };
        let at = |seconds: u64| Epoch::from_seconds(seconds).unwrap_or(now);
        let content = Content {
            issuer: self.ca.subject(),
            subject: if matches!(forged, Forged::Root) { &root } else { self.first.subject_der() },
            not_before: at(now.seconds().saturating_sub(HALF_LIFE)).max(self.ca.not_before()),
            not_after: at(now.seconds() + HALF_LIFE).min(self.ca.not_after()),
            public_key: &public_key,
            extensions: leaf.extensions().map_err(encoding)?,
        };
        let made = Certificate::from_der(&content.sign(&self.key, &secret, label)?)?;
        let key_pem = key.to_pem()?;
        check(&made, &self.ca, &content, &key_pem)?;
        Ok((made.pem()? + &self.sent, key_pem))
    }
}

fn dns_name(name: &GeneralName) -> Option<&str> {
    match name {
        GeneralName::DnsName(name) => Some(name.as_str()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;
    use crate::pki::Authority;
    use crate::plan::{self, Made};
    use crate::values::Lifetime;

    const NOW: &str = "2026-03-01";

    fn keystore(seed: u8) -> Keystore {
        let cluster = "t".parse().unwrap();
        Keystore::draft(&cluster, Some(&[seed; 32]), "2026-01-01".parse().unwrap()).unwrap()
    }

    /// The peer certificate of the node a, as a bundle has it.
    fn chain(keystore: &Keystore) -> Vec<Presented> {
        let mut spec = plan::operator(Lifetime::years(1));
        spec.dns = vec!["peer-1111111111111111.kiln.invalid".into()];
        spec.ips = vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
        spec.issuer = Some(plan::IssuerSpec {
            kind: Kind::Peer,
            label: issuer_label("a", Kind::Peer),
            common_name: "t a peer CA".into(),
            usages: spec.usages.clone(),
            permits: plan::Permits { dns: spec.dns.clone(), ips: spec.ips.clone() },
            lifetime: Lifetime::years(5),
        });
        let made = Made {
            is_above_nodes: true,
            ..Made::plain(keystore.cluster(), Algorithm::P256, Lifetime::years(9))
        };
        let authority = Authority::of(keystore, plan::PEER_CA, &made).unwrap();
        let issued = authority.issue(&spec, Algorithm::P256, spec.lifetime).unwrap();
        Presented::all_from_pem(issued.cert_pem.as_bytes()).unwrap()
    }

    #[test]
    fn what_a_copy_of_a_nodes_ca_makes_lives_ten_minutes() {
        let (keystore, now): (_, Epoch) = (keystore(7), NOW.parse().unwrap());
        let chain = chain(&keystore);
        let mint = keystore.node_mint("a", Kind::Peer, &chain).unwrap();
        assert!(mint.is_valid(now) && !mint.is_valid("2040-01-01".parse().unwrap()));
        assert!(mint.names("10.0.0.1".parse().unwrap()) && !mint.names("10.0.0.2".parse().unwrap()));
        let here = "10.0.0.9".parse().unwrap();
        let tag = "DNS:peer-0000000000000000.kiln.invalid";
        let cases: [(Forged, &str, &[&str]); 4] = [
            (Forged::Nameless, "CN=etcdctl", &[]),
            (Forged::OtherTag(here), "CN=etcdctl", &[tag, "IP:10.0.0.9"]),
            (
                Forged::Faithful,
                "CN=etcdctl",
                &["DNS:peer-1111111111111111.kiln.invalid", "IP:10.0.0.1", "IP:fd00::1"],
            ),
            (Forged::Root, "CN=root", &[]),
        ];
        for (forged, subject, names) in cases {
            let (pem, key) = mint.mint(forged, now).unwrap();
            let made = Presented::all_from_pem(pem.as_bytes()).unwrap();
            assert_eq!(
                (made[0].subject().as_str(), made[0].sans().unwrap()),
                (subject, names.iter().map(|n| (*n).to_owned()).collect())
            );
            assert_eq!(made[0].not_after().seconds() - made[0].not_before().seconds(), 600);
            assert!(made[1].der() == chain[1].der() && made[1].has_signed(&made[0]));
            // Another key each time.
            assert_ne!(key.as_bytes(), mint.mint(forged, now).unwrap().1.as_bytes());
        }
    }

    #[test]
    fn another_keystore_is_told_from_the_right_one() {
        let (ours, theirs) = (keystore(7), keystore(8));
        let chain = chain(&ours);
        let why =
            |failure: Option<Failure>| failure.map(|failure| (failure.exit(), failure.to_string())).unwrap();
        let (exit, said) = why(theirs.node_mint("a", Kind::Peer, &chain).err());
        assert!(exit == Exit::Untrusted && said.contains("did not make the peer CA of a"), "{said}");
        assert!(why(ours.node_mint("b", Kind::Peer, &chain).err()).1.contains("peer CA of b"));
        assert!(why(ours.node_mint("a", Kind::Peer, &chain[..1]).err()).1.contains("has no peer CA of a"));
    }
}
