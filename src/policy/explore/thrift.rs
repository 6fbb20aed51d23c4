//! Exploration by what it costs. SquareCB counts what is lost in utility; a draw of an arm that costs hundreds of budgets is also
//! paid for by hundreds of requests after it, and a budget that the best arms leave half unspent has buyers: the arms that might
//! be better.

use super::{Exploration, Stakes};
use crate::domain::Allowance;

/// An arm is worth a try with money that is left when this many standard deviations could make it the best.
const HOPE: f64 = 2.0;

/// An arm that costs so many budgets more than the best can be bought too seldom for what is learned of it to be worth its price.
const OUT_OF_REACH: f64 = 40.0;

/// The best keeps at least this probability.
const LEAST_OF_BEST: f64 = 0.5;

/// What there is to spend, and on whom.
#[derive(Debug, Clone, Copy)]
pub struct Means<'a> {
    /// Of the request.
    pub allowance: &'a Allowance,
    /// Standard deviation of each arm's expected quality, shape `[k]`.
    pub doubts: &'a [f64],
    /// Arms that keep to the share of new ones, shape `[k]`.
    pub is_new: &'a [bool],
}

/// Under a budget an arm is explored less by how many budgets it costs more than the best: what is spent to learn is then a part of
/// the budget from the first request on (POLICY 4.5). Of one that is out of reach less still is spent. What is spared goes to the
/// best.
pub fn spare_dear_arms(stakes: &Stakes<'_>, best: usize, means: &Means<'_>, p: &mut [f64]) {
    let Some(budget) = means.allowance.per_request_usd else { return };
    for k in (0..p.len()).filter(|k| *k != best) {
        let extra = stakes.costs_usd[k] - stakes.costs_usd[best];
        if extra > budget {
            let worth = (OUT_OF_REACH * budget / extra).min(1.0);
            let spared = p[k] * (1.0 - worth * budget / extra);
            p[k] -= spared;
            p[best] += spared;
        }
    }
}

/// Spends what the best arms leave of a budget on the most promising of the dearer arms, as far as the bounds of exploration allow:
/// that it is not the best is not known for sure, and to find out costs nothing that was wanted for anything else.
pub fn invest(stakes: &Stakes<'_>, best: usize, means: &Means<'_>, exploration: &Exploration, p: &mut [f64]) {
    let unspent = means.allowance.unspent_usd;
    if unspent <= 0.0 || exploration.is_greedy() {
        return;
    }
    let gap = |k: usize| stakes.utilities[best] - stakes.utilities[k];
    let extra = |k: usize| stakes.costs_usd[k] - stakes.costs_usd[best];
    let hope = |k: &usize| HOPE * means.doubts[*k] - gap(*k);
    let promising = (0..p.len())
        .filter(|k| *k != best && !means.is_new[*k] && extra(*k) > 0.0 && hope(k) > 0.0)
        .max_by(|a, b| hope(a).total_cmp(&hope(b)));
    let Some(k) = promising else { return };
    let lost: f64 = (0..p.len()).map(|j| p[j] * gap(j).max(0.0)).sum();
    let others = 1.0 - p[best];
    let by_loss = (exploration.max_expected_loss - lost).max(0.0) / gap(k).max(f64::MIN_POSITIVE);
    let by_share = (exploration.share.min(1.0 - LEAST_OF_BEST) - others).max(0.0);
    let lift = (unspent / extra(k) - p[k]).min(by_loss).min(by_share).max(0.0);
    p[k] += lift;
    p[best] -= lift;
}

#[cfg(test)]
mod tests;
