//! The only access to threads. A system may have none left (`pids.max` of a container, `ulimit -u`, a limit on
//! memory), and `std::thread::spawn` panics then. Here the existing threads do the work, or the caller gets an error.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use crate::failure::{Failure, Result};
use crate::interrupt;

/// Work that runs beside the caller's, or that the caller does itself when it asks for the result.
pub struct Beside<'scope, F, T> {
    thread: Option<ScopedJoinHandle<'scope, Option<T>>>,
    /// Until a thread takes it.
    work: Arc<Mutex<Option<F>>>,
}

/// Begins work in a thread of its own if there is one. Only for work that nothing else waits for before `join`.
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
    /// Waits for the result.
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

    /// The same; a panic is resumed in the caller's thread, up to `main`, which reports it.
    pub fn get(self) -> T {
        self.join().unwrap_or_else(|failure| std::panic::resume_unwind(Box::new(failure)))
    }
}

/// Calls `work` for every item, in at most `threads` threads including the caller's, and returns the results in the
/// items' order. Where the system has no more threads, the existing ones do all of the work.
///
/// A panic in another thread is resumed in the caller's.
pub fn all<'a, T: Sync, R: Send>(items: &'a [T], threads: usize, work: impl Fn(&'a T) -> R + Sync) -> Vec<R> {
    share_out(items, threads, work).unwrap_or_else(|failure| std::panic::resume_unwind(Box::new(failure)))
}

/// The same for work that may fail. No new item is begun after the first error or after Ctrl-C; of several errors the
/// one of the earliest item is returned.
///
/// # Errors
/// The error; `Exit::Interrupted` after Ctrl-C; `Exit::Io` when a thread panicked.
pub fn each<'a, T: Sync, R: Send>(
    items: &'a [T],
    threads: usize,
    work: impl Fn(&'a T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let stopped = AtomicBool::new(false);
    let done = share_out(items, threads, |item| {
        if stopped.load(Ordering::Relaxed) {
            return None;
        }
        let done = interrupt::check().and_then(|()| work(item));
        if done.is_err() {
            stopped.store(true, Ordering::Relaxed);
        }
        Some(done)
    })?;
    done.into_iter().flatten().collect()
}

/// # Errors
/// `Exit::Io` when another thread than the caller's panicked.
fn share_out<'a, T: Sync, R: Send>(
    items: &'a [T],
    threads: usize,
    work: impl Fn(&'a T) -> R + Sync,
) -> Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let do_a_share = || {
        let mut done = Vec::new();
        while let Some((at, item)) = begin(&next, items) {
            done.push((at, work(item)));
        }
        done
    };
    let mut done = std::thread::scope(|scope| {
        // Where the system has no more threads, the existing ones do the rest.
        let begin = |_| Builder::new().spawn_scoped(scope, do_a_share).ok();
        let others: Vec<_> = (1..threads.min(items.len())).map_while(begin).collect();
        let mut done = do_a_share();
        // Each is joined, whatever the result of the one before it: a panic that is left to the scope would end the
        // caller.
        for share in others.into_iter().map(ScopedJoinHandle::join).collect::<Vec<_>>() {
            done.extend(share.map_err(|_| panicked())?);
        }
        Ok(done)
    })?;
    done.sort_unstable_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

/// The next item that no thread has begun, with its index.
fn begin<'a, T>(next: &AtomicUsize, items: &'a [T]) -> Option<(usize, &'a T)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    items.get(at).map(|item| (at, item))
}

/// Begins work that must run at the same time as the caller's.
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

/// Begins work that ends with the process at the latest.
///
/// # Errors
/// `Exit::Io` when the system has no thread for it.
pub fn detached(work: impl FnOnce() + Send + 'static) -> Result<()> {
    Builder::new().spawn(work).map(drop).map_err(|error| none(&error))
}

fn none(error: &std::io::Error) -> Failure {
    Failure::io(format!(
        "starting a thread: {error}; check the limits on processes and memory (ulimit -u, -v, pids.max)"
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
    fn results_keep_the_order_of_the_items() {
        let items: Vec<u32> = (0..1000).collect();
        assert_eq!(each(&items, 3, |n| Ok(n * 2)).unwrap(), items.iter().map(|n| n * 2).collect::<Vec<_>>());
        assert_eq!(all(&items, 3, |n| n * 2), items.iter().map(|n| n * 2).collect::<Vec<_>>());
        assert!(each(&[] as &[u32], 3, |_| Ok(())).unwrap().is_empty());
        assert!(all(&[] as &[u32], 3, |_| ()).is_empty());
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

    #[test]
    fn a_panic_in_another_thread_is_a_failure_and_the_rest_is_done() {
        let (caller, done) = (thread::current().id(), AtomicUsize::new(0));
        let barrier = std::sync::Barrier::new(2);
        let lost = each(&[0, 1], 2, |_| {
            // Each of the two threads has an item by now.
            barrier.wait();
            assert_eq!(thread::current().id(), caller, "the other one ends here");
            done.fetch_add(1, Ordering::Relaxed);
            Ok(())
        });
        assert_eq!(lost.unwrap_err().exit(), Exit::Io);
        assert_eq!(done.into_inner(), 1);
    }
}
