//! A bar on a terminal, plain lines elsewhere; both on standard error, so that the result can be piped.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Without a terminal a line is given each time this many percent are done.
const PERCENT_A_LINE: u64 = 10;

/// How far some long work is.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    what: String,
    /// The next percentage that is worth a line.
    next: u64,
}

impl Progress {
    /// Work counted in `what`.
    pub(super) fn new(what: impl Into<String>) -> Self {
        let what = what.into();
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0).with_message(what.clone());
            let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}, {eta} left");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { bar, what, next: PERCENT_A_LINE }
    }

    /// So much is done.
    pub(super) fn at(&mut self, done: u64, total: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
        } else if done * 100 >= self.next * total && self.next <= 100 {
            // Nothing to do when the standard error is closed.
            let _ = writeln!(std::io::stderr(), "{done} of {total} {}", self.what);
            while self.next * total <= done * 100 && self.next <= 100 {
                self.next += PERCENT_A_LINE;
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
