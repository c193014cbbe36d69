//! What Kiln knows of etcd itself: its releases, the options of each, and how it computes identities.

mod release;

pub use release::Release;

/// A value of an etcd option, typed as etcd's config file takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Bool(bool),
    Int(i64),
    Text(String),
    List(Vec<String>),
    /// Go's `time.Duration`: nanoseconds in the YAML file, `1h0m0s`-like text as a flag.
    Duration {
        nanos: i64,
    },
}
