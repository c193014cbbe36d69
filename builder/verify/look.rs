//! All requests to one member; `checks` evaluates the answers.

use super::baked::Baked;
use crate::causes::Fault;
use crate::cluster::{
    self, Answer, Answered, Authorities, Etcdctl, Identity, MAX_VERSION_BYTES, MemberAnswers, MemberList,
    Patience, Settings, Socket, Status, Target, Trouble, Visit, hex_id,
};
use crate::parallel;
use crate::report::Member;

/// The identities with which the ports are probed.
pub struct Visitors {
    pub client: Identity,
    pub stranger: Option<Identity>,
    /// Whether the peer port is configured with the names of peers.
    pub peers_by_name: bool,
    pub authorities: Authorities,
}

/// One probe of one port as a client that must be refused.
pub struct RefusalProbe {
    /// `client port refuses plain HTTP`.
    pub check: &'static str,
    /// The answer, or the reason why there was no probe.
    pub answer: Result<Answer, &'static str>,
}

/// The observations of one member.
pub struct Observed<'a> {
    pub target: &'a Target<'a>,
    pub endpoint: String,
    pub status: Answered<Status>,
    /// The same trouble as for the status when it does not answer at all.
    pub list: Answered<MemberList>,
    pub health: Answered<()>,
    pub refusals: Vec<RefusalProbe>,
    /// Its files from the bundle.
    pub baked: &'a Baked,
    /// The client port's certificates, leaf first, in DER; empty when it sent none.
    pub presented: Vec<Vec<u8>>,
    /// The peer port's, or the reason why there are none.
    pub peer: Result<Vec<Vec<u8>>, String>,
    /// The options that it reports.
    pub settings: Settings,
}

impl Observed<'_> {
    pub fn name(&self) -> &str {
        &self.target.node.name
    }

    /// The reason why nothing else is known of a member whose first check has failed.
    pub fn silence(&self) -> &'static str {
        match &self.status {
            _ if self.is_stranger() => "the process that answers there is not a member of this cluster's CA",
            Err(Trouble { fault: Fault::NoUser | Fault::Permission, .. }) => {
                "etcd does not report it to this user"
            }
            _ => "it does not answer",
        }
    }

    /// Whether the server at the client port is not a member at all, so that its other answers mean nothing.
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

/// The answers of a member about its cluster, before its ports are probed.
pub struct Asked<'a> {
    target: &'a Target<'a>,
    baked: &'a Baked,
    presented: Vec<Vec<u8>>,
    answers: MemberAnswers,
    /// Whether its certificate is from this cluster's CA, as far as is known.
    is_known: bool,
    patience: Patience,
}

/// Asks a member for its status, its list and its health, with the patience of `etcdctl`.
pub fn ask<'a>(
    target: &'a Target<'a>,
    baked: &'a Baked,
    etcdctl: &Etcdctl,
    visitors: &Visitors,
) -> Asked<'a> {
    let patience = etcdctl.patience();
    let port = Socket::new(target.client, patience);
    let asked = cluster::ask(port, &visitors.client, "/version", MAX_VERSION_BYTES);
    let intermediates = baked.server.get(1..).unwrap_or_default();
    let known = cluster::identify(port, &asked, &visitors.authorities, intermediates);
    let is_known = known.is_ok();
    let answers = match known {
        Ok(()) => MemberAnswers::ask(&target.endpoint(), etcdctl),
        Err(trouble) => MemberAnswers::none(&trouble),
    };
    // What is silent still does not deserve more of it: what a port does not answer in time is not known, not wrong.
    let is_silent = matches!(&answers.status, Err(trouble) if trouble.is_late);
    let patience = if is_silent { Patience::USUAL } else { patience };
    Asked { target, baked, presented: asked.presented, answers, is_known, patience }
}

/// Why the answers of the members may be different a moment later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Motion {
    /// They name different leaders or terms, or none.
    Electing,
    /// They agree on a leader, but one did not answer in time: it, or the machine that all of them share, is busy.
    Slow,
    /// One has not even ended its TLS handshake in time: its machine is busy, or it never will.
    Silent,
}

/// The part of a member's answers that says whether it is at rest.
struct Pulse {
    /// Cluster, leader and term; `None` when its status has timed out.
    view: Option<(u64, u64, u64)>,
    /// The troubles of its list and its health; `Waiting` for every one whose time ran out.
    troubles: Vec<Fault>,
    is_known: bool,
}

impl Pulse {
    /// `None` for a server that does not answer, or that is not a member.
    fn of(asked: &Asked<'_>) -> Option<Self> {
        let MemberAnswers { status, list, health } = &asked.answers;
        let troubles = [list.as_ref().err(), health.as_ref().err()];
        let fault = |trouble: &Trouble| if trouble.is_late { Fault::Waiting } else { trouble.fault };
        let troubles = troubles.into_iter().flatten().map(fault).collect();
        let view = match status {
            Ok(status) => Some((status.header.cluster_id, status.leader, status.raft_term)),
            Err(trouble) if trouble.is_late => None,
            Err(_) => return None,
        };
        Some(Self { view, troubles, is_known: asked.is_known })
    }
}

/// `None` when asking again would give the same answers.
pub fn motion(asked: &[Asked<'_>]) -> Option<Motion> {
    motion_of(&asked.iter().filter_map(Pulse::of).collect::<Vec<_>>())
}

fn motion_of(pulses: &[Pulse]) -> Option<Motion> {
    let views: Vec<_> = pulses.iter().filter_map(|one| one.view).collect();
    let disagree = views.windows(2).any(|two| two[0].0 == two[1].0 && two[0] != two[1]);
    let has = |fault| pulses.iter().any(|one| one.troubles.contains(&fault));
    match () {
        () if disagree || has(Fault::NoLeader) => Some(Motion::Electing),
        () if pulses.iter().any(|one| one.is_known && one.troubles.contains(&Fault::Waiting)) => {
            Some(Motion::Slow)
        }
        () if has(Fault::Waiting) => Some(Motion::Silent),
        () => None,
    }
}

/// The behaviour of a member's ports, and the options that it reports.
pub struct Ports {
    settings: Settings,
    refusals: Vec<RefusalProbe>,
    peer: Result<Vec<Vec<u8>>, String>,
}

impl<'a> Asked<'a> {
    /// Called when all members have answered: on a slow machine a member that is busy with a dozen handshakes misses
    /// its leader's heartbeats, and the probes themselves would cause the trouble that is observed.
    pub fn ports(&self, visitors: &Visitors) -> Ports {
        let settings = match self.is_known {
            true => cluster::settings(Socket::new(self.target.client, self.patience), &visitors.client),
            false => Settings::default(),
        };
        let (refusals, peer) = refusals(self.target, self.patience, visitors);
        Ports { settings, refusals, peer }
    }

    pub fn with(self, ports: Ports) -> Observed<'a> {
        let Self { target, baked, presented, answers: MemberAnswers { status, list, health }, .. } = self;
        let Ports { settings, refusals, peer } = ports;
        let endpoint = target.endpoint();
        Observed { target, endpoint, status, list, health, refusals, baked, presented, peer, settings }
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

/// The clients that each port must refuse.
const DOORS: [(&str, Port, Visitor); 7] = [
    ("client port refuses plain HTTP", Port::Client, Visitor::Plain),
    ("client port refuses no certificate", Port::Client, Visitor::Nobody),
    ("client port refuses another CA", Port::Client, Visitor::Stranger),
    ("peer port refuses plain HTTP", Port::Peer, Visitor::Plain),
    ("peer port refuses no certificate", Port::Peer, Visitor::Nobody),
    ("peer port refuses another CA", Port::Peer, Visitor::Stranger),
    ("peer port refuses a client", Port::Peer, Visitor::Client),
];

/// The result of each probe, and the certificates that the peer port sent in any of them.
fn refusals(
    target: &Target<'_>,
    patience: Patience,
    visitors: &Visitors,
) -> (Vec<RefusalProbe>, Result<Vec<Vec<u8>>, String>) {
    // Where etcd cannot be configured with the peers' names, any certificate of the CA is accepted by the peer port; a
    // note says so.
    let shut = |(_, port, visitor): &(&str, Port, Visitor)| {
        visitors.peers_by_name || (*port, *visitor) != (Port::Peer, Visitor::Client)
    };
    let refusals: Vec<_> = DOORS.into_iter().filter(shut).collect();
    let tried = parallel::all(&refusals, refusals.len(), |(_, port, visitor)| {
        let address = match port {
            Port::Client => Ok(target.client),
            Port::Peer => target.peer.ok_or("this node has only a client port to check"),
        };
        address.and_then(|address| try_as(*visitor, Socket::new(address, patience), visitors))
    });
    let speaks_tls = |port| {
        let same = refusals.iter().zip(&tried).filter(|((_, other, _), _)| *other == port);
        same.filter_map(|(_, visit)| visit.as_ref().ok()).any(|visit| !visit.presented.is_empty())
    };
    let judge = |((check, port, visitor), visit): (&(&'static str, Port, Visitor), &_)| {
        let visit: &Result<Visit, _> = visit;
        let answer = match visit {
            // A server that closes a connection silently has refused it only if it serves TLS to others.
            Ok(Visit { answer: Answer::Refused(how), .. })
                if *visitor == Visitor::Plain && !speaks_tls(*port) =>
            {
                let said = format!("{how}, but it does not speak TLS either");
                Ok(Answer::Trouble(Trouble::new(Fault::Unknown, said)))
            }
            Ok(visit) => Ok(visit.answer.clone()),
            Err(why) => Err(*why),
        };
        RefusalProbe { check, answer }
    };
    let peer = refusals
        .iter()
        .zip(&tried)
        .filter(|((_, port, visitor), _)| *port == Port::Peer && *visitor != Visitor::Plain);
    let mut showed = Err("it sent none".to_owned());
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
    (refusals.iter().zip(&tried).map(judge).collect(), showed)
}

fn try_as(visitor: Visitor, socket: Socket, visitors: &Visitors) -> Result<Visit, &'static str> {
    Ok(match visitor {
        Visitor::Plain => Visit { answer: cluster::probe_plainly(socket), presented: Vec::new() },
        Visitor::Nobody => cluster::probe_tls(socket, None),
        Visitor::Client => cluster::probe_tls(socket, Some(&visitors.client)),
        Visitor::Stranger => {
            let stranger =
                visitors.stranger.as_ref().ok_or("there is no certificate of another CA to try it with")?;
            cluster::probe_tls(socket, Some(stranger))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulse(leader: u64, term: u64, troubles: &[Fault]) -> Pulse {
        Pulse { view: Some((7, leader, term)), troubles: troubles.to_vec(), is_known: true }
    }

    /// Five emulated machines that had agreed on a leader: the health of two timed out, and the verdict was that they
    /// had not met a quorum.
    #[test]
    fn a_member_that_is_slow_is_told_from_one_without_a_leader() {
        let good = || pulse(1, 2, &[]);
        let timed_out = |is_known| Pulse { view: None, troubles: vec![Fault::Waiting; 2], is_known };
        let cases = [
            (vec![good(), good(), good()], None),
            (vec![good(), pulse(1, 2, &[Fault::Waiting])], Some(Motion::Slow)),
            (vec![good(), timed_out(true)], Some(Motion::Slow)),
            (vec![good(), timed_out(false)], Some(Motion::Silent)),
            (vec![timed_out(false), timed_out(true)], Some(Motion::Slow)),
            (vec![good(), pulse(0, 2, &[Fault::NoLeader, Fault::NoLeader])], Some(Motion::Electing)),
            (vec![good(), pulse(1, 3, &[])], Some(Motion::Electing)),
            (vec![good(), pulse(2, 3, &[Fault::Waiting])], Some(Motion::Electing)),
            // Other reasons to be unhealthy do not pass by themselves.
            (vec![good(), pulse(1, 2, &[Fault::NoSpace])], None),
            // Another cluster has a leader of its own.
            (vec![good(), Pulse { view: Some((8, 2, 5)), troubles: vec![], is_known: true }], None),
        ];
        for (pulses, want) in cases {
            assert_eq!(motion_of(&pulses), want);
        }
    }
}
