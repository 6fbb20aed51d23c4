//! What is left of a limit. Amounts are whole nano-dollars, rounded up, so that sums are exact however many there are.

use crate::domain::{BudgetLimits, Period, UnixMs};

/// An amount of money: whole billionths of a dollar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Amount(u64);

const PER_USD: f64 = 1e9;

/// A clock that was ahead by more than this was wrong: what comes after it was set back starts from the new time.
const WRONG_CLOCK_MS: u64 = 24 * 3_600_000;

impl Amount {
    /// Rounded up; what is negative or no number counts as nothing, what is beyond the type as the most.
    pub fn of_usd(usd: f64) -> Self {
        // The product may lie a hair above a whole number that was meant: 0.07 * 1e9.
        let nano = usd * PER_USD;
        Self((nano * (1.0 - f64::EPSILON)).ceil() as u64)
    }

    /// Rounded down: a limit is never stretched.
    fn at_most_usd(usd: f64) -> Self {
        let nano = usd * PER_USD;
        Self((nano * (1.0 + f64::EPSILON)).floor() as u64)
    }

    /// In USD.
    pub fn usd(self) -> f64 {
        self.0 as f64 / PER_USD
    }

    /// By how much it is more than `other`.
    pub fn beyond(self, other: Self) -> Self {
        self.less(other)
    }

    /// So many times as much.
    pub fn times(self, n: u64) -> Self {
        Self(self.0.saturating_mul(n))
    }

    fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// A limit that a call would have broken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Denied {
    /// Of which period.
    pub period: Period,
    /// What the period allows, USD.
    pub limit_usd: f64,
    /// What is left of it, USD.
    pub left_usd: f64,
    /// When the next period begins.
    pub resets_at: UnixMs,
}

/// One limit as it stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PeriodState {
    /// Of which period.
    pub period: Period,
    /// USD.
    pub limit_usd: f64,
    /// USD, settled in this period.
    pub spent_usd: f64,
    /// USD, what can still be reserved.
    pub left_usd: f64,
    /// When the next period begins.
    pub resets_at: UnixMs,
}

#[derive(Debug, Clone, Copy)]
struct Limit {
    period: Period,
    most: Amount,
    spent: Amount,
    ends: UnixMs,
}

impl Limit {
    /// Whether the clock was set back by more than a whole period since this one began.
    fn was_ahead(&self, at: UnixMs) -> bool {
        let (begin, _) = self.period.around(UnixMs(self.ends.0.saturating_sub(1)));
        at < self.period.around(UnixMs(begin.0.saturating_sub(1))).0
    }

    fn left(&self, reserved: Amount) -> Amount {
        self.most.less(self.spent.plus(reserved))
    }
}

/// Limits of one scope, what was spent of them, and what is reserved for calls that are not settled yet.
#[derive(Debug, Clone)]
pub struct Purse {
    per_request: Option<f64>,
    limits: Vec<Limit>,
    reserved: Amount,
    /// What calls in flight may cost beyond what is reserved for them.
    exposed: Amount,
    rate: Rate,
}

impl Purse {
    /// Full at `at`.
    pub fn new(limits: &BudgetLimits, at: UnixMs) -> Self {
        let limit = |period: Period| {
            let most = Amount::at_most_usd(limits.of(period)?);
            Some(Limit { period, most, spent: Amount::default(), ends: period.around(at).1 })
        };
        let found: Vec<Limit> = Period::ALL.into_iter().filter_map(limit).collect();
        let shortest = found.first().map_or(Period::Hour, |l| l.period);
        let (start, end) = shortest.around(at);
        Self {
            per_request: limits.usd_per_request,
            limits: found,
            reserved: Amount::default(),
            exposed: Amount::default(),
            rate: Rate::new(end.since_ms(start) as f64, at),
        }
    }

    /// The same purse under other limits: what was spent of a period, and what is set aside, stays so. A period that had no limit
    /// counts from now.
    pub fn adapt(&mut self, limits: &BudgetLimits, at: UnixMs) {
        let mut adapted = Self::new(limits, at);
        for limit in &mut adapted.limits {
            if let Some(before) = self.limits.iter().find(|l| l.period == limit.period) {
                (limit.spent, limit.ends) = (before.spent, before.ends);
            }
        }
        (self.per_request, self.limits) = (adapted.per_request, adapted.limits);
    }

    /// Begins new periods where the old ones have ended; whether one did. A clock that is set back gives nothing anew: what was
    /// spent stands, until the period that was thought to run has ended; when that is far ahead, until the one that runs has.
    pub fn turn(&mut self, at: UnixMs) -> bool {
        let mut turned = false;
        for limit in &mut self.limits {
            if at >= limit.ends {
                limit.spent = Amount::default();
                limit.ends = limit.period.around(at).1;
                turned = true;
            } else if limit.was_ahead(at) {
                limit.ends = limit.period.around(at).1;
            }
        }
        turned
    }

    /// Counts a request, for the estimate of how many are to come.
    pub fn count(&mut self, at: UnixMs) {
        self.rate.count(at);
    }

    /// What a request may cost in the mean, USD: of each period what is left over the requests that are still expected in it,
    /// and the budget per request; the least of them. `None` when nothing is limited.
    pub fn per_request_usd(&self, at: UnixMs) -> Option<f64> {
        self.allotted_usd(at, Amount::default())
    }

    /// The same for a request that has set `own` aside already: that is part of what is left for it.
    pub fn allotted_usd(&self, at: UnixMs, own: Amount) -> Option<f64> {
        let reserved = self.reserved.less(own);
        let of_period = |limit: &Limit| {
            let to_come = self.rate.expected(at, limit.ends.since_ms(at) as f64);
            limit.left(reserved).usd() / to_come
        };
        self.limits.iter().map(of_period).chain(self.per_request).reduce(f64::min)
    }

    /// The most that a call may reserve now; `None`: no limit.
    pub fn room(&self) -> Option<Amount> {
        self.limits.iter().map(|limit| limit.left(self.held())).min()
    }

    /// The limit that `amount` would break first, if it would break any.
    pub fn denial(&self, amount: Amount) -> Option<Denied> {
        // The one that lasts longest is the one to be told of: waiting for a shorter one would not help.
        let broken = self.limits.iter().rev().find(|limit| limit.left(self.held()) < amount)?;
        Some(Denied {
            period: broken.period,
            limit_usd: broken.most.usd(),
            left_usd: broken.left(self.held()).usd(),
            resets_at: broken.ends,
        })
    }

    /// Sets `amount` aside. The caller has seen that nothing denies it, under the same lock.
    pub fn reserve(&mut self, amount: Amount) {
        self.reserved = self.reserved.plus(amount);
    }

    fn held(&self) -> Amount {
        self.reserved.plus(self.exposed)
    }

    /// Keeps room for a call that may cost `amount` more than is reserved for it.
    pub fn expose(&mut self, amount: Amount) {
        self.exposed = self.exposed.plus(amount);
    }

    /// That call has ended.
    pub fn cover(&mut self, amount: Amount) {
        self.exposed = self.exposed.less(amount);
    }

    /// Gives a reservation back and counts what was spent instead, in the periods of now.
    pub fn settle(&mut self, reserved: Amount, spent: Amount) {
        self.reserved = self.reserved.less(reserved);
        self.spend(spent, None);
    }

    /// Counts what was spent without a reservation at `at` (`None`: now); what lies before the present periods does not count.
    pub fn spend(&mut self, amount: Amount, at: Option<UnixMs>) {
        for limit in &mut self.limits {
            let counts = at.is_none_or(|at| limit.period.around(at).1 >= limit.ends);
            if counts {
                limit.spent = limit.spent.plus(amount);
            }
        }
    }

    /// Takes back what was spent too much of an earlier [`Self::spend`] at `at`.
    pub fn refund(&mut self, amount: Amount, at: UnixMs) {
        for limit in self.limits.iter_mut().filter(|l| l.period.around(at).1 >= l.ends) {
            limit.spent = limit.spent.less(amount);
        }
    }

    /// What is reserved, USD.
    pub fn reserved_usd(&self) -> f64 {
        self.reserved.usd()
    }

    /// The limits, shortest period first.
    pub fn periods(&self) -> impl Iterator<Item = PeriodState> {
        self.limits.iter().map(|limit| PeriodState {
            period: limit.period,
            limit_usd: limit.most.usd(),
            spent_usd: limit.spent.usd(),
            left_usd: limit.left(self.reserved).usd(),
            resets_at: limit.ends,
        })
    }
}

/// How many requests come: a decayed count over a decayed time. Before anything is known, a hundred per period.
#[derive(Debug, Clone, Copy)]
struct Rate {
    half_life_ms: f64,
    count: f64,
    /// Decayed time, milliseconds.
    time: f64,
    /// What is presumed before any time has passed, milliseconds for one request.
    guess_ms: f64,
    at: UnixMs,
}

impl Rate {
    /// Looks back about an eighth of the period.
    fn new(period_ms: f64, at: UnixMs) -> Self {
        Self { half_life_ms: period_ms / 8.0, count: 0.0, time: 0.0, guess_ms: period_ms / 100.0, at }
    }

    fn faded(&self, at: UnixMs) -> (f64, f64) {
        let gone = at.since_ms(self.at) as f64;
        let keep = (-gone / self.half_life_ms).exp2();
        let mean_life = self.half_life_ms / std::f64::consts::LN_2;
        (self.count * keep, self.time * keep + mean_life * (1.0 - keep))
    }

    fn count(&mut self, at: UnixMs) {
        (self.count, self.time) = self.faded(at);
        self.count += 1.0;
        let was_wrong = self.at.since_ms(at) > WRONG_CLOCK_MS;
        self.at = if was_wrong { at } else { self.at.max(at) };
    }

    /// Requests to be reckoned with in the next `ms`, this one included. What rests on few requests is taken one standard
    /// deviation higher: money that is left at the end does less harm than money that is missing.
    fn expected(&self, at: UnixMs, ms: f64) -> f64 {
        let (count, time) = self.faded(at);
        let per_ms = (count + 1.0) / (time + self.guess_ms);
        1.0 + per_ms * ms * (1.0 + 1.0 / (count + 1.0).sqrt())
    }
}

#[cfg(test)]
mod tests;
