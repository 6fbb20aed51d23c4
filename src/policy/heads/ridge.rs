//! Bayesian ridge regression that forgets towards its prior.
//!
//! `A = rho A0 + S`, `b = rho A0 m + t`, `theta = A^-1 b` (POLICY 4.2). Only `S` and `t` decay, so an arm without news is pulled
//! back to the prior and never to zero. The prior is stated in units of the value, so its weight against the samples follows the
//! noise: a yes or no moves an arm less than a graded report. The noise is estimated from the same sums, so a fit depends on
//! what was reported and not on the order of corrections.

mod inherit;

use serde::{Deserialize, Serialize};

use crate::domain::Estimate;
use crate::math::cholesky::{Cholesky, NotPositive, dot, packed_len, quadratic, rank_one};

/// A prior that knows the level alone; all slopes are equally small.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FlatPrior {
    /// Expected value on any prompt.
    pub level: f64,
    /// How far the level may be off.
    pub level_sd: f64,
    /// How much one feature of unit variance may shift the value.
    pub slope_sd: f64,
    /// Spread of single values around the regression, for weight 1.
    pub noise_sd: f64,
}

/// How much one feature of unit variance may shift a value, and how far single values are from the regression, for weight 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Of the slopes.
    pub slope_sd: f64,
    /// Of the values.
    pub noise_sd: f64,
}

/// Mean `m` and diagonal precision of the coefficients, both `[d]`, and a guess of the variance of a value of weight 1. In units
/// of that noise the precision is `rho A0`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RidgePrior {
    mean: Vec<f64>,
    precision: Vec<f64>,
    noise: f64,
}

/// How many values the guess of the noise counts for.
const NOISE_GUESS_WEIGHT: f64 = 10.0;

impl RidgePrior {
    /// The last of the `dim` features is the constant 1 and carries the level.
    pub fn flat(dim: usize, flat: &FlatPrior, rho: f64) -> Self {
        let precision_of = |sd: f64| rho / sd.powi(2);
        let mut mean = vec![0.0; dim];
        let mut precision = vec![precision_of(flat.slope_sd); dim];
        if let (Some(m), Some(p)) = (mean.last_mut(), precision.last_mut()) {
            (*m, *p) = (flat.level, precision_of(flat.level_sd));
        }
        Self { mean, precision, noise: flat.noise_sd.powi(2) }
    }

    /// The same with these slopes for its mean, shape `[d]`; the last, the constant's, is not read.
    pub fn around(mut self, slopes: &[f64]) -> Self {
        let all = self.mean.len().saturating_sub(1);
        self.mean.iter_mut().zip(slopes).take(all).for_each(|(mean, slope)| *mean = *slope);
        self
    }

    /// What pulls the coefficients from this mean to another, before the noise: `precision * (to - mean)`, shape `[d]`.
    pub fn pull(&self, to: &[f64]) -> Vec<f64> {
        let shift = to.iter().zip(&self.mean).map(|(to, from)| to - from);
        shift.zip(&self.precision).map(|(shift, precision)| shift * precision).collect()
    }

    fn is_sound(&self, dim: usize) -> bool {
        self.mean.len() == dim
            && self.precision.len() == dim
            && self.mean.iter().all(|m| m.is_finite())
            && self.precision.iter().chain([&self.noise]).all(|p| p.is_finite() && *p > 0.0)
    }
}

/// One value at one point.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// Features, shape `[d]`, finite.
    pub x: &'a [f64],
    /// Value, finite.
    pub y: f64,
    /// Precision relative to the noise of a plain value; finite, not negative.
    pub weight: f64,
    /// When, on the clock of this regression, from 1.
    pub tick: u64,
    /// The value and weight that this takes back, both given before at the same `x` and `tick`.
    pub replaces: Option<(f64, f64)>,
}

/// What the sums amount to; derived, not stored.
#[derive(Debug, Clone, PartialEq, Default)]
struct Fit {
    factor: Cholesky,
    theta: Vec<f64>,
    prior_noise: f64,
    sigma: f64,
}

/// Decayed sums over samples: `sum w x x'` (packed), `sum w y x`, `sum w y^2`, and how many.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Sums {
    xx: Vec<f64>,
    xy: Vec<f64>,
    yy: f64,
    count: f64,
}

impl Sums {
    fn fade(&mut self, keep: f64) {
        self.xx.iter_mut().chain(&mut self.xy).for_each(|s| *s *= keep);
        self.yy *= keep;
        self.count *= keep;
    }

    /// Sum of weights, of features and of values; the last feature is the constant 1. `None` without samples.
    fn moments(&self) -> Option<(f64, &[f64], f64)> {
        let of_x = self.xx.get(packed_len(self.xy.len().checked_sub(1)?)..)?;
        let (own, sum) = (*of_x.last()?, *self.xy.last()?);
        (own > 0.0).then_some((own, of_x, sum))
    }

    fn add(&mut self, x: &[f64], weight: f64, weighted_y: f64, weighted_yy: f64) {
        rank_one(&mut self.xx, x, weight);
        self.xy.iter_mut().zip(x).for_each(|(s, xi)| *s += weighted_y * xi);
        self.yy += weighted_yy;
    }

    /// The prior is weighed with the spread around the mean, which is close to the noise while the slopes explain little, and needs
    /// no fit of its own.
    fn fit(&self, prior: &RidgePrior) -> Result<Fit, NotPositive> {
        let dim = prior.mean.len();
        let noise = self.spread(prior)?;
        let mut a = self.xx.clone();
        (0..dim).for_each(|i| a[packed_len(i + 1) - 1] += noise * prior.precision[i]);
        let factor = Cholesky::factor(&a, dim)?;
        let mut theta: Vec<f64> =
            (0..dim).map(|i| noise * prior.precision[i] * prior.mean[i] + self.xy[i]).collect();
        factor.solve(&mut theta);
        let residual = self.yy - 2.0 * dot(&theta, &self.xy) + quadratic(&self.xx, &theta);
        let sigma = self.variance(prior, residual)?.sqrt();
        if theta.iter().all(|t| t.is_finite()) {
            Ok(Fit { factor, theta, prior_noise: noise, sigma })
        } else {
            Err(NotPositive { order: dim })
        }
    }

    /// Variance of a value of weight 1 around the mean; the last feature is the constant 1.
    fn spread(&self, prior: &RidgePrior) -> Result<f64, NotPositive> {
        let (weight, sum) = self.moments().map_or((f64::INFINITY, 0.0), |(own, _, sum)| (own, sum));
        self.variance(prior, self.yy - sum * sum / weight)
    }

    /// Shrunk to the guess; `squares` is a weighted sum of squares, which rounding may leave a little below 0.
    fn variance(&self, prior: &RidgePrior, squares: f64) -> Result<f64, NotPositive> {
        let count = NOISE_GUESS_WEIGHT + self.count.max(0.0);
        if squares.is_finite() && count.is_finite() {
            Ok((NOISE_GUESS_WEIGHT * prior.noise + squares.max(0.0)) / count)
        } else {
            Err(NotPositive { order: prior.mean.len() })
        }
    }
}

/// What regressions over the same features have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Common {
    /// Shape `[d]`; the last is 0.
    slopes: Vec<f64>,
    /// Where their samples are, shape `[d]`; the last is 1.
    centre: Vec<f64>,
}

impl Common {
    /// The mean of a prior that gives `level` at the samples' centre, shape `[d]`.
    pub fn through(&self, level: f64) -> Vec<f64> {
        let mut mean = self.slopes.clone();
        if let Some(constant) = mean.last_mut() {
            *constant = level - dot(&self.slopes, &self.centre);
        }
        mean
    }

    /// Mean of a regression's values, had they been given at the centre of all samples, and its variance; infinite without samples.
    pub fn level_of(&self, ridge: &Ridge) -> (f64, f64) {
        let Some((own, of_x, sum)) = ridge.sums.moments() else { return (0.0, f64::INFINITY) };
        let easier: f64 = self.slopes.iter().zip(of_x).map(|(slope, x)| slope * x / own).sum();
        (sum / own - easier + dot(&self.slopes, &self.centre), ridge.fit.prior_noise / own)
    }
}

/// The slopes that regressions over the same features have in common, around `supposed`, shape `[d]`: a fit of their samples
/// together, each around its own mean, so that regressions may differ in level.
///
/// # Errors
/// When the sums are not finite.
pub fn common_slopes<'a>(
    ridges: impl Iterator<Item = &'a Ridge>,
    spread: &Spread,
    supposed: &[f64],
) -> Result<Common, NotPositive> {
    let dim = supposed.len();
    let mut pooled = Sums { xx: vec![0.0; packed_len(dim)], xy: vec![0.0; dim], yy: 0.0, count: 0.0 };
    let (mut centre, mut weight) = (vec![0.0; dim], 0.0);
    for sums in ridges.map(|r| &r.sums) {
        let Some((own, of_x, sum)) = sums.moments() else { continue };
        pooled.xx.iter_mut().zip(&sums.xx).for_each(|(p, s)| *p += s);
        rank_one(&mut pooled.xx, of_x, -1.0 / own);
        for j in 0..dim {
            pooled.xy[j] += sums.xy[j] - of_x[j] * sum / own;
            centre[j] += of_x[j];
        }
        pooled.yy += sums.yy - sum * sum / own;
        pooled.count += sums.count;
        weight += own;
    }
    let around =
        FlatPrior { level: 0.0, level_sd: 1.0, slope_sd: spread.slope_sd, noise_sd: spread.noise_sd };
    let prior = RidgePrior::flat(dim, &around, 1.0).around(supposed);
    let mut slopes = pooled.fit(&prior)?.theta;
    centre.iter_mut().for_each(|x| *x /= f64::max(weight, f64::MIN_POSITIVE));
    (slopes[dim - 1], centre[dim - 1]) = (0.0, 1.0);
    Ok(Common { slopes, centre })
}

/// Occasions of doubt that are remembered apart.
const MOST_DOUBTS: usize = 16;

/// The regression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ridge {
    prior: RidgePrior,
    decay: f64,
    clock: u64,
    sums: Sums,
    /// Clocks at which everything before was faded, and by how much; oldest first.
    doubts: Vec<(u64, f64)>,
    #[serde(skip)]
    fit: Fit,
}

impl Ridge {
    /// Knows the prior alone. `decay` in (0, 1] is what a sample keeps per tick.
    ///
    /// # Errors
    /// When the prior is not positive and finite.
    pub fn new(prior: RidgePrior, decay: f64) -> Result<Self, NotPositive> {
        let dim = prior.mean.len();
        let sums = Sums { xx: vec![0.0; packed_len(dim)], xy: vec![0.0; dim], yy: 0.0, count: 0.0 };
        let mut ridge = Self { prior, decay, clock: 0, sums, doubts: Vec::new(), fit: Fit::default() };
        ridge.restore(dim)?;
        Ok(ridge)
    }

    /// Computes what is not stored, after the stored part was read.
    ///
    /// # Errors
    /// When the stored part is not a regression over `dim` features.
    pub fn restore(&mut self, dim: usize) -> Result<(), NotPositive> {
        let sums_fit = self.sums.xx.len() == packed_len(dim) && self.sums.xy.len() == dim;
        let decay_fits = self.decay > 0.0 && self.decay <= 1.0;
        let doubts_fit = self.doubts.iter().all(|(_, by)| *by > 0.0 && *by <= 1.0);
        if !(sums_fit && decay_fits && doubts_fit && self.prior.is_sound(dim)) {
            return Err(NotPositive { order: dim });
        }
        self.fit = self.sums.fit(&self.prior)?;
        Ok(())
    }

    /// Folds a sample in. One from before the clock counts as if it had been given then.
    ///
    /// # Errors
    /// When the sums would no longer be positive definite or finite; nothing has changed then.
    pub fn observe(&mut self, sample: &Sample<'_>) -> Result<(), NotPositive> {
        let clock = self.clock.max(sample.tick);
        let mut sums = self.sums.clone();
        if clock > self.clock {
            sums.fade(self.kept(clock - self.clock));
        }
        let doubted = self.doubts.iter().filter(|(tick, _)| *tick >= sample.tick).map(|(_, by)| by);
        let kept = self.kept(clock - sample.tick) * doubted.product::<f64>();
        let (old_y, old_w) = sample.replaces.unwrap_or((0.0, 0.0));
        let (y, w) = (sample.y, sample.weight);
        let (wy, wyy) = (w * y - old_w * old_y, w * y * y - old_w * old_y * old_y);
        sums.add(sample.x, kept * (w - old_w), kept * wy, kept * wyy);
        if sample.replaces.is_none() {
            sums.count += kept;
        }
        self.fit = sums.fit(&self.prior)?;
        self.sums = sums;
        self.clock = clock;
        Ok(())
    }

    /// Lets all samples so far count for `most` at the most. Later corrections of them are weighed alike.
    ///
    /// # Errors
    /// When the sums would no longer be positive definite; nothing has changed then.
    pub fn doubt(&mut self, most: f64) -> Result<(), NotPositive> {
        if self.sums.count <= most {
            return Ok(());
        }
        let by = most / self.sums.count;
        let mut sums = self.sums.clone();
        sums.fade(by);
        self.fit = sums.fit(&self.prior)?;
        self.sums = sums;
        self.doubts.push((self.clock, by));
        if self.doubts.len() > MOST_DOUBTS {
            // The oldest two become one; corrections of samples between them are weighed a little too low.
            let (_, first) = self.doubts.remove(0);
            self.doubts[0].1 *= first;
        }
        Ok(())
    }

    fn kept(&self, ticks: u64) -> f64 {
        self.decay.powi(i32::try_from(ticks).unwrap_or(i32::MAX))
    }

    /// The highest tick seen.
    pub fn clock(&self) -> u64 {
        self.clock
    }

    /// Expected value at `x`, shape `[d]`.
    pub fn mean(&self, x: &[f64]) -> f64 {
        dot(&self.fit.theta, x)
    }

    /// Expected value at `x`, shape `[d]`, had the prior the mean that `pull` stands for and a level that is `lift` above that, and
    /// how sure that is: `sigma sqrt(x' A^-1 x)`. `scratch` is overwritten.
    ///
    /// The coefficients are linear in the prior's mean, so another mean needs no new fit: it adds `noise pull' A^-1 x`.
    pub fn estimate(&self, x: &[f64], (pull, lift): (&[f64], f64), scratch: &mut Vec<f64>) -> Estimate {
        let form = self.fit.factor.inverse_quadratic(x, scratch);
        self.fit.factor.solve_upper(scratch);
        let level = self.prior.precision.last().zip(scratch.last()).map_or(0.0, |(p, s)| p * s);
        let shift = self.fit.prior_noise * (dot(pull, scratch) + lift * level);
        Estimate { mean: self.mean(x) + shift, sd: self.fit.sigma * form.sqrt() }
    }

    /// Standard deviation of a value of `weight` around the expectation at `x`, shape `[d]`, the doubt about the expectation
    /// included. `scratch` is overwritten.
    pub fn spread(&self, x: &[f64], weight: f64, scratch: &mut Vec<f64>) -> f64 {
        let form = self.fit.factor.inverse_quadratic(x, scratch);
        self.fit.sigma * (1.0 / weight + form).sqrt()
    }

    /// Samples so far, faded.
    pub fn evidence(&self) -> f64 {
        self.sums.count
    }

    /// See [`Cholesky::condition`].
    pub fn condition(&self) -> f64 {
        self.fit.factor.condition()
    }

    /// The coefficients, shape `[d]`.
    pub fn theta(&self) -> &[f64] {
        &self.fit.theta
    }

    /// What it starts from.
    pub fn prior(&self) -> &RidgePrior {
        &self.prior
    }

    /// Estimated spread of single values of weight 1.
    pub fn sigma(&self) -> f64 {
        self.fit.sigma
    }
}

#[cfg(test)]
mod tests;
