//! The catalogue: for each fault the likely cause and the remedy, a sentence each. The only place for such sentences.

use super::fault::Fault;

struct Row {
    fault: Fault,
    cause: &'static str,
    way_out: &'static str,
}

const fn row(fault: Fault, cause: &'static str, way_out: &'static str) -> Row {
    Row { fault, cause, way_out }
}

const TABLE: &[Row] = &[
    row(
        Fault::NoSpace,
        "Its database has reached quota-backend-bytes, so the cluster rejects writes.",
        "Take a snapshot; then compact, defragment one member after the other, and run `etcdctl alarm disarm`.",
    ),
    row(
        Fault::Corrupt,
        "Its data differs from the other members', as etcd's own check has found.",
        "Take a snapshot from a member without the alarm and keep this member's data; only then replace the member.",
    ),
    row(
        Fault::NotYetValid,
        "The clock that judged the certificate is slow, or the clock that issued it was fast.",
        "Set the clock on the node and on this machine; no other change is needed.",
    ),
    row(
        Fault::Expired,
        "A certificate has expired, or the clock that judged it is fast.",
        "Check both clocks; then run `kiln keystore renew`, build again and put the new certificates in place.",
    ),
    row(
        Fault::UnknownAuthority,
        "The machine at this address has a certificate of another CA than this bundle's.",
        "Verify with the bundle that the machine was booted from, or find out which machine has this address.",
    ),
    row(
        Fault::NotEtcd,
        "Something that is not etcd listens at this address: a proxy, a port forward or another service.",
        "Find out what listens there (`ss -ltnp` on the node), and verify from where etcd itself can be reached.",
    ),
    row(
        Fault::NotTls,
        "etcd serves plain HTTP at this address: it was started without the bundle's configuration.",
        "Start it with the unit of this bundle; until then anyone who reaches the port can read and write all keys.",
    ),
    row(
        Fault::Proxied,
        "A proxy terminates TLS before etcd, or an etcd of another CA asks its clients for no certificate.",
        "Verify from where etcd itself can be reached, or let the proxy pass TLS through.",
    ),
    row(
        Fault::WrongName,
        "Its certificate names another address: the machine has another node's files, or another node's address.",
        "Compare the machine's address and files with this node's in the bundle, and boot it from its own.",
    ),
    row(
        Fault::OlderCertificate,
        "The node still serves an earlier certificate.",
        "Copy its certificates and keys from this bundle to it; etcd reads them at every handshake, without a restart.",
    ),
    row(
        Fault::NewerCertificate,
        "The node serves a later certificate than this bundle's.",
        "Verify with the newest bundle of this cluster.",
    ),
    row(
        Fault::OtherCertificate,
        "The node serves a certificate of this CA that another build made.",
        "Copy its files from this bundle to it, or verify with the bundle that its files came from.",
    ),
    row(
        Fault::OtherChain,
        "The node sends other intermediate certificates than those in the bundle.",
        "Copy its certificates from this bundle to it; clients that trust the root alone need the whole chain.",
    ),
    row(
        Fault::OtherForm,
        "The node's CA has made it, but with another subject, other names or other uses than kiln-node gives it.",
        "Run `kiln-node renew` there; if the program did not make it, find out who has the node's CA.",
    ),
    row(
        Fault::TooLong,
        "The node's CA has made it, but for longer than kiln-node does.",
        "Run `kiln-node renew` there; if the program did not make it, find out who has the node's CA.",
    ),
    row(
        Fault::NotRenewed,
        "The node does not renew its certificates: kiln-renew.timer is off, its clock is wrong, or each run fails.",
        "Read `systemctl status kiln-renew.timer` and `journalctl -t kiln-node` on the node.",
    ),
    row(
        Fault::RenewalFails,
        "kiln-node cannot renew with what the bundle has given to the node.",
        "Read what it said; if `kiln verify` accepts the bundle all the same, report it to Kiln's authors.",
    ),
    row(
        Fault::LostWrites,
        "etcd has lost writes that it had acknowledged.",
        "Do not use this release of etcd here; keep this report.",
    ),
    row(
        Fault::SnapshotFails,
        "kiln-node cannot take a snapshot with what the bundle has given to the node.",
        "Read what it said; if `kiln verify` accepts the bundle all the same, report it to Kiln's authors.",
    ),
    row(
        Fault::OtherRevision,
        "The member does not have what is in the snapshot.",
        "Test another snapshot, and keep this one: `kiln snapshots list` shows what there is.",
    ),
    row(
        Fault::OldSnapshot,
        "No node has stored a sound snapshot for two intervals: kiln-snapshot.timer is off, the bucket refuses, or each run fails.",
        "Read `journalctl -t kiln-node` and /run/kiln/backup-status.json on the nodes.",
    ),
    row(
        Fault::NodeCaEnds,
        "The CA with which the node renews its certificates ends, and they end with it.",
        "Run `kiln keystore renew`, build again and deliver the node's files.",
    ),
    row(
        Fault::OtherOptions,
        "etcd runs with other options than those in the bundle: it was started by another unit or configuration.",
        "Copy the node's files from this bundle to it and restart etcd there, one member at a time.",
    ),
    row(
        Fault::NoUser,
        "Authentication is on, and etcd has no user etcdctl, the common name of the bundle's client certificate.",
        "With a user that has the root role: `user add etcdctl --no-password`, then `user grant-role etcdctl root`.",
    ),
    row(
        Fault::Permission,
        "Authentication is on, and the user of the client certificate is not allowed to do this.",
        "With a user that has the root role: `user grant-role etcdctl root`.",
    ),
    row(
        Fault::NoLeader,
        "The members have elected no leader: less than a quorum runs, or they do not reach each other's peer port.",
        "Start the other members, and check that every member reaches the others on the peer port.",
    ),
    row(
        Fault::Stopped,
        "The machine is up, but etcd does not listen there: it is stopped, still waits to start, or a firewall rejects.",
        "Read `systemctl status` of etcd's unit on the node; status 226/NAMESPACE means a container (LXC) without nesting.",
    ),
    row(
        Fault::Filtered,
        "The machine answers on another port: a firewall keeps this one closed (firewalld: \"No route to host\").",
        "Open the client port (2379) to clients and the peer port (2380) to the other members.",
    ),
    row(
        Fault::Unreachable,
        "Nothing answers: the machine is off, has another address, or a firewall (firewalld, nftables) is in between.",
        "Start the machine; check its address, the route to it and that its ports 2379 and 2380 are open.",
    ),
    row(
        Fault::Waiting,
        "etcd is there but does not answer: it has not yet met a quorum of the members, or it hangs.",
        "Start the other members, check the peer port between them, and read the journal of etcd's unit on the node.",
    ),
    row(
        Fault::SeveralLeaders,
        "An election is running, or the members form more than one cluster.",
        "Run kiln verify again in a few seconds; if the result is the same, compare the cluster IDs above.",
    ),
    row(
        Fault::OtherBundle,
        "A cluster of this CA runs here, but this bundle describes another: its nodes, addresses or token were changed.",
        "Verify with the bundle that the cluster was made from, and boot no node from this one: it would not start.",
    ),
    row(
        Fault::OtherCluster,
        "It belongs to another cluster: booted from another bundle, or its data is from an earlier one.",
        "Find out its bundle and the cluster of its data; keep the data until you are sure that it is not needed.",
    ),
    row(
        Fault::ClustersDiffer,
        "The members' tokens or initial-cluster values differ, so they are different clusters.",
        "Copy the files of one bundle to all nodes; keep the data until you are sure that it is not needed.",
    ),
    row(
        Fault::OtherMember,
        "Another member answers at this address.",
        "Compare with `etcdctl member list`: the machine has another member's address, or another member's data.",
    ),
    row(
        Fault::Replaced,
        "The member was replaced: etcd gave it a new ID, and no bundle knows the IDs of replaced members yet.",
        "If you replaced it, no action is needed: the other rows are about the new member.",
    ),
    row(
        Fault::OtherVersion,
        "The machine runs another etcd than the one in the bundle: an old image, or an upgrade half done.",
        "Finish the upgrade, or boot the machine from this bundle.",
    ),
    row(
        Fault::Missing,
        "A member of the bundle is not in the cluster: it was removed, or never joined.",
        "Add it with `etcdctl member add`, or verify against the bundle that the cluster was made from.",
    ),
    row(
        Fault::Extra,
        "The cluster has a member that the bundle does not know.",
        "Find out who added it, and where it runs, before you change anything.",
    ),
    row(
        Fault::Unstarted,
        "The member is on the list but has never come up.",
        "Start it, and read its journal if it does not come up.",
    ),
    row(
        Fault::Learner,
        "The member copies the data but does not vote yet.",
        "Once it has caught up, run `etcdctl member promote`.",
    ),
    row(
        Fault::NameDiffers,
        "The member runs under another name than the bundle gives it: its configuration was changed.",
        "Boot it from this bundle, or restore the bundle's configuration.",
    ),
    row(
        Fault::UrlDiffers,
        "The member advertises other URLs than those in the bundle: its configuration was changed.",
        "Restore the bundle's configuration, or run `etcdctl member update` with the peer URLs of the bundle.",
    ),
    row(
        Fault::ListsDiffer,
        "A member has not caught up with a change of membership, or belongs to another cluster.",
        "Run kiln verify again in a few seconds; if the result is the same, compare the cluster IDs.",
    ),
    row(
        Fault::DataDiffers,
        "The members hold different data at the same revision: one of them is damaged.",
        "Take a snapshot of every member now, and keep all their data until you know which one is right.",
    ),
    row(
        Fault::NotRead,
        "One member does not return a write that another has acknowledged.",
        "Treat the data as suspect: compare cluster IDs and hashes before anything else writes.",
    ),
    row(
        Fault::OtherTrust,
        "Its trusted-ca-file is not the bundle's, so certificates of other CAs may get in.",
        "Put the bundle's ca.pem in place and restart the member, which reads that file only at its start.",
    ),
    row(
        Fault::Open,
        "The port accepts a client that it must refuse: client-cert-auth or allowed-cn is missing in its configuration.",
        "Restore the bundle's configuration and restart etcd; if that has no allowed-cn, this etcd takes it only as a flag.",
    ),
    row(
        Fault::OpenToCopies,
        "The port accepts what a copy of one node's CA can make: its allowed-hostname or trusted-ca-file is not the bundle's.",
        "Restore the bundle's configuration and CA files, and restart etcd, one member at a time.",
    ),
    row(
        Fault::Program,
        "etcdctl itself did not run correctly.",
        "Read its output; the bundle's etcdctl has to run on this machine.",
    ),
    // Faults from a member's own log.
    row(
        Fault::KeyMismatch,
        "A certificate and its key do not belong together.",
        "Give the node the certificate and the key of one issue, as `kiln build` writes them.",
    ),
    row(
        Fault::PeerName,
        "A peer's certificate names another address than the one it comes from.",
        "Compare the node's address with the names in its certificate (`openssl x509 -ext subjectAltName`).",
    ),
    row(
        Fault::PeerAuthority,
        "The members' certificates come from different CAs.",
        "Copy the files of one bundle to all nodes.",
    ),
    row(
        Fault::NoSuchAddress,
        "It listens on an address that this node does not have.",
        "Compare the machine's addresses (`ip address`) with the node's in the profile.",
    ),
    row(
        Fault::PortTaken,
        "Two of its listeners use the same port, or another program does.",
        "Give each listener a port of its own, and list the listeners of the machine (`ss -ltnp`).",
    ),
    row(
        Fault::DiskFull,
        "The file system that etcd writes to is full.",
        "Free space on it; a rehearsal writes about 240 MiB for each member to TMPDIR, which can be another disk.",
    ),
    row(
        Fault::NotInCluster,
        "Its name is not in its own initial-cluster.",
        "Correct the name or initial-cluster in the profile, or omit both.",
    ),
    row(
        Fault::PeerUrlsDiffer,
        "Its peer URLs differ from those that its initial-cluster gives it.",
        "Correct the peer URLs in the profile, or omit them.",
    ),
    row(
        Fault::ReadOnly,
        "The unit's sandbox lets etcd write only to its data directory.",
        "Keep the files that etcd writes in its data directory, or extend ReadWritePaths= of its unit in an overlay.",
    ),
    row(
        Fault::Bootstrapped,
        "Its data directory is new although the cluster knows it as a member.",
        "Attach the disk that holds its data; if that is lost, replace the member with etcdctl.",
    ),
    row(
        Fault::NoProgram,
        "The program is missing, or does not fit this machine's architecture or libraries.",
        "Compare the machine's architecture and C library with what the release needs.",
    ),
    row(
        Fault::NoAccess,
        "etcd's account cannot open a file: its owner or mode forbids it, or the unit hides it (ProtectHome=).",
        "Let etcd's account read it (`ls -l` along its path), and keep it where the unit does not hide it.",
    ),
    row(
        Fault::NoFile,
        "A file that its configuration names is not on the node.",
        "Add the file to an overlay, or correct its path in the profile.",
    ),
    row(
        Fault::BadValue,
        "Its configuration file has a value of the wrong type.",
        "Correct the value in the profile and build again.",
    ),
    row(
        Fault::BadFlag,
        "This etcd does not support one of its flags.",
        "Drop the option from the profile, or build with a release that supports it.",
    ),
    row(
        Fault::Unknown,
        "Kiln does not recognise this answer.",
        "Read the message, and the journal of etcd's unit on the node.",
    ),
];

impl Fault {
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
        // The last variant of the enumeration: every fault has a row.
        assert_eq!(TABLE.len(), Fault::Unknown as usize + 1);
    }

    /// No row may advise a destructive action on what may be the only copy of the data.
    #[test]
    fn no_advice_loses_data() {
        for row in TABLE {
            let advice = row.way_out.to_lowercase();
            for word in ["remove", "empty", "delete", "move its", "wipe", "overwrite", "format"] {
                assert!(!advice.contains(word), "{advice}");
            }
        }
    }
}
