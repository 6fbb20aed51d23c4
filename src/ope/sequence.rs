//! Confidence sequences: intervals that hold at every sample size at once, so one may look as often as one likes and stop when
//! one likes.
//!
//! Betting for small samples of bounded values (Waudby-Smith and Ramdas 2024, arXiv 2010.09686: hedged capital with predictable
//! plug-in bets), exact at any size. Asymptotic for large ones (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024, arXiv
//! 2103.06476), a closed form.

use super::Interval;

/// Asymptotic sequence from count, mean and standard deviation:
/// `mean +- sd sqrt(2 (n r^2 + 1) / (n^2 r^2) ln(sqrt(n r^2 + 1) / alpha))`; `tightest_at` is where it is tightest, its `r`
/// follows from there. Needs `n` in the hundreds before its level is to be believed.
pub fn asymptotic(n: u64, mean: f64, sd: f64, alpha: f64, tightest_at: f64) -> Interval {
    let two_log = -2.0 * alpha.ln();
    let squared = (two_log + (two_log + 1.0).ln()) / tightest_at;
    let (n, grown) = (n as f64, n as f64 * squared + 1.0);
    let half = sd * (2.0 * grown / (n * n * squared) * (grown.sqrt() / alpha).ln()).sqrt();
    Interval { low: mean - half, high: mean + half }
}

/// Candidates for the mean that are tried; the interval is wrong by at most one step, outwards.
const GRID: usize = 1000;

/// A bet never risks more than this share of what the worst outcome would take.
const CAUTION: f64 = 0.5;

/// A betting sequence over values in [0, 1] with a grid of candidate means. Folds value by value; memory does not grow.
#[derive(Debug, Clone)]
pub struct Betting {
    alpha: f64,
    /// Logarithm of the capital betting that the mean is higher, and lower, for each candidate.
    capital: Vec<(f64, f64)>,
    /// The running intersection: once ruled out, always ruled out.
    alive: Vec<bool>,
    count: f64,
    sum: f64,
    /// Sum of squared deviations from the running means, each from before the value.
    squares: f64,
}

impl Betting {
    /// Nothing seen; level `1 - alpha`.
    pub fn new(alpha: f64) -> Self {
        Self {
            alpha,
            capital: vec![(0.0, 0.0); GRID + 1],
            alive: vec![true; GRID + 1],
            count: 0.0,
            sum: 0.0,
            squares: 0.0,
        }
    }

    /// Folds in a value, cut to [0, 1].
    pub fn observe(&mut self, value: f64) {
        let value = value.clamp(0.0, 1.0);
        let bet = self.bet();
        let ruin = (2.0 / self.alpha).ln();
        for (i, (up, down)) in self.capital.iter_mut().enumerate() {
            let mean = i as f64 / GRID as f64;
            *up += step(bet.min(CAUTION / mean), value - mean);
            *down += step(bet.min(CAUTION / (1.0 - mean)), mean - value);
            self.alive[i] &= up.max(*down) < ruin;
        }
        let around = (0.5 + self.sum) / (self.count + 1.0);
        self.count += 1.0;
        self.sum += value;
        self.squares += (value - around).powi(2);
    }

    /// The predictable plug-in bet: `sqrt(2 ln(2 / alpha) / (v t ln(1 + t)))` with the variance as known before the value.
    fn bet(&self) -> f64 {
        let t = self.count + 1.0;
        let variance = (0.25 + self.squares) / t;
        (2.0 * (2.0 / self.alpha).ln() / (variance * t * t.ln_1p())).sqrt()
    }

    /// The candidates not ruled out, one step wider. When all are, which has probability below `alpha`, the running mean.
    pub fn interval(&self) -> Interval {
        let alive = |i: &usize| self.alive[*i];
        let at = |i: usize| i as f64 / GRID as f64;
        match ((0..=GRID).find(alive), (0..=GRID).rev().find(alive)) {
            (Some(low), Some(high)) => {
                Interval { low: at(low.saturating_sub(1)), high: at((high + 1).min(GRID)) }
            }
            _ => Interval { low: self.mean(), high: self.mean() },
        }
    }

    /// Values seen.
    pub fn count(&self) -> u64 {
        self.count as u64
    }

    /// Their mean; 0.5 before the first.
    pub fn mean(&self) -> f64 {
        if self.count > 0.0 { self.sum / self.count } else { 0.5 }
    }
}

/// Growth of the logarithm of the capital by a bet on `gain`; a bet is never so high that it could take everything.
fn step(bet: f64, gain: f64) -> f64 {
    (bet * gain).ln_1p()
}

/// From this many values on the asymptotic sequence is taken.
const LARGE: usize = 1000;

/// The 95 % sequence at the end of `values`, all in `[low, high]`: betting below a thousand values, asymptotic from there on.
/// `None` when there is no value or no room between the bounds.
pub fn at_end(values: &[f64], (low, high): (f64, f64)) -> Option<Interval> {
    let room = high - low;
    if values.is_empty() || !(room.is_finite() && room > 0.0) {
        return None;
    }
    if values.len() < LARGE {
        let mut betting = Betting::new(0.05);
        values.iter().for_each(|v| betting.observe((v - low) / room));
        let unit = betting.interval();
        return Some(Interval { low: low + room * unit.low, high: low + room * unit.high });
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let sd = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
    let wide = asymptotic(values.len() as u64, mean, sd, 0.05, n);
    Some(Interval { low: wide.low.max(low), high: wide.high.min(high) })
}
