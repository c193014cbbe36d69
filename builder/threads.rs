//! The only door to threads. A system may have none left (`pids.max` of a container, `ulimit -u`, a limit on memory), and
//! `std::thread::spawn` panics then. Here the work is done by the threads that there are, or the caller gets an error.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use crate::failure::{Failure, Result};

/// Work that was begun beside the caller's, or will be done by the caller when it asks for the result.
pub struct Beside<'scope, F, T> {
    thread: Option<ScopedJoinHandle<'scope, Option<T>>>,
    /// Until somebody takes it.
    work: Arc<Mutex<Option<F>>>,
}

/// Begins work in a thread of its own where there is one. Only for work that nothing else waits for before `join`.
pub fn beside<'scope, F, T>(scope: &'scope Scope<'scope, '_>, work: F) -> Beside<'scope, F, T>
where
    F: FnOnce() -> T + Send + 'scope,
    T: Send + 'scope,
{
    let work = Arc::new(Mutex::new(Some(work)));
    let taken = Arc::clone(&work);
    let thread = Builder::new().spawn_scoped(scope, move || take(&taken).map(|work| work())).ok();
    Beside { thread, work }
}

fn take<F>(work: &Mutex<Option<F>>) -> Option<F> {
    work.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl<F: FnOnce() -> T, T> Beside<'_, F, T> {
    /// The result, once it is there.
    ///
    /// # Errors
    /// `Exit::Io` when the thread panicked.
    pub fn join(self) -> Result<T> {
        let done = match self.thread {
            Some(thread) => thread.join().map_err(|_| panicked())?,
            None => take(&self.work).map(|work| work()),
        };
        done.ok_or_else(panicked)
    }

    /// The same; a panic goes on in the caller's thread, up to `main`, which reports it.
    pub fn get(self) -> T {
        self.join().unwrap_or_else(|failure| std::panic::resume_unwind(Box::new(failure)))
    }
}

/// Does the same work in so many threads, of which the caller's is one, or in as many as there are.
pub fn crew(threads: usize, work: impl Fn() + Sync) {
    std::thread::scope(|scope| {
        for _ in 1..threads {
            // Where the system gives no more, those that are there do the rest.
            if Builder::new().spawn_scoped(scope, &work).is_err() {
                break;
            }
        }
        work();
    });
}

/// Calls `work` for every item, in so many threads at most, and returns the results in the items' order. No new item is begun
/// after the first fault; of several faults the one of the earliest item is returned.
///
/// # Errors
/// The fault.
pub fn each<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, R)>> = Mutex::default();
    let fault: Mutex<Option<(usize, Failure)>> = Mutex::default();
    let stopped = || fault.lock().unwrap_or_else(PoisonError::into_inner).is_some();
    crew(threads.min(items.len()), || {
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

/// Begins work that has to run at the same time as the caller's.
///
/// # Errors
/// `Exit::Io` when the system has no thread for it.
pub fn need<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<Needed<'scope, T>> {
    Builder::new().spawn_scoped(scope, work).map(Needed).map_err(|error| none(&error))
}

pub struct Needed<'scope, T>(ScopedJoinHandle<'scope, T>);

impl<T> Needed<'_, T> {
    /// # Errors
    /// `Exit::Io` when the thread panicked.
    pub fn join(self) -> Result<T> {
        self.0.join().map_err(|_| panicked())
    }
}

/// Begins work that ends with the process, if not before.
///
/// # Errors
/// `Exit::Io` when the system has no thread for it.
pub fn detached(work: impl FnOnce() + Send + 'static) -> Result<()> {
    Builder::new().spawn(work).map(drop).map_err(|error| none(&error))
}

fn none(error: &std::io::Error) -> Failure {
    Failure::io(format!(
        "starting a thread: {error}; look at the limits on processes and memory (ulimit -u, -v, pids.max)"
    ))
}

/// The panic itself has been reported where it happened.
fn panicked() -> Failure {
    Failure::io("a thread ended with an internal error")
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::failure::Exit;

    #[test]
    fn results_come_back_and_a_panic_is_a_failure() {
        thread::scope(|scope| {
            assert_eq!(beside(scope, || 7).join().unwrap(), 7);
            assert_eq!(need(scope, || 8).unwrap().join().unwrap(), 8);
            let lost = beside(scope, || panic!("a secret")).join().unwrap_err();
            assert_eq!(lost.exit(), Exit::Io);
            assert!(!lost.to_string().contains("secret"));
        });
    }

    #[test]
    fn without_a_thread_the_caller_does_the_work() {
        let begun = Beside { thread: None, work: Arc::new(Mutex::new(Some(|| 9))) };
        assert_eq!(begun.join().unwrap(), 9);
    }

    #[test]
    fn a_crew_works_until_nothing_is_left() {
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        crew(4, || {
            while next.fetch_add(1, Ordering::Relaxed) < 1000 {
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
        assert_eq!(done.into_inner(), 1000);
    }

    #[test]
    fn results_keep_the_order_of_the_items() {
        let items: Vec<u32> = (0..1000).collect();
        assert_eq!(each(&items, 3, |n| Ok(n * 2)).unwrap(), items.iter().map(|n| n * 2).collect::<Vec<_>>());
        assert!(each(&[] as &[u32], 3, |_| Ok(())).unwrap().is_empty());
    }

    #[test]
    fn every_item_is_worked_on_once() {
        let seen = Mutex::new(Vec::new());
        let items: Vec<u32> = (0..1000).collect();
        each(&items, 4, |n| {
            seen.lock().unwrap().push(*n);
            Ok(())
        })
        .unwrap();
        let mut seen = seen.into_inner().unwrap();
        seen.sort_unstable();
        assert_eq!(seen, items);
    }

    #[test]
    fn a_fault_ends_the_work() {
        let items: Vec<u32> = (0..100_000).collect();
        let begun = AtomicUsize::new(0);
        let error = each(&items, 3, |n| {
            begun.fetch_add(1, Ordering::Relaxed);
            if *n == 3 { Err(Failure::io("three")) } else { Ok(()) }
        });
        assert_eq!(error.unwrap_err().reason(), "three");
        assert!(begun.into_inner() < items.len());
    }
}
