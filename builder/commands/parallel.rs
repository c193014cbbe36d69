//! The same work for many nodes or clusters, several at once.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::failure::{Failure, Result};
use crate::threads;

/// Calls `work` for every item, for so many at once, and returns the results in the items' order. No new item is begun after the
/// first fault; of several faults the one of the earliest item is returned.
pub fn each<T: Sync, R: Send>(
    items: &[T],
    jobs: NonZeroUsize,
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let workers = jobs.get().min(items.len());
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, R)>> = Mutex::default();
    let fault: Mutex<Option<(usize, Failure)>> = Mutex::default();
    let stopped = || fault.lock().unwrap_or_else(PoisonError::into_inner).is_some();
    threads::crew(workers, || {
        while !stopped() {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return };
            match work(item) {
                Ok(result) => done.lock().unwrap_or_else(PoisonError::into_inner).push((at, result)),
                Err(failure) => {
                    let mut fault = fault.lock().unwrap_or_else(PoisonError::into_inner);
                    if fault.as_ref().is_none_or(|(earliest, _)| at < *earliest) {
                        *fault = Some((at, failure));
                    }
                }
            }
        }
    });
    if let Some((_, failure)) = fault.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(failure);
    }
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOBS: NonZeroUsize = NonZeroUsize::new(3).unwrap();

    #[test]
    fn results_keep_the_order_of_the_items() {
        let items: Vec<u32> = (0..1000).collect();
        assert_eq!(
            each(&items, JOBS, |n| Ok(n * 2)).unwrap(),
            items.iter().map(|n| n * 2).collect::<Vec<_>>()
        );
        assert!(each(&[] as &[u32], JOBS, |_| Ok(())).unwrap().is_empty());
    }

    #[test]
    fn a_fault_ends_the_work() {
        let items: Vec<u32> = (0..100_000).collect();
        let begun = AtomicUsize::new(0);
        let error = each(&items, JOBS, |n| {
            begun.fetch_add(1, Ordering::Relaxed);
            if *n == 3 { Err(Failure::io("three")) } else { Ok(()) }
        });
        assert_eq!(error.unwrap_err().reason(), "three");
        assert!(begun.into_inner() < items.len());
    }
}
