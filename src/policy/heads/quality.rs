//! Quality of an arm's answers, from reports on them.

use serde::{Deserialize, Serialize};

use super::{Call, FlatPrior, HeadSettings, Offset, Ridge, RidgePrior, Sample};
use crate::domain::{Estimate, Replaced};
use crate::math::cholesky::NotPositive;
use crate::policy::prior::Prior;

/// One report, checked.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// The prompt's features, shape `[d]`.
    pub x: &'a [f64],
    /// In [0, 1].
    pub value: f64,
    /// Precision relative to a source of variance 0.04.
    pub weight: f64,
    /// On the arm's clock, from 1.
    pub tick: u64,
    /// What it takes back.
    pub replaces: Option<Replaced>,
}

/// Bayesian ridge on reports; its clock is the arm's count of reports, so an idle arm forgets nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QualityHead {
    ridge: Ridge,
    reports: u64,
    offset: Offset,
}

impl QualityHead {
    /// Knows the prior alone. What all arms have in common is no part of it: see [`Call::pull`].
    ///
    /// # Errors
    /// When the settings give no proper prior.
    pub fn new(prior: &Prior, settings: &HeadSettings) -> Result<Self, NotPositive> {
        let (levels, spread) = (&prior.levels, &settings.quality);
        let flat = FlatPrior {
            level: levels.level,
            level_sd: levels.own_sd,
            slope_sd: spread.slope_sd,
            noise_sd: spread.noise_sd,
        };
        let prior = RidgePrior::flat(prior.quality.len(), &flat, settings.rho);
        let offset = Offset::new(settings.offset);
        Ok(Self { ridge: Ridge::new(prior, settings.decay)?, reports: 0, offset })
    }

    /// Folds a report in; a revision leaves the state where it would be had only the last value been sent. `heard` counts the
    /// reports on any arm, this one included.
    ///
    /// # Errors
    /// When the sums would break; nothing has changed then.
    pub fn observe(&mut self, report: &Report<'_>, heard: u64) -> Result<(), NotPositive> {
        self.ridge.observe(&Sample {
            x: report.x,
            y: report.value,
            weight: report.weight,
            tick: report.tick,
            replaces: report.replaces.map(|r| (r.value, r.weight)),
        })?;
        self.reports += u64::from(report.replaces.is_none());
        self.offset.observe(report, heard);
        self.offset.refresh(self.ridge.theta(), self.ridge.sigma());
        Ok(())
    }

    /// Quality in [0, 1] and how sure it is. `scratch` is overwritten.
    pub fn estimate(&self, call: &Call<'_>, scratch: &mut Vec<f64>) -> Estimate {
        let estimate = self.ridge.estimate(call.x, (call.pull, call.lift), scratch);
        let mean = estimate.mean + self.offset.at(call.heard);
        Estimate { mean: mean.clamp(0.0, 1.0), ..estimate }
    }

    /// What is added to the regression at the moment; `heard` counts the reports on any arm.
    pub fn offset(&self, heard: u64) -> f64 {
        self.offset.at(heard)
    }

    /// What was expected of a report, and the standard deviation of such a report around it. `scratch` is overwritten.
    pub fn expected(&self, report: &Report<'_>, scratch: &mut Vec<f64>) -> (f64, f64) {
        let sd = self.ridge.spread(report.x, report.weight, scratch);
        (self.ridge.mean(report.x).clamp(0.0, 1.0), sd)
    }

    /// Lets the reports so far count for `most` at the most: the arm is no longer what they say. Should the sums not allow it,
    /// they stay.
    pub fn doubt(&mut self, most: f64) {
        if self.ridge.doubt(most).is_ok() {
            self.offset.refresh(self.ridge.theta(), self.ridge.sigma());
        }
    }

    /// The arm's level has moved by `by` within its last `since` reports: those so far count for `most` at the most, and as if they
    /// had been given at the new level, so that what is good at which prompts is kept. The quick correction looks at what came since.
    /// Should the sums not allow it, they stay.
    pub fn moved(&mut self, by: f64, since: u32, most: f64) {
        let done = self.ridge.doubt(most).and_then(|()| self.ridge.move_level(by));
        if done.is_ok() {
            self.offset.keep_last(since as usize);
            self.offset.refresh(self.ridge.theta(), self.ridge.sigma());
        }
    }

    /// Changes what the regression starts from, see [`Ridge::take_in`] and its like.
    ///
    /// # Errors
    /// When the change is refused; nothing has changed then.
    pub fn start_from(
        &mut self,
        change: impl FnOnce(&mut Ridge) -> Result<(), NotPositive>,
    ) -> Result<(), NotPositive> {
        change(&mut self.ridge)?;
        self.offset.refresh(self.ridge.theta(), self.ridge.sigma());
        Ok(())
    }

    /// Reports received, revisions not counted.
    pub fn reports(&self) -> u64 {
        self.reports
    }

    /// The regression, to look at.
    pub fn ridge(&self) -> &Ridge {
        &self.ridge
    }

    /// See [`Ridge::restore`].
    ///
    /// # Errors
    /// When what was stored is no head over `dim` features.
    pub fn restore(&mut self, dim: usize) -> Result<(), NotPositive> {
        if !self.offset.is_sound(dim) {
            return Err(NotPositive { order: dim });
        }
        self.ridge.restore(dim)?;
        self.offset.refresh(self.ridge.theta(), self.ridge.sigma());
        Ok(())
    }
}
