//! Retraining from the log: every candidate is folded by the same code as online, scored on what came after, and gated.
//!
//! The log is read once, in pieces; memory does not grow with it but by the scored decisions. First 70 % of the events: fitted.
//! Next 15 %: the best candidate is chosen there. Last 15 %: the gate, on which nothing was chosen. Then the winner folds the rest,
//! so the bundle holds the whole log.

use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::error::LogError;
use super::estimate::{EstimateError, Evaluation, Evidence};
use super::plots::{self, Labels, PlotError};
use super::prior::beginning;
use super::scenario::{Scenario, ScenarioError};
use super::traces::{Progress, SCAN, Traces};
use crate::domain::{FeatureSchema, PolicyVersion, Preference, Seq, Weights};
use crate::learning::Joiner;
use crate::ope::Value;
use crate::policy::{LearnedState, Learner, Policy, PolicyError, Settings, StateError};
use crate::store::{ScannedRow, Store, StoreError};

/// Share of the events that candidates are fitted on, and up to where one is chosen.
const FITTED: f64 = 0.70;
const CHOSEN: f64 = 0.85;
/// Most decisions that a score looks at, the latest ones.
const MOST_SCORED: usize = 100_000;

/// How to train.
#[derive(Debug, Clone)]
pub struct TrainOptions {
    /// Candidates; the first is what serves today, and wins a draw.
    pub grid: Vec<Settings>,
    /// Seed of the bootstrap.
    pub seed: u64,
    /// The gate refuses when utility may be worse than the log's by more than this.
    pub margin: f64,
}

impl TrainOptions {
    /// The defaults and what lies around them: two slopes, two decays, two spreads of the common slopes, two gammas.
    pub fn grid() -> Vec<Settings> {
        let usual = Settings::DEFAULT;
        let mut grid = vec![usual];
        for slope in [usual.heads.quality.slope_sd, 2.5 * usual.heads.quality.slope_sd] {
            for common in [usual.heads.common_slope_sd, 2.0 * usual.heads.common_slope_sd] {
                for decay in [usual.heads.decay, 1.0] {
                    for gamma in [usual.gamma, 4.0 * usual.gamma] {
                        let mut settings = usual;
                        settings.heads.quality.slope_sd = slope;
                        (settings.heads.common_slope_sd, settings.heads.decay) = (common, decay);
                        settings.gamma = gamma;
                        if settings != usual {
                            grid.push(settings);
                        }
                    }
                }
            }
        }
        grid
    }
}

/// A candidate's score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// What it was tuned to.
    pub settings: Settings,
    /// DR of utility on the decisions that choose.
    pub utility: Value,
}

/// What came of it.
#[derive(Debug)]
pub struct Trained {
    /// Folded over the whole log.
    pub state: LearnedState,
    /// What won.
    pub settings: Settings,
    /// The last event in the state.
    pub cut: Seq,
    /// All candidates, best first.
    pub scores: Vec<Score>,
    /// The winner, as it was before the gate's decisions, on those.
    pub gate: Evaluation,
    /// The decisions of the gate, and the winner before them: for plots.
    pub gate_traces: Traces,
    /// As above.
    pub gate_policy: Arc<dyn Policy>,
    /// Why the winner must not be promoted; `None`: it may.
    pub refused: Option<String>,
}

/// One learner and its memory of decisions.
struct Candidate {
    state: LearnedState,
    joiner: Joiner,
    fault: Option<StoreError>,
}

impl Candidate {
    fn new(schema: &FeatureSchema, dim: usize, settings: Settings) -> Result<Self, StateError> {
        let state = beginning(schema, dim, settings)?;
        Ok(Self { state, joiner: Joiner::default(), fault: None })
    }

    /// As the learning actor does; rows that cannot be used are passed over, as there.
    fn fold(&mut self, rows: &[ScannedRow], store: &Store) {
        for row in rows {
            if let Err(fault) = self.joiner.observe(row, store, &mut |o| self.state.apply(o)) {
                self.fault.get_or_insert(fault);
            }
        }
    }
}

/// Trains on the whole log.
///
/// # Errors
/// When the log cannot be read, or holds nothing to learn from or to score on.
pub fn train(
    store: &Store,
    (schema, dim): (&FeatureSchema, usize),
    options: &TrainOptions,
    progress: &mut Progress<'_>,
) -> Result<Trained, LogError> {
    let end = *store.committed().borrow();
    let part = |share: f64| Seq((end.0 as f64 * share) as u64);
    let (fitted, chosen) = (part(FITTED), part(CHOSEN));
    let mut settings = options.grid.clone();
    settings.dedup_by(|b, a| fits_alike(a, b)); // neighbours differ in gamma alone, which the heads never see
    let mut candidates =
        settings.iter().map(|s| Candidate::new(schema, dim, *s)).collect::<Result<Vec<_>, StateError>>()?;
    fold_all(store, &mut candidates, (Seq(0), fitted), &mut |done, _| progress(done, end.0))?;
    if candidates[0].state.quality_feedbacks().all(|(_, n)| n == 0) {
        return Err(LogError::NoReport);
    }
    let choosing = latest(Traces::read(store, (fitted, chosen), (schema, dim), &mut |_, _| ())?);
    let scores = scores(&candidates, &options.grid, &choosing, schema)?;
    drop(choosing);
    progress(chosen.0, end.0);
    let best = scores.first().ok_or(LogError::NoScore)?.settings;
    let at = settings.iter().position(|s| fits_alike(s, &best)).unwrap_or(0);
    // Found by its settings, so the winner is the only one that lives on.
    let mut winner = candidates.swap_remove(at);
    drop(candidates);
    winner = tuned(winner, &best)?;
    fold_all(store, std::slice::from_mut(&mut winner), (fitted, chosen), &mut |_, _| ())?;
    let gate_policy: Arc<dyn Policy> = winner.state.snapshot(PolicyVersion::from("candidate"));
    let gate_traces = latest(Traces::read(store, (chosen, end), (schema, dim), &mut |_, _| ())?);
    let scenario = Scenario::as_logged(&gate_traces, schema, &gate_policy)?;
    let gate = Evidence::new(&gate_traces, &[])?.evaluate(&scenario, options.seed)?;
    fold_all(store, std::slice::from_mut(&mut winner), (chosen, end), &mut |_, _| ())?;
    progress(end.0, end.0);
    let refused = refusal(&winner.state, &gate, options.margin);
    Ok(Trained {
        state: winner.state,
        settings: best,
        cut: end,
        scores,
        gate,
        gate_traces,
        gate_policy,
        refused,
    })
}

/// Why a candidate must not serve.
fn refusal(state: &LearnedState, gate: &Evaluation, margin: f64) -> Option<String> {
    if let Err(fault) = LearnedState::from_bytes(&state.to_bytes()) {
        return Some(format!("its state is not sound: {fault}"));
    }
    if let Some(why) = &gate.no_verdict {
        return Some(format!("no verdict on the last decisions of the log: {why}"));
    }
    let interval =
        gate.utility.difference_interval.unwrap_or_else(|| gate.utility.difference.normal_interval());
    let mean = gate.utility.difference.mean;
    if !(mean.is_finite() && interval.low.is_finite()) {
        return Some("its estimated utility is not finite".to_owned());
    }
    (interval.low < -margin).then(|| {
        format!(
            "its utility may be worse than the log's: difference {mean:+.4}, 95 % interval [{:+.4}, {:+.4}], \
             at most {margin} lower is let through",
            interval.low, interval.high
        )
    })
}

/// The heads of two settings are alike when only the exploration differs.
fn fits_alike(a: &Settings, b: &Settings) -> bool {
    Settings { gamma: b.gamma, ..*a } == *b
}

/// The same heads under the winner's exploration.
fn tuned(candidate: Candidate, settings: &Settings) -> Result<Candidate, StateError> {
    let state = candidate.state.with_gamma(settings.gamma)?;
    Ok(Candidate { state, ..candidate })
}

fn latest(mut traces: Traces) -> Traces {
    let first = traces.rows.len().saturating_sub(MOST_SCORED);
    let left_out = traces.left_out;
    let mut kept = traces.split_off(first);
    kept.left_out = left_out;
    kept
}

/// Folds the events in `(after, upto]` into each candidate, all cores at work; the next piece is read meanwhile.
fn fold_all(
    store: &Store,
    candidates: &mut [Candidate],
    (after, upto): (Seq, Seq),
    progress: &mut Progress<'_>,
) -> Result<(), StoreError> {
    let read = |at: Seq| -> Result<Vec<ScannedRow>, StoreError> {
        if at >= upto {
            return Ok(Vec::new());
        }
        let mut rows = store.scan(at, SCAN)?;
        rows.retain(|row| row.seq <= upto);
        Ok(rows)
    };
    let mut rows = read(after)?;
    while let Some(last) = rows.last().map(|row| row.seq) {
        let (next, ()) = rayon::join(
            || read(last),
            || candidates.par_iter_mut().for_each(|candidate| candidate.fold(&rows, store)),
        );
        if let Some(fault) = candidates.iter_mut().find_map(|c| c.fault.take()) {
            return Err(fault);
        }
        rows = next?;
        progress(last.0, upto.0);
    }
    Ok(())
}

/// The candidates by their utility, best first; of equals the earlier in the grid.
fn scores(
    candidates: &[Candidate],
    grid: &[Settings],
    traces: &Traces,
    schema: &FeatureSchema,
) -> Result<Vec<Score>, LogError> {
    let evidence = Evidence::new(traces, &[])?;
    let mut scores = Vec::with_capacity(grid.len());
    let mut scenario: Option<Scenario> = None;
    for settings in grid {
        let Some(candidate) = candidates.iter().find(|c| fits_alike(&c.state.settings(), settings)) else {
            continue;
        };
        let state = candidate.state.with_gamma(settings.gamma)?;
        let policy: Arc<dyn Policy> = state.snapshot(PolicyVersion::from("candidate"));
        let asked = match &scenario {
            Some(scenario) => scenario.under(&policy),
            None => Scenario::as_logged(traces, schema, &policy)?,
        };
        let utility = evidence.utility(&asked)?;
        scenario.get_or_insert(asked);
        if utility.mean.is_finite() {
            scores.push(Score { settings: *settings, utility });
        }
    }
    scores.sort_by(|a, b| b.utility.mean.total_cmp(&a.utility.mean));
    Ok(scores)
}

/// The gate in pictures: spend against quality over the preferences, calibration of the expected quality, propensities.
///
/// # Errors
/// When something cannot be estimated or drawn.
pub fn pictures(
    trained: &Trained,
    schema: &FeatureSchema,
) -> Result<Vec<(&'static str, Vec<u8>)>, PictureError> {
    let traces = &trained.gate_traces;
    let (evidence, scenario) =
        (Evidence::new(traces, &[])?, Scenario::as_logged(traces, schema, &trained.gate_policy)?);
    let weights = [(1.0, 0.0), (0.95, 0.05), (0.85, 0.15), (0.7, 0.3), (0.5, 0.5), (0.3, 0.7)];
    let mut curve = Vec::new();
    for (quality, cost) in weights {
        let Ok(weights) = Weights::new(quality, cost, 0.0) else { continue };
        curve.push(evidence.point(&scenario.preferring(Preference::Weights(weights)))?);
    }
    let gate = &trained.gate;
    let named = [
        ("logged".to_owned(), (gate.cost_usd.logged.mean, gate.quality.logged.mean)),
        ("this policy".to_owned(), (gate.cost_usd.robust.mean, gate.quality.robust.mean)),
    ];
    let labels = |title, x, y| Labels { title, x, y };
    let over = labels("Quality over spend by preference (doubly robust)", "USD per request", "quality");
    let calibrated = labels("Expected against reported quality", "expected", "reported");
    let drawn = labels("Propensities of the logged draws", "propensity", "share of decisions");
    let svg = |text: String| text.into_bytes();
    Ok(vec![
        ("curve.svg", svg(plots::curve(&over, &curve, &named)?)),
        ("calibration.svg", svg(plots::calibration(&calibrated, &scenario.calibration(traces)?)?)),
        ("propensities.svg", svg(plots::histogram(&drawn, traces.rows.iter().map(|r| r.propensity))?)),
    ])
}

/// Why there are no pictures.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// Nothing can be asked.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// Nothing can be estimated.
    #[error(transparent)]
    Estimate(#[from] EstimateError),
    /// The policy has no answer.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Nothing can be drawn.
    #[error(transparent)]
    Plot(#[from] PlotError),
}

#[cfg(test)]
mod tests;
