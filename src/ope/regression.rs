//! The regression under the direct method and DR: one ridge per arm, cross-fitted over folds, from sums alone.
//!
//! A row's prediction comes from the other folds' rows, so a row never vouches for itself (Chernozhukov et al. 2018). Leaving a
//! fold out of a sum is a subtraction, so one pass over the rows is enough however many folds there are.

use crate::math::cholesky::{Cholesky, NotPositive, dot, packed_len, rank_one};

/// Precision of a slope of a feature of unit variance, in units of the value's noise: noise .3 over slope .04, squared.
const SLOPE_PENALTY: f64 = 50.0;

/// Precision of an arm's level around the level of all arms.
const LEVEL_PENALTY: f64 = 1.0;

#[derive(Debug, Clone)]
struct Sums {
    xx: Vec<f64>,
    xy: Vec<f64>,
}

impl Sums {
    fn new(dim: usize) -> Self {
        Self { xx: vec![0.0; packed_len(dim)], xy: vec![0.0; dim] }
    }

    fn add(&mut self, other: &Self, sign: f64) {
        self.xx.iter_mut().zip(&other.xx).for_each(|(a, b)| *a += sign * b);
        self.xy.iter_mut().zip(&other.xy).for_each(|(a, b)| *a += sign * b);
    }

    /// Rows and sum of values: the last feature is the constant 1.
    fn level(&self) -> (f64, f64) {
        (self.xx.last().copied().unwrap_or(0.0), self.xy.last().copied().unwrap_or(0.0))
    }
}

/// Sums over rows, by fold and arm.
#[derive(Debug, Clone)]
pub struct Regression {
    dim: usize,
    folds: usize,
    arms: usize,
    sums: Vec<Sums>,
}

impl Regression {
    /// Over contexts of `dim` features (the last is the constant 1), `arms` arms and `folds` folds, at least 2.
    pub fn new(dim: usize, arms: usize, folds: usize) -> Self {
        let folds = folds.max(2);
        Self { dim, folds, arms, sums: vec![Sums::new(dim); folds * arms] }
    }

    /// Folds in a row of `arm` with features `x`, shape `[dim]`, and a finite value.
    pub fn observe(&mut self, fold: usize, arm: usize, x: &[f64], value: f64) {
        let sums = &mut self.sums[(fold % self.folds) * self.arms + arm];
        rank_one(&mut sums.xx, x, 1.0);
        sums.xy.iter_mut().zip(x).for_each(|(s, x)| *s += value * x);
    }

    /// The coefficients for each fold, from the rows of the others.
    ///
    /// # Errors
    /// When a sum is not finite.
    pub fn fit(&self) -> Result<Fitted, NotPositive> {
        let mut theta = Vec::with_capacity(self.sums.len());
        for fold in 0..self.folds {
            let others = |arm: usize| {
                let mut sums = Sums::new(self.dim);
                (0..self.folds)
                    .filter(|f| *f != fold)
                    .for_each(|f| sums.add(&self.sums[f * self.arms + arm], 1.0));
                sums
            };
            let by_arm: Vec<Sums> = (0..self.arms).map(others).collect();
            let (rows, total) =
                by_arm.iter().map(Sums::level).fold((0.0, 0.0), |(n, s), (m, t)| (n + m, s + t));
            let level = if rows > 0.0 { total / rows } else { 0.0 };
            for sums in &by_arm {
                theta.push(self.solve(sums, level)?);
            }
        }
        Ok(Fitted { folds: self.folds, arms: self.arms, theta })
    }

    /// Slopes pulled to 0, the level to that of all arms together.
    fn solve(&self, sums: &Sums, level: f64) -> Result<Vec<f64>, NotPositive> {
        let last = self.dim - 1;
        let mut a = sums.xx.clone();
        (0..last).for_each(|i| a[packed_len(i + 1) - 1] += SLOPE_PENALTY);
        a[packed_len(self.dim) - 1] += LEVEL_PENALTY;
        let mut theta = sums.xy.clone();
        theta[last] += LEVEL_PENALTY * level;
        Cholesky::factor(&a, self.dim)?.solve(&mut theta);
        if theta.iter().all(|t| t.is_finite()) { Ok(theta) } else { Err(NotPositive { order: self.dim }) }
    }
}

/// Coefficients by fold and arm.
#[derive(Debug, Clone)]
pub struct Fitted {
    folds: usize,
    arms: usize,
    theta: Vec<Vec<f64>>,
}

impl Fitted {
    /// What the rows outside of `fold` say of `arm` at `x`.
    pub fn predict(&self, fold: usize, arm: usize, x: &[f64]) -> f64 {
        dot(&self.theta[(fold % self.folds) * self.arms + arm], x)
    }
}
