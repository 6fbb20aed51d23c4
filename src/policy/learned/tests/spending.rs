//! What the first request of a budget may cost, before anybody has found what a dollar must cost.

use super::*;
use crate::domain::Allowance;

/// Nobody has reported anything, and the dearest is supposed to be the best.
fn untried() -> Question {
    let arms = vec![arm("cheap", 0.1, 0.1), arm("dear", 50.0, 50.0), arm("middling", 2.0, 2.0)];
    let mut question = Question::new(arms, Some(context(&[0.3, -0.2])));
    question.preference = Preference::value(1e9, 0.0).unwrap();
    question
}

/// What the drawn arm costs in the mean, what the cheapest does, USD, and the best arm.
fn costs(question: &Question) -> (f64, f64, String) {
    let policy = fresh().snapshot(PolicyVersion::from("learned@0"));
    let proposal = question.ask(|ask| policy.propose(ask)).unwrap();
    let (arms, p) = (proposal.distribution.arms(), proposal.distribution.p());
    let of = |id: &ArmId| proposal.estimates.iter().find(|e| e.arm == *id).unwrap().cost_usd;
    let mean = arms.iter().zip(p).map(|(id, p)| p * of(id)).sum();
    (mean, arms.iter().map(of).fold(f64::INFINITY, f64::min), proposal.greedy.to_string())
}

#[test]
fn the_first_request_of_a_budget_is_not_drawn_as_if_money_were_no_object() {
    let mut question = untried();
    let (free, cheapest, best) = costs(&question);
    let budget = 1.1 * cheapest;
    assert!(best == "dear" && free > 100.0 * budget, "{free} is not much beside {budget}");
    question.allowance = Allowance { per_request_usd: Some(budget), ..Allowance::UNBOUNDED };
    let (bounded, _, best) = costs(&question);
    // What is tried besides the best arms is measured by the budget too.
    assert!(best == "cheap" && bounded <= 2.0 * budget, "{bounded} where {budget} is allowed");
    question.exploration = Exploration::NONE;
    let (certain, cheapest, _) = costs(&question);
    assert!((certain - cheapest).abs() < 1e-12, "who may not draw lots gets the arm that can be paid for");
}

#[test]
fn where_the_budget_bears_every_arm_the_first_request_gets_the_best() {
    let mut question = untried();
    let (free, _, _) = costs(&question);
    question.allowance = Allowance { per_request_usd: Some(2.0 * free), ..Allowance::UNBOUNDED };
    assert_eq!(costs(&question).2, "dear");
}
