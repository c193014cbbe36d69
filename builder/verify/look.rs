//! Everything that is asked of one member; what it means is decided in `checks`.

use std::net::SocketAddr;

use super::Target;
use super::ask;
use super::baked::Baked;
use super::etcdctl::{Etcdctl, MemberList, Status, StatusRow, Trouble};
use super::probe::{self, Answer, Identity, Visit};
use super::running::{self, Told as Settings};
use super::who::{self, Authorities};
use crate::causes::Fault;
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

type Told<T> = Result<T, Trouble>;

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
    pub status: Told<Status>,
    /// The same trouble as above when it does not answer at all.
    pub list: Told<MemberList>,
    pub health: Told<()>,
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
            member.member_id = Some(hex(status.header.member_id));
            member.cluster_id = Some(hex(status.header.cluster_id));
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

/// An ID as etcdctl prints it in its tables.
pub fn hex(id: u64) -> String {
    format!("{id:x}")
}

/// What a member answered as one of a cluster, before its ports are tried.
pub struct Asked<'a> {
    target: &'a Target<'a>,
    baked: &'a Baked,
    presented: Vec<Vec<u8>>,
    answers: Answers,
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
    let asked = ask::ask(target.client, &visitors.client, "/version", who::LIMIT);
    let intermediates = baked.server.get(1..).unwrap_or_default();
    let known = who::check(target.client, &asked, &visitors.authorities, intermediates);
    let is_known = known.is_ok();
    let answers = match known {
        Ok(()) => questions(&target.endpoint(), etcdctl),
        Err(trouble) => Answers::none(&trouble),
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
            let Answers { list, health, .. } = &one.answers;
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
            true => running::told(self.target.client, &visitors.client),
            false => Settings::default(),
        };
        let (doors, peer) = doors(self.target, visitors);
        Ports { settings, doors, peer }
    }

    pub fn with(self, ports: Ports) -> Seen<'a> {
        let Self { target, baked, presented, answers: Answers { status, list, health }, .. } = self;
        let Ports { settings, doors, peer } = ports;
        let endpoint = target.endpoint();
        Seen { target, endpoint, status, list, health, doors, baked, presented, peer, settings }
    }
}

struct Answers {
    status: Told<Status>,
    list: Told<MemberList>,
    health: Told<()>,
}

impl Answers {
    fn none(trouble: &Trouble) -> Self {
        let [status, list, health] = [(); 3].map(|()| trouble.clone());
        Self { status: Err(status), list: Err(list), health: Err(health) }
    }
}

fn questions(endpoint: &str, etcdctl: &Etcdctl) -> Answers {
    let ask = || -> Told<Status> {
        let rows: Vec<StatusRow> = etcdctl.ask(endpoint, &["endpoint", "status"])?;
        let silent = || Trouble { fault: Fault::Unknown, said: "an empty status".into() };
        rows.into_iter().next().map(|row| row.status).ok_or_else(silent)
    };
    let status = ask();
    match &status {
        // A user without rights is told the status by some releases only, the list by all.
        Err(trouble) if !matches!(trouble.fault, Fault::NoUser | Fault::Permission) => Answers::none(trouble),
        // Both need a quorum and would only wait out their deadlines.
        Ok(known) if known.leader == 0 => {
            let none = Trouble { fault: Fault::NoLeader, said: "it knows of no leader".into() };
            Answers { list: Err(none.clone()), health: Err(none), status }
        }
        _ => {
            let (list, health) = std::thread::scope(|scope| {
                let list = parallel::beside(scope, || etcdctl.ask(endpoint, &["member", "list"]));
                let health = etcdctl.health(endpoint);
                (list.get(), health)
            });
            Answers { list, health, status }
        }
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
    let tried = super::each(&doors, |(_, port, visitor)| {
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
        Visitor::Plain => Visit { answer: probe::plain(address), presented: Vec::new() },
        Visitor::Nobody => probe::tls(address, None),
        Visitor::Client => probe::tls(address, Some(&visitors.client)),
        Visitor::Stranger => {
            let stranger =
                visitors.stranger.as_ref().ok_or("there is no certificate of another CA to try")?;
            probe::tls(address, Some(stranger))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One ID in sixteen begins with a zero, and verify took it for another cluster's.
    #[test]
    fn an_id_with_a_leading_zero_is_written_as_etcdctl_writes_it() {
        assert_eq!(hex(0x060a_2f48_8ab1_9660), "60a2f488ab19660");
        assert_eq!(hex(0xe33f_550d_f7f5_d6bb), "e33f550df7f5d6bb");
    }
}
