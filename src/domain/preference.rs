//! What a caller wants: how much quality, cost and latency weigh against each other, and bounds that must hold.

use serde::{Deserialize, Serialize};

/// Why weights or bounds are refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{field} must be {must}, got {got}")]
pub struct PreferenceError {
    /// The field at fault, for example `weights.cost`.
    pub field: &'static str,
    /// What it must be.
    pub must: &'static str,
    /// What it is.
    pub got: f64,
}

/// Weights on the simplex: not negative, sum 1, quality above 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Weights {
    quality: f64,
    cost: f64,
    latency: f64,
}

impl Weights {
    /// Scales the three to a sum of 1.
    ///
    /// # Errors
    /// When one is negative or not finite, or when quality is 0 (then nothing bounds how bad an answer may be).
    pub fn new(quality: f64, cost: f64, latency: f64) -> Result<Self, PreferenceError> {
        for (field, value) in
            [("weights.quality", quality), ("weights.cost", cost), ("weights.latency", latency)]
        {
            if !value.is_finite() || value < 0.0 {
                return Err(PreferenceError { field, must: "a finite number >= 0", got: value });
            }
        }
        if quality <= 0.0 {
            return Err(PreferenceError { field: "weights.quality", must: "greater than 0", got: quality });
        }
        let sum = quality + cost + latency;
        Ok(Self { quality: quality / sum, cost: cost / sum, latency: latency / sum })
    }

    /// Weight of quality, in (0, 1].
    pub fn quality(&self) -> f64 {
        self.quality
    }

    /// Weight of cost, in [0, 1).
    pub fn cost(&self) -> f64 {
        self.cost
    }

    /// Weight of latency, in [0, 1).
    pub fn latency(&self) -> f64 {
        self.latency
    }
}

/// What utility is made of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preference {
    /// Relative to the route's default arm: cost and latency count in units of its typical call.
    Weights(Weights),
    /// In dollars: a perfect answer over a useless one is worth `quality_usd`, a second of waiting costs `second_usd`.
    Value {
        /// USD, above 0.
        quality_usd: f64,
        /// USD per second, 0 or more.
        second_usd: f64,
    },
}

impl Preference {
    /// Weights `0.7, 0.2, 0.1`: what a route has unless told otherwise.
    pub fn balanced() -> Self {
        Self::Weights(Weights { quality: 0.7, cost: 0.2, latency: 0.1 })
    }

    /// Quality alone: the suffix `:best`.
    pub fn best() -> Self {
        Self::Weights(Weights { quality: 1.0, cost: 0.0, latency: 0.0 })
    }

    /// Cost first: the suffix `:cheap`.
    pub fn cheap() -> Self {
        Self::Weights(Weights { quality: 0.3, cost: 0.65, latency: 0.05 })
    }

    /// Latency first: the suffix `:fast`.
    pub fn fast() -> Self {
        Self::Weights(Weights { quality: 0.3, cost: 0.05, latency: 0.65 })
    }

    /// # Errors
    /// When `quality_usd` is not above 0, or `second_usd` is negative, or either is not finite.
    pub fn value(quality_usd: f64, second_usd: f64) -> Result<Self, PreferenceError> {
        if !quality_usd.is_finite() || quality_usd <= 0.0 {
            return Err(PreferenceError {
                field: "value.quality_usd",
                must: "a finite number > 0",
                got: quality_usd,
            });
        }
        if !second_usd.is_finite() || second_usd < 0.0 {
            return Err(PreferenceError {
                field: "value.second_usd",
                must: "a finite number >= 0",
                got: second_usd,
            });
        }
        Ok(Self::Value { quality_usd, second_usd })
    }
}

/// A bound by its name in requests and configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// [`Constraints::min_quality`].
    MinQuality,
    /// [`Constraints::max_latency_ms`].
    MaxLatencyMs,
    /// [`Constraints::max_cost_usd`].
    MaxCostUsd,
}

impl Bound {
    /// The order in which bounds are given up when no arm meets them all: money last.
    pub const GIVEN_UP: [Self; 3] = [Self::MinQuality, Self::MaxLatencyMs, Self::MaxCostUsd];

    /// The name used in requests, configuration, answers and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MinQuality => "min_quality",
            Self::MaxLatencyMs => "max_latency_ms",
            Self::MaxCostUsd => "max_cost_usd",
        }
    }
}

/// Bounds on the predicted answer; `None`: no bound.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Constraints {
    /// Highest expected cost of the call, USD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost_usd: Option<f64>,
    /// Highest p95 of total latency, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_latency_ms: Option<f64>,
    /// Lowest quality, met with one standard deviation to spare, in [0, 1].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_quality: Option<f64>,
}

impl Constraints {
    /// Whether there is such a bound.
    pub fn has(&self, bound: Bound) -> bool {
        match bound {
            Bound::MinQuality => self.min_quality.is_some(),
            Bound::MaxLatencyMs => self.max_latency_ms.is_some(),
            Bound::MaxCostUsd => self.max_cost_usd.is_some(),
        }
    }

    /// The bounds that are left without those in `given_up`.
    pub fn without(mut self, given_up: &[Bound]) -> Self {
        for bound in given_up {
            match bound {
                Bound::MinQuality => self.min_quality = None,
                Bound::MaxLatencyMs => self.max_latency_ms = None,
                Bound::MaxCostUsd => self.max_cost_usd = None,
            }
        }
        self
    }

    /// # Errors
    /// When a bound is not finite, not positive (`min_quality`: not in [0, 1]).
    pub fn checked(self) -> Result<Self, PreferenceError> {
        for (field, bound) in [("max_cost_usd", self.max_cost_usd), ("max_latency_ms", self.max_latency_ms)] {
            if let Some(got) = bound.filter(|b| !b.is_finite() || *b <= 0.0) {
                return Err(PreferenceError { field, must: "a finite number > 0", got });
            }
        }
        match self.min_quality.filter(|q| !(0.0..=1.0).contains(q)) {
            Some(got) => Err(PreferenceError { field: "min_quality", must: "between 0 and 1", got }),
            None => Ok(self),
        }
    }
}
