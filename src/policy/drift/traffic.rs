//! The watch on prompts: whether the mean of the features has left where it was. A multivariate chart of exponentially weighted
//! means (Lowry et al., Technometrics 1992) with diagonal variances, which fits whitened components.

use serde::{Deserialize, Serialize};

use super::{Change, Direction, THRESHOLD};

/// The recent mean looks back about a hundred prompts, the usual one two thousand.
const RECENT_RATE: f64 = 0.01;
const USUAL_RATE: f64 = 0.0005;

/// So many prompts are looked at before the first alarm, and again after each.
const WARM_UP: u64 = 500;

/// How many standard deviations of the distance count as 1 of the statistic: its tail is that of a chi-square, and features are not
/// normal.
const UNIT: f64 = 1.25;

/// The watch; each vector has shape `[d]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrafficWatch {
    seen: u64,
    since_alarm: u64,
    usual: Vec<f64>,
    variance: Vec<f64>,
    recent: Vec<f64>,
}

impl TrafficWatch {
    /// Nothing seen.
    pub fn new(dim: usize) -> Self {
        let zeros = || vec![0.0; dim];
        Self { seen: 0, since_alarm: 0, usual: zeros(), variance: zeros(), recent: zeros() }
    }

    /// Folds a prompt's features in, shape `[d]`, finite; a change when there is one.
    pub fn observe(&mut self, x: &[f64]) -> Option<Change> {
        self.seen += 1;
        self.since_alarm += 1;
        let slow = USUAL_RATE.max(1.0 / self.seen as f64);
        // After an alarm the new mix is learned as quickly as it is seen.
        let settling = self.since_alarm < self.seen && self.since_alarm <= WARM_UP;
        let rate = if settling { RECENT_RATE } else { slow };
        let fast = RECENT_RATE.max(1.0 / self.seen as f64);
        for (j, xj) in x.iter().enumerate() {
            let before = xj - self.usual[j];
            self.usual[j] += rate * before;
            self.variance[j] += slow * (before * (xj - self.usual[j]) - self.variance[j]);
            self.recent[j] += fast * (xj - self.recent[j]);
        }
        if self.since_alarm <= WARM_UP || self.statistic() <= THRESHOLD {
            return None;
        }
        let (statistic, distance) = (self.statistic(), self.distance());
        let expected = self.varying();
        self.usual.clone_from(&self.recent);
        self.since_alarm = 0;
        let since = (1.0 / RECENT_RATE) as u32;
        Some(Change { direction: Direction::Up, statistic, before: expected, after: distance, since })
    }

    /// Squared distance of the recent mean from the usual one, in units in which each feature is expected to give 1.
    fn distance(&self) -> f64 {
        let unit = RECENT_RATE / (2.0 - RECENT_RATE);
        let parts = self.usual.iter().zip(&self.recent).zip(&self.variance);
        parts.filter(|(_, v)| **v > f64::EPSILON).map(|((u, r), v)| (r - u).powi(2) / (unit * v)).sum()
    }

    /// Features that vary at all.
    fn varying(&self) -> f64 {
        self.variance.iter().filter(|v| **v > f64::EPSILON).count() as f64
    }

    /// How far the recent prompts are from the usual ones.
    pub fn statistic(&self) -> f64 {
        let expected = self.varying();
        if expected > 0.0 { (self.distance() - expected) / ((2.0 * expected).sqrt() * UNIT) } else { 0.0 }
    }

    /// Prompts so far.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Whether what was stored is a watch over `dim` features.
    pub fn is_sound(&self, dim: usize) -> bool {
        let parts = [&self.usual, &self.variance, &self.recent];
        parts.iter().all(|p| p.len() == dim && p.iter().all(|n| n.is_finite()))
    }
}
