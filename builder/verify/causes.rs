//! What can be wrong with a cluster: for each fault the likely cause and the way out, a sentence each, and the
//! words by which programs and kernels name it. The only place for such sentences.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    Stopped,
    Unreachable,
    Waiting,
    Expired,
    NotYetValid,
    UnknownAuthority,
    WrongName,
    NoLeader,
    SeveralLeaders,
    NoSpace,
    Corrupt,
    Permission,
    OtherCluster,
    OtherMember,
    OtherVersion,
    Missing,
    Extra,
    Unstarted,
    Learner,
    NameDiffers,
    UrlDiffers,
    ListsDiffer,
    DataDiffers,
    NotRead,
    Open,
    OtherTrust,
    Program,
    Unknown,
}

struct Row {
    fault: Fault,
    cause: &'static str,
    way_out: &'static str,
    /// Any of these in a message means this fault.
    texts: &'static [&'static str],
}

const fn row(
    fault: Fault,
    texts: &'static [&'static str],
    cause: &'static str,
    way_out: &'static str,
) -> Row {
    Row { fault, cause, way_out, texts }
}

/// In the order in which a message is searched: the special before the general. Where the words come from:
/// Go's crypto/x509/verify.go and net, etcd's api/v3rpc/rpctypes/error.go, Linux's errno texts.
const TABLE: &[Row] = &[
    row(
        Fault::NoSpace,
        &["mvcc: database space exceeded", "alarm:NOSPACE", "NOSPACE"],
        "Its database has reached quota-backend-bytes, so the cluster takes no more writes.",
        "Compact the history, defragment one member after the other, then run `etcdctl alarm disarm`.",
    ),
    row(
        Fault::Corrupt,
        &["etcdserver: corrupt cluster", "alarm:CORRUPT", "CORRUPT"],
        "Its data differs from the other members', which etcd's own check has found.",
        "Stop that member, remove it, and add it again with an empty data directory.",
    ),
    row(
        Fault::NotYetValid,
        &["is before 19", "is before 20", "NotValidYet"],
        "The clock that judged the certificate runs behind, or the certificate was issued with one that ran ahead.",
        "Set the clock on the node and on this machine; nothing else has to change.",
    ),
    row(
        Fault::Expired,
        &["certificate has expired", "certificate expired", "CertificateExpired", "expired certificate"],
        "A certificate is past its end, or the clock that judged it runs ahead.",
        "Check both clocks; then run `kiln keystore renew`, build again and put the new certificates in place.",
    ),
    row(
        Fault::UnknownAuthority,
        &["unknown authority", "unknown certificate authority", "UnknownIssuer", "UnknownCA"],
        "The machine at this address was made with another CA than this bundle's.",
        "Use the bundle that the machine was booted from, or boot the machine from this bundle.",
    ),
    row(
        Fault::WrongName,
        &["certificate is valid for", "doesn't contain any IP SANs", "cannot validate certificate for"],
        "Its certificate names another address: the machine has another node's files, or another node's address.",
        "Compare the machine's address and files with this node's in the bundle, and boot it from its own.",
    ),
    row(
        Fault::Permission,
        &["permission denied", "user name is empty", "invalid auth token", "authentication is not enabled"],
        "Authentication is on, and the certificate's common name is not a user with the rights for this.",
        "Give the user of the etcdctl certificate the root role: `etcdctl user grant-role etcdctl root`.",
    ),
    row(
        Fault::NoLeader,
        &[
            "etcdserver: no leader",
            "etcdserver: leader changed",
            "etcdserver: request timed out",
            "unhealthy cluster",
        ],
        "The members have elected no leader: less than a majority runs, or they do not reach each other's peer port.",
        "Start the other members, and check that every member reaches the others on the peer port.",
    ),
    row(
        Fault::Stopped,
        &["connection refused"],
        "The machine is up, but etcd is stopped there, or has not come as far as opening this port.",
        "Look at `systemctl status` and `journalctl -u` of etcd's unit on the node, and start it.",
    ),
    row(
        Fault::Unreachable,
        &[
            "no route to host",
            "host is unreachable",
            "network is unreachable",
            "i/o timeout",
            "connection timed out",
        ],
        "The machine is off, has another address, or a firewall between here and there drops the packets.",
        "Start the machine, and check its address and the way to it from here.",
    ),
    row(
        Fault::Waiting,
        &["context deadline exceeded", "deadlineexceeded", "tls handshake timeout"],
        "etcd is there and answers nobody: it has not yet met a majority of the members, or it hangs.",
        "Start the other members, check the peer port between them, and read the journal of etcd's unit on the node.",
    ),
    row(
        Fault::SeveralLeaders,
        &[],
        "An election is going on, or the members form more than one cluster.",
        "Ask again in a few seconds; if it stays so, compare the cluster IDs above.",
    ),
    row(
        Fault::OtherCluster,
        &["cluster ID mismatch"],
        "It belongs to another cluster: booted from another bundle, or with a data directory from an earlier one.",
        "Boot it from this bundle; if it was, move its old data directory away first.",
    ),
    row(
        Fault::OtherMember,
        &[],
        "Another member answers at this address, or this one was removed and added again.",
        "Compare with `etcdctl member list`; a member that was replaced on purpose needs a bundle that knows it.",
    ),
    row(
        Fault::OtherVersion,
        &[],
        "The machine runs another etcd than the one in the bundle: an old image, or an upgrade half done.",
        "Finish the upgrade, or boot the machine from this bundle.",
    ),
    row(
        Fault::Missing,
        &[],
        "A member of the bundle is not in the cluster: it was removed, or never joined.",
        "Add it with `etcdctl member add`, or verify against the bundle that the cluster was made from.",
    ),
    row(
        Fault::Extra,
        &[],
        "The cluster has a member that the bundle does not know.",
        "If nobody added it on purpose, take it out with `etcdctl member remove`.",
    ),
    row(
        Fault::Unstarted,
        &[],
        "The member is on the list but has never reported for duty.",
        "Start it, and look at its journal if it does not come.",
    ),
    row(
        Fault::Learner,
        &[],
        "The member copies the data but does not vote yet.",
        "Once it has caught up, run `etcdctl member promote`.",
    ),
    row(
        Fault::NameDiffers,
        &[],
        "The member runs under another name than the bundle gives it: its configuration was changed.",
        "Boot it from this bundle, or put the baked configuration back.",
    ),
    row(
        Fault::UrlDiffers,
        &[],
        "The member tells others to reach it elsewhere than the bundle says: its configuration was changed.",
        "Put the baked configuration back, or run `etcdctl member update` with the promised peer URLs.",
    ),
    row(
        Fault::ListsDiffer,
        &[],
        "A member has not caught up with a change of membership, or belongs to another cluster.",
        "Ask again in a few seconds; if it stays so, compare the cluster IDs.",
    ),
    row(
        Fault::DataDiffers,
        &[],
        "The members hold different data at the same revision: one of them is damaged.",
        "Take a snapshot now, find the odd one out, remove it and add it again with an empty data directory.",
    ),
    row(
        Fault::NotRead,
        &[],
        "What one member has acknowledged, another does not show.",
        "Treat the data as suspect: compare cluster IDs and hashes before anything else writes.",
    ),
    row(
        Fault::OtherTrust,
        &[],
        "Its trusted-ca-file is not the bundle's, so certificates of other CAs may get in.",
        "Put the bundle's ca.pem in place and restart the member, which reads that file only at its start.",
    ),
    row(
        Fault::Open,
        &[],
        "The port lets in somebody it has to keep out: client-cert-auth or allowed-cn is missing in its configuration.",
        "Put the baked configuration back and restart etcd; if it was baked so, this etcd has allowed-cn only as a flag.",
    ),
    row(
        Fault::Program,
        &[],
        "etcdctl itself did not run as it should.",
        "Read what it said; the bundle's etcdctl has to run on this machine.",
    ),
    row(
        Fault::Unknown,
        &[],
        "It answered in a way that Kiln has no name for.",
        "Read what was said, and the journal of etcd's unit on the node.",
    ),
];

impl Fault {
    /// The fault that a message speaks of.
    pub fn named_in(message: &str) -> Fault {
        let message = message.to_lowercase();
        TABLE
            .iter()
            .find(|row| row.texts.iter().any(|text| message.contains(&text.to_lowercase())))
            .map_or(Fault::Unknown, |row| row.fault)
    }

    pub fn cause(self) -> &'static str {
        self.row().map_or("", |row| row.cause)
    }

    pub fn way_out(self) -> &'static str {
        self.row().map_or("", |row| row.way_out)
    }

    fn row(self) -> Option<&'static Row> {
        TABLE.iter().find(|row| row.fault == self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_one_row_of_two_sentences() {
        for (at, row) in TABLE.iter().enumerate() {
            assert!(TABLE[..at].iter().all(|before| before.fault != row.fault), "{:?} twice", row.fault);
            for sentence in [row.cause, row.way_out] {
                assert!(sentence.ends_with('.') && sentence.len() < 130, "{sentence}");
            }
        }
        // The last of the enumeration: none is without a row.
        assert_eq!(TABLE.len(), Fault::Unknown as usize + 1);
    }

    #[test]
    fn messages_are_recognised() {
        // As etcdctl 3.5.16 and rustls wrote them.
        let cases = [
            (
                "transport: Error while dialing: dial tcp 10.240.48.10:2379: connect: connection refused",
                Fault::Stopped,
            ),
            ("dial tcp 10.240.48.10:2379: connect: no route to host", Fault::Unreachable),
            ("dial tcp 10.240.48.10:2379: i/o timeout", Fault::Unreachable),
            (
                "tls: failed to verify certificate: x509: certificate signed by unknown authority",
                Fault::UnknownAuthority,
            ),
            (
                "x509: certificate has expired or is not yet valid: current time 2026-11-21T01:00:00Z is after \
                 2026-11-20T01:00:00Z",
                Fault::Expired,
            ),
            (
                "x509: certificate has expired or is not yet valid: current time 1970-01-01T01:00:00Z is before \
                 2026-11-20T01:00:00Z",
                Fault::NotYetValid,
            ),
            ("x509: certificate is valid for 127.0.0.1, not 10.240.16.10", Fault::WrongName),
            ("Error: etcdserver: mvcc: database space exceeded", Fault::NoSpace),
            ("Error: context deadline exceeded", Fault::Waiting),
            ("etcdserver: permission denied", Fault::Permission),
            ("received fatal alert: UnknownCA", Fault::UnknownAuthority),
            ("something new", Fault::Unknown),
        ];
        for (message, want) in cases {
            assert_eq!(Fault::named_in(message), want, "{message}");
        }
    }
}
