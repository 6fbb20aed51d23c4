//! Two sides of a split of the traffic, compared at every look: is the challenger within each guard's limit, beyond it, or is that
//! still open.
//!
//! The sides are drawn by a hash, so each side's outcomes are a fair sample of the same traffic. Each side has its own confidence
//! sequence, and a difference lies between their ends; the level is shared out over sides and guards, so all intervals together
//! hold with 95 %, however often one looks. Quality and errors: betting, exact at any size. Cost: asymptotic. Latency: a sequence
//! for a quantile (Howard and Ramdas 2022, arXiv 1906.09712, the closed form after theorem 1).

use serde::Serialize;

use super::Interval;
use super::sequence::{Betting, asymptotic};
use crate::domain::{CanaryGuard, CanaryGuards};

/// What all intervals together may miss.
const ALPHA: f64 = 0.05;
/// Costs from which the asymptotic sequence is believed; it is tightest at a thousand.
const LEAST_COSTS: u64 = 300;
const TIGHTEST_AT: f64 = 1000.0;
/// Which quantile of the latency.
const QUANTILE: f64 = 0.95;
/// Latencies are counted in steps of two per cent, from a tenth of a millisecond to about four hours.
const STEP: f64 = 1.02;
const LOWEST_MS: f64 = 0.1;
const STEPS: usize = 950;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outcome {
    /// The first report on it, in [0, 1].
    Quality(f64),
    /// It ended, with an answer or without.
    Ended {
        /// Whether nobody answered.
        failed: bool,
    },
    /// What it cost, USD.
    Cost(f64),
    /// To its last token, milliseconds.
    Latency(f64),
}

/// One side's outcomes.
#[derive(Debug, Clone)]
struct Side {
    quality: Betting,
    errors: Betting,
    cost: Moments,
    latency: Times,
}

#[derive(Debug, Clone, Default)]
struct Moments {
    n: u64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.n += 1;
        let off = value - self.mean;
        self.mean += off / self.n as f64;
        self.squares += off * (value - self.mean);
    }

    fn interval(&self, alpha: f64) -> Interval {
        if self.n < LEAST_COSTS {
            return Interval { low: 0.0, high: f64::INFINITY };
        }
        let sd = (self.squares / self.n as f64).sqrt();
        let wide = asymptotic(self.n, self.mean, sd, alpha, TIGHTEST_AT);
        Interval { low: wide.low.max(0.0), high: wide.high }
    }
}

/// Counts by length of time.
#[derive(Debug, Clone)]
struct Times {
    n: u64,
    counts: Vec<u64>,
}

impl Times {
    fn add(&mut self, ms: f64) {
        let step = ((ms / LOWEST_MS).max(1.0).ln() / STEP.ln()) as usize;
        self.counts[step.min(STEPS - 1)] += 1;
        self.n += 1;
    }

    /// The step of the `p` quantile.
    fn step(&self, p: f64) -> Option<usize> {
        let wanted = p * self.n as f64;
        let mut sum = 0.0;
        self.counts.iter().position(|count| {
            sum += *count as f64;
            sum >= wanted && sum > 0.0
        })
    }

    fn estimate(&self) -> Option<f64> {
        self.step(QUANTILE).map(|step| LOWEST_MS * STEP.powf(step as f64 + 0.5))
    }

    fn interval(&self, alpha: f64) -> Interval {
        let open = Interval { low: 0.0, high: f64::INFINITY };
        if self.n == 0 {
            return open;
        }
        let n = self.n as f64;
        let level = (1.4 * (2.1 * n).ln().max(1.0).ln() + (10.0 / alpha).ln()) / n;
        let off = 1.5 * (QUANTILE * (1.0 - QUANTILE) * level).sqrt() + 0.8 * level;
        let (lower, upper) = (QUANTILE - off, QUANTILE + off);
        let low = if lower > 0.0 { self.step(lower) } else { None };
        let high = if upper < 1.0 { self.step(upper) } else { None };
        Interval {
            low: low.map_or(0.0, |step| LOWEST_MS * STEP.powf(step as f64)),
            high: high.map_or(f64::INFINITY, |step| LOWEST_MS * STEP.powf(step as f64 + 1.0)),
        }
    }
}

impl Side {
    fn new(alpha: f64) -> Self {
        Self {
            quality: Betting::new(alpha),
            errors: Betting::new(alpha),
            cost: Moments::default(),
            latency: Times { n: 0, counts: vec![0; STEPS] },
        }
    }

    fn observe(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Quality(value) => self.quality.observe(value),
            Outcome::Ended { failed } => self.errors.observe(f64::from(u8::from(failed))),
            Outcome::Cost(usd) => self.cost.add(usd),
            Outcome::Latency(ms) => self.latency.add(ms),
        }
    }

    /// How many outcomes, what they come to, and the interval.
    fn of(&self, guard: CanaryGuard, alpha: f64) -> (u64, Option<f64>, Interval) {
        let bounded = |b: &Betting| (b.count(), (b.count() > 0).then(|| b.mean()), b.interval());
        match guard {
            CanaryGuard::QualityDrop => bounded(&self.quality),
            CanaryGuard::ErrorRateRise => bounded(&self.errors),
            CanaryGuard::CostRise => {
                (self.cost.n, (self.cost.n > 0).then_some(self.cost.mean), self.cost.interval(alpha))
            }
            CanaryGuard::LatencyP95Rise => {
                (self.latency.n, self.latency.estimate(), self.latency.interval(alpha))
            }
        }
    }
}

/// What a guard says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardVerdict {
    /// The whole interval is within the limit.
    Holds,
    /// Neither is shown yet.
    Open,
    /// The whole interval is beyond the limit.
    Fails,
}

/// A guard, as it stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GuardReading {
    /// Which.
    pub guard: CanaryGuard,
    /// What it lets through.
    pub limit: f64,
    /// What it says.
    pub verdict: GuardVerdict,
    /// The change for the worse as it looks; `None` while a side has no outcome.
    pub change: Option<f64>,
    /// The least that it is; `None`: no bound is known yet.
    pub at_least: Option<f64>,
    /// The most that it is; `None`: no bound is known yet.
    pub at_most: Option<f64>,
    /// The champion's outcomes, and what they come to.
    pub champion: SideReading,
    /// The challenger's.
    pub challenger: SideReading,
}

/// One side of a guard.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SideReading {
    /// Outcomes.
    pub n: u64,
    /// Their mean, or their 95th percentile.
    pub value: Option<f64>,
}

/// Both sides, and what guards them.
#[derive(Debug, Clone)]
pub struct Split {
    guards: CanaryGuards,
    alpha: f64,
    champion: Side,
    challenger: Side,
}

impl Split {
    /// Nothing seen.
    pub fn new(guards: CanaryGuards) -> Self {
        let alpha = ALPHA / (2.0 * guards.len().max(1) as f64);
        Self { guards, alpha, champion: Side::new(alpha), challenger: Side::new(alpha) }
    }

    /// Folds in an outcome of one side.
    pub fn observe(&mut self, challenger: bool, outcome: Outcome) {
        if challenger { &mut self.challenger } else { &mut self.champion }.observe(outcome);
    }

    /// What each guard says.
    pub fn readings(&self) -> Vec<GuardReading> {
        self.guards.iter().map(|(guard, limit)| self.reading(*guard, *limit)).collect()
    }

    fn reading(&self, guard: CanaryGuard, limit: f64) -> GuardReading {
        let [one, two] = [&self.champion, &self.challenger].map(|side| side.of(guard, self.alpha));
        let worse = worsening(guard, one.2, two.2);
        let point = |value: f64| Interval { low: value, high: value };
        let change = one.1.zip(two.1).map(|(old, new)| worsening(guard, point(old), point(new)).low);
        let verdict = if worse.high <= limit {
            GuardVerdict::Holds
        } else if worse.low > limit {
            GuardVerdict::Fails
        } else {
            GuardVerdict::Open
        };
        let finite = |number: f64| Some(number).filter(|n| n.is_finite());
        GuardReading {
            guard,
            limit,
            verdict,
            change: change.and_then(finite),
            at_least: finite(worse.low),
            at_most: finite(worse.high),
            champion: SideReading { n: one.0, value: one.1 },
            challenger: SideReading { n: two.0, value: two.1 },
        }
    }
}

/// The change for the worse, from the champion's interval to the challenger's.
fn worsening(guard: CanaryGuard, old: Interval, new: Interval) -> Interval {
    let ratio = |new: f64, old: f64| match (new, old) {
        (new, _) if new <= 0.0 => -1.0,
        (_, old) if old <= 0.0 => f64::INFINITY,
        (new, old) => new / old - 1.0,
    };
    match guard {
        CanaryGuard::QualityDrop => Interval { low: old.low - new.high, high: old.high - new.low },
        CanaryGuard::ErrorRateRise => Interval { low: new.low - old.high, high: new.high - old.low },
        // Where both cost nothing, nothing has changed.
        CanaryGuard::CostRise if old.high <= 0.0 && new.high <= 0.0 => Interval { low: 0.0, high: 0.0 },
        CanaryGuard::CostRise | CanaryGuard::LatencyP95Rise => {
            let low = if old.high.is_finite() { ratio(new.low, old.high) } else { -1.0 };
            Interval {
                low,
                high: if new.high.is_finite() { ratio(new.high, old.low) } else { f64::INFINITY },
            }
        }
    }
}
