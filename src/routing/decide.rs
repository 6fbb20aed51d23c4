//! The decision: the policy's distribution, then one draw. Whatever the policy's trouble, somebody serves.

use std::collections::BTreeMap;

use super::Eligible;
use crate::domain::{
    Allowance, Arm, ArmDistribution, ArmEstimate, ArmId, Constraints, Context, Decision, DecisionId,
    Encoding, KeyId, Pin, PolicyVersion, Preference, Prompt, Reason, RouteName, Strategy, Trial, UnixMs,
};
use crate::policy::utility::within_bounds;
use crate::policy::{Ask, Cached, Exploration, Policy, PolicyError, Proposal, explore};

/// Mixed into the uniform draw. A constant: decision ids are random and no caller chooses them.
const DRAW_SALT: &[u8] = b"pointsman draw 1";

/// Who can be chosen and by whom.
#[derive(Debug, Clone, Copy)]
pub struct Candidates<'a> {
    /// Arms that can serve.
    pub eligible: &'a Eligible<'a>,
    /// The route's default arm; it may be ineligible.
    pub default: &'a Arm,
    /// What chooses.
    pub policy: &'a dyn Policy,
    /// How much it may give up to learn.
    pub exploration: Exploration,
    /// How many requests the route has seen.
    pub turn: u64,
    /// What its budgets allow.
    pub allowance: Allowance,
}

/// Everything about the request that the decision records.
#[derive(Debug, Clone)]
pub struct Circumstances {
    /// The decision's id.
    pub id: DecisionId,
    /// Now.
    pub at: UnixMs,
    /// What was asked for.
    pub route: RouteName,
    /// What the caller wants.
    pub preference: Preference,
    /// What must hold.
    pub constraints: Constraints,
    /// The features, or why there are none.
    pub context: Result<Option<Context>, String>,
    /// How the prompt was embedded.
    pub encoding: Encoding,
    /// What the log keeps of the prompt.
    pub kept_prompt: Option<String>,
    /// Whose key.
    pub key: Option<KeyId>,
    /// Which conversation.
    pub session: Option<String>,
    /// What the conversation is pinned to.
    pub pin: Option<Pin>,
    /// Which of the caller's users.
    pub user: Option<String>,
    /// The caller's tags.
    pub tags: BTreeMap<String, String>,
    /// Whether nobody will be called.
    pub decision_only: bool,
    /// On which side of an experiment it is; the challenger's side is chosen for by the challenger.
    pub trial: Option<Trial>,
}

/// Chooses among the eligible arms. A conversation stays on its model within a tool loop whatever is better, and else unless
/// another is better by more than the margin; it is never explored.
pub fn decide(candidates: &Candidates<'_>, prompt: &Prompt, given: Circumstances) -> Decision {
    let fault = given.context.as_ref().err().cloned();
    let context = given.context.as_ref().ok().and_then(Option::as_ref);
    let eligible = &candidates.eligible.arms;
    let pin = given.pin.as_ref().filter(|pin| eligible.iter().any(|arm| arm.id == pin.arm));
    let certain = prompt.in_tool_loop || pin.is_some();
    let ask = Ask {
        context,
        arms: eligible,
        reference: candidates.default,
        preference: &given.preference,
        constraints: &given.constraints,
        input_tokens: prompt.input_tokens,
        max_output_tokens: prompt.max_output_tokens,
        exploration: if certain { Exploration::NONE } else { candidates.exploration },
        cached: pin.map(|pin| Cached { arm: &pin.arm, tokens: pin.cached_tokens }),
        turn: candidates.turn,
        at: given.at,
        allowance: if certain { candidates.allowance.certain() } else { candidates.allowance },
    };
    match candidates.policy.propose(&ask) {
        Ok(mut proposal) => {
            let relaxed = std::mem::take(&mut proposal.relaxed);
            let estimates = std::mem::take(&mut proposal.estimates);
            let stays = pin.filter(|pin| {
                prompt.in_tool_loop || is_good_enough(pin, &estimates, &proposal.greedy, &given.constraints)
            });
            let choice = match stays {
                Some(pin) => Choice::certain(pin.arm.clone(), Reason::Pinned, None),
                None => drawn(candidates, proposal, &given),
            };
            let mut decision = record(choice, candidates, prompt, given);
            (decision.estimates, decision.relaxed) = (estimates, relaxed);
            decision
        }
        Err(error) => {
            let fault =
                fault.filter(|_| error == PolicyError::NoContext).unwrap_or_else(|| error.to_string());
            let choice = match pin {
                Some(pin) => Choice::certain(pin.arm.clone(), Reason::Pinned, Some(fault)),
                None => fall_to_default(candidates, fault),
            };
            record(choice, candidates, prompt, given)
        }
    }
}

/// Whether the pinned arm is within bounds and at most the margin behind `best`. Strategies without estimates know no margin.
fn is_good_enough(pin: &Pin, estimates: &[ArmEstimate], best: &ArmId, bounds: &Constraints) -> bool {
    let utility = |arm: &ArmId| estimates.iter().find(|e| e.arm == *arm).map(|e| e.utility);
    let (Some(own), Some(best)) = (utility(&pin.arm), utility(best)) else { return false };
    let within = within_bounds(estimates, bounds).0.iter().any(|i| estimates[*i].arm == pin.arm);
    within && best - own <= pin.margin
}

fn drawn(candidates: &Candidates<'_>, proposal: Proposal, given: &Circumstances) -> Choice {
    let drawn = explore::draw(&proposal.distribution, explore::uniform(given.id, DRAW_SALT));
    let is_trial = given.trial.as_ref().is_some_and(|trial| trial.challenger);
    let explored = candidates.policy.strategy() == Strategy::Learned && drawn.arm != proposal.greedy;
    Choice {
        arm: drawn.arm,
        propensity: drawn.propensity,
        distribution: proposal.distribution,
        reason: match explored {
            _ if is_trial => Reason::Canary,
            true => Reason::Explore,
            false => Reason::Greedy,
        },
        fault: None,
    }
}

/// The record of a request for one arm by name: nothing is chosen, all is logged.
pub fn decide_explicit(arm: &Arm, prompt: &Prompt, given: Circumstances) -> Decision {
    let choice = Choice::certain(arm.id.clone(), Reason::Explicit, None);
    let policy = (PolicyVersion::from("explicit"), Strategy::Fixed);
    Decision { price: Some(arm.price), ..complete(choice, policy, prompt, given) }
}

struct Choice {
    arm: ArmId,
    propensity: f64,
    distribution: ArmDistribution,
    reason: Reason,
    fault: Option<String>,
}

impl Choice {
    /// Nothing is left to chance.
    fn certain(arm: ArmId, reason: Reason, fault: Option<String>) -> Self {
        let distribution = ArmDistribution::certain(arm.clone());
        Self { arm, propensity: 1.0, distribution, reason, fault }
    }
}

/// The default when it is eligible, else the first that is.
fn fall_to_default(candidates: &Candidates<'_>, fault: String) -> Choice {
    let arms = &candidates.eligible.arms;
    let arm = arms.iter().find(|a| a.id == candidates.default.id).or(arms.first());
    let arm = arm.map_or_else(|| candidates.default.id.clone(), |a| a.id.clone());
    Choice::certain(arm, Reason::Default, Some(fault))
}

fn record(choice: Choice, candidates: &Candidates<'_>, prompt: &Prompt, given: Circumstances) -> Decision {
    let policy = (candidates.policy.version().clone(), candidates.policy.strategy());
    let mut decision = complete(choice, policy, prompt, given);
    decision.excluded.clone_from(&candidates.eligible.excluded);
    let mut arms = candidates.eligible.arms.iter().chain([&candidates.default]);
    decision.price = arms.find(|a| a.id == decision.arm).map(|a| a.price);
    decision
}

fn complete(
    choice: Choice,
    policy: (PolicyVersion, Strategy),
    prompt: &Prompt,
    given: Circumstances,
) -> Decision {
    Decision {
        id: given.id,
        at: given.at,
        route: given.route,
        arm: choice.arm,
        propensity: choice.propensity,
        distribution: choice.distribution,
        estimates: Vec::new(),
        excluded: Vec::new(),
        policy: policy.0,
        strategy: policy.1,
        reason: choice.reason,
        fault: choice.fault,
        preference: given.preference,
        constraints: given.constraints,
        relaxed: Vec::new(),
        context: given.context.ok().flatten(),
        encoding: given.encoding,
        prompt: given.kept_prompt,
        input_tokens: prompt.input_tokens,
        pin: given.pin,
        key: given.key,
        session: given.session,
        user: given.user,
        tags: given.tags,
        decision_only: given.decision_only,
        price: None,
        budget: None,
        repeats: None,
        trial: given.trial,
    }
}
