//! What a policy would have done with logged decisions: the same contexts and callers, asked again.

use std::sync::Arc;

use rayon::prelude::*;

use super::traces::{Row, Traces};
use crate::domain::{Allowance, Arm, ArmId, Constraints, Context, FeatureSchema, Preference};
use crate::policy::{Ask, Exploration, Policy, PolicyError, Proposal};

/// How one route chooses.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Sorted by id, at least one.
    pub arms: Vec<Arm>,
    /// The unit in which weights measure.
    pub default: Arm,
    /// What chooses.
    pub policy: Arc<dyn Policy>,
    /// How much it may give up to learn.
    pub exploration: Exploration,
    /// What callers without wishes of their own get; `None`: what the log says.
    pub wishes: Option<(Preference, Constraints)>,
}

/// A plan for each route of the log; `None`: the route is gone, its decisions are left out.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Shape of `Traces::routes`.
    pub plans: Vec<Option<Plan>>,
    /// What callers without wishes of their own got, by route.
    usual: Vec<Option<(Preference, Constraints)>>,
    schema: FeatureSchema,
}

/// Why there is no scenario.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// No prices.
    #[error("the log does not tell what {arm} charges: name the configuration with --config")]
    NoPrice {
        /// Whose.
        arm: ArmId,
    },
    /// Nothing to evaluate.
    #[error(
        "the log holds no evaluable decision: routes must use the learned strategy and explore \
         (`exploration.max_expected_loss` above 0)"
    )]
    NothingEvaluable,
}

/// What a policy makes of one row.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// Index into the traces' rows.
    pub row: usize,
    /// Its probability of each arm by the scenario's numbering, zeros left out.
    pub shares: Vec<(usize, f64)>,
}

impl Scenario {
    /// Every route of the log, its arms at the prices that the log tells, under `policy`.
    ///
    /// # Errors
    /// When a price cannot be told or nothing is evaluable.
    pub fn as_logged(
        traces: &Traces,
        schema: &FeatureSchema,
        policy: &Arc<dyn Policy>,
    ) -> Result<Self, ScenarioError> {
        let catalog = traces.catalog();
        let find = |id: &ArmId| catalog.iter().find(|a| a.id == *id).cloned();
        let plan = |route: usize| -> Result<Plan, ScenarioError> {
            let mut used = vec![false; traces.arms.len()];
            let rows = (0..traces.rows.len()).filter(|i| traces.rows[*i].route == route);
            rows.for_each(|i| traces.shares(i).iter().for_each(|(arm, _)| used[*arm as usize] = true));
            let ids = traces.arms.iter().zip(&used).filter(|(_, used)| **used).map(|(id, _)| id);
            let mut arms = ids
                .map(|id| find(id).ok_or_else(|| ScenarioError::NoPrice { arm: id.clone() }))
                .collect::<Result<Vec<Arm>, _>>()?;
            arms.sort_by(|a, b| a.id.cmp(&b.id));
            let default = traces.usual_arm(route).and_then(find).ok_or(ScenarioError::NothingEvaluable)?;
            let exploration = Exploration::DEFAULT;
            Ok(Plan { arms, default, policy: Arc::clone(policy), exploration, wishes: None })
        };
        if traces.rows.is_empty() {
            return Err(ScenarioError::NothingEvaluable);
        }
        let plans = (0..traces.routes.len()).map(|r| plan(r).map(Some)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self::new(traces, schema, plans))
    }

    /// With a plan of one's own for each route.
    pub fn new(traces: &Traces, schema: &FeatureSchema, plans: Vec<Option<Plan>>) -> Self {
        let usual = (0..traces.routes.len()).map(|route| usual_wishes(traces, route)).collect();
        Self { plans, usual, schema: schema.clone() }
    }

    /// The same scenario under another policy.
    pub fn under(&self, policy: &Arc<dyn Policy>) -> Self {
        let mut scenario = self.clone();
        scenario.plans.iter_mut().flatten().for_each(|plan| plan.policy = Arc::clone(policy));
        scenario
    }

    /// The same scenario with one preference for all.
    pub fn preferring(&self, preference: Preference) -> Self {
        let mut scenario = self.clone();
        scenario.usual.iter_mut().for_each(|usual| *usual = None);
        let wishes = Some((preference, Constraints::default()));
        scenario.plans.iter_mut().flatten().for_each(|plan| plan.wishes = wishes);
        scenario
    }

    /// All arms that a plan names and the log has not seen, after those of the log.
    pub fn arms(&self, traces: &Traces) -> Vec<ArmId> {
        let mut arms = traces.arms.clone();
        for arm in self.plans.iter().flatten().flat_map(|plan| &plan.arms) {
            if !arms.contains(&arm.id) {
                arms.push(arm.id.clone());
            }
        }
        arms
    }

    /// The distribution for each row whose route is still there, in order. Uses all cores.
    ///
    /// # Errors
    /// When the policy has no answer for a row.
    pub fn ask_all(&self, traces: &Traces) -> Result<Vec<Wanted>, PolicyError> {
        let arms = self.arms(traces);
        let wanted: Result<Vec<Option<Wanted>>, PolicyError> =
            (0..traces.rows.len()).into_par_iter().map(|i| self.ask(traces, &arms, i)).collect();
        Ok(wanted?.into_iter().flatten().collect())
    }

    /// Expected against reported quality of the drawn arms, in ten bins of the expected: both means, and how many.
    ///
    /// # Errors
    /// When the policy has no answer for a row.
    pub fn calibration(&self, traces: &Traces) -> Result<Vec<(f64, f64, usize)>, PolicyError> {
        let mut bins = [(0.0, 0.0, 0usize); 10];
        for (i, row) in traces.rows.iter().enumerate() {
            let (Some(reported), Some(plan)) = (row.quality, &self.plans[row.route]) else { continue };
            let Some(proposal) = self.propose(traces, plan, i)? else { continue };
            let drawn = proposal.estimates.iter().find(|e| e.arm == traces.arms[row.arm]);
            if let Some(expected) = drawn.map(|e| e.quality.mean) {
                let bin = &mut bins[((expected * 10.0) as usize).min(9)];
                *bin = (bin.0 + expected, bin.1 + reported, bin.2 + 1);
            }
        }
        let mean = |(x, y, n): &(f64, f64, usize)| (x / *n as f64, y / *n as f64, *n);
        Ok(bins.iter().filter(|bin| bin.2 > 0).map(mean).collect())
    }

    fn ask(&self, traces: &Traces, arms: &[ArmId], i: usize) -> Result<Option<Wanted>, PolicyError> {
        let row = &traces.rows[i];
        let Some(plan) = &self.plans[row.route] else { return Ok(None) };
        let Some(proposal) = self.propose(traces, plan, i)? else { return Ok(None) };
        let distribution = &proposal.distribution;
        let number = |id: &ArmId| arms.iter().position(|a| a == id);
        let shares = distribution.arms().iter().zip(distribution.p()).filter(|(_, p)| **p > 0.0);
        let shares = shares.filter_map(|(id, p)| Some((number(id)?, *p))).collect();
        Ok(Some(Wanted { row: i, shares }))
    }

    /// The policy's answer to row `i`; `None`: none of the plan's arms could serve it.
    fn propose(&self, traces: &Traces, plan: &Plan, i: usize) -> Result<Option<Proposal>, PolicyError> {
        let row = &traces.rows[i];
        let logged = |id: &ArmId| {
            let known = traces.index_of(id);
            // An arm that the log knows and did not offer here was not eligible; a new one is taken to be.
            known.is_none_or(|k| traces.shares(i).iter().any(|(arm, _)| *arm as usize == k))
        };
        let eligible: Vec<&Arm> = plan.arms.iter().filter(|arm| logged(&arm.id)).collect();
        if eligible.is_empty() {
            return Ok(None);
        }
        let context = Context::new(self.schema.clone(), traces.features(i))?;
        let (preference, constraints) = self.wishes(plan, row);
        let asked = plan.policy.propose(&Ask {
            context: Some(&context),
            arms: &eligible,
            reference: &plan.default,
            preference: &preference,
            constraints: &constraints,
            input_tokens: row.input_tokens,
            max_output_tokens: None,
            turn: i as u64,
            at: row.at,
            exploration: plan.exploration,
            allowance: Allowance::UNBOUNDED,
            cached: None,
        })?;
        Ok(Some(asked))
    }

    /// A caller who wished for what the route gives anyway is taken to have wished for nothing.
    fn wishes(&self, plan: &Plan, row: &Row) -> (Preference, Constraints) {
        let own = (row.preference, row.constraints);
        match &plan.wishes {
            Some(wishes) if self.usual[row.route].is_none_or(|usual| usual == own) => *wishes,
            _ => own,
        }
    }
}

/// The wishes seen most often on a route.
fn usual_wishes(traces: &Traces, route: usize) -> Option<(Preference, Constraints)> {
    let mut counts: Vec<((Preference, Constraints), usize)> = Vec::new();
    for row in traces.rows.iter().filter(|row| row.route == route) {
        let own = (row.preference, row.constraints);
        // Bounded: beyond these nobody's wishes are usual.
        match counts.iter().position(|(wishes, _)| *wishes == own) {
            Some(at) => counts[at].1 += 1,
            None if counts.len() < 64 => counts.push((own, 1)),
            None => {}
        }
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(wishes, _)| wishes)
}
