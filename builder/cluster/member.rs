//! The answers of a member about its cluster: its status, its list of members and its health.

use super::etcdctl::Etcdctl;
use super::json::{MemberList, Status, StatusRow};
use super::trouble::{Answered, Trouble};
use crate::causes::Fault;
use crate::parallel;

pub struct MemberAnswers {
    pub status: Answered<Status>,
    /// The same trouble as for the status when it does not answer at all.
    pub list: Answered<MemberList>,
    pub health: Answered<()>,
}

impl MemberAnswers {
    /// The answers of a member that is not queried.
    pub fn none(trouble: &Trouble) -> Self {
        let [status, list, health] = [(); 3].map(|()| trouble.clone());
        Self { status: Err(status), list: Err(list), health: Err(health) }
    }

    /// Queries all three, as far as possible.
    pub fn ask(endpoint: &str, etcdctl: &Etcdctl) -> Self {
        let ask = || -> Answered<Status> {
            let rows: Vec<StatusRow> = etcdctl.ask(endpoint, &["endpoint", "status"])?;
            let silent = || Trouble::new(Fault::Unknown, "an empty status");
            rows.into_iter().next().map(|row| row.status).ok_or_else(silent)
        };
        let status = ask();
        match &status {
            // A user without permissions gets the status from some releases only, the list from all.
            Err(trouble) if !matches!(trouble.fault, Fault::NoUser | Fault::Permission) => {
                Self::none(trouble)
            }
            // Both need a quorum and would only run into their timeouts.
            Ok(known) if known.leader == 0 => {
                let none = Trouble::new(Fault::NoLeader, "it has no leader");
                Self { list: Err(none.clone()), health: Err(none), status }
            }
            _ => {
                let (list, health) = std::thread::scope(|scope| {
                    let list = parallel::beside(scope, || etcdctl.ask(endpoint, &["member", "list"]));
                    let health = etcdctl.health(endpoint);
                    (list.get(), health)
                });
                Self { list, health, status }
            }
        }
    }
}
