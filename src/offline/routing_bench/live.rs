//! A stream of requests as the service would have lived it: route first, hear of the outcome after.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::stream::Pupil;
use super::world::{Case, Outcome, World};
use crate::domain::{Allowance, Arm, ArmId, BudgetLimits, Constraints, Preference, UnixMs};
use crate::policy::budget::{Amount, PaceSettings, Pacer, Purse, offers};
use crate::policy::explore::draw;
use crate::policy::{Ask, Exploration, Policy, Prior, Proposal, Settings, StateError};

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
    /// Index of the arm that the route has as its default: the unit of weights and of floors.
    pub default_arm: usize,
}

impl Default for LiveOptions {
    fn default() -> Self {
        let (settings, exploration) = (Settings::DEFAULT, Exploration::DEFAULT);
        Self { settings, exploration, feedback: 1.0, pace_ms: 100, default_arm: 0 }
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

/// A request that was put to the policy, as the service puts it.
#[derive(Debug, Clone)]
pub struct Asked<'c> {
    /// The prompt.
    pub case: &'c Case,
    /// What was expected of whom, and with which chances.
    pub proposal: Proposal,
    /// What its budget allowed.
    pub allowance: Allowance,
    /// As offered, shape `[<= k]`.
    arms: Vec<Arm>,
    turn: usize,
    at: UnixMs,
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

    /// Begins with what `prior` supposes; what was learned so far is forgotten.
    ///
    /// # Errors
    /// When the prior is over other features.
    pub fn supposing(mut self, prior: Arc<Prior>) -> Result<Self, StateError> {
        self.pupil = Pupil::with_prior(self.world, &self.options.settings, prior)?;
        Ok(self)
    }

    /// Keeps to a budget that is full at `at`.
    pub fn with_budget(mut self, limits: &BudgetLimits, at: UnixMs) -> Self {
        let (purse, pacer) = (Purse::new(limits, at), Pacer::new(PaceSettings::DEFAULT));
        self.budget = Some(Budget { purse, pacer });
        self
    }

    fn allowance(&mut self, at: UnixMs) -> Allowance {
        let Some(Budget { purse, pacer }) = &mut self.budget else { return Allowance::UNBOUNDED };
        if purse.turn(at) {
            pacer.forgive();
        }
        Allowance {
            multiplier: pacer.multiplier(),
            per_request_usd: purse.per_request_usd(at),
            unspent_usd: pacer.unspent_usd(),
        }
    }

    /// Books a decision as the service does, before its call: the price for the next request is found here.
    fn book(&mut self, asked: &Asked<'_>, expected_usd: f64) {
        let Some(Budget { purse, pacer }) = &mut self.budget else { return };
        let offers =
            offers(&asked.proposal.estimates, &Constraints::default(), asked.allowance.multiplier.likelier());
        purse.count(asked.at);
        let Some(budget) = purse.per_request_usd(asked.at) else { return };
        pacer.requested(offers, budget, expected_usd);
        pacer.refresh(asked.at);
    }

    /// Books what the call came to.
    fn settle(&mut self, expected_usd: f64, cost_usd: f64) {
        let Some(Budget { purse, pacer }) = &mut self.budget else { return };
        purse.spend(Amount::of_usd(cost_usd), None);
        pacer.settled(expected_usd, cost_usd);
    }

    /// Lives through `cases` in this order.
    pub fn run(&mut self, cases: &[&Case], preference: &Preference) -> Vec<Step> {
        cases.iter().filter_map(|case| self.step(case, preference)).collect()
    }

    /// One request; `None` when the policy has no answer.
    pub fn step(&mut self, case: &Case, preference: &Preference) -> Option<Step> {
        let at = UnixMs(self.turn as i64 * self.options.pace_ms);
        let asked = self.ask(case, preference, at)?;
        let distribution = &asked.proposal.distribution;
        let drawn = draw(distribution, self.rng.random());
        let chance = |arm: &Arm| distribution.arms().iter().position(|id| *id == arm.id);
        let chances = self.world.arms.iter().map(|arm| chance(arm).map_or(0.0, |i| distribution.p()[i]));
        let chances: Vec<f64> = chances.collect();
        let k = self.world.arms.iter().position(|arm| arm.id == drawn.arm)?;
        let outcome = self.script.outcome(asked.turn, case, k);
        let rated = self.rng.random_bool(self.options.feedback);
        self.answered(&asked, &drawn.arm, outcome.cost_usd, at);
        if rated {
            self.pupil.rate(case, k, outcome.quality);
        }
        Some(Step { arm: k, quality: outcome.quality, cost_usd: outcome.cost_usd, rated, chances })
    }

    /// Puts a request to the policy; `None` when it has no answer.
    pub fn ask<'c>(&mut self, case: &'c Case, preference: &Preference, at: UnixMs) -> Option<Asked<'c>> {
        let turn = self.turn;
        self.turn += 1;
        let arms: Vec<Arm> = (0..self.world.arms.len())
            .filter_map(|k| self.script.arm(turn, &self.world.arms[k], k))
            .collect();
        let offered: Vec<&Arm> = arms.iter().collect();
        let allowance = self.allowance(at);
        let policy = self.pupil.policy(format!("learned@{turn}"));
        let proposal = policy.propose(&Ask {
            context: Some(&case.context),
            arms: &offered,
            reference: &self.world.arms[self.options.default_arm],
            preference,
            constraints: &Constraints::default(),
            input_tokens: case.input_tokens,
            max_output_tokens: None,
            turn: turn as u64,
            at,
            exploration: self.options.exploration,
            allowance,
            cached: None,
        });
        Some(Asked { case, proposal: proposal.ok()?, allowance, arms, turn, at })
    }

    /// The drawn arm was called, and its cost reported at `at`.
    pub fn answered(&mut self, asked: &Asked<'_>, drawn: &ArmId, cost_usd: f64, at: UnixMs) {
        let expected = asked.proposal.estimates.iter().find(|e| e.arm == *drawn).map_or(0.0, |e| e.cost_usd);
        self.book(asked, expected);
        self.settle(expected, cost_usd);
        self.pupil.asked(asked.case, asked.at);
        if let Some(arm) = asked.arms.iter().find(|arm| arm.id == *drawn) {
            self.pupil.charge(asked.case, arm, cost_usd, at);
        }
    }
}

/// The cases in an order that depends on `seed` alone.
pub fn shuffled(cases: &[Case], seed: u64) -> Vec<&Case> {
    let mut order: Vec<&Case> = cases.iter().collect();
    order.shuffle(&mut StdRng::seed_from_u64(seed));
    order
}
