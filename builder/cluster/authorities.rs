//! Identifies the server at an address: a member of this cluster's CA, or something else, which gets no further
//! requests.

use serde::Deserialize;

use super::answer::Answer;
use super::connect::Socket;
use super::http::{self, Asked, Reply};
use super::patience::Patience;
use super::trouble::{Answered, Trouble};
use crate::causes::Fault;
use crate::failure::Result;
use crate::pki::Presented;

/// `/version` is a short line.
pub const MAX_VERSION_BYTES: u64 = 64 << 10;

/// The certificates of the CAs that have issued this cluster's members: those that clients trust, and the
/// intermediates that the members send.
pub struct Authorities(Vec<Presented>);

impl Authorities {
    /// # Errors
    /// `Exit::Untrusted` when the text is not PEM certificates.
    pub fn from_pem(text: &[u8]) -> Result<Self> {
        Presented::all_from_pem(text).map(Self)
    }

    pub(super) fn ders(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Presented::der)
    }

    /// Whether a chain, leaf first, leads to one of them, if only through `intermediates` from the bundle. A node that
    /// has not got the newest bundle yet sends a CA of its own that this one does not have.
    pub fn are_above(&self, chain: &[Presented], intermediates: &[Presented]) -> bool {
        let mut above = chain.iter();
        let Some(mut last) = above.next() else { return false };
        loop {
            if self.have_signed(last, intermediates) {
                return true;
            }
            match above.next().filter(|next| next.has_signed(last)) {
                Some(next) => last = next,
                None => return false,
            }
        }
    }

    /// Whether one of them, or one of `intermediates` from the bundle, has signed a certificate.
    pub fn have_signed(&self, leaf: &Presented, intermediates: &[Presented]) -> bool {
        self.0.iter().chain(intermediates).any(|authority| authority.has_signed(leaf))
    }
}

/// Judges the answer to a first `GET /version`.
///
/// # Errors
/// The trouble, when the server is certainly not a member of this cluster, or does not answer at all. Where etcdctl
/// may learn more, there is no error.
pub fn identify(
    socket: Socket,
    asked: &Asked,
    authorities: &Authorities,
    intermediates: &[Presented],
) -> Answered<()> {
    let trouble = |fault, said: String| Err(Trouble::new(fault, said));
    let Some(leaf) = asked.presented.first() else {
        return match &asked.reply {
            Err(Answer::Trouble(known)) if matches!(known.fault, Fault::Stopped | Fault::Unreachable) => {
                Err(known.clone())
            }
            // An etcd without TLS closes the connection, or waits for more of what it parses as HTTP.
            Err(Answer::Trouble(known)) => {
                // It has been waited for already.
                let socket = Socket { patience: Patience::USUAL, ..socket };
                let plain = http::ask_plainly(socket, "/version", MAX_VERSION_BYTES);
                match known.fault {
                    _ if plain.is_some_and(|reply| is_etcd(&reply)) => {
                        trouble(Fault::NotTls, format!("{socket} is an etcd without TLS"))
                    }
                    Fault::Waiting | Fault::NotEtcd => Err(known.clone()),
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        };
    };
    let Ok(leaf) = Presented::from_der(leaf) else {
        return trouble(Fault::NotEtcd, format!("the certificate of {socket} cannot be read"));
    };
    let chain: Vec<_> = asked.presented.iter().map_while(|der| Presented::from_der(der).ok()).collect();
    let ours = authorities.are_above(&chain, intermediates);
    let whose = match ours {
        true => format!("its certificate is {}", leaf.subject()),
        false => format!(
            "its certificate is {} of the CA {}, not of this cluster's",
            leaf.subject(),
            leaf.issuer()
        ),
    };
    match &asked.reply {
        Ok(reply) if is_etcd(reply) && ours => Ok(()),
        Ok(reply) if is_etcd(reply) => trouble(Fault::Proxied, whose),
        Ok(Reply { status, .. }) => {
            trouble(Fault::NotEtcd, format!("{whose}; GET /version returned {status}, not etcd's version"))
        }
        Err(Answer::LetIn(what)) if !ours => {
            trouble(Fault::NotEtcd, format!("{whose}; it answered GET /version with {what}"))
        }
        Err(Answer::Trouble(known)) if ours && is_silence(known.fault) => Err(known.clone()),
        Err(_) if ours => Ok(()),
        Err(_) => trouble(Fault::UnknownAuthority, whose),
    }
}

/// Faults for which etcdctl would only wait until its timeout.
fn is_silence(fault: Fault) -> bool {
    matches!(fault, Fault::Stopped | Fault::Unreachable | Fault::Waiting)
}

/// etcd's `/version` (server/etcdserver/api/etcdhttp/version.go): `{"etcdserver":"3.5.16","etcdcluster":"3.5.0"}`.
fn is_etcd(reply: &Reply) -> bool {
    #[derive(Deserialize)]
    struct Version {
        etcdserver: String,
        etcdcluster: String,
    }
    let version = serde_json::from_slice::<Version>(&reply.body);
    reply.status == 200 && version.is_ok_and(|v| !v.etcdserver.is_empty() && !v.etcdcluster.is_empty())
}
