//! Several blobs at a time.

use crate::failure::Result;
use crate::threads;

/// A registry answers each blob with a few round trips: a handful at a time hide them, more would look like an attack.
const WORKERS: usize = 4;

/// Calls `work` for every item. No new item is begun after the first fault, which is returned.
pub fn each<T: Sync>(items: &[T], work: impl Fn(&T) -> Result<()> + Sync) -> Result<()> {
    threads::each(items, WORKERS, work).map(drop)
}
