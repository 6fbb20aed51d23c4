//! What a call would cost, before it is made.

use std::collections::BTreeMap;

use super::Spend;
use crate::domain::{Arm, ArmId, Decision, Prompt, UnixMs};
use crate::policy::Policy;
use crate::policy::budget::Amount;
use crate::policy::heads::TYPICAL_TOKENS;

/// Token counts are estimates: the most that a call can cost allows for this much more input than was counted.
const TOKEN_MARGIN: f64 = 1.15;

/// One arm's price for one request.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::service) struct Quote {
    /// Expected, USD.
    pub(in crate::service) expected_usd: f64,
    /// What is reserved for it.
    pub(in crate::service) amount: Amount,
}

/// Quotes of arms for one request.
pub(in crate::service) type Quotes = BTreeMap<ArmId, Quote>;

impl Spend {
    /// Quotes for `arms`: by the decision's own estimates, else by what `learned` knows of the arm's typical call.
    pub(in crate::service) fn quotes<'a>(
        &self,
        arms: impl IntoIterator<Item = &'a Arm>,
        decision: &Decision,
        (prompt, learned): (&Prompt, &dyn Policy),
    ) -> Quotes {
        let quote = |arm: &Arm| {
            let own = decision.estimates.iter().find(|e| e.arm == arm.id).map(|e| e.cost_usd);
            let expected_usd = own.unwrap_or_else(|| typical_usd(arm, prompt, learned, decision.at));
            Quote { expected_usd, amount: self.amount(&arm.id, expected_usd, most_usd(arm, prompt)) }
        };
        arms.into_iter().map(|arm| (arm.id.clone(), quote(arm))).collect()
    }
}

fn typical_usd(arm: &Arm, prompt: &Prompt, learned: &dyn Policy, at: UnixMs) -> f64 {
    let listed =
        || (f64::from(prompt.input_tokens) * arm.price.input + TYPICAL_TOKENS * arm.price.output) / 1e6;
    learned.typical(arm, prompt.input_tokens, at).map_or_else(listed, |typical| typical.cost_usd)
}

/// The most that a call can cost: the longest answer that the caller, the arm and its window allow.
fn most_usd(arm: &Arm, prompt: &Prompt) -> f64 {
    let bounds = [prompt.max_output_tokens, arm.limits.max_output];
    let output = bounds.into_iter().flatten().fold(arm.limits.context_window, u32::min);
    let input = f64::from(prompt.input_tokens) * TOKEN_MARGIN;
    (input * arm.price.input + f64::from(output) * arm.price.output) / 1e6
}
