//! From utilities to a distribution, and from a distribution to an arm.
//!
//! SquareCB with inverse gap weighting (Foster and Rakhlin 2020, arXiv 2002.04926): `p_k = 1 / (K + gamma (U* - U_k))`, the rest
//! on the best. `gamma` grows with the square root of the quality reports received on the arm, not of the requests: a router that
//! hears little stays curious, and most of all about the arms it has heard least of. Floors keep every arm in the log, scaled
//! down for dear arms. The cap on the expected loss and the share of the other arms bind last, so both hold for every request.

pub mod thrift;

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
    /// How sharply a gap tells against the arm, above 0; see [`gamma`].
    pub gammas: &'a [f64],
}

/// The sharpness for an arm of so many quality reports; `scale` is that of an arm without any.
pub fn gamma(scale: f64, reports: u64) -> f64 {
    scale * (1.0 + reports as f64).sqrt()
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

/// Probabilities over the arms at stake, shape `[k]`. Sums to 1; `sum p (U* - U)` is at most `max_expected_loss`, and
/// the arms but the best have at most `share` together. NaN when a
/// utility is not finite, which no distribution accepts.
pub fn square_cb(stakes: &Stakes<'_>, exploration: &Exploration) -> Vec<f64> {
    let arms = stakes.utilities.len();
    let Some(best) = stakes.best() else { return Vec::new() };
    if stakes.utilities.iter().any(|u| !u.is_finite()) {
        return vec![f64::NAN; arms];
    }
    let mut p = vec![0.0; arms];
    if arms == 1 || exploration.is_greedy() {
        p[best] = 1.0;
        return p;
    }
    let top = stakes.utilities[best];
    let gaps: Vec<f64> = stakes.utilities.iter().map(|u| top - u).collect();
    let penalties: Vec<f64> = gaps.iter().zip(stakes.gammas).map(|(gap, gamma)| gap * gamma).collect();
    let sharpness = sharpness(&gaps, &penalties, exploration.max_expected_loss);
    for k in (0..arms).filter(|k| *k != best) {
        p[k] = inverse_gap(arms, sharpness * penalties[k]);
    }
    raise_to_floors(stakes, exploration, &gaps, &mut p);
    p[best] = 0.0;
    keep_within_share(exploration.share, &mut p);
    p[best] = (1.0 - p.iter().sum::<f64>()).max(0.0);
    p
}

fn inverse_gap(arms: usize, penalty: f64) -> f64 {
    1.0 / (arms as f64 + penalty)
}

/// The least factor from 1 on by which all gammas must be raised to bring the expected loss within the cap. At `high` each arm
/// loses less than its share of the cap.
fn sharpness(gaps: &[f64], penalties: &[f64], cap: f64) -> f64 {
    let arms = gaps.len();
    let loss = |by: f64| -> f64 {
        gaps.iter().zip(penalties).map(|(gap, penalty)| gap * inverse_gap(arms, by * penalty)).sum()
    };
    if loss(1.0) <= cap {
        return 1.0;
    }
    let least_gamma = gaps
        .iter()
        .zip(penalties)
        .filter(|(gap, _)| **gap > 0.0)
        .map(|(g, p)| p / g)
        .fold(f64::INFINITY, f64::min);
    let (mut low, mut high) = (1.0, (arms as f64 / (cap * least_gamma)).max(1.0));
    for _ in 0..40 {
        let middle = (low * high).sqrt();
        if loss(middle) <= cap { high = middle } else { low = middle }
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

/// Scales what lies on the other arms down to `share` in all; that only lowers the expected loss. `p` is 0 for the best.
fn keep_within_share(share: f64, p: &mut [f64]) {
    let others: f64 = p.iter().sum();
    if others > share {
        p.iter_mut().for_each(|p| *p *= share / others);
    }
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
