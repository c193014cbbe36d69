//! Keys stay in this process.

use rustix::process::{DumpableBehavior, Resource, getrlimit, set_dumpable_behavior, setrlimit};

/// Disables core dumps, which would contain keys: by PR_SET_DUMPABLE of prctl(2), and by a limit for kernels that
/// ignore it. A node without both still renews.
pub fn memory() {
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let mut limit = getrlimit(Resource::Core);
    limit.current = Some(0);
    let _ = setrlimit(Resource::Core, limit);
}
