//! The VM tier: machines from power-on, in a network namespace of their own (`ci/lab`). `cargo test --test vm` runs
//! it, after `ci/setup --tests` and `ci/etcd --tests`. A test whose requirements are missing fails; none is skipped.
//! Those that take too long are ignored here; ci/long runs them.

#![allow(clippy::disallowed_methods, reason = "tests use files and programs as people do")]

mod boot;
mod boot_files;
mod machines;
mod overlays;
#[path = "../support/mod.rs"]
mod support;
mod two_hosts;
