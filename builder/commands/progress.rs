//! A progress bar, shown at a terminal after half a second.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::Output;
use crate::build::Done;

/// Shorter waits need no bar.
const DRAW_AFTER: Duration = Duration::from_millis(500);

/// Nodes done of all nodes, bytes written, time left. Shared between threads; the bar is removed when the value is
/// dropped.
pub struct Progress {
    begun: Instant,
    bytes: AtomicU64,
    bar: Mutex<Option<ProgressBar>>,
    quiet: bool,
    total: u64,
    done: AtomicU64,
}

impl Progress {
    pub fn begin(out: &Output, nodes: usize) -> Self {
        Self {
            begun: Instant::now(),
            bytes: AtomicU64::new(0),
            bar: Mutex::default(),
            quiet: out.is_quiet(),
            total: nodes as u64,
            done: AtomicU64::new(0),
        }
    }

    pub fn tell(&self, done: Done) {
        match done {
            Done::Bytes(count) => self.bytes.fetch_add(count, Ordering::Relaxed),
            Done::Node => self.done.fetch_add(1, Ordering::Relaxed),
        };
        self.show();
    }

    fn show(&self) {
        if self.quiet || self.begun.elapsed() < DRAW_AFTER {
            return;
        }
        // One thread redraws the bar for all of them.
        let Ok(mut bar) = self.bar.try_lock() else { return };
        let bar = bar.get_or_insert_with(|| self.bar());
        bar.set_message(HumanBytes(self.bytes.load(Ordering::Relaxed)).to_string());
        bar.set_position(self.done.load(Ordering::Relaxed));
    }

    /// Drawn to stderr, and not at all if that is not a terminal.
    fn bar(&self) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(Some(self.total), ProgressDrawTarget::stderr());
        let template = "{bar:30} {pos}/{len} nodes, {msg}, {eta} left";
        match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style).with_elapsed(self.begun.elapsed()),
            Err(_) => bar,
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Ok(Some(bar)) = self.bar.get_mut() {
            bar.finish_and_clear();
        }
    }
}
