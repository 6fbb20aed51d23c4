//! From utilities to a distribution, and from a distribution to an arm.
//!
//! SquareCB with inverse gap weighting (Foster and Rakhlin 2020, arXiv 2002.04926): `p_k = 1 / (K + gamma (U* - U_k))`, the rest
//! on the best. `gamma` grows with the square root of the quality reports received, not of the requests: a router that hears
//! little stays curious. Floors keep every arm in the log, scaled down for dear arms; the cap on the expected loss binds last, so
//! its bound holds for every request.

use sha2::{Digest, Sha256};

use super::Exploration;
use crate::domain::{ArmDistribution, ArmId, DecisionId};

/// What is at stake among the arms that may be drawn; shapes `[k]`.
#[derive(Debug, Clone, Copy)]
pub struct Stakes<'a> {
    /// Higher is better.
    pub utilities: &'a [f64],
    /// Expected cost of the call, USD.
    pub costs_usd: &'a [f64],
    /// Typical call of the default arm, USD.
    pub reference_usd: f64,
    /// Quality reports received on these arms.
    pub reports: u64,
    /// `gamma` before any report.
    pub gamma: f64,
}

impl Stakes<'_> {
    /// The index of the highest utility; of equals the cheaper, then the first. `None` when there is no arm.
    pub fn best(&self) -> Option<usize> {
        let better = |a: &usize, b: &usize| {
            let by_utility = self.utilities[*a].total_cmp(&self.utilities[*b]);
            by_utility.then(self.costs_usd[*b].total_cmp(&self.costs_usd[*a])).then(b.cmp(a))
        };
        (0..self.utilities.len()).max_by(better)
    }
}

/// Probabilities over the arms at stake, shape `[k]`. Sums to 1; `sum p (U* - U)` is at most `max_expected_loss`. NaN when a
/// utility is not finite, which no distribution accepts.
pub fn square_cb(stakes: &Stakes<'_>, exploration: &Exploration) -> Vec<f64> {
    let arms = stakes.utilities.len();
    let Some(best) = stakes.best() else { return Vec::new() };
    if stakes.utilities.iter().any(|u| !u.is_finite()) {
        return vec![f64::NAN; arms];
    }
    let mut p = vec![0.0; arms];
    if arms == 1 || exploration.max_expected_loss <= 0.0 {
        p[best] = 1.0;
        return p;
    }
    let top = stakes.utilities[best];
    let gaps: Vec<f64> = stakes.utilities.iter().map(|u| top - u).collect();
    let gamma = capped_gamma(stakes.gamma * (1.0 + stakes.reports as f64).sqrt(), &gaps, exploration);
    inverse_gap(gamma, &gaps, best, &mut p);
    raise_to_floors(stakes, exploration, &gaps, &mut p);
    p[best] = 0.0;
    p[best] = (1.0 - p.iter().sum::<f64>()).max(0.0);
    p
}

fn inverse_gap(gamma: f64, gaps: &[f64], best: usize, p: &mut [f64]) {
    let arms = gaps.len() as f64;
    for (k, gap) in gaps.iter().enumerate() {
        p[k] = if k == best { 0.0 } else { 1.0 / (arms + gamma * gap) };
    }
}

fn loss(gamma: f64, gaps: &[f64]) -> f64 {
    let arms = gaps.len() as f64;
    gaps.iter().map(|gap| gap / (arms + gamma * gap)).sum()
}

/// The least gamma from `gamma` on whose expected loss is within the cap. Loss is below `(k - 1) / gamma`, so one exists.
fn capped_gamma(gamma: f64, gaps: &[f64], exploration: &Exploration) -> f64 {
    let cap = exploration.max_expected_loss;
    if loss(gamma, gaps) <= cap {
        return gamma;
    }
    let (mut low, mut high) = (gamma.max(1e-9), gamma.max(gaps.len() as f64 / cap));
    for _ in 0..40 {
        let middle = (low * high).sqrt();
        if loss(middle, gaps) <= cap { high = middle } else { low = middle }
    }
    high
}

/// Lifts arms to their floors, all by the same share of the way when the full way would break the cap.
fn raise_to_floors(stakes: &Stakes<'_>, exploration: &Exploration, gaps: &[f64], p: &mut [f64]) {
    let most = 0.5 / gaps.len() as f64;
    let floor = |k: usize| {
        let dearness = stakes.costs_usd[k] / stakes.reference_usd.max(f64::MIN_POSITIVE);
        exploration.floor.min(most) / dearness.max(1.0)
    };
    let lifts: Vec<f64> = (0..gaps.len()).map(|k| (floor(k) - p[k]).max(0.0)).collect();
    let expected: f64 = gaps.iter().zip(&*p).map(|(gap, p)| gap * p).sum();
    let added: f64 = gaps.iter().zip(&lifts).map(|(gap, lift)| gap * lift).sum();
    let room = (exploration.max_expected_loss - expected).max(0.0);
    let share = if added > room { room / added } else { 1.0 };
    p.iter_mut().zip(&lifts).for_each(|(p, lift)| *p += share * lift);
}

/// A drawn arm.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// Which.
    pub arm: ArmId,
    /// With which probability.
    pub propensity: f64,
}

/// The one place where a uniform number in [0, 1) becomes an arm. An arm of probability 0 is never drawn.
pub fn draw(distribution: &ArmDistribution, u: f64) -> Drawn {
    let mut sum = 0.0;
    let mut last = 0;
    for (k, p) in distribution.p().iter().enumerate().filter(|(_, p)| **p > 0.0) {
        sum += p;
        last = k;
        if u < sum {
            break;
        }
    }
    Drawn { arm: distribution.arms()[last].clone(), propensity: distribution.p()[last] }
}

/// The uniform number of a decision, in [0, 1): the first 53 bits of SHA-256 over the id and the deployment's salt. Any logged
/// decision can be drawn again.
pub fn uniform(decision: DecisionId, salt: &[u8]) -> f64 {
    let digest = Sha256::new().chain_update(decision.as_bytes()).chain_update(salt).finalize();
    let bits = digest.iter().take(8).fold(0u64, |bits, byte| (bits << 8) | u64::from(*byte));
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests;
