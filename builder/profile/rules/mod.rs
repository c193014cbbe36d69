//! Rules about several options, or options and the nodes: combinations that etcd refuses at its start, and those that
//! it accepts although a member could not serve with them.

mod features;
mod listeners;
mod logs;
mod set;
mod timing;
mod tls;
mod warnings;

use self::set::Set;
use super::diagnostics::Diagnostics;
use crate::etcd::Release;

pub(super) use self::set::{Around, text};
pub(super) use self::warnings::CORRUPTION_CHECKS;

/// # Errors
/// None: mistakes and warnings are in the diagnostics.
pub(super) fn check(diagnostics: &mut Diagnostics, set: &Set, release: Release, around: &Around) {
    timing::check_timing(diagnostics, set);
    timing::check_compaction(diagnostics, set, release);
    features::check_pairs(diagnostics, set);
    listeners::check_http(diagnostics, set);
    listeners::check_listeners(diagnostics, set, around);
    tls::check_tls(diagnostics, set);
    tls::check_suites(diagnostics, set, around);
    tls::check_gateway(diagnostics, set, around);
    logs::check_logs(diagnostics, set, release);
    logs::check_log_files(diagnostics, set, around);
    features::check_gates(diagnostics, set, release);
    features::check_releases(diagnostics, set, release);
    warnings::warn(diagnostics, set, release);
}
