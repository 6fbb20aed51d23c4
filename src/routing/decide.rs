//! The decision: the policy's distribution, then one draw. Whatever the policy's trouble, somebody serves.

use std::collections::BTreeMap;

use super::Eligible;
use crate::domain::{
    Arm, ArmDistribution, ArmId, Constraints, Context, Decision, DecisionId, Encoding, KeyId, Multiplier,
    PolicyVersion, Preference, Prompt, Reason, RouteName, Strategy, UnixMs,
};
use crate::policy::{Ask, Exploration, Policy, PolicyError, explore};

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
    /// What a dollar costs besides, because a budget must last.
    pub multiplier: Multiplier,
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
    /// Which of the caller's users.
    pub user: Option<String>,
    /// The caller's tags.
    pub tags: BTreeMap<String, String>,
    /// Whether nobody will be called.
    pub decision_only: bool,
}

/// Chooses among the eligible arms.
pub fn decide(candidates: &Candidates<'_>, prompt: &Prompt, given: Circumstances) -> Decision {
    let fault = given.context.as_ref().err().cloned();
    let context = given.context.as_ref().ok().and_then(Option::as_ref);
    let ask = Ask {
        context,
        arms: &candidates.eligible.arms,
        reference: candidates.default,
        preference: &given.preference,
        constraints: &given.constraints,
        input_tokens: prompt.input_tokens,
        max_output_tokens: prompt.max_output_tokens,
        exploration: if prompt.in_tool_loop { Exploration::NONE } else { candidates.exploration },
        turn: candidates.turn,
        at: given.at,
        multiplier: candidates.multiplier,
    };
    match candidates.policy.propose(&ask) {
        Ok(proposal) => {
            let drawn = explore::draw(&proposal.distribution, explore::uniform(given.id, DRAW_SALT));
            let strategy = candidates.policy.strategy();
            let explored = strategy == Strategy::Learned && drawn.arm != proposal.greedy;
            let choice = Choice {
                arm: drawn.arm,
                propensity: drawn.propensity,
                distribution: proposal.distribution,
                reason: if explored { Reason::Explore } else { Reason::Greedy },
                fault: None,
            };
            let mut decision = record(choice, candidates, prompt, given);
            decision.estimates = proposal.estimates;
            decision
        }
        Err(error) => {
            let fault =
                fault.filter(|_| error == PolicyError::NoContext).unwrap_or_else(|| error.to_string());
            record(fall_to_default(candidates, fault), candidates, prompt, given)
        }
    }
}

/// The record of a request for one arm by name: nothing is chosen, all is logged.
pub fn decide_explicit(arm: &Arm, prompt: &Prompt, given: Circumstances) -> Decision {
    let choice = Choice {
        arm: arm.id.clone(),
        propensity: 1.0,
        distribution: ArmDistribution::certain(arm.id.clone()),
        reason: Reason::Explicit,
        fault: None,
    };
    complete(choice, (PolicyVersion::from("explicit"), Strategy::Fixed), prompt, given)
}

struct Choice {
    arm: ArmId,
    propensity: f64,
    distribution: ArmDistribution,
    reason: Reason,
    fault: Option<String>,
}

/// The default when it is eligible, else the first that is.
fn fall_to_default(candidates: &Candidates<'_>, fault: String) -> Choice {
    let arms = &candidates.eligible.arms;
    let arm = arms.iter().find(|a| a.id == candidates.default.id).or(arms.first());
    let arm = arm.map_or_else(|| candidates.default.id.clone(), |a| a.id.clone());
    Choice {
        propensity: 1.0,
        distribution: ArmDistribution::certain(arm.clone()),
        arm,
        reason: Reason::Default,
        fault: Some(fault),
    }
}

fn record(choice: Choice, candidates: &Candidates<'_>, prompt: &Prompt, given: Circumstances) -> Decision {
    let policy = (candidates.policy.version().clone(), candidates.policy.strategy());
    let mut decision = complete(choice, policy, prompt, given);
    decision.excluded.clone_from(&candidates.eligible.excluded);
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
        context: given.context.ok().flatten(),
        encoding: given.encoding,
        prompt: given.kept_prompt,
        input_tokens: prompt.input_tokens,
        key: given.key,
        session: given.session,
        user: given.user,
        tags: given.tags,
        decision_only: given.decision_only,
    }
}
