//! The end of the demo: a table for people or one JSON object for programs, on stdout.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::Audit;
use super::stage::Facts;
use crate::sim::scoreboard::{Baseline, Scoreboard};
use crate::sim::traffic::TrafficReport;

/// Everything that is known at the end.
pub(super) struct Summary {
    pub(super) interrupted: bool,
    pub(super) traffic: TrafficReport,
    pub(super) elapsed: Duration,
    pub(super) board: Scoreboard,
    pub(super) audit: Audit,
    pub(super) facts: Facts,
    pub(super) curve: PathBuf,
    pub(super) kept: Option<PathBuf>,
    pub(super) router: String,
}

impl Summary {
    /// # Errors
    /// When stdout cannot be written.
    pub(super) fn print(&self, json: bool) -> io::Result<()> {
        if json {
            writeln!(io::stdout(), "{:#}", self.json())
        } else {
            write!(io::stdout(), "{}", self.text())
        }
    }

    fn text(&self) -> String {
        let mut text = self.standings();
        for line in [self.verdict(), self.traffic_line(), self.honesty(), self.files()] {
            text.push_str(&line);
            text.push('\n');
        }
        for fault in self.faults() {
            let _ = writeln!(text, "Note: {fault}");
        }
        text
    }

    fn standings(&self) -> String {
        let mut text = format!(
            "\n{:<14}{:>9}{:>13}{:>18}{:>26}\n",
            "policy", "quality", "spend USD", "vs best single", "regret/request"
        );
        let _ = writeln!(
            text,
            "{:<14}{:>9}{:>13}{:>18}{:>13}{:>13}",
            "", "", "", "", "first fifth", "last fifth"
        );
        for s in self.board.standings() {
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{:<14}{:>9.4}{:>13.5}{:>16.1} %{:>13.4}{:>13.4}",
                s.policy,
                s.quality,
                s.spend_usd,
                s.spend_vs_best_single * 100.0,
                s.regret_first_fifth,
                s.regret_last_fifth
            );
        }
        text
    }

    fn verdict(&self) -> String {
        let standings = self.board.standings();
        let (ours, best) = (&standings[0], &standings[1 + Baseline::BestSingle as usize]);
        let gap = (ours.quality / best.quality.max(f64::MIN_POSITIVE) - 1.0) * 100.0;
        format!(
            "\nOver the whole run, learning included: quality {gap:+.1} % against always {}, at {:.0} % of its spend; regret per request {} from {:.4} to {:.4}.",
            self.facts.default,
            ours.spend_vs_best_single * 100.0,
            if ours.regret_last_fifth < ours.regret_first_fifth { "fell" } else { "did not fall:" },
            ours.regret_first_fifth,
            ours.regret_last_fifth
        )
    }

    fn traffic_line(&self) -> String {
        let t = &self.traffic;
        format!(
            "{} answers in {:.1} s ({} as streams), {} rated, {} requests failed.{}",
            t.answered,
            self.elapsed.as_secs_f64(),
            t.streamed,
            t.rated,
            t.failed,
            if self.interrupted { " Interrupted before the end." } else { "" }
        )
    }

    fn honesty(&self) -> String {
        if self.facts.recorded {
            format!("No model was called: costs and qualities are those of {}.", self.facts.source)
        } else {
            "The models are simulated and their names fictional; the router, its HTTP, its log and its learning are real.".to_owned()
        }
    }

    fn files(&self) -> String {
        let kept = self.kept.as_ref().map(|folder| format!("\nLog and truth: {}", folder.display()));
        format!("Learning curve: {}{}", self.curve.display(), kept.unwrap_or_default())
    }

    /// What casts doubt on the figures; nothing when all is well.
    fn faults(&self) -> Vec<String> {
        let unpriced = self.board.total().unpriced;
        [
            (self.audit.wrong_model, "answers came from another model than the router said"),
            (self.audit.wrong_cost, "answers cost something else than the router said"),
            (unpriced, "answers came without a cost and count as free"),
            (self.traffic.refused, "ratings were refused"),
            (self.traffic.failed, "requests failed"),
        ]
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, what)| format!("{n} {what}"))
        .chain(self.traffic.first_failure.iter().map(|why| format!("the first failure was: {why}")))
        .chain(self.traffic.first_refusal.iter().map(|why| format!("the first refusal was: {why}")))
        .collect()
    }

    fn json(&self) -> Value {
        let total = self.board.total();
        let models: Vec<Value> = self
            .board
            .playbook()
            .models
            .iter()
            .zip(&total.served)
            .map(|(model, served)| json!({"model": model.name, "served": served}))
            .collect();
        let windows: Vec<Value> = self
            .board
            .windows()
            .iter()
            .map(|w| {
                json!({
                    "requests": w.router.requests, "quality": w.router.mean_quality(),
                    "spend_usd": w.router.spend_usd, "regret": w.router.mean_regret(), "served": w.served,
                })
            })
            .collect();
        json!({
            "simulated": !self.facts.recorded, "run": self.facts, "interrupted": self.interrupted,
            "elapsed_s": self.elapsed.as_secs_f64(), "traffic": self.traffic, "audit": self.audit,
            "unpriced": total.unpriced, "standings": self.board.standings(), "models": models,
            "windows": windows, "curve": self.curve, "kept": self.kept, "base_url": self.router,
        })
    }
}

/// Tells how to try the router that still runs; on stderr, so that `--json` stays clean.
///
/// # Errors
/// When stderr cannot be written.
pub(super) fn invite(router: &str) -> io::Result<()> {
    writeln!(
        io::stderr(),
        "\nStill serving at {router} until Ctrl-C. Try it (OpenAI base URL {router}/v1):\n  curl -i {router}/v1/chat/completions -H 'content-type: application/json' \\\n    -d '{{\"model\": \"auto\", \"messages\": [{{\"role\": \"user\", \"content\": \"Write an SQL query that counts the orders per region.\"}}]}}'"
    )
}
