//! Logged traffic under an edited configuration: other prices, models, weights, exploration.
//!
//! The policy is the fold of the log up to where the replay begins, so no decision is judged by what it taught. It stands still
//! over the replay, and budgets and session pins are not replayed.

mod recorded;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::LogError;
use super::estimate::{Estimates, Evaluation, Evidence};
use super::prior::beginning;
use super::scenario::{Plan, Scenario, ScenarioError};
use super::traces::{Progress, Traces};
use crate::domain::{Arm, ArmId, FeatureSchema, PolicyVersion, RouteName, Seq};
use crate::learning::fold;
use crate::policy::{Policy, Settings, SimplePolicy};
use crate::routing::{Route, RouteStrategy};
use crate::store::Store;

pub use recorded::{Beside, PlayError, Played, play};

/// What is replayed under which configuration.
#[derive(Debug, Clone)]
pub struct Edited<'a> {
    /// All arms of the configuration.
    pub arms: &'a [Arm],
    /// All its routes.
    pub routes: &'a [Route],
    /// The last share of the log's events, in (0, 1).
    pub share: f64,
    /// Seed of the bootstrap.
    pub seed: u64,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Replayed {
    /// The first event replayed.
    pub from: Seq,
    /// The last one.
    pub to: Seq,
    /// Routes of the log that the configuration lacks; their decisions are left out.
    pub gone: Vec<RouteName>,
    /// The estimates.
    pub evaluation: Evaluation,
}

/// Replays the end of the log.
///
/// # Errors
/// When the log cannot be read, or holds nothing that can be replayed.
pub fn replay(
    store: &Store,
    (schema, dim): (&FeatureSchema, usize),
    edited: &Edited<'_>,
    progress: &mut Progress<'_>,
) -> Result<Replayed, LogError> {
    let end = *store.committed().borrow();
    let start = Seq((end.0 as f64 * (1.0 - edited.share)) as u64);
    let mut state = beginning(schema, dim, Settings::DEFAULT)?;
    fold(store, &mut state, start)?;
    let learned: Arc<dyn Policy> = state.snapshot(PolicyVersion::new(format!("learned@{start}")));
    progress(start.0, end.0);
    let traces = Traces::read(store, (start, end), (schema, dim), &mut |_, _| ())?;
    if traces.rows.is_empty() {
        return Err(ScenarioError::NothingEvaluable.into());
    }
    let plans: Vec<Option<Plan>> = traces.routes.iter().map(|name| plan(edited, name, &learned)).collect();
    let of = |gone: bool| traces.routes.iter().zip(&plans).filter(move |(_, p)| p.is_none() == gone);
    if of(false).count() == 0 {
        let routes: Vec<String> = traces.routes.iter().map(RouteName::to_string).collect();
        return Err(LogError::NoRoute { routes: routes.join(", ") });
    }
    let gone = of(true).map(|(name, _)| name.clone()).collect();
    let scenario = Scenario::new(&traces, schema, plans);
    let evaluation = Evidence::new(&traces, edited.arms)?.evaluate(&scenario, edited.seed)?;
    progress(end.0, end.0);
    Ok(Replayed { from: Seq(start.0 + 1), to: end, gone, evaluation })
}

fn plan(edited: &Edited<'_>, name: &RouteName, learned: &Arc<dyn Policy>) -> Option<Plan> {
    let route = edited.routes.iter().find(|route| route.name == *name)?;
    let find = |id: &ArmId| edited.arms.iter().find(|arm| arm.id == *id).cloned();
    let policy = simple(route, learned).unwrap_or_else(|| Arc::clone(learned));
    Some(Plan {
        arms: route.arms.iter().filter_map(find).collect(),
        default: find(&route.default)?,
        policy,
        exploration: route.exploration,
        wishes: Some((route.preference, route.constraints)),
    })
}

/// The route's policy, when it is not what `learned` is.
fn simple(route: &Route, learned: &Arc<dyn Policy>) -> Option<Arc<dyn Policy>> {
    Some(Arc::new(match &route.strategy {
        RouteStrategy::Learned => return None,
        RouteStrategy::Fixed => SimplePolicy::fixed(route.default.clone()),
        RouteStrategy::Weighted(shares) => SimplePolicy::weighted(shares.clone()),
        RouteStrategy::RoundRobin => SimplePolicy::round_robin(),
        RouteStrategy::Cheapest => SimplePolicy::cheapest(Some(Arc::clone(learned))),
        RouteStrategy::Fastest => SimplePolicy::fastest(Some(Arc::clone(learned))),
    }))
}

/// What must not get worse by more than a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// Mean quality may fall by so much.
    QualityDrop,
    /// Mean cost may rise by this share.
    CostRise,
    /// Mean latency may rise by this share.
    LatencyRise,
}

impl Guard {
    /// All, by the name used on the command line.
    pub const ALL: [(&'static str, Self); 3] = [
        ("quality_drop", Self::QualityDrop),
        ("cost_rise", Self::CostRise),
        ("latency_rise", Self::LatencyRise),
    ];
}

/// How a guard fared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Guarded {
    /// Which.
    pub guard: Guard,
    /// The most that is let through.
    pub limit: f64,
    /// Estimated change for the worse.
    pub change: f64,
    /// The most that the 95 % interval leaves open.
    pub at_most: f64,
    /// Why it fails; `None`: it holds.
    pub failed: Option<String>,
}

/// A guard holds when even the bad end of the interval is within its limit, and the log supports the estimate.
pub fn guarded(evaluation: &Evaluation, guards: &BTreeMap<Guard, f64>) -> Vec<Guarded> {
    let one = |(guard, limit): (&Guard, &f64)| {
        let (estimates, sign, relative) = match guard {
            Guard::QualityDrop => (&evaluation.quality, -1.0, false),
            Guard::CostRise => (&evaluation.cost_usd, 1.0, true),
            Guard::LatencyRise => (&evaluation.latency_ms, 1.0, true),
        };
        let unit = if relative { estimates.logged.mean } else { 1.0 };
        let change = sign * estimates.difference.mean / unit;
        let at_most = worst(estimates, sign) / unit;
        let failed = failure(estimates, (change, at_most), *limit);
        Guarded { guard: *guard, limit: *limit, change, at_most, failed }
    };
    guards.iter().map(one).collect()
}

fn worst(estimates: &Estimates, sign: f64) -> f64 {
    let interval = estimates.difference_interval.unwrap_or_else(|| estimates.difference.normal_interval());
    f64::max(sign * interval.low, sign * interval.high)
}

fn failure(estimates: &Estimates, (change, at_most): (f64, f64), limit: f64) -> Option<String> {
    if let Err(why) = estimates.diagnostics.verdict(&crate::ope::Limits::DEFAULT) {
        return Some(format!("no verdict: {why}"));
    }
    if !at_most.is_finite() {
        return Some("it cannot be estimated".to_owned());
    }
    (at_most > limit).then(|| format!("{change:+.4}, and up to {at_most:+.4} with 95 % confidence"))
}

#[cfg(test)]
mod tests;
