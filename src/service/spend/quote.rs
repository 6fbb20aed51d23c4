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
    let listed = || {
        let (tokens, price) = (f64::from(prompt.input_tokens), arm.price.at(prompt.input_tokens.into()));
        (tokens * price.input + TYPICAL_TOKENS * price.output) / 1e6
    };
    learned.typical(arm, prompt.input_tokens, at).map_or_else(listed, |typical| typical.cost_usd)
}

/// The most that a call can cost.
fn most_usd(arm: &Arm, prompt: &Prompt) -> f64 {
    input_usd(arm, prompt) + f64::from(longest_tokens(arm, prompt)) * output_price(arm, prompt) / 1e6
}

/// The longest answer that the caller, the arm and its window allow, tokens.
fn longest_tokens(arm: &Arm, prompt: &Prompt) -> u32 {
    let bounds = [prompt.max_output_tokens, arm.limits.max_output];
    bounds.into_iter().flatten().fold(arm.limits.context_window, u32::min)
}

fn input_usd(arm: &Arm, prompt: &Prompt) -> f64 {
    let most = most_input(prompt);
    most * arm.price.dearest_input(most) / 1e6
}

fn most_input(prompt: &Prompt) -> f64 {
    f64::from(prompt.input_tokens) * TOKEN_MARGIN
}

/// The most that an output token may cost, USD per million.
fn output_price(arm: &Arm, prompt: &Prompt) -> f64 {
    arm.price.dearest_output(most_input(prompt))
}

/// The most that `choices` answers can cost.
pub(in crate::service) fn longest(arm: &Arm, prompt: &Prompt, choices: u32) -> Amount {
    let tokens = f64::from(longest_tokens(arm, prompt)) * f64::from(choices);
    Amount::of_usd(input_usd(arm, prompt) + tokens * output_price(arm, prompt) / 1e6)
}

/// How many tokens each of `choices` answers may have so that the call costs no more than `paid`; `None`: the longest answer costs no
/// more either. At least one: without any there is no answer.
pub(in crate::service) fn paid_tokens(arm: &Arm, prompt: &Prompt, choices: u32, paid: Amount) -> Option<u32> {
    if longest(arm, prompt, choices) <= paid {
        return None;
    }
    let left_usd = (paid.usd() - input_usd(arm, prompt)).max(0.0);
    let tokens = left_usd * 1e6 / output_price(arm, prompt) / f64::from(choices.max(1));
    Some((tokens.floor() as u32).clamp(1, longest_tokens(arm, prompt).max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::chat::prompt_of_text;

    #[test]
    fn a_capped_answer_costs_what_was_paid_and_not_a_token_less() {
        let arm = Arm {
            id: "a".into(),
            provider: "p".into(),
            model: "a".into(),
            price: crate::domain::Price::flat(1.0, 10.0),
            limits: crate::domain::Limits { context_window: 8000, max_output: Some(4000) },
            capabilities: Default::default(),
        };
        let prompt = Prompt { input_tokens: 100, ..prompt_of_text("x") };
        let paid = Amount::of_usd(0.005);
        let tokens = paid_tokens(&arm, &prompt, 1, paid).unwrap();
        let cost = |tokens: u32| input_usd(&arm, &prompt) + f64::from(tokens) * 10e-6;
        assert!(cost(tokens) <= 0.005 && cost(tokens + 1) > 0.005, "{tokens}");
        assert_eq!(paid_tokens(&arm, &prompt, 2, paid), Some(tokens / 2));
        assert_eq!(paid_tokens(&arm, &prompt, 1, longest(&arm, &prompt, 1)), None);
        assert_eq!(paid_tokens(&arm, &prompt, 1, Amount::default()), Some(1));
        let free = Arm { price: crate::domain::Price::flat(0.0, 0.0), ..arm };
        assert_eq!(paid_tokens(&free, &prompt, 1, Amount::default()), None);
    }
}
