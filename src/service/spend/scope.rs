//! One budget at run time, and the few that one request counts towards.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::domain::{Allowance, BudgetLimits, BudgetScope, Multiplier, UnixMs};
use crate::policy::budget::{Amount, Denied, Offer, PaceSettings, Pacer, Purse};

/// A call may cost at most one such part of what is left beyond what is reserved for it; else its answer is capped.
const EXPOSED_PARTS: u64 = 10;
const MINUTE_MS: i64 = 60_000;
/// Minutes that compliance is reported over: a day.
const MINUTES: usize = 1440;

/// A request that no budget of its scopes can pay.
#[derive(Debug, Clone, PartialEq)]
pub struct BudgetDenied {
    /// Whose budget is used up.
    pub scope: BudgetScope,
    /// Which of its limits.
    pub denied: Denied,
    /// Until it is full again, milliseconds.
    pub resets_in_ms: u64,
}

/// A budget with its state.
#[derive(Debug)]
pub(in crate::service) struct LiveScope {
    scope: BudgetScope,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limits: BudgetLimits,
    pacer: Pacer,
    purse: Purse,
    history: History,
}

impl LiveScope {
    pub(super) fn new(scope: BudgetScope, limits: BudgetLimits, at: UnixMs) -> Self {
        let state = State {
            limits,
            pacer: Pacer::new(PaceSettings::DEFAULT),
            purse: Purse::new(&limits, at),
            history: History::default(),
        };
        Self { scope, state: Mutex::new(state) }
    }

    /// Takes over limits that were changed. What was spent of a period stays spent; a period that was not limited before begins full.
    pub(super) fn adapt(&self, limits: BudgetLimits, at: UnixMs) {
        let mut state = self.at(at);
        if state.limits != limits {
            state.limits = limits;
            state.purse.adapt(&limits, at);
        }
    }

    pub(super) fn scope(&self) -> &BudgetScope {
        &self.scope
    }

    /// The state, in the periods of `at`.
    fn at(&self, at: UnixMs) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.purse.turn(at) {
            state.pacer.forgive();
        }
        state
    }

    fn denial(&self, state: &State, at: UnixMs, amount: Amount) -> Option<BudgetDenied> {
        let denied = state.purse.denial(amount)?;
        let resets_in_ms = denied.resets_at.since_ms(at);
        Some(BudgetDenied { scope: self.scope.clone(), denied, resets_in_ms })
    }

    /// Feeds the pacer, and solves for the price when it is time; the lock is let go meanwhile. `reserved` is the request's own.
    fn requested(&self, at: UnixMs, offers: &Arc<[Offer]>, (reserved, expected_usd): (Amount, f64)) {
        let problem = {
            let mut state = self.at(at);
            state.purse.count(at);
            let Some(budget) = state.purse.allotted_usd(at, reserved) else { return };
            state.history.requested(at, budget);
            state.pacer.requested(Arc::clone(offers), budget, expected_usd);
            state.pacer.due(at)
        };
        if let Some(problem) = problem {
            let solution = problem.solve();
            self.at(at).pacer.adopt(solution);
        }
    }

    fn settle(&self, at: UnixMs, reserved: Amount, expected_usd: f64, spent_usd: f64) {
        let mut state = self.at(at);
        state.purse.settle(reserved, Amount::of_usd(spent_usd));
        state.pacer.settled(expected_usd, spent_usd);
        state.history.spent(at, spent_usd);
    }

    /// Replaces what was counted at `then` by what it was in truth.
    fn correct(&self, now: UnixMs, then: UnixMs, counted_usd: f64, true_usd: f64) {
        let mut state = self.at(now);
        state.purse.refund(Amount::of_usd(counted_usd), then);
        state.purse.spend(Amount::of_usd(true_usd), Some(then));
        state.pacer.settled(counted_usd, true_usd);
        state.history.spent(now, true_usd - counted_usd);
    }

    /// How it stands.
    pub(super) fn view(&self, at: UnixMs) -> BudgetView {
        let state = self.at(at);
        let limits = state.purse.periods().map(|p| LimitView {
            period: p.period.as_str(),
            limit_usd: p.limit_usd,
            spent_usd: p.spent_usd,
            remaining_usd: p.left_usd,
            resets_at_ms: p.resets_at.0,
        });
        BudgetView {
            scope: self.scope.to_string(),
            usd_per_request: state.limits.usd_per_request,
            limits: limits.collect(),
            reserved_usd: state.purse.reserved_usd(),
            target_usd_per_request: state.purse.per_request_usd(at).unwrap_or(0.0),
            lambda: state.pacer.multiplier(),
            compliance: Compliance {
                last_1h: state.history.over(at, 60),
                last_24h: state.history.over(at, MINUTES),
            },
        }
    }
}

/// One budget as `/admin/stats` shows it.
#[derive(Debug, Clone, Serialize)]
pub struct BudgetView {
    /// Whose.
    pub scope: String,
    /// The target for the mean, when one is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usd_per_request: Option<f64>,
    /// The limits of hour, day and month.
    pub limits: Vec<LimitView>,
    /// For calls in flight; counted in `remaining_usd`.
    pub reserved_usd: f64,
    /// What the next request should cost in the mean.
    pub target_usd_per_request: f64,
    /// What a dollar costs on the utility scale.
    pub lambda: Multiplier,
    /// Spend over what was allotted.
    pub compliance: Compliance,
}

/// One limit as it stands.
#[derive(Debug, Clone, Serialize)]
pub struct LimitView {
    /// `hour`, `day` or `month`, in UTC.
    pub period: &'static str,
    /// What may be spent.
    pub limit_usd: f64,
    /// What was.
    pub spent_usd: f64,
    /// What neither was spent nor is reserved.
    pub remaining_usd: f64,
    /// When the next period begins, Unix milliseconds.
    pub resets_at_ms: i64,
}

/// Spend over the sum of what each request was allotted; 1: to the cent. `null` without requests.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Compliance {
    /// The last sixty minutes.
    pub last_1h: Option<f64>,
    /// The last day.
    pub last_24h: Option<f64>,
}

/// The scopes of one request, in order and distinct.
#[derive(Debug, Clone, Default)]
pub(in crate::service) struct Scopes(Vec<Arc<LiveScope>>);

impl Scopes {
    pub(super) fn new(mut scopes: Vec<Arc<LiveScope>>) -> Self {
        scopes.sort_by(|a, b| a.scope.cmp(&b.scope));
        Self(scopes)
    }

    pub(in crate::service) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(in crate::service) fn names(&self) -> Vec<BudgetScope> {
        self.0.iter().map(|s| s.scope.clone()).collect()
    }

    /// The price of the scope that is shortest of money, which that is, and the least that any scope lets a request cost.
    pub(in crate::service) fn allowance(&self, at: UnixMs) -> (Allowance, Option<BudgetScope>) {
        let (mut all, mut whose) = (Allowance::UNBOUNDED, None);
        let mut unspent: Option<f64> = None;
        for scope in &self.0 {
            let state = scope.at(at);
            let (own, per_request) = (state.pacer.multiplier(), state.purse.per_request_usd(at));
            unspent = unspent.into_iter().chain([state.pacer.unspent_usd()]).reduce(f64::min);
            all.per_request_usd = all.per_request_usd.into_iter().chain(per_request).reduce(f64::min);
            if own.mean() > all.multiplier.mean() {
                (all.multiplier, whose) = (own, Some(scope.scope.clone()));
            }
        }
        all.unspent_usd = unspent.unwrap_or_default();
        (all, whose)
    }

    /// The most that one call may reserve now; `None`: no limit.
    pub(in crate::service) fn room(&self, at: UnixMs) -> Option<Amount> {
        self.0.iter().filter_map(|scope| scope.at(at).purse.room()).min()
    }

    /// Sets `amount` aside in all scopes, or in none.
    ///
    /// # Errors
    /// The scope and the limit that cannot pay.
    pub(in crate::service) fn reserve(&self, at: UnixMs, amount: Amount) -> Result<(), BudgetDenied> {
        // Always in the order of the scopes: two requests cannot wait for each other.
        let mut states: Vec<_> = self.0.iter().map(|scope| scope.at(at)).collect();
        let denial =
            |(state, scope): (&MutexGuard<'_, State>, &Arc<LiveScope>)| scope.denial(state, at, amount);
        if let Some(denied) = states.iter().zip(&self.0).find_map(denial) {
            return Err(denied);
        }
        states.iter_mut().for_each(|state| state.purse.reserve(amount));
        Ok(())
    }

    /// Keeps room in all scopes for a call that may cost `amount` more than is reserved for it; not where that is more than a tenth
    /// of what is left: then nothing is kept.
    pub(super) fn expose(&self, at: UnixMs, amount: Amount) -> bool {
        let mut states: Vec<_> = self.0.iter().map(|scope| scope.at(at)).collect();
        let fits = |state: &MutexGuard<'_, State>| {
            state.purse.room().is_none_or(|room| amount.times(EXPOSED_PARTS) <= room)
        };
        let all_fit = states.iter().all(fits);
        if all_fit {
            states.iter_mut().for_each(|state| state.purse.expose(amount));
        }
        all_fit
    }

    pub(super) fn cover(&self, at: UnixMs, amount: Amount) {
        self.0.iter().for_each(|scope| scope.at(at).purse.cover(amount));
    }

    /// The scope and the limit that cannot pay `amount`.
    pub(in crate::service) fn denial(&self, at: UnixMs, amount: Amount) -> Option<BudgetDenied> {
        self.0.iter().find_map(|scope| scope.denial(&scope.at(at), at, amount))
    }

    pub(super) fn requested(
        &self,
        at: UnixMs,
        offers: &Arc<[Offer]>,
        (reserved, expected_usd): (Amount, f64),
    ) {
        self.0.iter().for_each(|scope| scope.requested(at, offers, (reserved, expected_usd)));
    }

    pub(super) fn release(&self, at: UnixMs, reserved: Amount) {
        self.0.iter().for_each(|scope| scope.at(at).purse.settle(reserved, Amount::default()));
    }

    pub(super) fn settle(&self, at: UnixMs, reserved: Amount, expected_usd: f64, spent_usd: f64) {
        self.0.iter().for_each(|scope| scope.settle(at, reserved, expected_usd, spent_usd));
    }

    pub(super) fn correct(&self, now: UnixMs, then: UnixMs, counted_usd: f64, true_usd: f64) {
        self.0.iter().for_each(|scope| scope.correct(now, then, counted_usd, true_usd));
    }
}

/// What was allotted and spent, minute by minute.
#[derive(Debug, Default)]
struct History(VecDeque<(i64, f64, f64)>);

impl History {
    fn minute(&mut self, at: UnixMs) -> Option<&mut (i64, f64, f64)> {
        let minute = at.0.div_euclid(MINUTE_MS);
        if self.0.back().is_none_or(|last| last.0 < minute) {
            self.0.push_back((minute, 0.0, 0.0));
        }
        while self.0.len() > MINUTES {
            self.0.pop_front();
        }
        self.0.back_mut()
    }

    fn requested(&mut self, at: UnixMs, allotted_usd: f64) {
        if let Some(minute) = self.minute(at) {
            minute.1 += allotted_usd;
        }
    }

    fn spent(&mut self, at: UnixMs, usd: f64) {
        if let Some(minute) = self.minute(at) {
            minute.2 += usd;
        }
    }

    fn over(&self, at: UnixMs, minutes: usize) -> Option<f64> {
        let first = at.0.div_euclid(MINUTE_MS) - minutes as i64;
        let (allotted, spent) = self
            .0
            .iter()
            .filter(|(minute, ..)| *minute > first)
            .fold((0.0, 0.0), |sum, (_, allotted, spent)| (sum.0 + allotted, sum.1 + spent));
        (allotted > 0.0).then(|| spent / allotted)
    }
}
