//! From bills to tokens, and how bills differ from price times tokens.
//!
//! Callers of `/v1/route` often know what a call cost and not its tokens. With the price of that time the cost says how many output
//! tokens were bought, so a later price acts on it like on any other count. What is left between bills and price times tokens (an
//! estimate of the input that is off, a discount) is a factor; the share of cached input is kept apart, since it has its own price.

use serde::{Deserialize, Serialize};

use super::Bill;
use crate::domain::Price;
use crate::math::ewma::CountedMean;

/// The factor and the share look back about this many calls: `1 - 1 / 500`.
const DECAY: f64 = 0.998;

/// The factor starts as if this many bills had met their price.
const GUESS_WEIGHT: f64 = 5.0;

/// No factor beyond this either way is believed.
const FACTOR_LIMIT: f64 = 20.0;

/// At least this share of a bill is taken to have paid for output: the estimate of the input may be too high.
const LEAST_OUTPUT_SHARE: f64 = 0.05;

/// About e^14: more tokens are not believed of one call.
const MOST_TOKENS: f64 = 1e6;

/// How one arm's bills relate to its price.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CostHead {
    /// USD, decayed sums over the same bills: as billed, as priced, and how many.
    billed: f64,
    priced: f64,
    bills: f64,
    cached: CountedMean,
}

impl Default for CostHead {
    fn default() -> Self {
        let cached = CountedMean::new(DECAY, 0.0, 4.0 * GUESS_WEIGHT);
        Self { billed: 0.0, priced: 0.0, bills: 0.0, cached }
    }
}

impl CostHead {
    /// Folds a bill for a call of `output_tokens` in.
    pub fn observe(&mut self, bill: &Bill, output_tokens: f64) {
        let cached = bill.cached_share.unwrap_or(0.0);
        let priced = priced_usd(&bill.price, f64::from(bill.asked_tokens), cached, output_tokens);
        if priced > 0.0 && bill.cost_usd > 0.0 {
            let believed = bill.cost_usd.clamp(priced / FACTOR_LIMIT, priced * FACTOR_LIMIT);
            self.billed = self.billed * DECAY + believed;
            self.priced = self.priced * DECAY + priced;
            self.bills = self.bills * DECAY + 1.0;
        }
        if let Some(share) = bill.cached_share {
            self.cached.observe(share);
        }
    }

    /// Expected cost in USD of a call at `price`.
    pub fn expected_usd(&self, price: &Price, input_tokens: f64, output_tokens: f64) -> f64 {
        self.factor() * priced_usd(price, input_tokens, self.cached_share(), output_tokens)
    }

    /// Bills over prices.
    pub fn factor(&self) -> f64 {
        if self.priced <= 0.0 {
            return 1.0;
        }
        let guess = GUESS_WEIGHT * self.priced / self.bills;
        (self.billed + guess) / (self.priced + guess)
    }

    /// Expected share of the input that is read from the provider's cache, in [0, 1].
    pub fn cached_share(&self) -> f64 {
        self.cached.mean().clamp(0.0, 1.0)
    }

    /// Whether the numbers make sense; stored ones might not.
    pub fn is_sound(&self) -> bool {
        let finite = [self.billed, self.priced, self.bills].iter().all(|n| n.is_finite() && *n >= 0.0);
        finite && self.cached.is_sound() && (self.priced > 0.0) == (self.bills > 0.0)
    }
}

/// Output tokens that a bill bought; `None` when the price says nothing of them, or nothing was charged.
pub fn tokens_bought(bill: &Bill) -> Option<f64> {
    if bill.price.output <= 0.0 || bill.cost_usd <= 0.0 {
        return None;
    }
    let cached = bill.cached_share.unwrap_or(0.0);
    let price = bill.price.at(f64::from(bill.asked_tokens));
    let input_usd = priced_usd(&bill.price, f64::from(bill.asked_tokens), cached, 0.0);
    let output_usd = (bill.cost_usd - input_usd).max(LEAST_OUTPUT_SHARE * bill.cost_usd);
    Some((output_usd * 1e6 / price.output.max(f64::MIN_POSITIVE)).min(MOST_TOKENS))
}

/// As [`Price::cost_usd`], for expected tokens, which are no whole numbers.
fn priced_usd(price: &Price, input_tokens: f64, cached_share: f64, output_tokens: f64) -> f64 {
    let price = price.at(input_tokens);
    let cached = price.cached_input.unwrap_or(price.input);
    let input = (1.0 - cached_share) * price.input + cached_share * cached;
    (input_tokens * input + output_tokens * price.output) / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRICE: Price = Price { cached_input: Some(0.5), ..Price::flat(2.0, 10.0) };

    fn bill(cost_usd: f64, cached_share: Option<f64>) -> Bill {
        Bill { cost_usd, price: PRICE, asked_tokens: 1000, cached_share }
    }

    #[test]
    fn a_cost_is_so_many_tokens_at_the_price_of_its_time() {
        let tokens = |cost| tokens_bought(&bill(cost, None)).unwrap();
        assert!((tokens(0.002 + 0.003) - 300.0).abs() < 1e-9);
        assert!((tokens(0.001) - 0.05 * 0.001 * 1e5).abs() < 1e-9, "less than its input: hardly any output");
        assert!((tokens_bought(&bill(0.0005 + 0.003, Some(1.0))).unwrap() - 300.0).abs() < 1e-9);
        assert_eq!(tokens_bought(&bill(0.0, None)), None);
        let free = Price::flat(0.0, 0.0);
        assert_eq!(tokens_bought(&Bill { price: free, ..bill(0.1, None) }), None);
    }

    #[test]
    fn bills_correct_the_price_and_a_new_price_acts_at_once() {
        let mut head = CostHead::default();
        assert!((head.expected_usd(&PRICE, 1000.0, 300.0) - 0.005).abs() < 1e-12);
        (0..400).for_each(|_| head.observe(&bill(0.006, None), 300.0));
        assert!((head.expected_usd(&PRICE, 1000.0, 300.0) - 0.006).abs() < 5e-5);
        let dearer = Price::flat(20.0, 100.0);
        assert!((head.expected_usd(&dearer, 1000.0, 300.0) - 0.06).abs() < 5e-4);
        (0..500).for_each(|_| head.observe(&bill(1e6, None), 300.0));
        assert!(head.factor() < FACTOR_LIMIT && head.is_sound());
    }

    #[test]
    fn cached_input_is_expected_at_its_own_price() {
        let mut head = CostHead::default();
        (0..1000).for_each(|_| head.observe(&bill((0.5 * 2.0 + 0.5 * 0.5 + 3.0) / 1e3, Some(0.5)), 300.0));
        assert!((head.cached_share() - 0.5).abs() < 0.01 && (head.factor() - 1.0).abs() < 1e-9);
        assert!((head.expected_usd(&PRICE, 1000.0, 300.0) - 0.00425).abs() < 2e-5);
    }
}
