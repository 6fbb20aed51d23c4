//! The price of a dollar at which the best arms cost their target in the mean.

use std::sync::Arc;

use crate::domain::Multiplier;

/// What one arm offers one request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Offer {
    /// Without the budget's own price.
    pub utility: f64,
    /// Expected cost, USD.
    pub cost_usd: f64,
}

/// Prices that are looked at, as multiples of one over the mean of the rows' dearest offers: from nothing to where money alone
/// counts.
const LOWEST: f64 = 1e-6;
const HIGHEST: f64 = 1e9;
/// Halvings of the logarithm of that span: to one part in a million.
const STEPS: u32 = 26;

/// The answer to a [`Problem`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Solution {
    /// What a dollar must cost.
    pub multiplier: Multiplier,
    /// What the best arms leave of the target in the mean where money is no object, USD.
    pub unspent_usd: f64,
}

/// Rows of offers, shape `[n][k]`, and the mean cost that is wanted.
#[derive(Debug, Clone)]
pub struct Problem {
    rows: Vec<Arc<[Offer]>>,
    target_usd: f64,
}

impl Problem {
    /// No row may be empty.
    pub(in crate::policy) fn new(rows: Vec<Arc<[Offer]>>, target_usd: f64) -> Self {
        Self { rows, target_usd }
    }

    /// The two prices between which the mean cost passes the target, with the shares that meet it. Free when the best arms cost no
    /// more than the target as it is; where even the cheapest arms cost more, the price at which they are chosen.
    pub fn solve(&self) -> Solution {
        let unspent_usd = self.target_usd - self.mean_cost(0.0);
        if unspent_usd >= 0.0 {
            return Solution { multiplier: Multiplier::FREE, unspent_usd };
        }
        Solution { multiplier: self.price(), unspent_usd: 0.0 }
    }

    fn price(&self) -> Multiplier {
        let unit = self.mean_dearest();
        let (mut low, mut high) = (LOWEST / unit, HIGHEST / unit);
        if self.mean_cost(low) <= self.target_usd {
            (low, high) = (0.0, low);
        } else if self.mean_cost(high) >= self.target_usd {
            return Multiplier::certain(high);
        } else {
            for _ in 0..STEPS {
                let middle = (low * high).sqrt();
                if self.mean_cost(middle) > self.target_usd { low = middle } else { high = middle }
            }
        }
        let (above, below) = (self.mean_cost(low), self.mean_cost(high));
        Multiplier { low, high, share_high: ((above - self.target_usd) / (above - below)).clamp(0.0, 1.0) }
    }

    /// Above 0: called only when the mean cost of the best arms is.
    fn mean_dearest(&self) -> f64 {
        let dearest = |row: &Arc<[Offer]>| row.iter().map(|o| o.cost_usd).fold(0.0, f64::max);
        self.rows.iter().map(dearest).sum::<f64>() / self.rows.len() as f64
    }

    /// Mean cost of each row's best arm at that price, USD.
    fn mean_cost(&self, price: f64) -> f64 {
        self.rows.iter().map(|row| best_cost(row, price)).sum::<f64>() / self.rows.len() as f64
    }
}

/// Cost of the best arm at that price; of equals the cheaper.
fn best_cost(row: &[Offer], price: f64) -> f64 {
    let mut best = (f64::NEG_INFINITY, f64::INFINITY);
    for offer in row {
        let utility = offer.utility - price * offer.cost_usd;
        if utility > best.0 || (utility == best.0 && offer.cost_usd < best.1) {
            best = (utility, offer.cost_usd);
        }
    }
    // A row of nothing but NaN costs nothing rather than everything.
    if best.1.is_finite() { best.1 } else { 0.0 }
}
