//! The words by which programs and kernels name a fault, in lower case: messages are compared without regard to case.
//!
//! Tables are searched in order: specific patterns come before general ones.

use super::fault::Fault;

/// A message that contains any of the texts means the fault.
type Patterns = &'static [(Fault, &'static [&'static str])];

/// Errors that a client of a member gets. Sources of the words: Go's crypto/x509/verify.go and net, etcd's
/// api/v3rpc/rpctypes/error.go, Linux's errno texts.
const TOLD: Patterns = &[
    (Fault::NoSpace, &["mvcc: database space exceeded", "alarm:nospace", "nospace"]),
    (Fault::Corrupt, &["etcdserver: corrupt cluster", "alarm:corrupt", "corrupt"]),
    (Fault::NotYetValid, &["is before 19", "is before 20", "notvalidyet"]),
    (
        Fault::Expired,
        &["certificate has expired", "certificate expired", "certificateexpired", "expired certificate"],
    ),
    (
        Fault::UnknownAuthority,
        &["unknown authority", "unknown certificate authority", "unknownissuer", "unknownca"],
    ),
    (
        Fault::WrongName,
        &["certificate is valid for", "doesn't contain any ip sans", "cannot validate certificate for"],
    ),
    (Fault::NoUser, &["user name not found", "auth: user not found"]),
    (
        Fault::Permission,
        &["permission denied", "user name is empty", "invalid auth token", "authentication is not enabled"],
    ),
    (
        Fault::NoLeader,
        &[
            "etcdserver: no leader",
            "etcdserver: leader changed",
            "etcdserver: request timed out",
            "unhealthy cluster",
        ],
    ),
    (Fault::Stopped, &["connection refused"]),
    (
        Fault::Unreachable,
        &[
            "no route to host",
            "host is unreachable",
            "network is unreachable",
            "i/o timeout",
            "connection timed out",
        ],
    ),
    // The last is etcdctl's message when a proposal was not committed in time (ctlv3/command/ep_command.go).
    (
        Fault::Waiting,
        &[
            "context deadline exceeded",
            "deadlineexceeded",
            "tls handshake timeout",
            "unable to fetch the alarm list",
        ],
    ),
    (Fault::OtherCluster, &["cluster id mismatch"]),
];

/// Errors that a member logs, or the program that starts it. Search only lines of errors: etcd also logs its whole
/// command line, with every option's name in it.
const LOGGED: Patterns = &[
    (Fault::KeyMismatch, &["private key does not match public key"]),
    (Fault::PeerName, &["certificate is valid for"]),
    (Fault::PeerAuthority, &["unknown authority"]),
    (Fault::NotYetValid, &["is before 19", "is before 20"]),
    (Fault::Expired, &["has expired or is not yet valid"]),
    (Fault::NoSuchAddress, &["cannot assign requested address"]),
    (Fault::PortTaken, &["address already in use"]),
    // The second: GNU tar of a write that the disk took a part of (write_error_details, paxutils/lib/paxerror.c).
    (Fault::DiskFull, &["no space left on device", ": wrote only "]),
    (Fault::NotInCluster, &["couldn't find local name"]),
    (
        Fault::PeerUrlsDiffer,
        &["missing from --initial-advertise-peer-urls", "--initial-advertise-peer-urls has"],
    ),
    (Fault::ReadOnly, &["read-only file system"]),
    (Fault::Bootstrapped, &["has already been bootstrapped"]),
    (Fault::ClustersDiffer, &["cluster id mismatch"]),
    (Fault::NoProgram, &["failed to execute"]),
    (Fault::NoAccess, &["permission denied"]),
    (Fault::NoFile, &["no such file or directory"]),
    (Fault::BadValue, &["cannot unmarshal"]),
    (Fault::BadFlag, &["flag provided but not defined"]),
];

fn place(patterns: Patterns, message: &str) -> Option<usize> {
    let message = message.to_lowercase();
    patterns.iter().position(|(_, texts)| texts.iter().any(|text| message.contains(text)))
}

impl Fault {
    /// The fault that a message to a client names.
    pub fn named_in(message: &str) -> Fault {
        place(TOLD, message).map_or(Fault::Unknown, |at| TOLD[at].0)
    }

    /// The fault that errors in a log are evidence of: of several the most specific, whichever was logged first.
    pub fn logged_in<S: AsRef<str>>(errors: impl IntoIterator<Item = S>) -> Option<Fault> {
        errors.into_iter().filter_map(|error| place(LOGGED, error.as_ref())).min().map(|at| LOGGED[at].0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("Unable to fetch the alarm list", Fault::Waiting),
            ("etcdserver: permission denied", Fault::Permission),
            // 3.5.30 and 3.5.16, for a user that does not exist.
            ("etcdserver: user name not found", Fault::NoUser),
            ("rpc error: code = Unknown desc = auth: user not found", Fault::NoUser),
            ("received fatal alert: UnknownCA", Fault::UnknownAuthority),
            ("something new", Fault::Unknown),
        ];
        for (message, want) in cases {
            assert_eq!(Fault::named_in(message), want, "{message}");
        }
    }

    #[test]
    fn patterns_are_in_lower_case() {
        for text in [TOLD, LOGGED].concat().iter().flat_map(|(_, texts)| *texts) {
            assert_eq!(*text, text.to_lowercase());
        }
    }

    #[test]
    fn of_several_errors_the_most_special_counts() {
        let errors =
            ["open /etc/etcd/x: permission denied", "tls: private key does not match public key", "x"];
        assert_eq!(Fault::logged_in(errors), Some(Fault::KeyMismatch));
        assert_eq!(Fault::logged_in(["sh: 1: cannot open x: Permission denied"]), Some(Fault::NoAccess));
        let early = "x509: certificate has expired or is not yet valid: current time 1970-01-01T01:00:00Z is before \
                     2026-11-20T01:00:00Z";
        assert_eq!(Fault::logged_in([early]), Some(Fault::NotYetValid));
        // To a client it means that the member is of another cluster than the bundle.
        assert_eq!(Fault::logged_in(["cluster ID mismatch"]), Some(Fault::ClustersDiffer));
        assert_eq!(Fault::named_in("cluster ID mismatch"), Fault::OtherCluster);
        // In a client's error it would mean something else.
        assert_eq!(Fault::named_in("permission denied"), Fault::Permission);
        assert_eq!(Fault::logged_in(["dial tcp 10.0.0.1:2380: connect: connection refused"]), None);
    }
}
