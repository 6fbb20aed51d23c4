//! The table while the demo runs: redrawn in place on a terminal, a plain line every few seconds elsewhere. Both on stderr.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::stage::Stage;
use crate::sim::scoreboard::{Baseline, Scoreboard, Sums};

/// On a terminal.
const REDRAW: Duration = Duration::from_millis(120);
/// Elsewhere.
const PLAIN_LINE: Duration = Duration::from_secs(5);
/// Windows that count as recent.
const RECENT: usize = 3;
/// Characters of a full share bar.
const BAR: f64 = 24.0;

/// Shows how the run goes.
pub(super) struct Live {
    bar: Option<ProgressBar>,
    shown: Instant,
    requests: usize,
}

impl Live {
    /// Says what runs, plainly.
    ///
    /// # Errors
    /// When stderr cannot be written.
    pub(super) fn start(stage: &Stage, router: &str) -> anyhow::Result<Self> {
        let requests = stage.playbook.plays.len();
        writeln!(
            io::stderr(),
            "Pointsman demo: {}.\nRouter at {router}, route `auto`, default model {}.",
            stage.caption(),
            stage.default_model()
        )?;
        let bar = if io::stderr().is_terminal() { Some(bar(requests)?) } else { None };
        Ok(Self { bar, shown: Instant::now(), requests })
    }

    /// Redraws when it is time.
    pub(super) fn show(&mut self, board: &Scoreboard) {
        let every = if self.bar.is_some() { REDRAW } else { PLAIN_LINE };
        let done = board.total().router.requests;
        if self.shown.elapsed() < every && done < self.requests {
            return;
        }
        self.shown = Instant::now();
        match &self.bar {
            Some(bar) => {
                bar.set_message(table(board));
                bar.set_position(done as u64);
            }
            None => self.print(&line(board, self.requests)),
        }
    }

    /// A progress line that cannot be written is no reason to stop the run.
    fn print(&self, line: &str) {
        if let Err(error) = writeln!(io::stderr(), "{line}") {
            tracing::debug!(%error, "stderr is closed");
        }
    }

    /// Leaves the last table on the screen.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }
}

fn bar(requests: usize) -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template(
        "{msg}\n{wide_bar:.blue} {pos}/{len} requests, {elapsed} gone, {eta} to go",
    )?;
    Ok(ProgressBar::new(requests as u64).with_style(style))
}

fn line(board: &Scoreboard, requests: usize) -> String {
    let (total, recent) = (board.total(), board.newest(RECENT));
    let best = total.baseline(Baseline::BestSingle);
    let (top, share) =
        recent.served.iter().enumerate().max_by_key(|(_, n)| **n).map_or(("", 0.0), |(k, n)| {
            (board.playbook().models[k].name.as_str(), percent(*n, recent.router.requests))
        });
    format!(
        "{:>6}/{requests}  quality {:.3} (best single {:.3})  spend ${:.4} ({:.0} % of best single)  regret lately {:.3}  most used lately {top} {share:.0} %",
        total.router.requests,
        total.router.mean_quality(),
        best.mean_quality(),
        total.router.spend_usd,
        ratio(total.router.spend_usd, best.spend_usd) * 100.0,
        recent.router.mean_regret(),
    )
}

/// Policies above, models below.
fn table(board: &Scoreboard) -> String {
    let (total, recent) = (board.total(), board.newest(RECENT));
    let mut text = format!(
        "\n{:<22}{:>9}{:>12}{:>9}{:>16}\n",
        "policy", "quality", "spend USD", "regret", "regret lately"
    );
    let mut row = |name: &str, all: &Sums, late: &Sums| {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{name:<22}{:>9.3}{:>12.4}{:>9.3}{:>16.3}",
            all.mean_quality(),
            all.spend_usd,
            all.mean_regret(),
            late.mean_regret()
        );
    };
    row("pointsman", &total.router, &recent.router);
    for which in Baseline::ALL {
        row(which.as_str(), total.baseline(which), recent.baseline(which));
    }
    let _ = writeln!(text, "\n{:<30}{:>9}{:>9}", "model", "share", "lately");
    for (k, model) in board.playbook().models.iter().enumerate() {
        let share = percent(total.served[k], total.router.requests);
        let lately = percent(recent.served[k], recent.router.requests);
        let bar = "#".repeat((lately / 100.0 * BAR).round() as usize);
        let _ = writeln!(text, "{:<30}{share:>7.1} %{lately:>7.1} %  {bar}", model.name);
    }
    text
}

fn percent(part: usize, whole: usize) -> f64 {
    ratio(part as f64, whole as f64) * 100.0
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}
