//! The names of what can be wrong.

use serde::{Deserialize, Serialize};

/// In JSON in kebab case: `not-yet-valid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    Stopped,
    Unreachable,
    Filtered,
    Waiting,
    NotEtcd,
    NotTls,
    Proxied,
    Expired,
    NotYetValid,
    UnknownAuthority,
    WrongName,
    OlderCertificate,
    NewerCertificate,
    OtherCertificate,
    OtherChain,
    OtherOptions,
    NoLeader,
    SeveralLeaders,
    NoSpace,
    Corrupt,
    NoUser,
    Permission,
    OtherBundle,
    OtherCluster,
    OtherMember,
    Replaced,
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
