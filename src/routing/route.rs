//! A route: the name that clients ask for, and how its arm is chosen. Built by `config`, checked there.

use std::time::Duration;

use crate::dispatch::Conduct;
use crate::domain::{ArmId, Constraints, Preference, RouteName, Strategy};
use crate::policy::Exploration;

/// How a route chooses, with what the way needs.
#[derive(Debug, Clone, PartialEq)]
pub enum RouteStrategy {
    /// The contextual bandit.
    Learned,
    /// Always the default.
    Fixed,
    /// By shares (positive, not necessarily summing to 1).
    Weighted(Vec<(ArmId, f64)>),
    /// One after the other.
    RoundRobin,
    /// The lowest expected cost.
    Cheapest,
    /// The lowest expected latency.
    Fastest,
}

impl RouteStrategy {
    /// Which strategy, without its settings.
    pub fn kind(&self) -> Strategy {
        match self {
            Self::Learned => Strategy::Learned,
            Self::Fixed => Strategy::Fixed,
            Self::Weighted(_) => Strategy::Weighted,
            Self::RoundRobin => Strategy::RoundRobin,
            Self::Cheapest => Strategy::Cheapest,
            Self::Fastest => Strategy::Fastest,
        }
    }
}

/// How a route keeps conversations on their models.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SessionSettings {
    /// Whether it does.
    pub pin: bool,
    /// By how much utility another model must be better to be switched to, the lost prompt cache included.
    pub switch_margin: f64,
    /// How long after its last turn a conversation is remembered.
    pub ttl: Duration,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self { pin: true, switch_margin: 0.02, ttl: Duration::from_secs(3600) }
    }
}

/// What happens to arms that are worse than the default beyond doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Retirement {
    /// They are reported.
    #[default]
    Report,
    /// They take no new conversations either.
    Auto,
}

/// A route, checked: `default` is one of `arms`, and every arm is in the catalog.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// What clients ask for.
    pub name: RouteName,
    /// Candidates, sorted.
    pub arms: Vec<ArmId>,
    /// Serves whenever the router is unsure or unwell.
    pub default: ArmId,
    /// How it chooses.
    pub strategy: RouteStrategy,
    /// What its callers want unless they say otherwise.
    pub preference: Preference,
    /// What must hold unless they say otherwise.
    pub constraints: Constraints,
    /// How much it gives up to learn.
    pub exploration: Exploration,
    /// How it keeps conversations on their models.
    pub session: SessionSettings,
    /// What happens to arms that are outclassed.
    pub retire: Retirement,
    /// How its calls are made.
    pub conduct: Conduct,
}
