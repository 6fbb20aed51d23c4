//! A quick correction of an arm's level: what its last reports say that the slow regression has not taken in yet.
//!
//! The regression looks back thousands of reports, so a sudden change of a model would take hundreds to show. The last reports
//! are kept, and their mean residual *against the regression as it stands now* is added once it is significant (POLICY 4.2). It is
//! a function of these reports and of the regression, not of the order in which they came, so a revision leaves it where it would
//! be had only the last value been sent. While an arm hears nothing and others do, the correction fades: what was true of a model
//! some time ago must not bar it for ever.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Report;

/// How the correction reacts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OffsetSettings {
    /// What a report's influence keeps per further report on the arm.
    pub keep: f64,
    /// What it keeps per report on any arm.
    pub idle_keep: f64,
    /// Standard errors that the mean residual must exceed; infinite: never any correction.
    pub gate: f64,
    /// Standard errors by which it is then shortened.
    pub discount: f64,
    /// How many reports there must be, faded ones counted in part.
    pub least: f64,
}

impl OffsetSettings {
    /// POLICY 4.2.
    pub const DEFAULT: Self = Self { keep: 0.97, idle_keep: 0.998, gate: 2.5, discount: 1.5, least: 5.0 };

    /// Whether the numbers make sense.
    pub fn is_sound(&self) -> bool {
        let share = |keep: f64| keep > 0.0 && keep <= 1.0;
        let positive = [self.gate, self.discount, self.least].iter().all(|n| *n >= 0.0);
        share(self.keep) && share(self.idle_keep) && positive
    }
}

/// Reports that are kept; the oldest then counts for a seventh of the newest.
const MOST: usize = 64;

/// How many reports the regression's own noise counts for in the spread of the last residuals.
const NOISE_WEIGHT: f64 = 5.0;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Kept {
    tick: u64,
    /// Reports on any arm when it came.
    heard: u64,
    x: Arc<[f32]>,
    value: f64,
    weight: f64,
}

/// The last residuals, summed up at the time of the newest.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Level {
    heard: u64,
    /// Reports, faded.
    count: f64,
    /// Their precision, faded.
    weight: f64,
    residual: f64,
    /// Of a residual of weight 1.
    variance: f64,
}

/// The last reports of one arm, oldest tick first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Offset {
    settings: OffsetSettings,
    kept: VecDeque<Kept>,
    #[serde(skip)]
    level: Level,
}

impl Offset {
    /// Nothing heard.
    pub fn new(settings: OffsetSettings) -> Self {
        Self { settings, kept: VecDeque::new(), level: Level::default() }
    }

    /// Takes a report in; a revision replaces the report of its tick, if that is still kept. `heard` counts the reports on any
    /// arm. The level is stale until [`Self::refresh`].
    pub fn observe(&mut self, report: &Report<'_>, heard: u64) {
        let at = self.kept.partition_point(|k| k.tick < report.tick);
        if let Some(same) = self.kept.get_mut(at).filter(|k| k.tick == report.tick) {
            (same.value, same.weight) = (report.value, report.weight);
            return;
        }
        if report.replaces.is_some() {
            return;
        }
        let x = report.x.iter().map(|x| *x as f32).collect();
        let (tick, value, weight) = (report.tick, report.value, report.weight);
        self.kept.insert(at, Kept { tick, heard, x, value, weight });
        if self.kept.len() > MOST {
            self.kept.pop_front();
        }
    }

    /// Forgets all reports but the last `n`. The level is stale until [`Self::refresh`].
    pub fn keep_last(&mut self, n: usize) {
        self.kept.drain(..self.kept.len().saturating_sub(n));
        self.level = Level::default();
    }

    /// Sums the residuals against the regression `theta`, shape `[d]`, of noise `sigma`.
    pub fn refresh(&mut self, theta: &[f64], sigma: f64) {
        let Some(newest) = self.kept.back() else { return };
        let (tick, heard) = (newest.tick, self.kept.iter().map(|k| k.heard).max().unwrap_or(newest.heard));
        let (mut count, mut weight, mut sum, mut squares) = (0.0, 0.0, 0.0, 0.0);
        for kept in &self.kept {
            let faded = power(self.settings.keep, tick - kept.tick)
                * power(self.settings.idle_keep, heard.saturating_sub(kept.heard));
            let residual = kept.value - dot_mixed(theta, &kept.x);
            count += faded;
            weight += faded * kept.weight;
            sum += faded * kept.weight * residual;
            squares += faded * kept.weight * residual * residual;
        }
        if weight <= 0.0 {
            self.level = Level::default();
            return;
        }
        let residual = sum / weight;
        let own = (squares - weight * residual * residual).max(0.0);
        let variance = (own + NOISE_WEIGHT * sigma * sigma) / (count + NOISE_WEIGHT);
        self.level = Level { heard, count, weight, residual, variance };
    }

    /// What to add to the regression's expectation once `heard` reports on any arm have come.
    pub fn at(&self, heard: u64) -> f64 {
        let (level, settings) = (&self.level, &self.settings);
        let faded = power(settings.idle_keep, heard.saturating_sub(level.heard));
        if level.count * faded <= settings.least {
            return 0.0;
        }
        let error = (level.variance / (level.weight * faded)).sqrt();
        if level.residual.abs() <= settings.gate * error {
            return 0.0;
        }
        level.residual.signum() * (level.residual.abs() - settings.discount * error).max(0.0)
    }

    /// Whether what was stored are reports over `dim` features.
    pub fn is_sound(&self, dim: usize) -> bool {
        let finite = |k: &Kept| k.value.is_finite() && k.weight.is_finite() && k.weight >= 0.0;
        let fits = |k: &Kept| k.x.len() == dim && k.x.iter().all(|x| x.is_finite()) && finite(k);
        let ordered = self.kept.iter().zip(self.kept.iter().skip(1)).all(|(a, b)| a.tick < b.tick);
        self.settings.is_sound() && self.kept.len() <= MOST && ordered && self.kept.iter().all(fits)
    }
}

fn power(base: f64, exponent: u64) -> f64 {
    base.powi(i32::try_from(exponent).unwrap_or(i32::MAX))
}

/// Inner product, in an order that does not depend on the machine.
fn dot_mixed(a: &[f64], b: &[f32]) -> f64 {
    let mut lanes = [0.0; 4];
    let (a4, b4) = (a.chunks_exact(4), b.chunks_exact(4));
    let tail: f64 = a4.remainder().iter().zip(b4.remainder()).map(|(x, y)| x * f64::from(*y)).sum();
    for (x, y) in a4.zip(b4) {
        for lane in 0..4 {
            lanes[lane] += x[lane] * f64::from(y[lane]);
        }
    }
    (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]) + tail
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Replaced;

    /// Around 0.5, spread 0.1 either way.
    fn value(tick: u64, shift: f64) -> f64 {
        0.5 + shift + if tick.is_multiple_of(2) { 0.1 } else { -0.1 }
    }

    fn give(offset: &mut Offset, tick: u64, value: f64, heard: u64, replaces: Option<Replaced>) {
        offset.observe(&Report { x: &[1.0], value, weight: 1.0, tick, replaces }, heard);
        offset.refresh(&[0.5], 0.1);
    }

    fn after(reports: std::ops::RangeInclusive<u64>, shift: f64) -> Offset {
        let mut offset = Offset::new(OffsetSettings::DEFAULT);
        reports.for_each(|tick| give(&mut offset, tick, value(tick, shift), tick, None));
        offset
    }

    #[test]
    fn quiet_reports_move_nothing_and_a_shift_shows_within_25() {
        let mut offset = after(1..=100, 0.0);
        assert_eq!(offset.at(100), 0.0);
        let mut taken = None;
        for tick in 101..=130 {
            give(&mut offset, tick, value(tick, -0.17), tick, None);
            taken = taken.or((offset.at(tick) < 0.0).then_some(tick - 100));
        }
        assert!(taken.is_some_and(|n| n <= 25), "{taken:?}");
        (131..=200).for_each(|tick| give(&mut offset, tick, value(tick, -0.17), tick, None));
        assert!((offset.at(200) + 0.17).abs() < 0.04, "{}", offset.at(200));
    }

    #[test]
    fn a_few_reports_are_no_evidence_and_silence_takes_it_back() {
        assert_eq!(after(1..=5, -0.4).at(5), 0.0);
        let offset = after(1..=60, -0.17);
        assert!(offset.at(60) < -0.1);
        let later: Vec<f64> = (0..20).map(|i| offset.at(60 + 100 * i)).collect();
        assert!(later.windows(2).all(|w| w[0] <= w[1] + 1e-12), "{later:?}");
        assert_eq!(later[19], 0.0);
    }

    #[test]
    fn a_revision_counts_with_its_last_value_alone() {
        let (mut told, mut plain) = (after(1..=80, -0.2), after(1..=80, -0.2));
        give(&mut told, 81, 1.0, 81, None);
        give(&mut plain, 81, 0.2, 81, None);
        for offset in [&mut told, &mut plain] {
            (82..=90).for_each(|tick| give(offset, tick, value(tick, -0.2), tick, None));
        }
        let replaces = Some(Replaced { value: 1.0, weight: 1.0 });
        give(&mut told, 81, 0.2, 500, replaces);
        assert_eq!(told, plain);
        // One that is no longer kept changes nothing.
        give(&mut told, 3, 0.0, 500, replaces);
        assert_eq!(told, plain);
    }
}
