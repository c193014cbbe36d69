//! Whether the cluster can do without this node's member.

use std::time::Duration;

use kiln_wire::{Id, MemberUrl, Wipe};
use serde::Deserialize;

use crate::failure::{Failure, Result};
use crate::snapshot::command::run;

/// For a question, with the program's start.
const PATIENCE: Duration = Duration::from_secs(15);

/// An answer to `member list`. Later releases say more.
#[derive(Deserialize)]
struct Answer {
    header: Header,
    members: Vec<Member>,
}

#[derive(Deserialize)]
struct Header {
    cluster_id: u64,
}

#[derive(Deserialize)]
struct Member {
    #[serde(rename = "ID")]
    id: u64,
    #[serde(default, rename = "peerURLs")]
    peer_urls: Vec<String>,
    #[serde(default, rename = "clientURLs")]
    client_urls: Vec<String>,
    #[serde(default, rename = "isLearner")]
    is_learner: bool,
}

fn ask(list: &Wipe, endpoint: &str, verb: &[&str]) -> Result<Vec<u8>> {
    let mut arguments = vec!["--endpoints", endpoint, "--cacert", list.ca.as_str()];
    arguments.extend(["--cert", list.cert.as_str(), "--key", list.key.as_str()]);
    arguments.extend(["--dial-timeout=5s", "--command-timeout=5s"]);
    arguments.extend(verb);
    run(list.etcdctl.as_str(), &arguments, PATIENCE)
}

/// The members, as the first one says that answers: the node's own is asked first.
fn members(list: &Wipe) -> Result<Vec<Member>> {
    let mut silent = Vec::new();
    for endpoint in std::iter::once(&list.endpoint).chain(&list.others) {
        match ask(list, endpoint.as_str(), &["member", "list", "-w", "json"]) {
            Ok(bytes) => return parsed(list, endpoint, &bytes),
            Err(why) => silent.push(format!("{endpoint}: {why}")),
        }
    }
    Err(Failure::new(format!(
        "no member of {} says who its members are, so the data here may be all that is left of it ({}); start the \
         others, or add --force if it is not needed any more",
        list.cluster,
        silent.join("; ")
    )))
}

fn parsed(list: &Wipe, endpoint: &MemberUrl, bytes: &[u8]) -> Result<Vec<Member>> {
    let answer: Answer = serde_json::from_slice(bytes).map_err(|error| {
        Failure::new(format!("etcdctl member list gives an answer that cannot be read: {error}"))
    })?;
    let (found, wanted) = (Id(answer.header.cluster_id), list.cluster_id);
    match found == wanted {
        true => Ok(answer.members),
        false => Err(Failure::new(format!(
            "{endpoint} serves cluster {found}, and this node was built for {wanted}; deliver the files of the right \
             bundle, or add --force"
        ))),
    }
}

/// Why the member can go, in words.
///
/// # Errors
/// Where the others have no quorum without it, or nobody knows.
pub fn can_go(list: &Wipe) -> Result<String> {
    let members = members(list)?;
    let own = members.iter().find(|member| member.peer_urls.iter().any(|url| url == list.peer_url.as_str()));
    let Some(own) = own else {
        return Ok(format!("is no member of {} any more", list.cluster));
    };
    if own.is_learner {
        return Ok("has a learner, which no quorum needs".to_owned());
    }
    let others = members.iter().filter(|member| member.id != own.id && !member.is_learner);
    let healthy = |member: &&Member| {
        member.client_urls.iter().any(|url| ask(list, url, &["endpoint", "health"]).is_ok())
    };
    let voters = members.iter().filter(|member| !member.is_learner).count();
    let (answer, needed) = (others.filter(healthy).count(), quorum(voters));
    if answer >= needed {
        return Ok(format!(
            "is not needed: {answer} other members answer, and {needed} of {voters} are a quorum"
        ));
    }
    let way = match voters {
        1 => "it is the only one, with the only copy of the data; take a snapshot first, and add --force"
            .to_owned(),
        _ => format!(
            "start the others, or remove this member first (etcdctl member remove {}) so that fewer are needed; \
             --force goes without, and the cluster serves no more until it is restored",
            Id(own.id)
        ),
    };
    Err(Failure::new(format!(
        "its member is needed: without it {answer} of {voters} members answer, and {needed} are a quorum; {way}"
    )))
}

/// Of so many voters.
fn quorum(voters: usize) -> usize {
    voters / 2 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quorum_is_more_than_half() {
        let all: Vec<_> = (1..=7).map(quorum).collect();
        assert_eq!(all, [1, 2, 2, 3, 3, 4, 4]);
    }
}
