//! The learned policy: heads per arm, utility, exploration; and the state that is folded from the log.

mod checkup;
mod rate;
mod state;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

pub use checkup::{ArmReport, Checkup, WatchReport};
pub use state::{LearnedState, Roster, Settings, StateError};

use super::Typical;
use super::budget::{Offer, Problem};
use super::drift::{Alarm, TrafficWatch};
use super::explore::thrift::{self, Means};
use super::explore::{Stakes, gamma};
use super::heads::{ArmState, Call};
use super::nursery::Hopes;
use super::prior::{LevelPrior, Peer};
use super::reporters::Reporters;
use super::utility::{Reference, Scale, within_bounds};
use super::{Ask, Policy, PolicyError, Proposal, Standing, nursery};
use crate::domain::{
    Arm, ArmDistribution, ArmEstimate, ArmId, Bound, Context, ContextError, DistributionError, FeatureSchema,
    Multiplier, PolicyVersion, Strategy, UnixMs,
};

/// A default that answers faster counts as this fast: below it nobody waits, and noise would pass for a preference.
const LEAST_REFERENCE_MS: f64 = 100.0;

/// Features are standardised: none is beyond this but by mistake.
const MOST_FEATURE: f32 = 1000.0;

/// A snapshot of the learner; immutable, shared by requests.
#[derive(Debug, Clone)]
pub struct LearnedPolicy {
    version: PolicyVersion,
    schema: FeatureSchema,
    dim: usize,
    gamma: f64,
    /// What the arms' quality has in common, shape `[d]`.
    pull: Vec<f64>,
    /// Mean quality of each arm by its reports alone, and its variance.
    levels: BTreeMap<ArmId, (f64, f64)>,
    level_prior: LevelPrior,
    /// Reports on any arm so far.
    heard: u64,
    alarms: Arc<VecDeque<Alarm>>,
    raised: u64,
    traffic: Arc<TrafficWatch>,
    roster: Arc<Roster>,
    reporters: Arc<Reporters>,
    unknown: Arc<ArmState>,
    arms: BTreeMap<ArmId, Arc<ArmState>>,
}

impl LearnedPolicy {
    /// What is known of the arm; of one that was never observed, the priors.
    fn state_of(&self, arm: &ArmId) -> &ArmState {
        self.arms.get(arm).unwrap_or(&self.unknown)
    }

    /// What is expected of each eligible arm, in the order asked, utilities included.
    ///
    /// # Errors
    /// When there is no context, or it is of another schema.
    pub fn estimates(&self, ask: &Ask<'_>) -> Result<Vec<ArmEstimate>, PolicyError> {
        let x = self.features(ask.context.ok_or(PolicyError::NoContext)?)?;
        let call = Call {
            x: &x,
            pull: &self.pull,
            lift: 0.0,
            heard: self.heard,
            input_tokens: ask.input_tokens,
            max_output_tokens: ask.max_output_tokens,
            at: ask.at,
        };
        let mut scratch = Vec::with_capacity(self.dim);
        let estimate = |(arm, lift): (&&Arm, f64)| {
            self.state_of(&arm.id).estimate(arm, &Call { lift, ..call }, &mut scratch)
        };
        let mut estimates: Vec<ArmEstimate> =
            ask.arms.iter().zip(self.lifts(ask.arms)).map(estimate).collect();
        self.price_the_cache(ask, &mut estimates);
        let scale = self.scale(ask, &estimates).dearer(ask.allowance.multiplier.likelier());
        for (utility, estimate) in scale.utilities(&estimates).into_iter().zip(&mut estimates) {
            estimate.utility = utility;
        }
        Ok(estimates)
    }

    /// By how much the others say of each arm's level that it is above what nobody knows of it.
    fn lifts(&self, arms: &[&Arm]) -> impl Iterator<Item = f64> {
        let peer = |arm: &&Arm| {
            let usd = arm.price.blended();
            let (mean, variance) = self.levels.get(&arm.id).copied().unwrap_or((0.0, f64::INFINITY));
            Peer { log_usd: (usd > 0.0).then(|| usd.ln()), mean, variance }
        };
        let peers: Vec<Peer> = arms.iter().map(peer).collect();
        let level = self.level_prior.level;
        self.level_prior.expect(&peers).into_iter().map(move |expected| expected - level)
    }

    /// The arm that a conversation is on costs less for what its provider has of it in its cache, and the others have nothing of
    /// it: so the lost cache is the price of a switch. An arm's estimate holds the share that is cached on the average.
    fn price_the_cache(&self, ask: &Ask<'_>, estimates: &mut [ArmEstimate]) {
        let Some(cached) = ask.cached else { return };
        let asked = f64::from(ask.input_tokens);
        for (arm, estimate) in ask.arms.iter().zip(estimates) {
            let on_average = self.state_of(&arm.id).cost().cached_share() * asked;
            let here = if arm.id == *cached.arm { f64::from(cached.tokens).min(asked) } else { 0.0 };
            let saved = arm.price.cache_saving_usd(here - on_average);
            estimate.cost_usd = (estimate.cost_usd - saved).max(0.0);
        }
    }

    fn features(&self, context: &Context) -> Result<Vec<f64>, ContextError> {
        check_context(context, &self.schema, self.dim)?;
        Ok(context.features().iter().map(|x| f64::from(*x)).collect())
    }

    /// What the caller's preference makes of an estimate, before a budget's price.
    fn scale(&self, ask: &Ask<'_>, estimates: &[ArmEstimate]) -> Scale {
        Scale::new(ask.preference, &self.reference(ask, estimates))
    }

    /// The default arm's typical call. When that arm is free, the mean over the eligible arms stands in for its cost.
    fn reference(&self, ask: &Ask<'_>, estimates: &[ArmEstimate]) -> Reference {
        let state = self.state_of(&ask.reference.id);
        let own = state.typical_cost_usd(ask.reference);
        let mean = || estimates.iter().map(|e| e.cost_usd).sum::<f64>() / estimates.len().max(1) as f64;
        Reference {
            cost_usd: if own > 0.0 { own } else { mean() },
            latency_ms: state.typical_latency_ms(ask.at).max(LEAST_REFERENCE_MS),
        }
    }

    /// Quality reports that went into this snapshot for `arm`.
    pub fn quality_feedbacks(&self, arm: &ArmId) -> u64 {
        self.state_of(arm).quality().reports()
    }

    /// Those of them that still count, after forgetting and alarms; what is little known, or doubted, is explored more.
    fn evidence(&self, arm: &ArmId) -> u64 {
        self.state_of(arm).quality().ridge().evidence().round() as u64
    }

    /// Reports on the arm, or what stands for them.
    fn heard_of(&self, arm: &ArmId) -> f64 {
        let quality = self.state_of(arm).quality();
        quality.ridge().evidence().max(quality.reports() as f64)
    }

    /// Whether the arm joined and fewer reports than that, or what stands for them, have come.
    fn joined_within(&self, arm: &ArmId, reports: f64) -> bool {
        self.roster.added.contains(arm) && self.heard_of(arm) < reports
    }

    /// How far the arm's mean quality may be off, one standard deviation.
    fn level_sd(&self, arm: &ArmId) -> f64 {
        let ridge = self.state_of(arm).quality().ridge();
        (ridge.evidence() / ridge.sigma().powi(2) + self.level_prior.own_sd.powi(-2)).sqrt().recip()
    }

    /// What a dollar costs besides. The first request of a budget comes before anybody has found that: it is found from what this
    /// request alone is offered, or the arm that is thought best would be drawn whatever it costs.
    fn multiplier(&self, ask: &Ask<'_>, estimates: &[ArmEstimate], drawable: &[usize]) -> Multiplier {
        let told = ask.allowance.multiplier;
        let Some(budget) = ask.allowance.per_request_usd.filter(|_| ask.allowance.is_unpriced()) else {
            return told;
        };
        let offer = |i: &usize| Offer { utility: estimates[*i].utility, cost_usd: estimates[*i].cost_usd };
        let found = Problem::new(vec![drawable.iter().map(offer).collect()], budget).solve().multiplier;
        if ask.exploration.is_greedy() { Multiplier::certain(found.likelier()) } else { found }
    }

    /// Over all eligible arms, and the index of the best at the likelier price of a dollar. Where a budget has two prices the two
    /// distributions are mixed by their shares.
    fn distribution(
        &self,
        ask: &Ask<'_>,
        estimates: &[ArmEstimate],
    ) -> Result<(ArmDistribution, usize, Vec<Bound>), DistributionError> {
        let (drawable, relaxed) = within_bounds(estimates, ask.constraints);
        let costs_usd: Vec<f64> = drawable.iter().map(|i| estimates[*i].cost_usd).collect();
        let doubts: Vec<f64> = drawable.iter().map(|i| estimates[*i].quality.sd).collect();
        let gamma_of = |i: &usize| gamma(self.gamma, self.evidence(&estimates[*i].arm));
        let gammas: Vec<f64> = drawable.iter().map(gamma_of).collect();
        // Where nothing is known of anybody, nobody is new.
        let seasoned = drawable.iter().any(|i| self.heard_of(&estimates[*i].arm) >= nursery::LONG_ENOUGH);
        let within =
            |reports: f64| move |i: &usize| seasoned && self.joined_within(&estimates[*i].arm, reports);
        let is_new: Vec<bool> = drawable.iter().map(within(nursery::FIRST_LOOK)).collect();
        let is_young: Vec<bool> = drawable
            .iter()
            .map(within(nursery::GROWN))
            .zip(&is_new)
            .map(|(young, new)| young && !new)
            .collect();
        let level_sds: Vec<f64> = drawable.iter().map(|i| self.level_sd(&estimates[*i].arm)).collect();
        let hopes = Hopes { is_young: &is_young, level_sds: &level_sds, allowance: &ask.allowance };
        let reference_usd = self.reference(ask, estimates).cost_usd;
        let own = self.scale(ask, estimates);
        let (mut p, mut best) = (vec![0.0; estimates.len()], 0);
        let multiplier = self.multiplier(ask, estimates, &drawable);
        for (price, share) in multiplier.parts() {
            let all = own.dearer(price).utilities(estimates);
            let utilities: Vec<f64> = drawable.iter().map(|i| all[*i]).collect();
            let stakes =
                Stakes { utilities: &utilities, costs_usd: &costs_usd, reference_usd, gammas: &gammas };
            let (mut part, first) = nursery::shares(&stakes, &is_new, &ask.exploration);
            if let Some(first) = first {
                let means = Means { allowance: &ask.allowance, doubts: &doubts, is_new: &is_new };
                thrift::spare_dear_arms(&stakes, first, &means, &mut part);
                thrift::invest(&stakes, first, &means, &ask.exploration, &mut part);
                nursery::raise(&stakes, first, &hopes, &ask.exploration, &mut part);
            }
            drawable.iter().zip(part).for_each(|(i, part)| p[*i] += share * part);
            if price == multiplier.likelier() {
                best = first.map_or(0, |first| drawable[first]);
            }
        }
        let arms = estimates.iter().map(|e| e.arm.clone()).collect();
        Ok((ArmDistribution::new(arms, p)?, best, relaxed))
    }
}

impl Policy for LearnedPolicy {
    fn reporters(&self) -> Option<&Reporters> {
        Some(&self.reporters)
    }

    fn version(&self) -> &PolicyVersion {
        &self.version
    }

    fn strategy(&self) -> Strategy {
        Strategy::Learned
    }

    fn wants_context(&self) -> bool {
        true
    }

    fn typical(&self, arm: &Arm, input_tokens: u32, at: UnixMs) -> Option<Typical> {
        let state = self.state_of(&arm.id);
        let cost_usd = state.typical_answer_cost_usd(arm, input_tokens);
        Some(Typical { cost_usd, latency_ms: state.typical_latency_ms(at) })
    }

    fn checkup(&self) -> Option<Checkup> {
        Some(self.report())
    }

    fn alarms_raised(&self) -> u64 {
        self.raised
    }

    fn standing(&self, arm: &ArmId) -> Option<Standing> {
        if self.roster.removed.contains(arm) {
            Some(Standing::Removed)
        } else if self.joined_within(arm, nursery::LONG_ENOUGH) {
            Some(Standing::Nursery)
        } else {
            (self.arms.contains_key(arm) || self.roster.added.contains(arm)).then_some(Standing::Steady)
        }
    }

    fn present(&self) -> Vec<(ArmId, u64)> {
        let all: BTreeSet<&ArmId> = self.arms.keys().chain(&self.roster.added).collect();
        let stayed = all.into_iter().filter(|arm| !self.roster.removed.contains(*arm));
        stayed.map(|arm| (arm.clone(), self.quality_feedbacks(arm))).collect()
    }

    fn propose(&self, ask: &Ask<'_>) -> Result<Proposal, PolicyError> {
        let mut estimates = self.estimates(ask)?;
        let (distribution, best, relaxed) = self.distribution(ask, &estimates)?;
        let greedy = estimates[best].arm.clone();
        estimates.sort_by(|a, b| b.utility.total_cmp(&a.utility).then_with(|| a.arm.cmp(&b.arm)));
        Ok(Proposal { distribution, greedy, estimates, relaxed })
    }
}

/// A vector of the right name but another length is of another schema too.
fn check_context(context: &Context, schema: &FeatureSchema, dim: usize) -> Result<(), ContextError> {
    let found = context.features().len();
    if context.schema() != schema {
        return Err(ContextError::WrongSchema { wanted: schema.clone(), found: context.schema().clone() });
    }
    if found != dim {
        let named = |d: usize| FeatureSchema::new(format!("{schema} of {d} features"));
        return Err(ContextError::WrongSchema { wanted: named(dim), found: named(found) });
    }
    match context.features().iter().position(|x| x.is_nan() || x.abs() > MOST_FEATURE) {
        Some(position) => {
            Err(ContextError::TooLarge { position, schema: schema.clone(), limit: MOST_FEATURE as u32 })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
