//! A stream of requests as the service would have lived it: route first, hear of the outcome after.

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::stream::Pupil;
use super::world::{Case, Outcome, World};
use crate::domain::{Arm, ArmId, BudgetLimits, Constraints, Multiplier, Preference, UnixMs};
use crate::policy::budget::{Amount, PaceSettings, Pacer, Purse, offers};
use crate::policy::explore::draw;
use crate::policy::{Ask, Exploration, Policy, Proposal, Settings, StateError};

/// What the world does while a stream runs; `turn` counts requests from 0. As it is, the world is as recorded.
pub trait Script {
    /// What arm `k` does with a prompt.
    fn outcome(&self, _turn: usize, case: &Case, k: usize) -> Outcome {
        case.outcomes[k]
    }

    /// Arm `k` as configured at that time; `None`: it is not offered.
    fn arm(&self, _turn: usize, arm: &Arm, _k: usize) -> Option<Arm> {
        Some(arm.clone())
    }
}

/// As recorded.
#[derive(Debug, Clone, Copy)]
pub struct AsRecorded;

impl Script for AsRecorded {}

/// How a stream is lived through.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LiveOptions {
    /// Of the policy.
    pub settings: Settings,
    /// How much may be given up to learn.
    pub exploration: Exploration,
    /// Share of the answers whose quality is reported; cost always is.
    pub feedback: f64,
    /// Milliseconds between two requests.
    pub pace_ms: i64,
}

impl Default for LiveOptions {
    fn default() -> Self {
        let (settings, exploration) = (Settings::DEFAULT, Exploration::DEFAULT);
        Self { settings, exploration, feedback: 1.0, pace_ms: 100 }
    }
}

/// One request and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The arm that answered.
    pub arm: usize,
    /// Its quality.
    pub quality: f64,
    /// Its cost, USD.
    pub cost_usd: f64,
    /// Whether the quality was reported.
    pub rated: bool,
    /// With which probability each arm could have been drawn, shape `[k]`.
    pub chances: Vec<f64>,
}

/// A scope's two layers.
struct Budget {
    purse: Purse,
    pacer: Pacer,
}

/// A stream that runs.
pub struct Live<'a> {
    world: &'a World,
    options: LiveOptions,
    script: &'a dyn Script,
    /// What has been learned.
    pub pupil: Pupil<'a>,
    budget: Option<Budget>,
    rng: StdRng,
    turn: usize,
}

impl<'a> Live<'a> {
    /// Before the first request.
    ///
    /// # Errors
    /// When the settings give no policy.
    pub fn new(
        world: &'a World,
        options: LiveOptions,
        script: &'a dyn Script,
        seed: u64,
    ) -> Result<Self, StateError> {
        let pupil = Pupil::new(world, &options.settings)?;
        // Another stream of numbers than the order's.
        let rng = StdRng::seed_from_u64(seed ^ 0x6c69_7665);
        Ok(Self { world, options, script, pupil, budget: None, rng, turn: 0 })
    }

    /// Keeps to a budget from now on.
    pub fn with_budget(mut self, limits: &BudgetLimits) -> Self {
        let (purse, pacer) = (Purse::new(limits, UnixMs(0)), Pacer::new(PaceSettings::DEFAULT));
        self.budget = Some(Budget { purse, pacer });
        self
    }

    fn multiplier(&mut self, at: UnixMs) -> Multiplier {
        let Some(Budget { purse, pacer }) = &mut self.budget else { return Multiplier::FREE };
        if purse.turn(at) {
            pacer.forgive();
        }
        pacer.refresh(at);
        pacer.multiplier()
    }

    /// Books a call as the service does: what was expected when it was drawn, and what it came to.
    fn pay(&mut self, proposal: &Proposal, drawn: &ArmId, cost_usd: f64, at: UnixMs) {
        let Some(Budget { purse, pacer }) = &mut self.budget else { return };
        let expected = proposal.estimates.iter().find(|e| e.arm == *drawn).map_or(0.0, |e| e.cost_usd);
        let priced_at = pacer.multiplier().likelier();
        let offers = offers(&proposal.estimates, &Constraints::default(), priced_at);
        purse.count(at);
        pacer.requested(offers, purse.per_request_usd(at).unwrap_or(f64::INFINITY), expected);
        purse.spend(Amount::of_usd(cost_usd), None);
        pacer.settled(expected, cost_usd);
    }

    /// Lives through `cases` in this order.
    pub fn run(&mut self, cases: &[&Case], preference: &Preference) -> Vec<Step> {
        cases.iter().filter_map(|case| self.step(case, preference)).collect()
    }

    /// One request; `None` when the policy has no answer.
    pub fn step(&mut self, case: &Case, preference: &Preference) -> Option<Step> {
        let turn = self.turn;
        self.turn += 1;
        let at = UnixMs(turn as i64 * self.options.pace_ms);
        let offered: Vec<Arm> = (0..self.world.arms.len())
            .filter_map(|k| self.script.arm(turn, &self.world.arms[k], k))
            .collect();
        let arms: Vec<&Arm> = offered.iter().collect();
        let policy = self.pupil.policy(format!("learned@{turn}"));
        let ask = Ask {
            context: Some(&case.context),
            arms: &arms,
            reference: arms.first()?,
            preference,
            constraints: &Constraints::default(),
            input_tokens: case.input_tokens,
            max_output_tokens: None,
            turn: turn as u64,
            at,
            exploration: self.options.exploration,
            multiplier: self.multiplier(at),
            cached: None,
        };
        let proposal = policy.propose(&ask).ok()?;
        drop(policy);
        let distribution = &proposal.distribution;
        let drawn = draw(distribution, self.rng.random());
        let chance = |arm: &Arm| distribution.arms().iter().position(|id| *id == arm.id);
        let chances = self.world.arms.iter().map(|arm| chance(arm).map_or(0.0, |i| distribution.p()[i]));
        let chances: Vec<f64> = chances.collect();
        let k = self.world.arms.iter().position(|arm| arm.id == drawn.arm)?;
        let outcome = self.script.outcome(turn, case, k);
        self.pay(&proposal, &drawn.arm, outcome.cost_usd, at);
        let rated = self.rng.random_bool(self.options.feedback);
        self.pupil.charge(case, k, &outcome, at);
        if rated {
            self.pupil.rate(case, k, outcome.quality);
        }
        Some(Step { arm: k, quality: outcome.quality, cost_usd: outcome.cost_usd, rated, chances })
    }
}

/// The cases in an order that depends on `seed` alone.
pub fn shuffled(cases: &[Case], seed: u64) -> Vec<&Case> {
    let mut order: Vec<&Case> = cases.iter().collect();
    order.shuffle(&mut StdRng::seed_from_u64(seed));
    order
}
