//! The progress display while the machines of a cluster start: on a terminal a line for each node, which is redrawn;
//! otherwise a line for every change.

use std::fmt;
use std::io::Write as _;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

use super::progress::NodeProgress;
use crate::values::{NodeName, printable_lines};

/// The longest time without a line where lines are not redrawn.
const REMINDER_INTERVAL: Duration = Duration::from_secs(30);

/// Times are counted from the creation of this value.
pub struct Display<'a> {
    begun: Instant,
    quiet: bool,
    warn: &'a dyn Fn(&str),
    /// When the last line was written to an output that is not a terminal.
    told: Instant,
    lines: MultiProgress,
    /// A line for each node, from its first change on.
    nodes: Vec<ProgressBar>,
}

impl<'a> Display<'a> {
    pub fn new(quiet: bool, warn: &'a dyn Fn(&str)) -> Self {
        let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let lines = MultiProgress::with_draw_target(target);
        Self { begun: Instant::now(), quiet, warn, told: Instant::now(), lines, nodes: Vec::new() }
    }

    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    pub fn say(&self, text: impl fmt::Display) {
        if !self.quiet {
            let text = text.to_string();
            // Above the redrawn lines. An error of stderr itself cannot be reported.
            self.lines.suspend(|| _ = writeln!(std::io::stderr(), "{}", printable_lines(&text)));
        }
    }

    /// A line that `--quiet` does not hide.
    pub fn warn(&self, text: impl fmt::Display) {
        self.lines.suspend(|| (self.warn)(&text.to_string()));
    }

    /// The state of a node has changed; `progress` has that of every node, in the order of `names`.
    pub fn tell(&mut self, names: &[&NodeName], progress: &[NodeProgress], changed: usize) {
        if !self.lines.is_hidden() {
            return self.draw(names, progress);
        }
        let NodeProgress { phase, at, .. } = &progress[changed];
        let note = progress[changed].note();
        self.say(format_args!("{:6.1} s  {}  {phase}{note}", at.as_secs_f64(), names[changed]));
        self.told = Instant::now();
    }

    /// Shows that the waiting goes on.
    pub fn tick(&mut self, names: &[&NodeName], progress: &[NodeProgress], asked: &[bool]) {
        if !self.lines.is_hidden() {
            return self.draw(names, progress);
        }
        if self.told.elapsed() < REMINDER_INTERVAL {
            return;
        }
        let all = names.iter().zip(progress).zip(asked);
        let waited = all.filter(|((_, one), asked)| **asked && !one.is_settled());
        let waited: Vec<_> = waited.map(|((name, one), _)| format!("{name} ({})", one.phase)).collect();
        self.say(format_args!("{:6.1} s  waiting for {}", self.elapsed().as_secs_f64(), waited.join(", ")));
        self.told = Instant::now();
    }

    fn draw(&mut self, names: &[&NodeName], progress: &[NodeProgress]) {
        if self.nodes.is_empty() {
            self.nodes = names.iter().map(|name| self.line(name)).collect();
        }
        for (line, now) in self.nodes.iter().zip(progress) {
            let text = format!("{} ({:.1} s){}", now.phase, now.at.as_secs_f64(), now.note());
            match now.is_settled() {
                true => line.set_message(text),
                false => {
                    let since = self.begun.elapsed().saturating_sub(now.at);
                    line.set_message(format!("{text}  for {:.0} s", since.as_secs_f64()));
                }
            }
        }
    }

    fn line(&self, name: &NodeName) -> ProgressBar {
        // The final lines stay on the screen.
        let line = ProgressBar::new_spinner().with_finish(ProgressFinish::Abandon);
        // With an invalid template indicatif would use its own, which shows the same.
        if let Ok(style) = ProgressStyle::with_template("{prefix}  {wide_msg}") {
            line.set_style(style);
        }
        line.set_prefix(name.to_string());
        self.lines.add(line)
    }
}
