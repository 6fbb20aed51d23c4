//! The judge's own money: reserved before a call, settled after it, per day (UTC).

use std::sync::{Mutex, PoisonError};

use crate::domain::UnixMs;
use crate::store::{Store, StoreError};

const DAY_MS: i64 = 86_400_000;

/// What was spent on which day.
pub(super) struct Spend {
    usd_per_day: f64,
    day: Mutex<(i64, f64)>,
}

impl Spend {
    /// Continues with what the log says was spent today.
    pub(super) fn resumed(usd_per_day: f64, now: UnixMs, store: &Store) -> Result<Self, StoreError> {
        let day = now.0.div_euclid(DAY_MS);
        let spent = store.judge_spend_usd(UnixMs(day * DAY_MS))?;
        Ok(Self { usd_per_day, day: Mutex::new((day, spent)) })
    }

    /// Sets `usd` aside, unless the day's budget does not hold it.
    pub(super) fn reserve(&self, usd: f64, now: UnixMs) -> bool {
        self.with(now, |spent| {
            let fits = *spent + usd <= self.usd_per_day;
            *spent += if fits { usd } else { 0.0 };
            fits
        })
    }

    /// Replaces what was reserved by what it came to.
    pub(super) fn settle(&self, reserved: f64, usd: f64, now: UnixMs) {
        self.with(now, |spent| *spent = (*spent + usd - reserved).max(0.0));
    }

    pub(super) fn today(&self, now: UnixMs) -> f64 {
        self.with(now, |spent| *spent)
    }

    fn with<T>(&self, now: UnixMs, change: impl FnOnce(&mut f64) -> T) -> T {
        let mut day = self.day.lock().unwrap_or_else(PoisonError::into_inner);
        let today = now.0.div_euclid(DAY_MS);
        if day.0 != today {
            *day = (today, 0.0);
        }
        change(&mut day.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_day_costs_more_than_its_budget() {
        let spend = Spend { usd_per_day: 1.0, day: Mutex::new((0, 0.9)) };
        assert!(!spend.reserve(0.2, UnixMs(5)));
        assert!(spend.reserve(0.1, UnixMs(5)));
        spend.settle(0.1, 0.04, UnixMs(6));
        assert!((spend.today(UnixMs(7)) - 0.94).abs() < 1e-12);
        assert!(spend.reserve(0.9, UnixMs(DAY_MS)), "a new day");
    }
}
