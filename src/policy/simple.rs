//! Strategies that do not learn from quality: the same trait, so routes, logs and comparisons treat them alike.

use std::sync::Arc;

use super::heads::TYPICAL_TOKENS;
use super::{Ask, Policy, PolicyError, Proposal, Typical};
use crate::domain::{Arm, ArmDistribution, ArmId, PolicyVersion, Strategy};

/// What a simple strategy goes by.
#[derive(Debug, Clone)]
enum Rule {
    Fixed(ArmId),
    Weighted(Vec<(ArmId, f64)>),
    RoundRobin,
    Cheapest(Option<Arc<dyn Policy>>),
    Fastest(Option<Arc<dyn Policy>>),
}

/// A strategy without a learner of its own; its version is its name.
#[derive(Debug, Clone)]
pub struct SimplePolicy {
    version: PolicyVersion,
    strategy: Strategy,
    rule: Rule,
}

impl SimplePolicy {
    fn new(strategy: Strategy, rule: Rule) -> Self {
        Self { version: PolicyVersion::from(strategy.as_str()), strategy, rule }
    }

    /// Always `arm`; no answer when it is not eligible.
    pub fn fixed(arm: ArmId) -> Self {
        Self::new(Strategy::Fixed, Rule::Fixed(arm))
    }

    /// By shares, over those of them that are eligible. Shares that are not positive and finite count as 0.
    pub fn weighted(shares: Vec<(ArmId, f64)>) -> Self {
        Self::new(Strategy::Weighted, Rule::Weighted(shares))
    }

    /// One eligible arm after the other, by the route's count of requests.
    pub fn round_robin() -> Self {
        Self::new(Strategy::RoundRobin, Rule::RoundRobin)
    }

    /// The lowest expected cost: of the arm's typical answer when `known` has seen it, else of 300 tokens.
    pub fn cheapest(known: Option<Arc<dyn Policy>>) -> Self {
        Self::new(Strategy::Cheapest, Rule::Cheapest(known))
    }

    /// The lowest expected latency: of the arm's typical call as `known` has seen it. Without it all arms are equal and the
    /// cheapest serves.
    pub fn fastest(known: Option<Arc<dyn Policy>>) -> Self {
        Self::new(Strategy::Fastest, Rule::Fastest(known))
    }

    fn no_arm(&self) -> PolicyError {
        PolicyError::NoArm(self.strategy.as_str())
    }

    fn certain(&self, arm: Option<&ArmId>) -> Result<ArmDistribution, PolicyError> {
        arm.map(|arm| ArmDistribution::certain(arm.clone())).ok_or_else(|| self.no_arm())
    }

    fn by_shares(&self, ask: &Ask<'_>, shares: &[(ArmId, f64)]) -> Result<ArmDistribution, PolicyError> {
        let share_of = |arm: &ArmId| {
            let of_arm = shares.iter().filter(|(a, s)| a == arm && s.is_finite() && *s > 0.0);
            of_arm.map(|(_, s)| s).sum::<f64>()
        };
        let p: Vec<f64> = ask.arms.iter().map(|arm| share_of(&arm.id)).collect();
        let sum: f64 = p.iter().sum();
        if sum <= 0.0 {
            return Err(self.no_arm());
        }
        let arms = ask.arms.iter().map(|arm| arm.id.clone()).collect();
        Ok(ArmDistribution::new(arms, p.iter().map(|p| p / sum).collect())?)
    }
}

/// From list prices and the typical answer's length where nothing is known; latencies are then all equal.
fn typical(known: Option<&dyn Policy>, arm: &Arm, ask: &Ask<'_>) -> Typical {
    known.and_then(|known| known.typical(arm, ask.input_tokens, ask.at)).unwrap_or_else(|| {
        let price = arm.price.at(ask.input_tokens.into());
        let micro_usd = f64::from(ask.input_tokens) * price.input + TYPICAL_TOKENS * price.output;
        Typical { cost_usd: micro_usd / 1e6, latency_ms: 0.0 }
    })
}

/// The least by `key`; of equals the first by id.
fn least<'a>(ask: &Ask<'a>, key: impl Fn(&Arm) -> (f64, f64)) -> Option<&'a ArmId> {
    let order = |a: &&&Arm, b: &&&Arm| {
        let ((a1, a2), (b1, b2)) = (key(a), key(b));
        a1.total_cmp(&b1).then(a2.total_cmp(&b2))
    };
    ask.arms.iter().min_by(order).map(|arm| &arm.id)
}

impl Policy for SimplePolicy {
    fn version(&self) -> &PolicyVersion {
        &self.version
    }

    fn strategy(&self) -> Strategy {
        self.strategy
    }

    fn wants_context(&self) -> bool {
        false
    }

    fn propose(&self, ask: &Ask<'_>) -> Result<Proposal, PolicyError> {
        let distribution = match &self.rule {
            Rule::Fixed(arm) => self.certain(ask.arms.iter().map(|a| &a.id).find(|id| *id == arm))?,
            Rule::Weighted(shares) => self.by_shares(ask, shares)?,
            Rule::RoundRobin => {
                let turn = (ask.turn % ask.arms.len().max(1) as u64) as usize;
                self.certain(ask.arms.get(turn).map(|a| &a.id))?
            }
            Rule::Cheapest(known) => {
                self.certain(least(ask, |arm| (typical(known.as_deref(), arm, ask).cost_usd, 0.0)))?
            }
            Rule::Fastest(known) => self.certain(least(ask, |arm| {
                let call = typical(known.as_deref(), arm, ask);
                (call.latency_ms, call.cost_usd)
            }))?,
        };
        let greedy = likeliest(&distribution);
        Ok(Proposal { distribution, greedy, estimates: Vec::new(), relaxed: Vec::new() })
    }
}

/// Of equals the first.
fn likeliest(distribution: &ArmDistribution) -> ArmId {
    let mut best = 0;
    for (k, p) in distribution.p().iter().enumerate() {
        if *p > distribution.p()[best] {
            best = k;
        }
    }
    distribution.arms()[best].clone()
}

#[cfg(test)]
mod tests;
