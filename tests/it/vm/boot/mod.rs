//! Real virtual machines, from power-on to a verified cluster, in a network namespace of their own (ci/lab).
//!
//! `KILN_BOOT=all` (ci/boot --all) runs all six pairs of carrier and driver instead of two, and disk images.

mod disks;
mod formation;
mod pairs;
mod renewal;
mod restored;
mod site;

/// For machines that emulate three others on two busy cores.
const DEADLINE: &str = "600";
