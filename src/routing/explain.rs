//! Why this model, in words and numbers, and what would have changed the choice. Works on the logged decision alone.

use serde::Serialize;

use crate::domain::{ArmEstimate, ArmId, Bound, BudgetRecord, Decision, Preference, Reason, Strategy};

/// An arm that was not chosen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alternative {
    /// Which.
    pub model: ArmId,
    /// How much utility it lacks against the best.
    pub utility_gap: f64,
    /// How much more quality would have made it the best; `None`: it would have to be more than perfect.
    pub quality_needed: Option<f64>,
    /// At what share of its expected cost it would have been the best, in [0, 1]; `None`: not even for nothing.
    pub cost_factor_needed: Option<f64>,
}

/// The answer to "why".
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// One or two sentences.
    pub summary: String,
    /// The arms that were eligible but not the best, nearest first.
    pub alternatives: Vec<Alternative>,
    /// What the budgets had to do with it; none applied without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<String>,
}

/// Explains a decision from its record.
pub fn explain(decision: &Decision) -> Explanation {
    let alternatives = decision.estimates.split_first().map_or_else(Vec::new, |(best, rest)| {
        rest.iter().map(|other| alternative(best, other, rest_price(decision, best, other))).collect()
    });
    let budget = decision.budget.as_ref().map(budget);
    let summary = match decision.repeats {
        Some(first) => format!("The answer of {first} was given again, from the response cache."),
        None => summary(decision) + &given_up(decision),
    };
    Explanation { summary, alternatives, budget }
}

/// Utility per USD in this decision, read off two arms when the preference does not say it in dollars.
fn rest_price(decision: &Decision, best: &ArmEstimate, other: &ArmEstimate) -> Option<f64> {
    match decision.preference {
        Preference::Value { quality_usd, .. } => Some(1.0 / quality_usd + priced(decision)),
        Preference::Weights(w) if w.latency() == 0.0 && best.cost_usd != other.cost_usd => {
            let explained = (best.quality.mean - other.quality.mean) - (best.utility - other.utility);
            Some(explained / (best.cost_usd - other.cost_usd)).filter(|p| p.is_finite() && *p > 0.0)
        }
        Preference::Weights(_) => None,
    }
}

/// What the budgets made of a dollar, in utility.
fn priced(decision: &Decision) -> f64 {
    decision.budget.as_ref().map_or(0.0, |b| b.multiplier.likelier())
}

fn alternative(best: &ArmEstimate, other: &ArmEstimate, utility_per_usd: Option<f64>) -> Alternative {
    let gap = (best.utility - other.utility).max(0.0);
    let quality = other.quality.mean + gap;
    let cost_factor = utility_per_usd
        .filter(|_| other.cost_usd > 0.0)
        .map(|price| 1.0 - gap / (price * other.cost_usd))
        .filter(|factor| (0.0..=1.0).contains(factor));
    Alternative {
        model: other.arm.clone(),
        utility_gap: gap,
        quality_needed: (quality <= 1.0).then_some(quality),
        cost_factor_needed: cost_factor,
    }
}

/// Which of the caller's bounds were given up, as a sentence.
fn given_up(decision: &Decision) -> String {
    let names: Vec<_> = decision.relaxed.iter().map(|b| b.as_str()).collect();
    match decision.relaxed.last() {
        None => String::new(),
        Some(Bound::MaxCostUsd) => {
            format!(" No model met {}: the cheapest serves.", names.join(", "))
        }
        Some(_) => format!(" No model met every bound, so these were given up: {}.", names.join(", ")),
    }
}

/// Why a conversation was not moved.
fn staying(decision: &Decision) -> String {
    if let Some(fault) = &decision.fault {
        return format!("The policy had no answer: {fault}.");
    }
    let mine = decision.estimates.iter().find(|e| e.arm == decision.arm);
    match (&decision.pin, decision.estimates.first().zip(mine)) {
        (Some(pin), Some((best, mine))) if best.arm == pin.arm || best.utility <= mine.utility => {
            "It has the highest utility.".to_owned()
        }
        (Some(pin), Some((best, mine))) if best.utility - mine.utility <= pin.margin => format!(
            "{} is better by {:.4}, which is within the margin of {}; {} cached tokens would be lost.",
            best.arm,
            best.utility - mine.utility,
            pin.margin,
            pin.cached_tokens
        ),
        _ => "A tool loop is not interrupted.".to_owned(),
    }
}

/// The budgets' part in a sentence or three.
fn budget(record: &BudgetRecord) -> String {
    let scopes = record.scopes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut text = format!(
        "It counts towards {scopes}: ${:.6} were reserved for an expected ${:.6}.",
        record.reserved_usd, record.expected_usd
    );
    if let Some(scope) = &record.decisive {
        let price = record.multiplier.mean();
        text += &format!(" To last, {scope} priced a dollar at {price:.4} of utility.");
    }
    if let Some(arm) = &record.without {
        text += &format!(" Without a budget {arm} would have ranked first.");
    }
    text
}

fn summary(decision: &Decision) -> String {
    let arm = &decision.arm;
    let mine = decision.estimates.iter().find(|e| e.arm == *arm);
    let expectation = mine.map_or_else(String::new, |e| {
        format!(
            " Expected: quality {:.3} (sd {:.3}), cost ${:.6}, latency {:.0} ms, utility {:.4}.",
            e.quality.mean, e.quality.sd, e.cost_usd, e.latency_ms.p50, e.utility
        )
    });
    match decision.reason {
        Reason::Budget => format!(
            "{arm} is the best that the budget pays for; it was drawn with probability {:.4}.{expectation}",
            decision.propensity
        ),
        Reason::Explicit => format!("The caller asked for {arm} by name."),
        Reason::Default => {
            let fault = decision.fault.as_deref().unwrap_or("unknown");
            format!("{arm} served as the default, because the policy had no answer: {fault}.")
        }
        Reason::Pinned => format!("{arm} goes on with the conversation. {}{expectation}", staying(decision)),
        Reason::Canary => format!(
            "{arm} was drawn with probability {:.4} by the challenger of the experiment {}.{expectation}",
            decision.propensity,
            decision.trial.as_ref().map_or("unknown", |trial| trial.experiment.as_str()),
        ),
        Reason::Explore => format!(
            "{arm} was drawn with probability {:.4} to learn about it; {} ranked higher.{expectation}",
            decision.propensity,
            decision.estimates.first().map_or("another", |e| e.arm.as_str()),
        ),
        _ if decision.strategy == Strategy::Learned => format!(
            "{arm} has the highest utility of {} eligible models and was drawn with probability {:.4}.{expectation}",
            decision.distribution.arms().len(),
            decision.propensity
        ),
        _ => format!("{arm} is what the strategy {} picks.{expectation}", decision.strategy.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Estimate, LatencyEstimate};

    fn estimate(arm: &str, quality: f64, cost_usd: f64, utility: f64) -> ArmEstimate {
        ArmEstimate {
            arm: arm.into(),
            quality: Estimate { mean: quality, sd: 0.01 },
            cost_usd,
            output_tokens: 10.0,
            latency_ms: LatencyEstimate { p50: 1.0, p95: 2.0 },
            failure: 0.0,
            utility,
        }
    }

    #[test]
    fn the_counterfactual_is_exact() {
        // Utility = quality - 100 * cost.
        let best = estimate("a", 0.8, 0.001, 0.7);
        let other = estimate("b", 0.9, 0.003, 0.6);
        let found = alternative(&best, &other, Some(100.0));
        assert!((found.utility_gap - 0.1).abs() < 1e-12);
        assert_eq!(found.quality_needed, Some(0.9 + (0.7 - 0.6)));
        let factor = found.cost_factor_needed.unwrap();
        assert!((0.9 - 100.0 * 0.003 * factor - 0.7).abs() < 1e-12, "at {factor} of its cost b ties with a");
    }

    #[test]
    fn an_arm_that_cannot_win_says_so() {
        let found =
            alternative(&estimate("a", 0.99, 0.0, 0.99), &estimate("b", 0.5, 0.001, 0.4), Some(100.0));
        assert_eq!((found.quality_needed, found.cost_factor_needed), (None, None));
    }
}
