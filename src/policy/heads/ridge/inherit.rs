//! What a regression starts from besides its prior: samples that stand for others, at a bounded weight.

use super::{Fit, Ridge, Sums};
use crate::domain::RatedSums;
use crate::math::cholesky::{NotPositive, rank_one};

impl Ridge {
    /// Takes in samples that were summed up elsewhere, for at most `most` of them.
    ///
    /// # Errors
    /// When they are of another shape or no sums of samples; nothing has changed then.
    pub fn take_in(&mut self, rated: &RatedSums, most: f64) -> Result<(), NotPositive> {
        let fits = rated.xx.len() == self.sums.xx.len() && rated.xy.len() == self.sums.xy.len();
        if !fits || !rated.rows.is_finite() || rated.rows <= 0.0 {
            return Err(NotPositive { order: self.sums.xy.len() });
        }
        let share = (most / rated.rows).min(1.0);
        self.with(|sums| {
            sums.xx.iter_mut().zip(&rated.xx).for_each(|(s, r)| *s += share * r);
            sums.xy.iter_mut().zip(&rated.xy).for_each(|(s, r)| *s += share * r);
            sums.yy += share * rated.yy;
            sums.count += share * rated.rows;
        })
    }

    /// Takes in what another has learned, for at most `most` of its samples.
    ///
    /// # Errors
    /// When the other's sums are not sound; nothing has changed then.
    pub fn take_after(&mut self, other: &Self, most: f64) -> Result<(), NotPositive> {
        if other.sums.xx.len() != self.sums.xx.len() {
            return Err(NotPositive { order: self.sums.xy.len() });
        }
        let mut theirs = other.sums.clone();
        theirs.fade((most / other.evidence().max(f64::MIN_POSITIVE)).min(1.0));
        self.with(|sums| {
            sums.xx.iter_mut().zip(&theirs.xx).for_each(|(s, r)| *s += r);
            sums.xy.iter_mut().zip(&theirs.xy).for_each(|(s, r)| *s += r);
            sums.yy += theirs.yy;
            sums.count += theirs.count;
        })
    }

    /// Supposes `level` at the centre of the prompts, for so many samples. It tells nothing of the noise.
    ///
    /// # Errors
    /// When the level is not finite; nothing has changed then.
    pub fn suppose(&mut self, level: f64, samples: f64) -> Result<(), NotPositive> {
        self.with(|sums| {
            let mut x = vec![0.0; sums.xy.len()];
            if let (Some(constant), Some(xy)) = (x.last_mut(), sums.xy.last_mut()) {
                *constant = 1.0;
                *xy += samples * level;
            }
            rank_one(&mut sums.xx, &x, samples);
            sums.yy += samples * level * level;
        })
    }

    /// Keeps `share` of the weight of all samples.
    ///
    /// # Errors
    /// When the sums would break; nothing has changed then.
    pub fn discount(&mut self, share: f64) -> Result<(), NotPositive> {
        self.with(|sums| sums.fade(share))
    }

    /// Takes all samples so far for samples of a value that is `by` higher: the level has changed, the slopes have not. A later
    /// correction of one of them moves the coefficients as it should, and the estimated noise by a little more.
    ///
    /// # Errors
    /// When the sums would break; nothing has changed then.
    pub fn move_level(&mut self, by: f64) -> Result<(), NotPositive> {
        let Some((weight, of_x, sum)) = self.sums.moments() else { return Ok(()) };
        let of_x = of_x.to_vec();
        self.with(|sums| {
            sums.xy.iter_mut().zip(&of_x).for_each(|(xy, x)| *xy += by * x);
            sums.yy += by * (2.0 * sum + by * weight);
        })
    }

    fn with(&mut self, change: impl FnOnce(&mut Sums)) -> Result<(), NotPositive> {
        let mut sums = self.sums.clone();
        change(&mut sums);
        let fit: Fit = sums.fit(&self.prior)?;
        (self.sums, self.fit) = (sums, fit);
        Ok(())
    }
}
