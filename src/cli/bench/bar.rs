//! Progress for people.

use std::io::{IsTerminal as _, Write as _};

use indicatif::{ProgressBar, ProgressStyle};

/// A progress bar on a terminal; elsewhere a line when a step begins.
pub(super) struct Bar(ProgressBar);

impl Bar {
    /// At 0 of 0.
    pub fn new(what: String) -> Self {
        if !std::io::stderr().is_terminal() {
            // Nothing to do when the standard error is closed.
            let _ = writeln!(std::io::stderr(), "{what}");
            return Self(ProgressBar::hidden());
        }
        let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}");
        let bar = ProgressBar::new(0).with_message(what);
        Self(match style {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        })
    }

    /// `done` of `all`.
    pub fn at(&self, done: u64, all: u64) {
        self.0.set_length(all);
        self.0.set_position(done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
