//! Tries with certificates that a copy of one node's CA could make: each port must refuse them. With such a CA a thief
//! has the node's own names, and must get nothing else.

use kiln_wire::Kind;

use super::baked::Baked;
use super::look::Observed;
use crate::causes::Fault;
use crate::cluster::{self, Answer, Identity, Patience, Socket, Target};
use crate::failure::{Doing, Result};
use crate::parallel;
use crate::pki::{Forged, Keystore, NodeMint};
use crate::report::Check;
use crate::values::Epoch;

/// A peer port asks DNS about names before it refuses, which may time out first.
const PATIENCE: Patience = Patience::LONG;

#[derive(Clone, Copy)]
enum Port {
    Client,
    Peer,
}

/// A certificate that a port must refuse.
struct Try {
    check: &'static str,
    port: Port,
    /// Whose CA makes it: that of the node's certificate for this port.
    by: Port,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    Nameless,
    /// With the address of this machine.
    OtherTag,
    /// From an address that is not in it.
    OtherAddress,
    /// At the other port.
    Faithful,
    Root,
}

const TRIES: [Try; 5] = [
    Try { check: "peer port refuses no name", port: Port::Peer, by: Port::Peer, what: What::Nameless },
    Try { check: "peer port refuses another tag", port: Port::Peer, by: Port::Peer, what: What::OtherTag },
    Try {
        check: "peer port refuses another address",
        port: Port::Peer,
        by: Port::Peer,
        what: What::OtherAddress,
    },
    Try { check: "client port refuses a peer", port: Port::Client, by: Port::Peer, what: What::Faithful },
    Try {
        check: "client port refuses a node as root",
        port: Port::Client,
        by: Port::Client,
        what: What::Root,
    },
];

/// The CAs of every node.
pub struct Copies<'a> {
    nodes: Vec<(&'a str, NodeMint, NodeMint)>,
    now: Epoch,
}

impl<'a> Copies<'a> {
    /// Of each node that renews its certificates.
    ///
    /// # Errors
    /// `Exit::Untrusted` when the keystore is not the bundle's.
    pub fn of(keystore: &Keystore, nodes: &[(&'a Target<'a>, &'a Baked)], now: Epoch) -> Result<Self> {
        let renewed = nodes.iter().filter(|(_, baked)| baked.is_renewed_there());
        let nodes = renewed.map(|(target, baked)| {
            let node = target.node.name.as_str();
            let mint = |kind, chain| {
                keystore
                    .node_mint(node, kind, chain)
                    .doing(|| format!("finding the CAs of {node} in the keystore"))
            };
            Ok((node, mint(Kind::Server, &baked.server)?, mint(Kind::Peer, &baked.peer)?))
        });
        let nodes = nodes.collect::<Result<Vec<_>>>()?;
        Ok(Self { nodes, now })
    }

    /// The rows of every member; `at_once` are tried at a time.
    ///
    /// # Errors
    /// `Exit::Io` without random bytes.
    pub fn check(&self, seen: &[Observed<'_>], at_once: usize) -> Result<Vec<Check>> {
        let rows = parallel::all(seen, at_once, |one| self.check_one(one));
        let rows = rows.into_iter().collect::<Result<Vec<_>>>()?;
        // By row, not by member, as all others.
        Ok((0..TRIES.len()).flat_map(|at| rows.iter().filter_map(move |row| row.get(at).cloned())).collect())
    }

    fn check_one(&self, one: &Observed<'_>) -> Result<Vec<Check>> {
        let rows = parallel::all(&TRIES, TRIES.len(), |a_try| {
            let skipped = |why: &str| Ok(Check::skipped(a_try.check, Some(one.name()), why));
            if one.status.is_err() {
                return skipped(one.silence());
            }
            let address = match a_try.port {
                Port::Client => one.target.client,
                Port::Peer => match one.target.peer {
                    Some(address) => address,
                    None => return skipped("this node has only a client port to check"),
                },
            };
            match self.visit(a_try, one.name(), Socket::new(address, PATIENCE))? {
                Ok(answer) => Ok(judge(a_try.check, one.name(), &answer)),
                Err(why) => skipped(&why),
            }
        });
        rows.into_iter().collect()
    }

    /// The answer, or why it was not tried.
    fn visit(
        &self,
        a_try: &Try,
        member: &str,
        socket: Socket,
    ) -> Result<std::result::Result<Answer, String>> {
        let here = match socket.source() {
            Ok(here) => here,
            Err(error) => return Ok(Err(format!("this machine has no way to {socket}: {error}"))),
        };
        // The CA of another node where there is one: that of the member itself is no stranger to it.
        let others = self.nodes.iter().filter(|(node, ..)| *node != member);
        let mut all = others.chain(self.nodes.iter().filter(|(node, ..)| *node == member));
        let chosen = match a_try.what {
            // From an address that the certificate names it would be right to let it in.
            What::OtherAddress => all.find(|(_, _, peer)| !peer.names(here)),
            _ => all.next(),
        };
        let Some((node, server, peer)) = chosen else {
            return Ok(Err(
                "this machine has the addresses of all nodes; verify from another one, too".to_owned()
            ));
        };
        let mint = match a_try.by {
            Port::Client => server,
            Port::Peer => peer,
        };
        if !mint.is_valid(self.now) {
            return Ok(Err(format!("the CA of {node} is not valid now, so everything below it is refused")));
        }
        let forged = match a_try.what {
            What::Nameless => Forged::Nameless,
            What::OtherTag => Forged::OtherTag(here),
            What::OtherAddress | What::Faithful => Forged::Faithful,
            What::Root => Forged::Root,
        };
        let (certificate, key) = mint.mint(forged, self.now)?;
        let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes())?;
        Ok(Ok(cluster::probe_tls(socket, Some(&identity)).answer))
    }
}

fn judge(check: &str, node: &str, answer: &Answer) -> Check {
    match answer {
        // Then it has not come to what was tried.
        Answer::Refused(how) if how.contains("CertificateExpired") => {
            let why = "the clocks of this machine and of the member differ by more than five minutes";
            Check::skipped(check, Some(node), why)
        }
        Answer::Refused(how) => Check::ok(check, Some(node), how.as_str()),
        Answer::LetIn(said) => {
            Check::failed(check, Some(node), Fault::OpenToCopies, format!("it was accepted and got: {said}"))
        }
        Answer::Trouble(trouble) => Check::skipped(check, Some(node), trouble.said.as_str()),
    }
}

/// What was not tried without the keystore.
pub fn note(nodes: &[(&Target<'_>, &Baked)]) -> Option<String> {
    nodes.iter().any(|(_, baked)| baked.is_renewed_there()).then(|| {
        "not tried: certificates that a copy of one node's CA could make, which each port must refuse; kiln verify \
         --keystore DIR tries them"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Trouble;
    use crate::report::Outcome;

    #[test]
    fn only_a_refusal_of_what_was_tried_counts() {
        let waiting = Trouble::new(Fault::Waiting, "no answer");
        let cases = [
            (Answer::Refused("TLS alert BadCertificate".into()), Outcome::Ok, None),
            (Answer::Refused("TLS alert CertificateExpired".into()), Outcome::Skipped, None),
            (Answer::LetIn("HTTP/1.0 200 OK".into()), Outcome::Failed, Some(Fault::OpenToCopies)),
            (Answer::Trouble(waiting), Outcome::Skipped, None),
        ];
        for (answer, outcome, fault) in cases {
            let check = judge("c", "a", &answer);
            assert_eq!((check.outcome, check.fault), (outcome, fault), "{answer:?}");
        }
    }
}
