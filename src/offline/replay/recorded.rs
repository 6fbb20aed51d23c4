//! A folder of recorded outcomes under a configuration. What every model did with every prompt is known, so what a route comes to need
//! not be estimated; it is set beside the route's default serving everything.
//!
//! The learned policy lives through folds 2 to 4 as it would in the service, hearing of the drawn model alone, then stands still on
//! fold 1. Costs are the recorded ones, whatever the configuration's prices. Budgets and session pins are not replayed.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::{Guard, Guarded, simple};
use crate::domain::{Allowance, Arm, ArmId, RouteName, UnixMs};
use crate::offline::dataset::Dataset;
use crate::offline::exact::Lesson;
use crate::offline::routing_bench::{
    AsRecorded, Case, Live, LiveOptions, Parting, World, WorldError, shuffled,
};
use crate::ope::Value;
use crate::policy::{Ask, Policy, PolicyError, Settings, StateError};
use crate::routing::Route;
use crate::routing::prior::shipped_or_none;

/// Seed of the order of folds 2 to 4 and of the draws.
const SEED: u64 = 1;

/// Why a route cannot be played through.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// Its default has no outcomes.
    #[error("route {route}: the folder has no outcomes of its default {default}; it has those of {known}")]
    NoDefault {
        /// Which route.
        route: RouteName,
        /// Its default.
        default: ArmId,
        /// The folder's models.
        known: String,
    },
    /// Not enough prompts that all its models answered.
    #[error(transparent)]
    World(#[from] WorldError),
    /// The settings give no heads.
    #[error(transparent)]
    State(#[from] StateError),
    /// The strategy has no answer.
    #[error("the route's strategy gives no answer: {0}")]
    Policy(#[from] PolicyError),
}

/// One measure of a route and of its default.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Beside {
    /// Mean over the prompts, the route's draws weighed by their probability.
    pub replayed: f64,
    /// The default's mean.
    pub default: f64,
    /// Mean difference.
    pub difference: f64,
    /// Half the width of its 95 % interval over prompts.
    pub half_width: f64,
}

/// What a route comes to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Played {
    /// Which route.
    pub route: RouteName,
    /// What it is set beside.
    pub default: ArmId,
    /// Models of the route without outcomes in the folder.
    pub left_out: Vec<ArmId>,
    /// Prompts of folds 2 to 4.
    pub learned_from: usize,
    /// Prompts of fold 1.
    pub prompts: usize,
    /// Quality in [0, 1].
    pub quality: Beside,
    /// USD a request; `None`: the folder knows no costs.
    pub cost_usd: Option<Beside>,
    /// Share of the prompts by model.
    pub shares: BTreeMap<ArmId, f64>,
    /// How the guards fared.
    pub guards: Vec<Guarded>,
}

/// Plays `route` of a configuration with `arms` through the folder. A model of the configuration is the folder's when its id or its
/// provider's name for it is.
///
/// # Errors
/// When the folder lacks the route's default, or prompts.
pub fn play(
    lesson: &Lesson<'_>,
    (arms, route): (&[Arm], &Route),
    guards: &BTreeMap<Guard, f64>,
) -> Result<Played, PlayError> {
    let (dataset, left_out) = of_route(lesson.dataset, arms, route)?;
    let world = World::new(&dataset, lesson.contexts, lesson.vectors, Parting::Folds)?;
    let Some(default) = world.arms.iter().position(|arm| arm.id == route.default) else {
        return Err(no_default(lesson.dataset, route));
    };
    let policy = taught(&world, route, default)?;
    let mut shares = vec![0.0; world.arms.len()];
    let (mut quality, mut cost) = (Vec::new(), Vec::new());
    for (turn, case) in world.scored.iter().enumerate() {
        let chances = chances(&*policy, (&world, route), (case, turn), default)?;
        let mean = |of: fn(&crate::offline::routing_bench::Outcome) -> f64| {
            let drawn = chances.iter().zip(&case.outcomes).map(|(p, o)| p * of(o)).sum::<f64>();
            (drawn, of(&case.outcomes[default]))
        };
        quality.push(mean(|o| o.quality));
        cost.push(mean(|o| o.cost_usd));
        shares.iter_mut().zip(&chances).for_each(|(share, p)| *share += p / world.scored.len() as f64);
    }
    let (quality, cost_usd) = (beside(&quality), world.priced.then(|| beside(&cost)));
    let guards =
        guards.iter().map(|(guard, limit)| fared(*guard, *limit, &quality, cost_usd.as_ref())).collect();
    Ok(Played {
        route: route.name.clone(),
        default: route.default.clone(),
        left_out,
        learned_from: world.training.len(),
        prompts: world.scored.len(),
        quality,
        cost_usd,
        shares: world.arms.iter().map(|arm| arm.id.clone()).zip(shares).collect(),
        guards,
    })
}

/// The route's models in the folder, by their ids in the configuration, and those that it lacks.
fn of_route(dataset: &Dataset, arms: &[Arm], route: &Route) -> Result<(Dataset, Vec<ArmId>), PlayError> {
    let recorded = |id: &ArmId| {
        let arm = arms.iter().find(|arm| arm.id == *id)?;
        let known = |name: &str| dataset.models.iter().find(|model| *model == name);
        known(arm.id.as_str()).or_else(|| known(&arm.model))
    };
    let names: BTreeMap<&str, &ArmId> =
        route.arms.iter().filter_map(|id| Some((recorded(id)?.as_str(), id))).collect();
    let left_out = route.arms.iter().filter(|id| recorded(id).is_none()).cloned().collect();
    if recorded(&route.default).is_none() {
        return Err(no_default(dataset, route));
    }
    let kept: Vec<String> = names.keys().map(|name| (*name).to_owned()).collect();
    let mut kept = dataset.with_models(&kept);
    for model in &mut kept.models {
        if let Some(id) = names.get(model.as_str()) {
            *model = id.to_string();
        }
    }
    Ok((kept, left_out))
}

fn no_default(dataset: &Dataset, route: &Route) -> PlayError {
    PlayError::NoDefault {
        route: route.name.clone(),
        default: route.default.clone(),
        known: dataset.models.join(", "),
    }
}

/// What chooses on fold 1.
fn taught(world: &World, route: &Route, default_arm: usize) -> Result<Arc<dyn Policy>, PlayError> {
    let context = &world.training[0].context;
    let prior = shipped_or_none(context.schema(), context.features().len());
    let options = LiveOptions {
        settings: Settings::DEFAULT,
        exploration: route.exploration,
        default_arm,
        ..LiveOptions::default()
    };
    let mut live = Live::new(world, options, &AsRecorded, SEED)?.supposing(Arc::new(prior))?;
    live.run(&shuffled(&world.training, SEED), &route.preference);
    let learned: Arc<dyn Policy> = live.pupil.policy(format!("learned@{}", world.training.len()));
    Ok(simple(route, &learned).unwrap_or(learned))
}

/// With which probability each arm serves, shape `[k]`.
fn chances(
    policy: &dyn Policy,
    (world, route): (&World, &Route),
    (case, turn): (&Case, usize),
    default: usize,
) -> Result<Vec<f64>, PolicyError> {
    let arms: Vec<&Arm> = world.arms.iter().collect();
    let proposal = policy.propose(&Ask {
        context: Some(&case.context),
        arms: &arms,
        reference: &world.arms[default],
        preference: &route.preference,
        constraints: &route.constraints,
        input_tokens: case.input_tokens,
        max_output_tokens: None,
        turn: turn as u64,
        at: UnixMs(0),
        exploration: route.exploration,
        allowance: Allowance::UNBOUNDED,
        cached: None,
    })?;
    let drawn = proposal.distribution;
    let of = |arm: &&Arm| drawn.arms().iter().position(|id| *id == arm.id).map_or(0.0, |i| drawn.p()[i]);
    Ok(arms.iter().map(of).collect())
}

fn beside(pairs: &[(f64, f64)]) -> Beside {
    let difference = Value::of(pairs.iter().map(|(ours, default)| ours - default));
    let interval = difference.normal_interval();
    Beside {
        replayed: Value::of(pairs.iter().map(|(ours, _)| *ours)).mean,
        default: Value::of(pairs.iter().map(|(_, default)| *default)).mean,
        difference: difference.mean,
        half_width: (interval.high - interval.low) / 2.0,
    }
}

/// A guard holds when even the bad end of the interval is within its limit.
fn fared(guard: Guard, limit: f64, quality: &Beside, cost: Option<&Beside>) -> Guarded {
    let measured = match guard {
        Guard::QualityDrop => Some((-quality.difference, quality.half_width)),
        Guard::CostRise => cost.map(|c| (c.difference / c.default, c.half_width / c.default)),
        Guard::LatencyRise => None,
    };
    let (change, at_most) = measured.map_or((f64::NAN, f64::NAN), |(change, half)| (change, change + half));
    let failed = match () {
        () if !at_most.is_finite() => Some("the folder does not tell".to_owned()),
        () if at_most > limit => Some(format!("{change:+.4}, and up to {at_most:+.4} with 95 % confidence")),
        () => None,
    };
    Guarded { guard, limit, change, at_most, failed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Constraints, Preference};
    use crate::offline::dataset::{Cell, Row};
    use crate::policy::Exploration;
    use crate::policy::fixtures::{arm, context};
    use crate::routing::RouteStrategy;

    /// Half of the prompts are hard: there the small model fails.
    fn folder(rows: usize) -> (Dataset, Vec<crate::domain::Context>, Vec<Arc<[f32]>>) {
        let hard = |i: usize| i.is_multiple_of(2);
        let cell = |quality: f64, cost_usd: f64| {
            Some(Cell {
                quality,
                cost_usd: Some(cost_usd),
                input_tokens: None,
                output_tokens: None,
                latency_ms: None,
            })
        };
        let row = |i: usize| Row {
            id: i.to_string(),
            task: "t".into(),
            fold: u8::try_from(i / 2 % 4 + 1).unwrap(),
            split: None,
            prompt: "p".into(),
        };
        let dataset = Dataset {
            name: "made-up".into(),
            rows: (0..rows).map(row).collect(),
            models: vec!["big-1".into(), "small-1".into()],
            cells: (0..rows)
                .map(|i| vec![cell(0.9, 10e-6), cell(if hard(i) { 0.1 } else { 0.9 }, 1e-6)])
                .collect(),
        };
        let contexts = (0..rows).map(|i| context(&[if hard(i) { 1.0 } else { -1.0 }])).collect();
        (dataset, contexts, vec![Arc::from([0.0f32]); rows])
    }

    fn route(strategy: RouteStrategy, default: &str) -> Route {
        Route {
            name: RouteName::from("auto"),
            arms: ["maker/big", "maker/small", "maker/unheard"].map(ArmId::from).to_vec(),
            default: ArmId::from(default),
            strategy,
            preference: Preference::balanced(),
            constraints: Constraints::default(),
            exploration: Exploration::DEFAULT,
            session: Default::default(),
            retire: Default::default(),
            conduct: Default::default(),
        }
    }

    fn arms() -> Vec<Arm> {
        [("maker/big", "big-1"), ("maker/small", "small-1"), ("maker/unheard", "x")]
            .map(|(id, model)| Arm { model: model.into(), ..arm(id, 1.0, 1.0) })
            .to_vec()
    }

    fn played(strategy: RouteStrategy, default: &str, guards: &[(Guard, f64)]) -> Played {
        let (dataset, contexts, vectors) = folder(800);
        let lesson = Lesson { dataset: &dataset, contexts: &contexts, vectors: &vectors };
        play(&lesson, (&arms(), &route(strategy, default)), &guards.iter().copied().collect()).unwrap()
    }

    #[test]
    fn a_learned_route_beside_its_default_and_guards_by_the_bad_end() {
        let guards = [(Guard::QualityDrop, 0.05), (Guard::CostRise, -0.2), (Guard::LatencyRise, 1.0)];
        let learned = played(RouteStrategy::Learned, "maker/big", &guards);
        assert_eq!((learned.learned_from, learned.prompts), (600, 200));
        assert_eq!(learned.left_out, [ArmId::from("maker/unheard")]);
        let cost = learned.cost_usd.unwrap();
        assert!((cost.default - 10e-6).abs() < 1e-12 && (learned.quality.default - 0.9).abs() < 1e-12);
        assert!(
            learned.quality.difference > -0.05,
            "hard prompts stay with the big model: {:?}",
            learned.quality
        );
        assert!(cost.difference < -0.3 * cost.default, "easy ones go to the small: {cost:?}");
        let failed: Vec<Guard> =
            learned.guards.iter().filter(|g| g.failed.is_some()).map(|g| g.guard).collect();
        assert_eq!(failed, [Guard::LatencyRise], "{:?}", learned.guards);

        let small = played(RouteStrategy::Cheapest, "maker/big", &guards);
        assert!((small.quality.replayed - 0.5).abs() < 1e-9, "{:?}", small.quality);
        assert!(small.guards[0].failed.as_deref().unwrap().contains("95 % confidence"));
        let fixed = played(RouteStrategy::Fixed, "maker/small", &guards);
        assert_eq!(fixed.quality.difference, 0.0);
        assert!((fixed.shares[&ArmId::from("maker/small")] - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_default_without_outcomes_is_named() {
        let (dataset, contexts, vectors) = folder(8);
        let lesson = Lesson { dataset: &dataset, contexts: &contexts, vectors: &vectors };
        let error = play(&lesson, (&arms(), &route(RouteStrategy::Fixed, "maker/unheard")), &BTreeMap::new());
        let error = error.unwrap_err().to_string();
        assert!(error.contains("maker/unheard") && error.contains("big-1, small-1"), "{error}");
    }
}
