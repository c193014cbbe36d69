//! The lab tier: real etcd releases, daemons, and operations that only root may do. `cargo test --test lab` runs it,
//! after `ci/setup --tests` and `ci/etcd --tests`. A test whose requirements are missing fails; none is skipped.

#![allow(clippy::disallowed_methods, reason = "tests use files and programs as people do")]

mod artifact;
mod authorities;
mod bombs;
mod build;
mod by_hand;
mod command_line;
#[cfg(feature = "age")]
mod copies;
mod data_disk;
mod etcd_facts;
mod etcd_limits;
mod etcd_values;
mod etcdctl;
mod examples;
mod foreign;
mod generations;
mod golden;
mod guard;
mod guest;
mod imported;
mod networkd;
mod networks;
mod node;
mod owners;
mod packed;
mod peer_names;
mod process;
mod publish;
mod readme;
mod ready;
#[cfg(feature = "oci")]
mod registry;
mod rehearse;
mod rehearse_unit;
mod restored;
mod side_by_side;
mod snapshots;
mod styles;
#[path = "../support/mod.rs"]
mod support;
mod trust;
mod verify;
mod wiped;
