//! From estimates to one number: what the caller's preference makes of quality, cost and latency, and which arms are out of bounds.
//!
//! `U = (1 - f) q - a C - b L`: quality counts when the call does not fail, money and waiting always. `a` and `b` come from the
//! preference alone; the heads never see it.

use crate::domain::{ArmEstimate, Constraints, Preference};

/// The typical call of the route's default arm: the unit in which weights measure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reference {
    /// USD; 0 when the arm is free.
    pub cost_usd: f64,
    /// Milliseconds, above 0.
    pub latency_ms: f64,
}

/// What a dollar and a millisecond are worth on the quality scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    per_usd: f64,
    per_ms: f64,
}

/// Utilities beyond this tell nothing more, and differences stay finite.
const UTILITY_LIMIT: f64 = 1e12;

impl Scale {
    /// Weights measure in units of `reference`; a value is in dollars and needs none.
    pub fn new(preference: &Preference, reference: &Reference) -> Self {
        match preference {
            Preference::Weights(w) => Self {
                per_usd: per_unit(w.cost() / w.quality(), reference.cost_usd),
                per_ms: per_unit(w.latency() / w.quality(), reference.latency_ms),
            },
            Preference::Value { quality_usd, second_usd } => {
                Self { per_usd: 1.0 / quality_usd, per_ms: second_usd / quality_usd / 1000.0 }
            }
        }
    }

    /// The same, where a dollar costs `per_usd` more: the price that a budget puts on money.
    pub fn dearer(&self, per_usd: f64) -> Self {
        Self { per_usd: self.per_usd + per_usd, ..*self }
    }

    /// What the preference makes of an estimate.
    pub fn utility(&self, estimate: &ArmEstimate) -> f64 {
        let answer = (1.0 - estimate.failure) * estimate.quality.mean;
        let utility = answer - self.per_usd * estimate.cost_usd - self.per_ms * estimate.latency_ms.p50;
        utility.clamp(-UTILITY_LIMIT, UTILITY_LIMIT)
    }
}

fn per_unit(weight: f64, unit: f64) -> f64 {
    if unit > 0.0 { weight / unit } else { 0.0 }
}

/// Which bounds had to be given up because no arm met them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relaxed {
    /// None: the arms meet every bound.
    Nothing,
    /// The lowest quality.
    Quality,
    /// The lowest quality and the highest latency.
    QualityAndLatency,
    /// All three: only the cheapest arm is left.
    All,
}

/// The indices of the estimates that may be drawn, never empty unless `estimates` is, and what was given up for that.
///
/// When no arm meets every bound they are given up in this order: `min_quality`, then `max_latency_ms`; when even `max_cost_usd`
/// cannot be met the cheapest arm serves.
pub fn within_bounds(estimates: &[ArmEstimate], bounds: &Constraints) -> (Vec<usize>, Relaxed) {
    let no_quality = Constraints { min_quality: None, ..*bounds };
    let cost_alone = Constraints { max_latency_ms: None, ..no_quality };
    let steps = [
        (*bounds, Relaxed::Nothing),
        (no_quality, Relaxed::Quality),
        (cost_alone, Relaxed::QualityAndLatency),
    ];
    for (bounds, relaxed) in steps {
        let met: Vec<usize> = (0..estimates.len()).filter(|i| meets(&estimates[*i], &bounds)).collect();
        if !met.is_empty() {
            return (met, relaxed);
        }
    }
    let cheapest =
        (0..estimates.len()).min_by(|a, b| estimates[*a].cost_usd.total_cmp(&estimates[*b].cost_usd));
    (cheapest.into_iter().collect(), Relaxed::All)
}

/// Quality must be met with one standard deviation to spare, latency at its 95th percentile.
fn meets(estimate: &ArmEstimate, bounds: &Constraints) -> bool {
    let quality = estimate.quality.mean - estimate.quality.sd;
    bounds.max_cost_usd.is_none_or(|most| estimate.cost_usd <= most)
        && bounds.max_latency_ms.is_none_or(|most| estimate.latency_ms.p95 <= most)
        && bounds.min_quality.is_none_or(|least| quality >= least)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ArmId, Estimate, LatencyEstimate, Weights};

    fn estimate(arm: &str, quality: f64, cost_usd: f64, p50: f64) -> ArmEstimate {
        ArmEstimate {
            arm: ArmId::from(arm),
            quality: Estimate { mean: quality, sd: 0.05 },
            cost_usd,
            output_tokens: 100.0,
            latency_ms: LatencyEstimate { p50, p95: 2.0 * p50 },
            failure: 0.1,
            utility: 0.0,
        }
    }

    #[test]
    fn weights_count_in_calls_of_the_default_arm() {
        let weights = Preference::Weights(Weights::new(0.5, 0.25, 0.25).unwrap());
        let scale = Scale::new(&weights, &Reference { cost_usd: 0.01, latency_ms: 1000.0 });
        let utility = scale.utility(&estimate("a", 0.8, 0.02, 500.0));
        assert!((utility - (0.72 - 0.5 * 2.0 - 0.5 * 0.5)).abs() < 1e-12);
    }

    #[test]
    fn values_count_in_dollars() {
        let value = Preference::value(0.05, 0.001).unwrap();
        let scale = Scale::new(&value, &Reference { cost_usd: 9.0, latency_ms: 9.0 });
        let utility = scale.utility(&estimate("a", 0.8, 0.01, 2000.0));
        assert!((utility - (0.72 - 0.2 - 0.04)).abs() < 1e-12);
    }

    #[test]
    fn a_free_default_arm_divides_nothing_by_zero() {
        let scale = Scale::new(&Preference::cheap(), &Reference { cost_usd: 0.0, latency_ms: 1000.0 });
        assert!(scale.utility(&estimate("a", 0.8, 0.01, 1000.0)).is_finite());
    }

    #[test]
    fn bounds_are_given_up_in_order_and_cost_last() {
        let arms = [estimate("a", 0.9, 0.03, 900.0), estimate("b", 0.6, 0.01, 2000.0)];
        let bounds = |cost, latency, quality| Constraints {
            max_cost_usd: cost,
            max_latency_ms: latency,
            min_quality: quality,
        };
        let check = |bounds, want: &[usize], relaxed| {
            assert_eq!(within_bounds(&arms, &bounds), (want.to_vec(), relaxed));
        };
        check(bounds(None, None, None), &[0, 1], Relaxed::Nothing);
        check(bounds(None, None, Some(0.85)), &[0], Relaxed::Nothing);
        check(bounds(None, None, Some(0.86)), &[0, 1], Relaxed::Quality);
        check(bounds(Some(0.02), None, Some(0.8)), &[1], Relaxed::Quality);
        check(bounds(Some(0.02), Some(1800.0), Some(0.8)), &[1], Relaxed::QualityAndLatency);
        check(bounds(Some(0.001), Some(1800.0), Some(0.8)), &[1], Relaxed::All);
    }
}
