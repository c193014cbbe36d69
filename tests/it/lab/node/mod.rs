//! kiln-node with real etcd: certificates that are renewed while it serves, and everything that may go wrong.

mod authority;
mod clocks;
mod disks;
mod hostile;
mod hot;
mod issuers;
mod killed;
mod machine;
mod renewing;
