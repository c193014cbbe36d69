//! Several blobs at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::failure::{Failure, Result};
use crate::threads;

/// A registry answers each blob with a few round trips: a handful at a time hide them, more would look like an attack.
const WORKERS: usize = 4;

/// Calls `work` for every item. No new item is begun after the first fault, which is returned.
pub fn each<T: Sync>(items: &[T], work: impl Fn(&T) -> Result<()> + Sync) -> Result<()> {
    let next = AtomicUsize::new(0);
    let fault: Mutex<Option<Failure>> = Mutex::default();
    let locked = || fault.lock().unwrap_or_else(PoisonError::into_inner);
    threads::crew(WORKERS.min(items.len()), || {
        while locked().is_none() {
            let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
            if let Err(failure) = work(item) {
                locked().get_or_insert(failure);
            }
        }
    });
    match fault.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_worked_on_once_until_a_fault() {
        let seen = Mutex::new(Vec::new());
        let items: Vec<u32> = (0..1000).collect();
        each(&items, |n| {
            seen.lock().unwrap().push(*n);
            Ok(())
        })
        .unwrap();
        let mut seen = seen.into_inner().unwrap();
        seen.sort_unstable();
        assert_eq!(seen, items);

        let begun = AtomicUsize::new(0);
        let result = each(&items, |n| {
            begun.fetch_add(1, Ordering::Relaxed);
            if *n == 3 { Err(Failure::io("three")) } else { Ok(()) }
        });
        assert_eq!(result.unwrap_err().reason(), "three");
        assert!(begun.into_inner() < items.len());
        each(&[] as &[u32], |_| Ok(())).unwrap();
    }
}
