//! Everything that is asked of one member; what it means is decided in `checks`.

use std::net::SocketAddr;

use super::baked::Baked;
use crate::causes::Fault;
use crate::cluster::{
    self, Answer, Answered, Authorities, Etcdctl, Identity, MAX_VERSION_BYTES, MemberAnswers, MemberList,
    Settings, Status, Target, Trouble, Visit, hex_id,
};
use crate::parallel;
use crate::report::Member;

/// As whom the ports are tried.
pub struct Visitors {
    pub client: Identity,
    pub stranger: Option<Identity>,
    /// Whether the peer port was told whom to let in.
    pub peers_by_name: bool,
    pub authorities: Authorities,
}

/// One try of one port as somebody who has to be refused.
pub struct Door {
    /// `client port refuses plain HTTP`.
    pub check: &'static str,
    /// Or why it could not be tried.
    pub answer: Result<Answer, &'static str>,
}

/// What one member showed.
pub struct Seen<'a> {
    pub target: &'a Target<'a>,
    pub endpoint: String,
    pub status: Answered<Status>,
    /// The same trouble as above when it does not answer at all.
    pub list: Answered<MemberList>,
    pub health: Answered<()>,
    pub doors: Vec<Door>,
    /// What the bundle holds for it.
    pub baked: &'a Baked,
    /// The client port's certificates, leaf first, in DER; empty when it showed none.
    pub presented: Vec<Vec<u8>>,
    /// The peer port's, or why there are none.
    pub peer: Result<Vec<Vec<u8>>, String>,
    /// What it says about its options.
    pub settings: Settings,
}

impl Seen<'_> {
    pub fn name(&self) -> &str {
        &self.target.node.name
    }

    /// Why nothing more is known of a member whose first check has failed.
    pub fn silence(&self) -> &'static str {
        match &self.status {
            _ if self.is_stranger() => "what answers there is not a member of this cluster's CA",
            Err(Trouble { fault: Fault::NoUser | Fault::Permission, .. }) => "etcd does not tell this user",
            _ => "it does not answer",
        }
    }

    /// Whether what answers at the client port is not a member at all, so that its other answers say nothing.
    pub fn is_stranger(&self) -> bool {
        self.status.as_ref().is_err_and(|trouble| {
            matches!(trouble.fault, Fault::NotEtcd | Fault::NotTls | Fault::Proxied | Fault::UnknownAuthority)
        })
    }

    pub fn member(&self) -> Member {
        let mut member =
            Member { node: self.name().to_owned(), endpoint: self.endpoint.clone(), ..Member::default() };
        if let Ok(status) = &self.status {
            member.member_id = Some(hex_id(status.header.member_id));
            member.cluster_id = Some(hex_id(status.header.cluster_id));
            member.version = Some(status.version.clone());
            member.db_size = Some(status.db_size);
            member.is_leader = Some(status.leader != 0 && status.leader == status.header.member_id);
            member.is_learner = Some(status.is_learner);
            member.raft_term = Some(status.raft_term);
            member.raft_index = Some(status.raft_index);
            member.raft_applied_index = Some(status.raft_applied_index);
            member.healthy = Some(self.health.is_ok());
        }
        member
    }
}

/// What a member answered as one of a cluster, before its ports are tried.
pub struct Asked<'a> {
    target: &'a Target<'a>,
    baked: &'a Baked,
    presented: Vec<Vec<u8>>,
    answers: MemberAnswers,
    /// Whether it is a member of this cluster's CA, as far as is known.
    is_known: bool,
}

/// Asks a member for its status, its list and its health.
pub fn ask<'a>(
    target: &'a Target<'a>,
    baked: &'a Baked,
    etcdctl: &Etcdctl,
    visitors: &Visitors,
) -> Asked<'a> {
    let asked = cluster::ask(target.client, &visitors.client, "/version", MAX_VERSION_BYTES);
    let intermediates = baked.server.get(1..).unwrap_or_default();
    let known = cluster::identify(target.client, &asked, &visitors.authorities, intermediates);
    let is_known = known.is_ok();
    let answers = match known {
        Ok(()) => MemberAnswers::ask(&target.endpoint(), etcdctl),
        Err(trouble) => MemberAnswers::none(&trouble),
    };
    Asked { target, baked, presented: asked.presented, answers, is_known }
}

/// Whether the members, as far as they answer, are choosing a leader: what they say now is not what they say in a second.
pub fn is_in_motion(asked: &[Asked<'_>]) -> bool {
    let known: Vec<_> = asked.iter().filter_map(|one| one.answers.status.as_ref().ok()).collect();
    let cluster = |status: &&Status| status.header.cluster_id;
    let view = |status: &&Status| (status.leader, status.raft_term);
    let waits = |trouble: &Trouble| matches!(trouble.fault, Fault::Waiting | Fault::NoLeader);
    known.windows(2).any(|two| cluster(&two[0]) == cluster(&two[1]) && view(&two[0]) != view(&two[1]))
        || asked.iter().filter(|one| one.answers.status.is_ok()).any(|one| {
            let MemberAnswers { list, health, .. } = &one.answers;
            list.as_ref().err().is_some_and(waits) || health.as_ref().err().is_some_and(waits)
        })
}

/// How a member's ports behave, and what it tells of its options.
pub struct Ports {
    settings: Settings,
    doors: Vec<Door>,
    peer: Result<Vec<Vec<u8>>, String>,
}

impl<'a> Asked<'a> {
    /// For when all members have answered: one on a slow machine that is busy with a dozen handshakes misses its leader's
    /// heartbeats, and what is then seen is the trouble that the looking has made.
    pub fn ports(&self, visitors: &Visitors) -> Ports {
        let settings = match self.is_known {
            true => cluster::settings(self.target.client, &visitors.client),
            false => Settings::default(),
        };
        let (doors, peer) = doors(self.target, visitors);
        Ports { settings, doors, peer }
    }

    pub fn with(self, ports: Ports) -> Seen<'a> {
        let Self { target, baked, presented, answers: MemberAnswers { status, list, health }, .. } = self;
        let Ports { settings, doors, peer } = ports;
        let endpoint = target.endpoint();
        Seen { target, endpoint, status, list, health, doors, baked, presented, peer, settings }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Visitor {
    Plain,
    Nobody,
    Stranger,
    Client,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Port {
    Client,
    Peer,
}

/// Whoever must stay outside, port by port.
const DOORS: [(&str, Port, Visitor); 7] = [
    ("client port refuses plain HTTP", Port::Client, Visitor::Plain),
    ("client port refuses no certificate", Port::Client, Visitor::Nobody),
    ("client port refuses another CA", Port::Client, Visitor::Stranger),
    ("peer port refuses plain HTTP", Port::Peer, Visitor::Plain),
    ("peer port refuses no certificate", Port::Peer, Visitor::Nobody),
    ("peer port refuses another CA", Port::Peer, Visitor::Stranger),
    ("peer port refuses a client", Port::Peer, Visitor::Client),
];

/// What each visitor met, and the certificates that the peer port showed to any of them.
fn doors(target: &Target<'_>, visitors: &Visitors) -> (Vec<Door>, Result<Vec<Vec<u8>>, String>) {
    // Where etcd cannot be told the peers' names, any certificate of the CA opens the peer port; a note says so.
    let shut = |(_, port, visitor): &(&str, Port, Visitor)| {
        visitors.peers_by_name || (*port, *visitor) != (Port::Peer, Visitor::Client)
    };
    let doors: Vec<_> = DOORS.into_iter().filter(shut).collect();
    let tried = parallel::all(&doors, doors.len(), |(_, port, visitor)| {
        let address = match port {
            Port::Client => Ok(target.client),
            Port::Peer => target.peer.ok_or("only the client port of this node was given"),
        };
        address.and_then(|address| try_as(*visitor, address, visitors))
    });
    let speaks_tls = |port| {
        let same = doors.iter().zip(&tried).filter(|((_, other, _), _)| *other == port);
        same.filter_map(|(_, visit)| visit.as_ref().ok()).any(|visit| !visit.presented.is_empty())
    };
    let judge = |((check, port, visitor), visit): (&(&'static str, Port, Visitor), &_)| {
        let visit: &Result<Visit, _> = visit;
        let answer = match visit {
            // Whoever closes a connection without a word has refused it only if it serves TLS to others.
            Ok(Visit { answer: Answer::Refused(how), .. })
                if *visitor == Visitor::Plain && !speaks_tls(*port) =>
            {
                let said = format!("{how}, but nobody speaks TLS there either");
                Ok(Answer::Trouble(Trouble { fault: Fault::Unknown, said }))
            }
            Ok(visit) => Ok(visit.answer.clone()),
            Err(why) => Err(*why),
        };
        Door { check, answer }
    };
    let peer = doors
        .iter()
        .zip(&tried)
        .filter(|((_, port, visitor), _)| *port == Port::Peer && *visitor != Visitor::Plain);
    let mut showed = Err("it showed none".to_owned());
    for (_, visit) in peer {
        match visit {
            Ok(visit) if !visit.presented.is_empty() => {
                showed = Ok(visit.presented.clone());
                break;
            }
            Ok(Visit { answer: Answer::Trouble(trouble), .. }) => showed = Err(trouble.said.clone()),
            Ok(_) => {}
            Err(why) => showed = Err((*why).to_owned()),
        }
    }
    (doors.iter().zip(&tried).map(judge).collect(), showed)
}

fn try_as(visitor: Visitor, address: SocketAddr, visitors: &Visitors) -> Result<Visit, &'static str> {
    Ok(match visitor {
        Visitor::Plain => Visit { answer: cluster::probe_plainly(address), presented: Vec::new() },
        Visitor::Nobody => cluster::probe_tls(address, None),
        Visitor::Client => cluster::probe_tls(address, Some(&visitors.client)),
        Visitor::Stranger => {
            let stranger =
                visitors.stranger.as_ref().ok_or("there is no certificate of another CA to try")?;
            cluster::probe_tls(address, Some(stranger))
        }
    })
}
