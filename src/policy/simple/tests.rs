//! What each simple strategy picks.

use super::*;
use crate::domain::{Context, UnixMs};
use crate::policy::fixtures::{Question, arm, context, schema};
use crate::policy::{LearnedState, Learner, Observation};

fn question() -> Question {
    Question::new(vec![arm("a", 1.0, 4.0), arm("b", 0.5, 6.0), arm("c", 3.0, 3.0)], None)
}

fn picks(policy: &SimplePolicy, question: &Question) -> String {
    question.ask(|ask| policy.propose(ask).unwrap().greedy.to_string())
}

#[test]
fn fixed_serves_its_arm_or_says_that_it_cannot() {
    assert_eq!(picks(&SimplePolicy::fixed(ArmId::from("b")), &question()), "b");
    let gone = SimplePolicy::fixed(ArmId::from("x"));
    assert_eq!(question().ask(|ask| gone.propose(ask)), Err(PolicyError::NoArm("fixed")));
    assert_eq!(gone.version().as_str(), "fixed");
}

#[test]
fn weighted_shares_are_over_the_eligible_arms() {
    let shares = [("a", 1.0), ("c", 3.0), ("gone", 9.0)].map(|(a, s)| (ArmId::from(a), s)).to_vec();
    let proposal = question().ask(|ask| SimplePolicy::weighted(shares).propose(ask)).unwrap();
    assert_eq!(proposal.distribution.p(), &[0.25, 0.0, 0.75]);
    assert_eq!(proposal.greedy, ArmId::from("c"));
    let none = SimplePolicy::weighted(vec![(ArmId::from("a"), f64::NAN)]);
    assert_eq!(question().ask(|ask| none.propose(ask)), Err(PolicyError::NoArm("weighted")));
}

#[test]
fn round_robin_goes_by_the_turn() {
    let turns: Vec<String> =
        (0..4).map(|turn| picks(&SimplePolicy::round_robin(), &Question { turn, ..question() })).collect();
    assert_eq!(turns, ["a", "b", "c", "a"]);
}

#[test]
fn cheapest_goes_by_list_price_until_it_knows_better() {
    assert_eq!(picks(&SimplePolicy::cheapest(None), &question()), "c");
    let mut state = LearnedState::new(schema(), 2).unwrap();
    let x: Context = context(&[0.0]);
    for (arm, tokens) in [("a", 100), ("b", 10), ("c", 2000)] {
        for i in 0..2000 {
            let seen = Observation::Answered {
                arm: &ArmId::from(arm),
                context: Some(&x),
                input_tokens: 100,
                bill: None,
                kind: None,
                output_tokens: Some(tokens),
                first_token_ms: Some(100.0),
                total_ms: Some(100.0 + f64::from(tokens)),
                at: UnixMs(i),
            };
            state.apply(&seen).unwrap();
        }
    }
    let known: Arc<dyn Policy> = state.snapshot(PolicyVersion::from("learned@1"));
    assert_eq!(picks(&SimplePolicy::cheapest(Some(Arc::clone(&known))), &question()), "b");
    let fastest = SimplePolicy::fastest(Some(known));
    assert_eq!(picks(&fastest, &Question { at: UnixMs(2000), ..question() }), "b");
    assert_eq!(picks(&SimplePolicy::fastest(None), &question()), "c", "of equals the cheapest");
}
