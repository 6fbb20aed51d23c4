//! Off-policy estimates over traces: what a scenario would have been worth, beside what the log was.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::scenario::{Scenario, Wanted};
use super::traces::{LeftOut, Traces};
use crate::domain::{Arm, ArmId, Preference};
use crate::math::cholesky::NotPositive;
use crate::math::counter::Counter;
use crate::ope::regression::{Fitted, Regression};
use crate::ope::{
    Diagnostics, Draw, Interval, Limits, Value, direct_method, doubly_robust, ips, percentile, sequence,
    snips,
};
use crate::policy::PolicyError;

/// Folds of the cross-fitting.
const FOLDS: usize = 5;
/// Weights are cut here; the share that was cut is told.
const WEIGHT_CAP: f64 = 200.0;
/// The lowest reporting rate of an arm that is believed: its inverse is cut at 20 (POLICY section 5).
const LEAST_RATE: f64 = 0.05;
/// Draws of the bootstrap all together; fewer resamples of a longer log.
const BOOTSTRAP_DRAWS: usize = 40_000_000;

/// Why nothing can be estimated.
#[derive(Debug, thiserror::Error)]
pub enum EstimateError {
    /// The policy gave no answer.
    #[error("the policy has no answer for a logged decision: {0}")]
    Policy(#[from] PolicyError),
    /// The regression broke down.
    #[error("the regression over the log failed: {0}")]
    Regression(#[from] NotPositive),
}

/// One measure by all estimators.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimates {
    /// Mean of what was logged.
    pub logged: Value,
    /// Inverse propensity scoring.
    pub ips: Value,
    /// Self-normalised.
    pub snips: Value,
    /// 95 % bootstrap interval of the self-normalised estimate.
    pub snips_interval: Option<Interval>,
    /// The regression alone.
    pub direct: Value,
    /// Doubly robust, cross-fitted.
    pub robust: Value,
    /// Its 95 % bootstrap interval.
    pub robust_interval: Option<Interval>,
    /// Its 95 % confidence sequence: holds however often one looks.
    pub robust_sequence: Option<Interval>,
    /// Doubly robust, minus what was logged, row by row.
    pub difference: Value,
    /// Its 95 % bootstrap interval.
    pub difference_interval: Option<Interval>,
    /// Of the reports on this measure.
    pub diagnostics: Diagnostics,
}

/// An arm's share of the traffic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Which.
    pub model: ArmId,
    /// Of the logged draws.
    pub logged: f64,
    /// Of the scenario.
    pub target: f64,
}

/// What a scenario comes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Evaluable decisions.
    pub decisions: usize,
    /// What was left out.
    pub left_out: LeftOut,
    /// Quality in [0, 1].
    pub quality: Estimates,
    /// USD per request.
    pub cost_usd: Estimates,
    /// Milliseconds to the last token.
    pub latency_ms: Estimates,
    /// What each caller's preference makes of the three, on the quality scale; weights measure in the log's mean cost and latency.
    pub utility: Estimates,
    /// By model.
    pub shares: Vec<Share>,
    /// Why the estimates must not decide anything; `None`: they may.
    pub no_verdict: Option<String>,
}

/// Which outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measure {
    Quality,
    Cost,
    Latency,
}

const MEASURES: [Measure; 3] = [Measure::Quality, Measure::Cost, Measure::Latency];

/// The log as the estimators see it: outcomes and regressions, the same for every scenario.
pub struct Evidence<'t> {
    traces: &'t Traces,
    /// Outcomes of each row, in the order of [`MEASURES`].
    outcomes: Vec<[Option<f64>; 3]>,
    fitted: [Fitted; 3],
    /// Worth of a dollar and a millisecond to each row's caller.
    worth: Vec<(f64, f64)>,
}

impl<'t> Evidence<'t> {
    /// Fits the regressions. With `prices`, calls of these arms cost what they would at these prices.
    ///
    /// # Errors
    /// When an outcome is not finite.
    pub fn new(traces: &'t Traces, prices: &[Arm]) -> Result<Self, EstimateError> {
        let price_of: Vec<Option<&Arm>> =
            traces.arms.iter().map(|id| prices.iter().find(|arm| arm.id == *id)).collect();
        let outcome = |row: &super::traces::Row| {
            let priced = row.usage.zip(price_of[row.arm]).map(|(usage, arm)| arm.price.cost_usd(&usage));
            [row.quality, priced.or(row.cost_usd), row.latency_ms]
        };
        let outcomes: Vec<[Option<f64>; 3]> = traces.rows.iter().map(outcome).collect();
        let fit = |measure: &Measure| -> Result<Fitted, NotPositive> {
            let mut regression = Regression::new(traces.dim, traces.arms.len(), FOLDS);
            for (i, row) in traces.rows.iter().enumerate() {
                if let Some(value) = outcomes[i][*measure as usize] {
                    let x = wide(traces.features(i));
                    regression.observe(fold(row.group), row.arm, &x, value);
                }
            }
            regression.fit()
        };
        let mut fitted = MEASURES.par_iter().map(fit).collect::<Result<Vec<_>, _>>()?.into_iter();
        let mut next = || fitted.next().ok_or(NotPositive { order: traces.dim });
        let fitted = [next()?, next()?, next()?];
        let mean = |m: usize| Value::of(outcomes.iter().filter_map(|o| o[m])).mean;
        let unit = (mean(1), mean(2));
        let worth = traces.rows.iter().map(|row| worth(&row.preference, unit)).collect();
        Ok(Self { traces, outcomes, fitted, worth })
    }

    /// What `scenario` would have been worth; `seed` is that of the bootstrap.
    ///
    /// # Errors
    /// When the policy has no answer for a row.
    pub fn evaluate(&self, scenario: &Scenario, seed: u64) -> Result<Evaluation, EstimateError> {
        let wanted = scenario.ask_all(self.traces)?;
        let view = View::new(self, &wanted);
        let by = |m: Measure| view.estimates(&|i| self.outcomes[i][m as usize], &[(m, 1.0)], seed);
        let (quality, cost_usd, latency_ms) = (by(Measure::Quality), by(Measure::Cost), by(Measure::Latency));
        let utility = view.utility(seed);
        let sound = utility.diagnostics.verdict(&Limits::DEFAULT);
        Ok(Evaluation {
            decisions: wanted.len(),
            left_out: self.traces.left_out,
            quality,
            cost_usd,
            latency_ms,
            utility,
            shares: view.shares(&scenario.arms(self.traces)),
            no_verdict: sound.err().map(|why| why.to_string()),
        })
    }

    /// Quality and cost by DR alone: a point of a curve.
    ///
    /// # Errors
    /// When the policy has no answer for a row.
    pub fn point(&self, scenario: &Scenario) -> Result<(f64, f64), EstimateError> {
        let wanted = scenario.ask_all(self.traces)?;
        let view = View::new(self, &wanted);
        let robust = |m: Measure| {
            let draws = view.draws(&|i| self.outcomes[i][m as usize], &|_| vec![(m, 1.0)]);
            doubly_robust(&draws.0).mean
        };
        Ok((robust(Measure::Cost), robust(Measure::Quality)))
    }

    /// Utility by DR alone: what candidates are ranked by.
    ///
    /// # Errors
    /// When the policy has no answer for a row.
    pub fn utility(&self, scenario: &Scenario) -> Result<Value, EstimateError> {
        let wanted = scenario.ask_all(self.traces)?;
        Ok(doubly_robust(&View::new(self, &wanted).utility_draws().0))
    }

    fn utility_of(&self, i: usize) -> Option<f64> {
        let [quality, cost, latency] = self.outcomes[i];
        let (per_usd, per_ms) = self.worth[i];
        let latency = if per_ms == 0.0 { 0.0 } else { latency? };
        Some(quality? - per_usd * cost? - per_ms * latency)
    }
}

/// The evidence under one scenario.
struct View<'a> {
    evidence: &'a Evidence<'a>,
    wanted: &'a [Wanted],
    /// Importance weight of each wanted row, cut, and whether it was.
    weights: Vec<(f64, bool)>,
    unsupported: f64,
}

/// A measure as a sum over the regressions' measures.
type Parts = Vec<(Measure, f64)>;

impl<'a> View<'a> {
    fn new(evidence: &'a Evidence<'a>, wanted: &'a [Wanted]) -> Self {
        let traces = evidence.traces;
        let weigh = |w: &Wanted| {
            let row = &traces.rows[w.row];
            let share = w.shares.iter().find(|(arm, _)| *arm == row.arm).map_or(0.0, |(_, p)| *p);
            let weight = share / row.propensity;
            (weight.min(WEIGHT_CAP), weight > WEIGHT_CAP)
        };
        let drawable = |row: usize, arm: usize| {
            traces.shares(row).iter().any(|(known, p)| *known as usize == arm && *p > 0.0)
        };
        let off = |w: &Wanted| -> f64 {
            w.shares.iter().filter(|(arm, _)| !drawable(w.row, *arm)).map(|(_, p)| p).sum()
        };
        let unsupported = wanted.iter().map(off).sum::<f64>() / wanted.len().max(1) as f64;
        Self { evidence, wanted, weights: wanted.iter().map(weigh).collect(), unsupported }
    }

    /// Draws with the inverse of the arm's reporting rate in their weights; and how many weights were cut.
    fn draws(
        &self,
        outcome: &(dyn Fn(usize) -> Option<f64> + Sync),
        parts: &(dyn Fn(usize) -> Parts + Sync),
    ) -> (Vec<Draw>, usize) {
        let traces = self.evidence.traces;
        let mut rates = vec![(0.0, 0.0); traces.arms.len()];
        for w in self.wanted {
            let rate: &mut (f64, f64) = &mut rates[traces.rows[w.row].arm];
            *rate = (rate.0 + f64::from(u8::from(outcome(w.row).is_some())), rate.1 + 1.0);
        }
        let rate = |arm: usize| (rates[arm].0 / f64::max(rates[arm].1, 1.0)).max(LEAST_RATE);
        let draw = |(w, (weight, _)): (&Wanted, &(f64, bool))| {
            let row = &traces.rows[w.row];
            let (x, parts) = (wide(traces.features(w.row)), parts(w.row));
            let predict = |arm: usize| -> f64 {
                let one = |(m, by): &(Measure, f64)| {
                    by * self.evidence.fitted[*m as usize].predict(fold(row.group), arm, &x)
                };
                // An arm that the log has never seen has no regression: the drawn arm's stands in, and support says so.
                if arm < traces.arms.len() { parts.iter().map(one).sum() } else { f64::NAN }
            };
            let predicted = predict(row.arm);
            let of = |(arm, p): &(usize, f64)| {
                let value = predict(*arm);
                p * if value.is_nan() { predicted } else { value }
            };
            Draw {
                weight: weight / rate(row.arm),
                reward: outcome(w.row),
                predicted,
                expected: w.shares.iter().map(of).sum(),
            }
        };
        let draws = self.wanted.par_iter().zip(&self.weights).map(draw).collect();
        (draws, self.weights.iter().filter(|(_, cut)| *cut).count())
    }

    fn utility_draws(&self) -> (Vec<Draw>, usize) {
        let parts = |i: usize| {
            let (per_usd, per_ms) = self.evidence.worth[i];
            vec![(Measure::Quality, 1.0), (Measure::Cost, -per_usd), (Measure::Latency, -per_ms)]
        };
        self.draws(&|i| self.evidence.utility_of(i), &parts)
    }

    fn utility(&self, seed: u64) -> Estimates {
        self.summed(&self.utility_draws(), seed)
    }

    fn estimates(
        &self,
        outcome: &(dyn Fn(usize) -> Option<f64> + Sync),
        parts: &[(Measure, f64)],
        seed: u64,
    ) -> Estimates {
        self.summed(&self.draws(outcome, &|_| parts.to_vec()), seed)
    }

    fn summed(&self, (draws, cut): &(Vec<Draw>, usize), seed: u64) -> Estimates {
        let reported: Vec<&Draw> = draws.iter().filter(|d| d.reward.is_some()).collect();
        let logged = Value::of(reported.iter().filter_map(|d| d.reward));
        let counter = Counter::new(seed);
        let resamples = (BOOTSTRAP_DRAWS / draws.len().max(1)).clamp(100, 1000);
        let bootstrap = |terms: &[(f64, f64)]| percentile(terms, resamples, &|c| counter.uniform(c));
        let robust: Vec<f64> = draws.iter().map(Draw::robust).collect();
        let bounds = robust.iter().fold((0.0f64, 0.0f64), |(l, h), v| (l.min(*v), h.max(*v)));
        // What was logged, as an estimate of the same kind: reports by their inverse rate around what the regression expects.
        let rows = self.logged_robust(draws);
        let difference: Vec<f64> = robust.iter().zip(&rows).map(|(r, l)| r - l).collect();
        let terms = |values: &[f64]| values.iter().map(|v| (*v, 1.0)).collect::<Vec<_>>();
        let ratio: Vec<(f64, f64)> =
            reported.iter().filter_map(|d| d.reward.map(|r| (d.weight * r, d.weight))).collect();
        Estimates {
            logged,
            ips: ips(draws),
            snips: snips(draws),
            snips_interval: bootstrap(&ratio),
            direct: direct_method(draws),
            robust: doubly_robust(draws),
            robust_interval: bootstrap(&terms(&robust)),
            robust_sequence: sequence::at_end(&robust, bounds),
            difference: Value::of(difference.iter().copied()),
            difference_interval: bootstrap(&terms(&difference)),
            diagnostics: Diagnostics::of(draws, *cut, self.unsupported),
        }
    }

    /// DR of the logging policy itself: importance weight 1, so only the reporting rate corrects.
    fn logged_robust(&self, draws: &[Draw]) -> Vec<f64> {
        let mut rates = vec![(0.0, 0.0); self.evidence.traces.arms.len()];
        for (w, draw) in self.wanted.iter().zip(draws) {
            let rate: &mut (f64, f64) = &mut rates[self.evidence.traces.rows[w.row].arm];
            *rate = (rate.0 + f64::from(u8::from(draw.reward.is_some())), rate.1 + 1.0);
        }
        let value = |(w, draw): (&Wanted, &Draw)| {
            let (told, all) = rates[self.evidence.traces.rows[w.row].arm];
            let rate = (told / f64::max(all, 1.0)).max(LEAST_RATE);
            draw.predicted + draw.reward.map_or(0.0, |r| (r - draw.predicted) / rate)
        };
        self.wanted.iter().zip(draws).map(value).collect()
    }

    fn shares(&self, arms: &[ArmId]) -> Vec<Share> {
        let n = self.wanted.len().max(1) as f64;
        let mut sums = vec![(0.0, 0.0); arms.len()];
        for w in self.wanted {
            sums[self.evidence.traces.rows[w.row].arm].0 += 1.0 / n;
            w.shares.iter().for_each(|(arm, p)| sums[*arm].1 += p / n);
        }
        let share = |(model, (logged, target)): (&ArmId, &(f64, f64))| Share {
            model: model.clone(),
            logged: *logged,
            target: *target,
        };
        let mut shares: Vec<Share> = arms.iter().zip(&sums).map(share).collect();
        shares.sort_by(|a, b| a.model.cmp(&b.model));
        shares
    }
}

fn fold(group: u64) -> usize {
    ((group >> 32) % FOLDS as u64) as usize
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}

/// Quality per dollar and per millisecond; `unit` is what weights count in, USD and milliseconds.
fn worth(preference: &Preference, unit: (f64, f64)) -> (f64, f64) {
    let per = |weight: f64, unit: f64| if unit > 0.0 { weight / unit } else { 0.0 };
    match preference {
        Preference::Weights(w) => {
            (per(w.cost() / w.quality(), unit.0), per(w.latency() / w.quality(), unit.1))
        }
        Preference::Value { quality_usd, second_usd } => {
            (1.0 / quality_usd, second_usd / quality_usd / 1000.0)
        }
    }
}
