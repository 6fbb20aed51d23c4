//! Percentile bootstrap of a ratio of sums: means (`denominator` 1) and self-normalised estimates alike.

use super::Interval;

/// What is resampled: the estimate is the sum of the first over the sum of the second.
pub type Term = (f64, f64);

/// The 95 % percentile interval over `resamples` resamples of `terms`. `uniform` gives a number in [0, 1) for each counter; the
/// same function gives the same interval. `None` when there is nothing to resample.
pub fn percentile(terms: &[Term], resamples: usize, uniform: &dyn Fn(u64) -> f64) -> Option<Interval> {
    if terms.is_empty() || resamples == 0 {
        return None;
    }
    let n = terms.len();
    let mut counter = 0;
    let mut estimates: Vec<f64> = (0..resamples)
        .map(|_| {
            let mut sum = (0.0, 0.0);
            for _ in 0..n {
                let (top, bottom) = terms[((uniform(counter) * n as f64) as usize).min(n - 1)];
                sum = (sum.0 + top, sum.1 + bottom);
                counter += 1;
            }
            sum.0 / sum.1
        })
        .filter(|estimate| estimate.is_finite())
        .collect();
    estimates.sort_by(f64::total_cmp);
    Some(Interval { low: quantile(&estimates, 0.025)?, high: quantile(&estimates, 0.975)? })
}

/// The `p` quantile of sorted values, between neighbours by their distance (type 7 of Hyndman and Fan).
fn quantile(sorted: &[f64], p: f64) -> Option<f64> {
    let at = p * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(below + (at - at.floor()) * (above - below))
}
