//! From estimates to one number: what the caller's preference makes of quality, cost and latency, and which arms are out of bounds.
//!
//! An answer is worth `V = q - a C - b L`; `a` and `b` come from the preference alone, the heads never see it. A call that fails
//! is followed by another arm's: `U = (1 - f) V + f (V_next - penalty)`, where `V_next` is the best of the others, but never more
//! than the arm's own: to fail is no merit.

use crate::domain::{ArmEstimate, Bound, Constraints, Preference};

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

/// What a failed call costs beyond what the next arm's answer costs, on the quality scale: the wait for it, and the risk that it
/// fails too.
const RETRY_PENALTY: f64 = 0.05;

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

    /// What the preference makes of an answer as estimated, should the call not fail.
    fn answered(&self, estimate: &ArmEstimate) -> f64 {
        let spent = self.per_usd * estimate.cost_usd + self.per_ms * estimate.latency_ms.p50;
        (estimate.quality.mean - spent).clamp(-UTILITY_LIMIT, UTILITY_LIMIT)
    }

    /// The utilities of arms that may be asked, each other's fallbacks; shape `[k]`. Of one without others a failure leaves nothing.
    pub fn utilities(&self, estimates: &[ArmEstimate]) -> Vec<f64> {
        let mut values: Vec<f64> = estimates.iter().map(|e| self.answered(e)).collect();
        let (mut best, mut second) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
        for value in &values {
            if *value > best {
                (best, second) = (*value, best);
            } else {
                second = second.max(*value);
            }
        }
        let alone = values.len() == 1;
        for (value, estimate) in values.iter_mut().zip(estimates) {
            let next = match (alone, *value < best) {
                (true, _) => 0.0,
                (false, true) => best,
                (false, false) => second,
            };
            *value += estimate.failure * (next.min(*value) - RETRY_PENALTY - *value);
        }
        values
    }
}

fn per_unit(weight: f64, unit: f64) -> f64 {
    if unit > 0.0 { weight / unit } else { 0.0 }
}

/// The indices of the estimates that may be drawn, never empty unless `estimates` is, and the bounds that were given up for that.
///
/// When no arm meets every bound they are given up in this order: `min_quality`, then `max_latency_ms`; when even `max_cost_usd`
/// cannot be met the cheapest arm serves.
pub fn within_bounds(estimates: &[ArmEstimate], bounds: &Constraints) -> (Vec<usize>, Vec<Bound>) {
    let relaxed =
        |given_up: &[Bound]| given_up.iter().copied().filter(|b| bounds.has(*b)).collect::<Vec<_>>();
    for steps in 0..Bound::GIVEN_UP.len() {
        let given_up = &Bound::GIVEN_UP[..steps];
        let left = bounds.without(given_up);
        let met: Vec<usize> = (0..estimates.len()).filter(|i| meets(&estimates[*i], &left)).collect();
        if !met.is_empty() {
            return (met, relaxed(given_up));
        }
    }
    let cheapest =
        (0..estimates.len()).min_by(|a, b| estimates[*a].cost_usd.total_cmp(&estimates[*b].cost_usd));
    (cheapest.into_iter().collect(), relaxed(&Bound::GIVEN_UP))
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
        let utility = scale.answered(&estimate("a", 0.8, 0.02, 500.0));
        assert!((utility - (0.8 - 0.5 * 2.0 - 0.5 * 0.5)).abs() < 1e-12);
    }

    #[test]
    fn values_count_in_dollars() {
        let value = Preference::value(0.05, 0.001).unwrap();
        let scale = Scale::new(&value, &Reference { cost_usd: 9.0, latency_ms: 9.0 });
        let utility = scale.answered(&estimate("a", 0.8, 0.01, 2000.0));
        assert!((utility - (0.8 - 0.2 - 0.04)).abs() < 1e-12);
    }

    #[test]
    fn a_free_default_arm_divides_nothing_by_zero() {
        let scale = Scale::new(&Preference::cheap(), &Reference { cost_usd: 0.0, latency_ms: 1000.0 });
        assert!(scale.answered(&estimate("a", 0.8, 0.01, 1000.0)).is_finite());
    }

    fn rated(arms: &[(f64, f64)]) -> Vec<f64> {
        let scale = Scale::new(&Preference::best(), &Reference { cost_usd: 1.0, latency_ms: 1000.0 });
        let named = |(i, (quality, failure)): (usize, &(f64, f64))| ArmEstimate {
            failure: *failure,
            ..estimate(&format!("{i}"), *quality, 0.0, 1.0)
        };
        scale.utilities(&arms.iter().enumerate().map(named).collect::<Vec<_>>())
    }

    #[test]
    fn after_a_failure_the_next_arm_answers_and_the_wait_is_paid() {
        let close = |found: Vec<f64>, want: &[f64]| {
            assert!(found.iter().zip(want).all(|(f, w)| (f - w).abs() < 1e-12), "{found:?} is not {want:?}");
        };
        // The better arm falls back on the worse; the worse, with a better one behind it, only pays for the wait.
        close(rated(&[(0.9, 0.5), (0.8, 0.1)]), &[0.5 * 0.9 + 0.5 * (0.8 - 0.05), 0.8 - 0.1 * 0.05]);
        close(rated(&[(0.8, 0.25)]), &[0.75 * 0.8 - 0.25 * 0.05]);
        close(rated(&[(0.7, 0.0), (0.7, 0.0)]), &[0.7, 0.7]);
    }

    #[test]
    fn an_arm_that_always_fails_never_ranks_before_one_as_good_that_answers() {
        let all = rated(&[(0.9, 1.0), (0.9, 0.0), (0.8, 0.01)]);
        assert!(all[0] < all[1], "{all:?}");
        let down = rated(&[(0.9, 1.0), (0.86, 0.0)]);
        assert!(down[0] < down[1], "what fails is worth its fallback less the wait: {down:?}");
    }

    #[test]
    fn bounds_are_given_up_in_order_and_cost_last() {
        let arms = [estimate("a", 0.9, 0.03, 900.0), estimate("b", 0.6, 0.01, 2000.0)];
        let bounds = |cost, latency, quality| Constraints {
            max_cost_usd: cost,
            max_latency_ms: latency,
            min_quality: quality,
        };
        let check = |bounds, want: &[usize], relaxed: &[Bound]| {
            assert_eq!(within_bounds(&arms, &bounds), (want.to_vec(), relaxed.to_vec()));
        };
        check(bounds(None, None, None), &[0, 1], &[]);
        check(bounds(None, None, Some(0.85)), &[0], &[]);
        check(bounds(None, None, Some(0.86)), &[0, 1], &[Bound::MinQuality]);
        check(bounds(Some(0.02), None, Some(0.8)), &[1], &[Bound::MinQuality]);
        check(bounds(Some(0.02), Some(1800.0), Some(0.8)), &[1], &[Bound::MinQuality, Bound::MaxLatencyMs]);
        check(bounds(Some(0.001), Some(1800.0), Some(0.8)), &[1], &Bound::GIVEN_UP);
        // Only what was asked for can be given up.
        check(bounds(Some(0.001), None, None), &[1], &[Bound::MaxCostUsd]);
        check(bounds(None, Some(1.0), None), &[0, 1], &[Bound::MaxLatencyMs]);
    }
}
