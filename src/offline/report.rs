//! Evaluations in words: one table, the shares, and whether a verdict may be drawn from them.

use std::fmt::Write as _;

use super::estimate::{Estimates, Evaluation};
use crate::ope::{Interval, Value};

/// The table of an evaluation.
pub fn evaluation(evaluation: &Evaluation) -> String {
    let mut text = String::new();
    let left = &evaluation.left_out;
    let _ = writeln!(
        text,
        "{} evaluable decisions; left out: {} without a choice, {} without features, {} unreadable rows",
        evaluation.decisions, left.no_choice, left.no_features, left.unreadable
    );
    let _ = writeln!(
        text,
        "{:<18} {:>10} {:>10} {:>24} {:>10} {:>24} {:>24} {:>10}",
        "", "logged", "DR", "95 % interval", "SNIPS", "95 % interval", "valid at any look", "reported"
    );
    for (name, estimates) in measures(evaluation) {
        let _ = writeln!(
            text,
            "{:<18} {:>10} {:>10} {:>24} {:>10} {:>24} {:>24} {:>10}",
            name,
            number(estimates.logged.mean),
            number(estimates.robust.mean),
            interval(estimates.robust_interval),
            number(estimates.snips.mean),
            interval(estimates.snips_interval),
            interval(estimates.robust_sequence),
            estimates.diagnostics.reported
        );
    }
    let _ = writeln!(text, "\nagainst what was logged (DR, paired)");
    for (name, estimates) in measures(evaluation) {
        let Value { mean, .. } = estimates.difference;
        let _ =
            writeln!(text, "{name:<18} {:>10} {:>35}", number(mean), interval(estimates.difference_interval));
    }
    let d = &evaluation.utility.diagnostics;
    let _ = writeln!(
        text,
        "\neffective sample size {:.0} ({:.1} % of {} reported); highest weight {:.2}; weights cut {:.2} %; without support {:.2} %",
        d.effective,
        100.0 * d.effective_share,
        d.reported,
        d.max_weight,
        100.0 * d.clipped_share,
        100.0 * d.unsupported
    );
    let _ = writeln!(text, "\n{:<44} {:>8} {:>8}", "share of the traffic", "logged", "here");
    for share in &evaluation.shares {
        let (logged, target) = (100.0 * share.logged, 100.0 * share.target);
        let _ = writeln!(text, "{:<44} {logged:>7.2}% {target:>7.2}%", share.model.as_str());
    }
    match &evaluation.no_verdict {
        Some(why) => {
            let _ = writeln!(text, "\nNO VERDICT: {why}");
        }
        None => {
            let _ = writeln!(text, "\nthe log supports these estimates");
        }
    }
    text
}

/// The four measures by name.
pub fn measures(evaluation: &Evaluation) -> [(&'static str, &Estimates); 4] {
    [
        ("quality", &evaluation.quality),
        ("cost, USD/request", &evaluation.cost_usd),
        ("latency, ms", &evaluation.latency_ms),
        ("utility", &evaluation.utility),
    ]
}

/// Four significant digits; a dash for what is not known.
pub fn number(value: f64) -> String {
    match value.abs() {
        _ if !value.is_finite() => "-".to_owned(),
        size if size == 0.0 || (1e-3..1e4).contains(&size) => {
            let digits = if size >= 100.0 { 1 } else { 4 };
            format!("{value:.digits$}")
        }
        _ => format!("{value:.3e}"),
    }
}

/// Both ends.
pub fn interval(interval: Option<Interval>) -> String {
    match interval {
        Some(i) if i.low.is_finite() && i.high.is_finite() => {
            format!("[{}, {}]", number(i.low), number(i.high))
        }
        _ => "-".to_owned(),
    }
}
