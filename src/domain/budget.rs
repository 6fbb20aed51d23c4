//! Budgets: how much may be spent in which time, what a dollar costs while it lasts, and what a decision records of that.

use std::fmt;

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

use super::{ArmId, KeyId, RouteName, UnixMs};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// The largest amount that a budget may name, USD: sums stay exact below it.
const MOST_USD: f64 = 1e9;

/// A stretch of time that a sum is bounded over; it begins at the full hour, at midnight or on the first, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// One hour.
    Hour,
    /// One day.
    Day,
    /// One month of the calendar.
    Month,
}

impl Period {
    /// All of them, shortest first.
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Month];

    /// The name used in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// First millisecond of the period that `at` lies in, and of the next one.
    pub fn around(self, at: UnixMs) -> (UnixMs, UnixMs) {
        let even = |length: i64| {
            let start = at.0.div_euclid(length).saturating_mul(length);
            (UnixMs(start), UnixMs(start.saturating_add(length)))
        };
        match self {
            Self::Hour => even(HOUR_MS),
            Self::Day => even(DAY_MS),
            // A time that no calendar holds has months of thirty days.
            Self::Month => month(at).unwrap_or_else(|| even(30 * DAY_MS)),
        }
    }
}

fn month(at: UnixMs) -> Option<(UnixMs, UnixMs)> {
    let date = Timestamp::from_millisecond(at.0).ok()?.to_zoned(TimeZone::UTC).date();
    let first = date.first_of_month();
    let next = first.checked_add(Span::new().months(1)).ok()?;
    let start = |date: jiff::civil::Date| {
        Some(UnixMs(date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond()))
    };
    Some((start(first)?, start(next)?))
}

/// Why limits are refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{field} must be a number of USD above 0 and at most 1e9, got {got}")]
pub struct LimitError {
    /// The key at fault, for example `usd_per_day`.
    pub field: &'static str,
    /// What it is.
    pub got: f64,
}

/// What may be spent. At least one limit is set once [`BudgetLimits::checked`] has passed.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetLimits {
    /// USD that a request may cost in the mean; paced, and no bound on any sum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd_per_request: Option<f64>,
    /// USD per hour; paced, and never exceeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd_per_hour: Option<f64>,
    /// USD per day; paced, and never exceeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd_per_day: Option<f64>,
    /// USD per month; paced, and never exceeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd_per_month: Option<f64>,
}

impl BudgetLimits {
    /// The keys of the configuration.
    pub const FIELDS: [&'static str; 4] = ["usd_per_request", "usd_per_hour", "usd_per_day", "usd_per_month"];

    /// The limits in the order of [`Self::FIELDS`].
    fn all(&self) -> [Option<f64>; 4] {
        [self.usd_per_request, self.usd_per_hour, self.usd_per_day, self.usd_per_month]
    }

    /// # Errors
    /// When a limit is not finite, not above 0, or beyond 1e9 USD.
    pub fn checked(self) -> Result<Self, LimitError> {
        for (field, limit) in Self::FIELDS.into_iter().zip(self.all()) {
            if let Some(got) = limit.filter(|l| !(l.is_finite() && *l > 0.0 && *l <= MOST_USD)) {
                return Err(LimitError { field, got });
            }
        }
        Ok(self)
    }

    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        self.all().iter().all(Option::is_none)
    }

    /// USD over one `period`; `None`: no bound.
    pub fn of(&self, period: Period) -> Option<f64> {
        match period {
            Period::Hour => self.usd_per_hour,
            Period::Day => self.usd_per_day,
            Period::Month => self.usd_per_month,
        }
    }
}

/// Whose money it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetScope {
    /// All that a route spends.
    Route(RouteName),
    /// All that a client key spends.
    Key(KeyId),
    /// All requests that name it in `pointsman.budget`.
    Named(String),
}

impl fmt::Display for BudgetScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route(name) => write!(f, "route {name}"),
            Self::Key(key) => write!(f, "key {key}"),
            Self::Named(name) => write!(f, "budget {name}"),
        }
    }
}

/// What a dollar costs on the utility scale (utility per USD), on top of what the caller himself makes of money.
///
/// Few arms make spend a staircase over the price: between two steps no price meets the target. So there are two neighbouring
/// prices and a share; a policy mixes the two distributions, and the propensities stay exact.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Multiplier {
    /// The price below the step, at least 0.
    pub low: f64,
    /// The price above it.
    pub high: f64,
    /// How often `high` holds, in [0, 1].
    pub share_high: f64,
}

impl Multiplier {
    /// Money is no object.
    pub const FREE: Self = Self { low: 0.0, high: 0.0, share_high: 0.0 };

    /// Always `price`.
    pub fn certain(price: f64) -> Self {
        Self { low: price, high: price, share_high: 0.0 }
    }

    /// The price that holds more often.
    pub fn likelier(&self) -> f64 {
        if self.share_high > 0.5 { self.high } else { self.low }
    }

    /// The mean price.
    pub fn mean(&self) -> f64 {
        self.low + self.share_high * (self.high - self.low)
    }

    /// The prices with their shares; those that never hold are left out.
    pub fn parts(&self) -> impl Iterator<Item = (f64, f64)> {
        [(self.low, 1.0 - self.share_high), (self.high, self.share_high)]
            .into_iter()
            .filter(|(_, share)| *share > 0.0)
    }

    /// The one of the higher mean price: a scope that is short of money decides for all that a request counts towards.
    pub fn tighter(self, other: Self) -> Self {
        if other.mean() > self.mean() { other } else { self }
    }

    /// Whether it changes nothing.
    pub fn is_free(&self) -> bool {
        self.mean() <= 0.0
    }
}

impl Default for Multiplier {
    fn default() -> Self {
        Self::FREE
    }
}

/// What the budgets of a request allow it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Allowance {
    /// What a dollar costs besides, so that the budgets last.
    pub multiplier: Multiplier,
    /// What a request may cost in the mean, USD; `None`: no budget applies. What is spent to learn is measured by it, also
    /// where money is no object yet.
    pub per_request_usd: Option<f64>,
    /// What of it the best arms would leave over in the mean, USD; above 0 only where money is no object.
    pub unspent_usd: f64,
}

impl Allowance {
    /// No budget.
    pub const UNBOUNDED: Self =
        Self { multiplier: Multiplier::FREE, per_request_usd: None, unspent_usd: 0.0 };

    /// Whether a budget applies under which nothing has been asked yet, so that nobody has found what a dollar must cost.
    pub fn is_unpriced(&self) -> bool {
        self.per_request_usd.is_some() && self.multiplier.is_free() && self.unspent_usd <= 0.0
    }

    /// The same for one who may not draw lots: always the likelier price.
    pub fn certain(self) -> Self {
        Self { multiplier: Multiplier::certain(self.multiplier.likelier()), ..self }
    }
}

/// What a decision records of the budgets that it counts towards.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BudgetRecord {
    /// Which budgets.
    pub scopes: Vec<BudgetScope>,
    /// What a dollar cost.
    pub multiplier: Multiplier,
    /// The one whose price that is: the shortest of money. `None` when money was no object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decisive: Option<BudgetScope>,
    /// What a request could cost in the mean, USD: the least of the budgets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_request_usd: Option<f64>,
    /// What the drawn arm was expected to cost, USD.
    pub expected_usd: f64,
    /// What was set aside for it, USD.
    pub reserved_usd: f64,
    /// The arm that would have ranked first without a budget, when that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without: Option<ArmId>,
    /// The most tokens that were asked of it, its longest answer being dearer than the budgets could bear; `None`: not capped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_cap: Option<u32>,
}

impl BudgetRecord {
    /// The budget that the request named.
    pub fn named(&self) -> Option<&str> {
        self.scopes.iter().find_map(|scope| match scope {
            BudgetScope::Named(name) => Some(name.as_str()),
            BudgetScope::Route(_) | BudgetScope::Key(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UnixMs {
        UnixMs(text.parse::<Timestamp>().unwrap().as_millisecond())
    }

    #[test]
    fn periods_begin_at_the_full_hour_at_midnight_and_on_the_first() {
        let around = |period: Period, text| period.around(at(text));
        let hour = around(Period::Hour, "2026-11-27T01:59:59.999Z");
        assert_eq!(hour, (at("2026-11-27T01:00:00Z"), at("2026-11-27T02:00:00Z")));
        assert_eq!(Period::Hour.around(hour.1).0, hour.1, "the end belongs to the next");
        let day = around(Period::Day, "2026-11-27T01:00:00Z");
        assert_eq!(day, (at("2026-11-27T00:00:00Z"), at("2026-11-28T00:00:00Z")));
        let month = around(Period::Month, "2024-02-29T23:00:00Z");
        assert_eq!(month, (at("2024-02-01T00:00:00Z"), at("2024-03-01T00:00:00Z")));
        let december = around(Period::Month, "2026-12-31T23:00:00Z");
        assert_eq!(december.1, at("2027-01-01T00:00:00Z"));
        let nowhere = Period::Month.around(UnixMs(i64::MAX));
        assert!(nowhere.0 <= nowhere.1);
    }

    #[test]
    fn a_limit_is_above_zero_and_finite() {
        for got in [0.0, -1.0, f64::NAN, f64::INFINITY, 2e9] {
            let limits = BudgetLimits { usd_per_day: Some(got), ..BudgetLimits::default() };
            assert_eq!(limits.checked().unwrap_err().field, "usd_per_day");
        }
        assert!(BudgetLimits::default().is_empty());
    }

    #[test]
    fn the_scope_that_is_shorter_of_money_decides() {
        let mix = Multiplier { low: 1.0, high: 3.0, share_high: 0.75 };
        assert_eq!((mix.mean(), mix.likelier()), (2.5, 3.0));
        assert_eq!(mix.tighter(Multiplier::certain(2.0)), mix);
        assert_eq!(Multiplier::FREE.tighter(mix), mix);
        assert_eq!(mix.parts().map(|(_, share)| share).sum::<f64>(), 1.0);
        assert_eq!(Multiplier::certain(2.0).parts().collect::<Vec<_>>(), [(2.0, 1.0)]);
    }
}
