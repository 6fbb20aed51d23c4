//! Budgets: what a dollar must cost so that spend meets its target, and what is left of a limit.
//!
//! Two layers per scope (POLICY 4.4). The **pacer** keeps the last rows of what requests were offered (utility and cost of each
//! arm) and, every few requests, solves for the price of a dollar at which the mean cost of the best arm is the target: the
//! budget per request, raised or lowered by what was saved or overdrawn. It is solved anew each time and not walked towards, so a
//! price change is met as fast as the rows turn over. The **purse** holds the limits of an hour, a day or a month: a call
//! reserves what it may cost before it is made, and settles what it did cost; what is reserved counts as spent. It also says what
//! a request may cost for the rest of the period.
//!
//! Nothing here reads a clock or draws: the two prices between which spend jumps, and their shares, are part of the policy's
//! distribution (see [`Multiplier`]).

mod purse;
mod solve;

use std::collections::VecDeque;
use std::sync::Arc;

pub use purse::{Amount, Denied, PeriodState, Purse};
pub use solve::{Offer, Problem, Solution};

use super::utility::within_bounds;
use crate::domain::{ArmEstimate, Constraints, Multiplier, UnixMs};

/// How a pacer works (POLICY 4.4).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PaceSettings {
    /// Rows that are kept.
    pub rows: usize,
    /// It is solved anew after so many requests,
    pub every_requests: u32,
    /// or after this time.
    pub every_ms: u64,
    /// Savings that may be spent later, in budgets of one request.
    pub credit: f64,
    /// Debt that is paid back later, in the same unit.
    pub debt: f64,
    /// Requests over which savings are spent and debts are paid back.
    pub horizon: f64,
    /// The least and the most that the target may be, in budgets of one request.
    pub target_range: (f64, f64),
    /// Weight that what a call cost against what was expected of it keeps from one settled call to the next.
    pub ratio_decay: f64,
}

impl PaceSettings {
    /// What a scope has unless told otherwise.
    pub const DEFAULT: Self = Self {
        rows: 1000,
        every_requests: 25,
        every_ms: 1000,
        credit: 40.0,
        debt: 3000.0,
        horizon: 300.0,
        target_range: (0.2, 3.0),
        ratio_decay: 0.98,
    };
}

/// Settled calls that the ratio of actual to expected cost starts with, as if they had met it.
const RATIO_GUESS: f64 = 20.0;
/// One dear call counts for at most so many budgets in it.
const MOST_BUDGETS: f64 = 300.0;
/// The ratio is believed within these bounds.
const RATIO_RANGE: (f64, f64) = (0.25, 20.0);

/// What the arms of one request offer, ready for [`Pacer::requested`]: those that its bounds leave, at their utilities without
/// the budget's own price. `priced_at` is the price that the estimates' utilities hold already.
pub fn offers(estimates: &[ArmEstimate], bounds: &Constraints, priced_at: f64) -> Arc<[Offer]> {
    let (drawable, _) = within_bounds(estimates, bounds);
    let offer = |i: usize| {
        let arm = &estimates[i];
        Offer { utility: arm.utility + priced_at * arm.cost_usd, cost_usd: arm.cost_usd }
    };
    drawable.into_iter().map(offer).collect()
}

/// Finds the price of a dollar at which spend meets its target.
#[derive(Debug, Clone)]
pub struct Pacer {
    settings: PaceSettings,
    rows: VecDeque<Arc<[Offer]>>,
    /// Overspend against the budget so far, USD; negative: saved.
    bank: f64,
    /// USD per request, as last told.
    budget: f64,
    /// Decayed sums of actual and expected cost of settled calls, in budgets of one request.
    actual: f64,
    expected: f64,
    /// Requests so far.
    requests: usize,
    unsolved: u32,
    solved_at: Option<UnixMs>,
    solution: Solution,
}

impl Pacer {
    /// Nothing seen: money is no object until the first request has been.
    pub fn new(settings: PaceSettings) -> Self {
        Self {
            settings,
            rows: VecDeque::new(),
            bank: 0.0,
            budget: 0.0,
            actual: RATIO_GUESS,
            expected: RATIO_GUESS,
            requests: 0,
            unsolved: 0,
            solved_at: None,
            solution: Solution::default(),
        }
    }

    /// A request was decided: what it was offered, what it may cost (USD), and what the drawn arm is expected to cost (USD).
    pub fn requested(&mut self, offers: Arc<[Offer]>, budget_usd: f64, expected_usd: f64) {
        if !(budget_usd.is_finite() && expected_usd.is_finite()) {
            return;
        }
        self.budget = budget_usd.max(0.0);
        if !offers.is_empty() {
            self.rows.push_back(offers);
        }
        self.requests = self.requests.saturating_add(1);
        // What the first requests were offered was judged by one who knew nothing: it must not outlive what is known since.
        let most = (self.requests / 2).clamp(self.settings.every_requests as usize, self.settings.rows);
        while self.rows.len() > most {
            self.rows.pop_front();
        }
        self.unsolved += 1;
        self.bank(expected_usd - self.budget);
    }

    /// Its call ended: what was expected of it and what it cost, USD.
    pub fn settled(&mut self, expected_usd: f64, actual_usd: f64) {
        if !(actual_usd.is_finite() && expected_usd.is_finite()) {
            return;
        }
        self.bank(actual_usd - expected_usd);
        if self.budget > 0.0 {
            // One dear call may not drown all others.
            let in_budgets = |usd: f64| (usd / self.budget).clamp(0.0, MOST_BUDGETS);
            let keep = self.settings.ratio_decay;
            self.actual = keep * self.actual + in_budgets(actual_usd);
            self.expected = keep * self.expected + in_budgets(expected_usd);
        }
    }

    fn bank(&mut self, usd: f64) {
        let (least, most) = (-self.settings.credit * self.budget, self.settings.debt * self.budget);
        self.bank = (self.bank + usd).clamp(least, most);
    }

    /// A new period begins: neither savings nor debts come with it.
    pub fn forgive(&mut self) {
        self.bank = 0.0;
    }

    /// What the mean request should cost now, USD: the budget, more when there are savings, less when there are debts.
    pub fn target_usd(&self) -> f64 {
        if self.budget <= 0.0 {
            return 0.0;
        }
        let (least, most) = self.settings.target_range;
        self.budget * (1.0 - self.bank / (self.settings.horizon * self.budget)).clamp(least, most)
    }

    /// What calls cost, as a multiple of what was expected of them.
    fn ratio(&self) -> f64 {
        if self.expected <= 0.0 {
            return 1.0;
        }
        (self.actual / self.expected).clamp(RATIO_RANGE.0, RATIO_RANGE.1)
    }

    /// What to solve, when it is time again: the caller solves it, outside of any lock, and hands the answer to [`Self::adopt`].
    pub fn due(&mut self, at: UnixMs) -> Option<Problem> {
        let is_early = self.rows.len() < self.settings.every_requests as usize;
        let aged = self.solved_at.is_none_or(|then| at.since_ms(then) >= self.settings.every_ms);
        let wanted = self.unsolved > 0 && (is_early || aged || self.unsolved >= self.settings.every_requests);
        if self.rows.is_empty() || !wanted {
            return None;
        }
        self.unsolved = 0;
        self.solved_at = Some(at);
        Some(Problem::new(self.rows.iter().cloned().collect(), self.target_usd() / self.ratio()))
    }

    /// Takes over an answer.
    pub fn adopt(&mut self, solution: Solution) {
        self.solution = solution;
    }

    /// Solves when it is time: [`Self::due`] and [`Self::adopt`] in one, for callers without a lock to let go.
    pub fn refresh(&mut self, at: UnixMs) {
        if let Some(problem) = self.due(at) {
            self.adopt(problem.solve());
        }
    }

    /// What a dollar costs now.
    pub fn multiplier(&self) -> Multiplier {
        self.solution.multiplier
    }

    /// What the best arms leave of the target in the mean, USD.
    pub fn unspent_usd(&self) -> f64 {
        self.solution.unspent_usd
    }

    /// Overspend so far against the budget, USD; negative: saved.
    pub fn bank_usd(&self) -> f64 {
        self.bank
    }
}

#[cfg(test)]
mod tests;
