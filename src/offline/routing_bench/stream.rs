//! One pass over the training folds as the service would have lived it.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::BenchOptions;
use super::world::{Case, World};
use crate::domain::{Allowance, Arm, ArmPrior, Constraints, PolicyVersion, Preference, UnixMs};
use crate::policy::explore::draw;
use crate::policy::{
    Ask, Bill, Exploration, LearnedPolicy, LearnedState, Learner, Observation, Policy, Prior, Provenance,
    Settings, StateError,
};

/// How a stream is learned from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StreamOptions {
    /// How much may be given up to learn.
    pub exploration: Exploration,
    /// Share of drawn arms whose quality is reported; cost always is.
    pub feedback: f64,
    /// Share of prompts on which the quality of every arm is reported, as an offline test would.
    pub full: f64,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self { exploration: Exploration::DEFAULT, feedback: 1.0, full: 0.0 }
    }
}

/// Milliseconds between two requests.
const PACE_MS: i64 = 1000;

/// What a user's report counts with weight 1; see [`Observation::Quality`].
const USERS_PRECISION: f64 = 1.0;

/// A learner and the arms' clocks, which the log keeps elsewhere.
pub struct Pupil<'a> {
    world: &'a World,
    state: LearnedState,
    ticks: Vec<u64>,
}

impl<'a> Pupil<'a> {
    /// Knows nothing.
    pub fn new(world: &'a World, options: &Settings) -> Result<Self, StateError> {
        let none = Prior::none(world.training[0].context.features().len());
        Self::with_prior(world, options, Arc::new(none))
    }

    /// Supposes what the prior does.
    pub fn with_prior(world: &'a World, options: &Settings, prior: Arc<Prior>) -> Result<Self, StateError> {
        let context = &world.training[0].context;
        let (schema, dim) = (context.schema().clone(), context.features().len());
        let state = LearnedState::with_prior(schema, prior, dim, *options)?;
        Ok(Self { world, state, ticks: vec![0; world.arms.len()] })
    }

    /// Is told that a prompt was asked.
    pub fn asked(&mut self, case: &Case, at: UnixMs) {
        self.apply(&Observation::Asked { context: &case.context, at });
    }

    /// Is told that arm `k` has joined, as the service tells its learner of a model that is new in the configuration.
    pub fn joined(&mut self, k: usize) {
        let (arm, prior) = (&self.world.arms[k].id, &ArmPrior::Unknown);
        self.apply(&Observation::Added { arm, prior });
    }

    /// Is told what `arm`, at its price of that time, cost on a prompt.
    pub fn charge(&mut self, case: &Case, arm: &Arm, cost_usd: f64, at: UnixMs) {
        if self.world.priced {
            self.apply(&charged(case, arm, cost_usd, at));
        }
    }

    /// Is told how good arm `k` was on a prompt.
    pub fn rate(&mut self, case: &Case, k: usize, value: f64) {
        self.ticks[k] += 1;
        self.apply(&rated(case, &self.world.arms[k], value, self.ticks[k]));
    }

    /// A recorded outcome is sound; one that is not teaches nothing, as in the service.
    fn apply(&mut self, seen: &Observation<'_>) {
        if let Err(fault) = self.state.apply(seen) {
            tracing::warn!(%fault, "an outcome was set aside");
        }
    }

    /// What it has learned.
    pub fn policy(&self, version: String) -> Arc<LearnedPolicy> {
        self.state.snapshot(PolicyVersion::new(version))
    }
}

/// A report of what a call cost and nothing else, as callers of `/v1/route` send it who do not count tokens.
pub fn charged<'a>(case: &'a Case, arm: &'a Arm, cost_usd: f64, at: UnixMs) -> Observation<'a> {
    Observation::Answered {
        arm: &arm.id,
        context: Some(&case.context),
        input_tokens: case.input_tokens,
        output_tokens: None,
        bill: Some(Bill { cost_usd, price: arm.price, asked_tokens: case.input_tokens, cached_share: None }),
        kind: None,
        first_token_ms: None,
        total_ms: None,
        at,
    }
}

/// A user's report of how good an answer was.
pub fn rated<'a>(case: &'a Case, arm: &'a Arm, value: f64, tick: u64) -> Observation<'a> {
    Observation::Quality {
        arm: &arm.id,
        context: &case.context,
        value,
        weight: USERS_PRECISION,
        tick,
        replaces: None,
        from: Provenance::default(),
    }
}

/// The question of one prompt, asked with `with`.
pub fn ask<T>(world: &World, case: &Case, preference: &Preference, with: impl FnOnce(&Ask<'_>) -> T) -> T {
    let arms: Vec<&Arm> = world.arms.iter().collect();
    with(&Ask {
        context: Some(&case.context),
        arms: &arms,
        reference: &world.arms[0],
        preference,
        constraints: &Constraints::default(),
        input_tokens: case.input_tokens,
        max_output_tokens: None,
        turn: 0,
        at: UnixMs(0),
        exploration: Exploration::NONE,
        allowance: Allowance::UNBOUNDED,
        cached: None,
    })
}

/// The order in which a stream takes its rows.
pub fn shuffled(rows: usize, rng: &mut StdRng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows).collect();
    order.shuffle(rng);
    order
}

/// Lives through the training folds in the order of `seed`.
pub fn learn(
    world: &World,
    options: &BenchOptions,
    grid: &[f64],
    seed: u64,
) -> Result<Arc<LearnedPolicy>, StateError> {
    let mut rng = StdRng::seed_from_u64(seed);
    let order = shuffled(world.training.len(), &mut rng);
    let mut pupil = Pupil::new(world, &options.settings)?;
    for (turn, i) in order.into_iter().enumerate() {
        let case = &world.training[i];
        let at = UnixMs(turn as i64 * PACE_MS);
        let quality_usd = grid[rng.random_range(0..grid.len())];
        let preference = Preference::Value { quality_usd, second_usd: 0.0 };
        let policy = pupil.policy(format!("learned@{turn}"));
        let exploration = options.stream.exploration;
        let proposed = ask(world, case, &preference, |a| policy.propose(&Ask { at, exploration, ..*a }));
        drop(policy);
        let Ok(proposed) = proposed else { continue };
        let drawn = draw(&proposed.distribution, rng.random());
        let Some(k) = world.arms.iter().position(|arm| arm.id == drawn.arm) else { continue };
        pupil.asked(case, at);
        pupil.charge(case, &world.arms[k], case.outcomes[k].cost_usd, at);
        if rng.random_bool(options.stream.full) {
            (0..world.arms.len()).for_each(|k| pupil.rate(case, k, case.outcomes[k].quality));
        } else if rng.random_bool(options.stream.feedback) {
            pupil.rate(case, k, case.outcomes[k].quality);
        }
    }
    Ok(pupil.policy(format!("learned@{}", world.training.len())))
}
