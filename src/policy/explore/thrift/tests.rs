//! What is explored is paid for, and what is left over buys knowledge.

use proptest::prelude::*;

use super::*;
use crate::policy::explore::square_cb;

fn allowance(per_request_usd: f64, unspent_usd: f64) -> Allowance {
    Allowance { per_request_usd: Some(per_request_usd), unspent_usd, ..Allowance::UNBOUNDED }
}

fn spread(stakes: &Stakes<'_>, exploration: &Exploration, allowance: &Allowance, doubts: &[f64]) -> Vec<f64> {
    let mut p = square_cb(stakes, exploration);
    let best = stakes.best().unwrap();
    let means = Means { allowance, doubts, is_new: &[false; 12] };
    spare_dear_arms(stakes, best, &means, &mut p);
    invest(stakes, best, &means, exploration, &mut p);
    p
}

proptest! {
    #[test]
    fn the_contract_of_exploration_holds_under_any_budget(
        arms in prop::collection::vec((-1.0..1.0f64, 0.0..0.1f64, 0.0..0.5f64), 1..12),
        cap in prop_oneof![Just(0.0), 1e-6..0.5f64],
        share in prop_oneof![Just(0.0), Just(1.0), 0.0..1.0f64],
        budget in 1e-6..0.1f64,
        unspent in prop_oneof![Just(0.0), 0.0..0.1f64],
    ) {
        let utilities: Vec<f64> = arms.iter().map(|a| a.0).collect();
        let costs_usd: Vec<f64> = arms.iter().map(|a| a.1).collect();
        let doubts: Vec<f64> = arms.iter().map(|a| a.2).collect();
        let stakes = Stakes { utilities: &utilities, costs_usd: &costs_usd, reference_usd: 0.001, gammas: &[30.0; 12] };
        let exploration = Exploration { max_expected_loss: cap, floor: 0.005, share };
        let p = spread(&stakes, &exploration, &allowance(budget, unspent), &doubts);
        let best = stakes.best().unwrap();
        prop_assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        prop_assert!(p.iter().all(|p| (0.0..=1.0).contains(p)), "{p:?}");
        let loss: f64 = p.iter().zip(&utilities).map(|(p, u)| p * (utilities[best] - u)).sum();
        prop_assert!(loss <= cap * (1.0 + 1e-9) + 1e-12, "{loss} is more than {cap}");
        prop_assert!(1.0 - p[best] <= share + 1e-9, "{} on others, the share is {share}", 1.0 - p[best]);
        // What learning costs more than the best arm is a part of the budget, or what would be left of it.
        let extra = |k: usize| (costs_usd[k] - costs_usd[best]).max(0.0);
        let spent: f64 = (0..p.len()).filter(|k| extra(*k) > budget).map(|k| p[k] * extra(k)).sum();
        prop_assert!(spent <= budget * (1.0 - 1.0 / p.len() as f64) + unspent + 1e-9, "{spent} of {budget} and {unspent}");
    }
}

const UTILITIES: [f64; 3] = [0.79, 0.92, 0.91];
const COSTS: [f64; 3] = [3e-5, 5e-4, 1.5e-2];

fn three() -> Stakes<'static> {
    Stakes { utilities: &UTILITIES, costs_usd: &COSTS, reference_usd: 5e-4, gammas: &[1e6; 3] }
}

#[test]
fn what_a_budget_leaves_goes_to_the_dear_arm_that_may_be_better() {
    let unspent = 1e-3;
    let hopeful = spread(&three(), &Exploration::DEFAULT, &allowance(2e-3, unspent), &[0.02; 3]);
    assert!((hopeful[2] * (COSTS[2] - COSTS[1]) - unspent).abs() < 1e-12, "{hopeful:?}");
    assert!(hopeful[1] > 0.9);
    let hopeless = spread(&three(), &Exploration::DEFAULT, &allowance(2e-3, unspent), &[0.001; 3]);
    assert!(hopeless[2] < 0.005, "two standard deviations do not make it the best: {hopeless:?}");
    let greedy = spread(&three(), &Exploration::NONE, &allowance(2e-3, unspent), &[0.02; 3]);
    assert_eq!(greedy, [0.0, 1.0, 0.0]);
}

#[test]
fn an_arm_is_explored_as_rarely_as_it_costs_budgets_and_more_rarely_still_out_of_reach() {
    let curious = Stakes { gammas: &[1.0; 3], ..three() };
    let exploration = Exploration { max_expected_loss: 1.0, ..Exploration::DEFAULT };
    let of = |budget: f64| spread(&curious, &exploration, &allowance(budget, 0.0), &[0.0; 3]);
    let loose = of(1.0);
    for (budgets, part) in [(20.0, 1.0), (100.0, 0.4)] {
        let tight = of(1.45e-2 / budgets);
        assert!(
            (tight[2] / loose[2] - part / budgets).abs() < 1e-9,
            "{budgets} budgets: {tight:?} {loose:?}"
        );
        assert_eq!(tight[0], loose[0], "a cheaper arm is paid for by what it saves");
    }
}
