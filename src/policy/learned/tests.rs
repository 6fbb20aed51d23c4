//! The learner and the policy together: it learns who is good at what, keeps its promises on state, and refuses what it must.

mod comparing;
mod endurance;
mod joining;
mod moving;
mod spending;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::domain::{Constraints, Multiplier, Preference, Replaced};
use crate::policy::explore::draw;
use crate::policy::fixtures::{Question, arm, context, schema};
use crate::policy::{Bill, Exploration, LearnError, Learner, Observation, Provenance};

fn fresh() -> LearnedState {
    LearnedState::new(schema(), 3).unwrap()
}

fn report<'a>(arm: &'a ArmId, context: &'a Context, value: f64, tick: u64) -> Observation<'a> {
    Observation::Quality {
        arm,
        context,
        value,
        weight: 1.0,
        tick,
        replaces: None,
        from: Provenance::default(),
    }
}

fn answer<'a>(arm: &'a ArmId, context: &'a Context, tokens: u32, at: i64) -> Observation<'a> {
    Observation::Answered {
        arm,
        context: Some(context),
        input_tokens: 100,
        output_tokens: Some(tokens),
        bill: None,
        kind: None,
        first_token_ms: Some(300.0),
        total_ms: Some(300.0 + 10.0 * f64::from(tokens)),
        at: UnixMs(at),
    }
}

/// Here two features carry everything; the default is for some forty that carry a little each.
fn few_strong_features() -> Settings {
    let mut settings = Settings::DEFAULT;
    settings.heads.quality.slope_sd = 0.2;
    settings
}

/// A log of reports and calls on two arms, always the same.
fn some_log(state: &mut LearnedState, length: u64) {
    let mut rng = StdRng::seed_from_u64(5);
    let arms = ["a", "b"].map(ArmId::from);
    for i in 1..=length {
        let x = context(&[rng.random_range(-1.0..1.0f32), rng.random_range(-1.0..1.0f32)]);
        let arm = &arms[(i % 2) as usize];
        state.apply(&answer(arm, &x, rng.random_range(1..900), i as i64 * 500)).unwrap();
        state.apply(&report(arm, &x, rng.random_range(0.0..1.0), i.div_ceil(2))).unwrap();
    }
    state.apply(&Observation::Failed { arm: &arms[0], at: UnixMs(1) }).unwrap();
}

/// Three arms: `code` is good where the first feature is high, `prose` where it is low, `dear` is a little better than either
/// but costs a hundred times as much.
fn true_quality(arm: &str, kind: f32) -> f64 {
    match (arm, kind > 0.0) {
        ("code", true) | ("prose", false) => 0.85,
        ("dear", _) => 0.9,
        _ => 0.45,
    }
}

fn live(question: &mut Question, rounds: u64, seed: u64) -> LearnedState {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut state = LearnedState::with_settings(schema(), 3, few_strong_features()).unwrap();
    let mut ticks: BTreeMap<ArmId, u64> = BTreeMap::new();
    for round in 0..rounds {
        let kind = if rng.random_bool(0.5) { 1.0 } else { -1.0 };
        let x = context(&[kind, rng.random_range(-1.0..1.0f32)]);
        question.context = Some(x.clone());
        question.at = UnixMs(round as i64 * 1000);
        let policy = state.freeze(PolicyVersion::from("learned@0"));
        let proposal = question.ask(|ask| policy.propose(ask)).unwrap();
        let drawn = draw(&proposal.distribution, rng.random());
        state.apply(&answer(&drawn.arm, &x, 200, question.at.0)).unwrap();
        if rng.random_bool(0.3) {
            let tick = ticks.entry(drawn.arm.clone()).or_insert(0);
            *tick += 1;
            let value = f64::from(rng.random_bool(true_quality(drawn.arm.as_str(), kind)));
            state.apply(&report(&drawn.arm, &x, value, *tick)).unwrap();
        }
    }
    state
}

fn bandit(preference: Preference, rounds: u64) -> [String; 2] {
    let arms = vec![arm("code", 0.1, 0.4), arm("dear", 10.0, 40.0), arm("prose", 0.1, 0.4)];
    let mut question = Question { preference, ..Question::new(arms, None) };
    let policy = live(&mut question, rounds, 11).snapshot(PolicyVersion::from("learned@1"));
    question.exploration = Exploration::NONE;
    [1.0, -1.0].map(|kind| {
        question.context = Some(context(&[kind, 0.0]));
        question.ask(|ask| policy.propose(ask).unwrap().greedy.to_string())
    })
}

#[test]
fn with_a_third_of_the_reports_it_finds_who_is_good_at_what() {
    assert_eq!(bandit(Preference::value(0.05, 0.0).unwrap(), 3000), ["code", "prose"]);
}

#[test]
fn one_state_serves_every_preference() {
    let arms = vec![arm("code", 0.1, 0.4), arm("dear", 10.0, 40.0), arm("prose", 0.1, 0.4)];
    let mut question = Question::new(arms, None);
    question.preference = Preference::value(0.5, 0.0).unwrap();
    let policy = live(&mut question, 3000, 3).snapshot(PolicyVersion::from("learned@1"));
    let mut last = f64::INFINITY;
    for quality_usd in [10.0, 1.0, 0.1, 0.03, 0.01, 0.001] {
        question.preference = Preference::value(quality_usd, 0.0).unwrap();
        let cost: f64 = [1.0, -1.0]
            .map(|kind| {
                question.context = Some(context(&[kind, 0.0]));
                let proposal = question.ask(|ask| policy.propose(ask)).unwrap();
                proposal.estimates[0].cost_usd
            })
            .iter()
            .sum();
        assert!(cost <= last * (1.0 + 1e-9), "a lower value must not buy a dearer arm");
        last = cost;
    }
}

#[test]
fn the_same_log_gives_the_same_bytes_and_they_read_back() {
    let (mut one, mut two) = (fresh(), fresh());
    some_log(&mut one, 300);
    some_log(&mut two, 300);
    assert_eq!(one.to_bytes(), two.to_bytes());
    let mut back = LearnedState::from_bytes(&one.to_bytes()).unwrap();
    assert_eq!(back, one);
    assert_eq!(back.to_bytes(), one.to_bytes());
    // Going on from a checkpoint is going on.
    let x = context(&[0.2, 0.1]);
    for state in [&mut one, &mut back] {
        state.apply(&report(&ArmId::from("b"), &x, 0.3, 151)).unwrap();
    }
    assert_eq!(back.to_bytes(), one.to_bytes());
}

#[test]
fn the_posterior_of_a_recorded_log_is_what_it_was() {
    let mut state = LearnedState::with_settings(schema(), 3, few_strong_features()).unwrap();
    some_log(&mut state, 300);
    let seen: Vec<String> = ["a", "b"]
        .iter()
        .map(|arm| {
            let ridge = state.arm(&ArmId::from(*arm)).unwrap().quality().ridge();
            let theta: Vec<String> = ridge.theta().iter().map(|t| format!("{t:.9}")).collect();
            format!("{arm} {} sigma {:.9}", theta.join(" "), ridge.sigma())
        })
        .collect();
    insta::assert_snapshot!(seen.join("\n"), @r"
    a -0.026100017 0.016796842 0.477923934 sigma 0.292055665
    b 0.026226276 -0.007678427 0.480040276 sigma 0.276876681
    ");
}

#[test]
fn damaged_bytes_are_refused() {
    let mut state = fresh();
    some_log(&mut state, 20);
    let bytes = state.to_bytes();
    assert_eq!(LearnedState::from_bytes(&[]), Err(StateError::Form));
    assert_eq!(LearnedState::from_bytes(b"PMSTATE\x01rest"), Err(StateError::Form));
    assert_eq!(LearnedState::from_bytes(&bytes[..20]), Err(StateError::Digest));
    for at in (8..bytes.len()).step_by(97) {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        assert_eq!(LearnedState::from_bytes(&bad), Err(StateError::Digest));
    }
}

#[test]
fn a_revised_report_counts_once_and_with_its_last_value() {
    let (mut revised, mut plain) = (fresh(), fresh());
    let (arm, x) = (ArmId::from("a"), context(&[0.5, -0.5]));
    some_log(&mut revised, 40);
    some_log(&mut plain, 40);
    revised.apply(&report(&arm, &x, 0.1, 21)).unwrap();
    plain.apply(&report(&arm, &x, 0.9, 21)).unwrap();
    for state in [&mut revised, &mut plain] {
        (22..60).for_each(|tick| state.apply(&report(&arm, &context(&[0.1, 0.2]), 0.4, tick)).unwrap());
    }
    let replaces = Some(Replaced { value: 0.1, weight: 1.0 });
    let revision = Observation::Quality {
        arm: &arm,
        context: &x,
        value: 0.9,
        weight: 1.0,
        tick: 21,
        replaces,
        from: Provenance::default(),
    };
    revised.apply(&revision).unwrap();
    let counts = |s: &LearnedState| s.quality_feedbacks().map(|(_, n)| n).collect::<Vec<_>>();
    assert_eq!(counts(&revised), counts(&plain));
    let theta = |s: &LearnedState| s.arm(&arm).unwrap().quality().ridge().theta().to_vec();
    for (a, b) in theta(&revised).iter().zip(theta(&plain)) {
        assert!((a - b).abs() < 1e-9);
    }
    let offset = |s: &LearnedState| s.arm(&arm).unwrap().quality().offset(99);
    assert!((offset(&revised) - offset(&plain)).abs() < 1e-9);
}

#[test]
fn a_sudden_fall_is_seen_within_25_reports_and_its_end_too() {
    let (mut state, arm) = (fresh(), ArmId::from("a"));
    let mut rng = StdRng::seed_from_u64(8);
    let mut tick = 0;
    let mut expect_after = |state: &mut LearnedState, level: f64, reports: u64| {
        for _ in 0..reports {
            tick += 1;
            let x = context(&[rng.random_range(-1.0..1.0f32), rng.random_range(-1.0..1.0f32)]);
            let value = (level + rng.random_range(-0.26..0.26f64)).clamp(0.0, 1.0);
            state.apply(&report(&arm, &x, value, tick)).unwrap();
        }
        let policy = state.snapshot(PolicyVersion::from("learned@1"));
        let question =
            Question::new(vec![super::super::fixtures::arm("a", 1.0, 4.0)], Some(context(&[0.0, 0.0])));
        question.ask(|ask| policy.estimates(ask).unwrap()[0].quality.mean)
    };
    assert!((expect_after(&mut state, 0.74, 1500) - 0.74).abs() < 0.02);
    assert!(expect_after(&mut state, 0.57, 25) < 0.68);
    assert!((expect_after(&mut state, 0.57, 100) - 0.57).abs() < 0.08);
    assert!(expect_after(&mut state, 0.74, 100) > 0.66);
}

#[test]
fn a_snapshot_shares_the_arms_that_have_not_changed() {
    let mut state = fresh();
    some_log(&mut state, 10);
    let before = state.snapshot(PolicyVersion::from("learned@1"));
    state.apply(&Observation::Failed { arm: &ArmId::from("a"), at: UnixMs(9) }).unwrap();
    let after = state.snapshot(PolicyVersion::from("learned@2"));
    let same = |arm: &str| Arc::ptr_eq(&before.arms[&ArmId::from(arm)], &after.arms[&ArmId::from(arm)]);
    assert!(same("b") && !same("a"));
}

#[test]
fn bad_observations_are_refused_and_change_nothing() {
    let mut state = fresh();
    some_log(&mut state, 10);
    let before = state.clone();
    let (arm, x) = (ArmId::from("new"), context(&[0.5, -0.5]));
    let other = Context::new(FeatureSchema::new("other"), vec![0.0, 0.0, 1.0]).unwrap();
    let short = Context::new(schema(), vec![0.0, 1.0]).unwrap();
    let refused = |state: &mut LearnedState, what: &Observation<'_>| state.apply(what).unwrap_err();
    assert!(matches!(
        refused(&mut state, &report(&arm, &x, f64::NAN, 1)),
        LearnError::BadNumber { field: "value", .. }
    ));
    assert!(matches!(
        refused(&mut state, &report(&arm, &x, 0.5, 0)),
        LearnError::BadNumber { field: "tick", .. }
    ));
    assert!(matches!(refused(&mut state, &report(&arm, &other, 0.5, 1)), LearnError::Context(_)));
    assert!(matches!(refused(&mut state, &answer(&arm, &short, 5, 1)), LearnError::Context(_)));
    let timeless = Observation::Answered {
        arm: &arm,
        context: None,
        input_tokens: 1,
        output_tokens: None,
        bill: None,
        kind: None,
        first_token_ms: Some(f64::INFINITY),
        total_ms: None,
        at: UnixMs(0),
    };
    assert!(matches!(refused(&mut state, &timeless), LearnError::BadNumber { field: "first_token_ms", .. }));
    assert_eq!(state, before);
}

#[test]
fn it_answers_for_arms_it_has_never_seen_and_refuses_without_a_context() {
    let policy = fresh().snapshot(PolicyVersion::from("learned@0"));
    let mut question =
        Question::new(vec![arm("a", 1.0, 4.0), arm("b", 2.0, 8.0)], Some(context(&[0.0, 0.0])));
    let proposal = question.ask(|ask| policy.propose(ask)).unwrap();
    let of = |id: &str| proposal.estimates.iter().find(|e| e.arm.as_str() == id).unwrap();
    let (first, dearer) = (of("a"), of("b"));
    let lift = dearer.quality.mean - first.quality.mean;
    assert!((lift - 0.04 * 2f64.ln()).abs() < 1e-9, "twice the price is supposed to be a little better");
    assert!((first.quality.mean + lift / 2.0 - 0.7).abs() < 1e-9 && first.quality.sd > 0.1);
    assert!((first.output_tokens - 300.0).abs() < 1e-6);
    assert!((first.cost_usd - (100.0 + 4.0 * 300.0) / 1e6).abs() < 1e-12);
    assert!((first.latency_ms.p50 - 7000.0).abs() < 1.0);
    question.context = None;
    assert_eq!(question.ask(|ask| policy.propose(ask)), Err(PolicyError::NoContext));
    question.context = Some(Context::new(FeatureSchema::new("other"), vec![1.0; 3]).unwrap());
    assert!(matches!(question.ask(|ask| policy.propose(ask)), Err(PolicyError::Context(_))));
}

#[test]
fn arms_out_of_bounds_are_not_drawn_and_prices_act_at_once() {
    let policy = fresh().snapshot(PolicyVersion::from("learned@0"));
    let arms = vec![arm("a", 1.0, 4.0), arm("b", 2.0, 8.0)];
    let mut question = Question::new(arms, Some(context(&[0.0, 0.0])));
    question.constraints = Constraints { max_cost_usd: Some(0.002), ..Constraints::default() };
    assert_eq!(question.ask(|ask| policy.propose(ask)).unwrap().distribution.p(), &[1.0, 0.0]);
    question.arms = vec![arm("a", 1.0, 40.0), arm("b", 2.0, 4.0)];
    assert_eq!(question.ask(|ask| policy.propose(ask)).unwrap().distribution.p(), &[0.0, 1.0]);
}

#[test]
fn a_cost_alone_teaches_the_cost_and_a_later_price_acts_on_it() {
    let (mut state, mut rng) = (fresh(), StdRng::seed_from_u64(4));
    let cheap = arm("a", 1.0, 4.0);
    for i in 0..800 {
        let kind = if rng.random_bool(0.5) { 1.0f32 } else { -1.0 };
        let x = context(&[kind, 0.0]);
        let tokens = 300.0 * f64::from(kind).exp();
        let cost_usd = (100.0 + 4.0 * tokens) / 1e6;
        let bill = Bill { cost_usd, price: cheap.price, asked_tokens: 100, cached_share: None };
        state
            .apply(&Observation::Answered {
                arm: &cheap.id,
                context: Some(&x),
                input_tokens: 100,
                output_tokens: None,
                bill: Some(bill),
                kind: None,
                first_token_ms: None,
                total_ms: Some(1000.0),
                at: UnixMs(i),
            })
            .unwrap();
    }
    let policy = state.snapshot(PolicyVersion::from("learned@1"));
    for kind in [1.0f32, -1.0] {
        let tokens = 300.0 * f64::from(kind).exp();
        for (input, output) in [(1.0, 4.0), (5.0, 50.0)] {
            let question = Question::new(vec![arm("a", input, output)], Some(context(&[kind, 0.0])));
            let seen = question.ask(|ask| policy.estimates(ask).unwrap()[0].cost_usd);
            let due = (100.0 * input + output * tokens) / 1e6;
            assert!((seen / due - 1.0).abs() < 0.1, "{seen} instead of {due}");
        }
    }
}

#[test]
fn an_answer_is_never_expected_beyond_what_the_caller_or_the_arm_allows() {
    let mut state = fresh();
    let x = context(&[0.0, 0.0]);
    (0..300).for_each(|i| state.apply(&answer(&ArmId::from("a"), &x, 900_000, i)).unwrap());
    let policy = state.snapshot(PolicyVersion::from("learned@1"));
    let question = Question::new(vec![arm("a", 1.0, 4.0)], Some(x));
    let tokens = |bound| {
        question
            .ask(|ask| policy.estimates(&Ask { max_output_tokens: bound, ..*ask }).unwrap()[0].output_tokens)
    };
    assert_eq!(tokens(Some(50)), 50.0);
    assert_eq!(tokens(None), 4000.0);
}

#[test]
fn two_prices_of_a_dollar_mix_two_distributions() {
    let mut state = fresh();
    some_log(&mut state, 40);
    let mut question =
        Question::new(vec![arm("a", 1.0, 1.0), arm("b", 5.0, 25.0)], Some(context(&[0.3, 0.1])));
    let policy = state.snapshot(PolicyVersion::from("p"));
    let mut p_of = |multiplier: Multiplier| {
        question.allowance.multiplier = multiplier;
        question.ask(|ask| policy.propose(ask).unwrap().distribution)
    };
    let (low, high) = (p_of(Multiplier::certain(1.0)), p_of(Multiplier::certain(500.0)));
    let mixed = p_of(Multiplier { low: 1.0, high: 500.0, share_high: 0.25 });
    for (k, p) in mixed.p().iter().enumerate() {
        assert!((p - (0.75 * low.p()[k] + 0.25 * high.p()[k])).abs() < 1e-12);
    }
    let free = p_of(Multiplier::FREE);
    let of_a = |p: &ArmDistribution| p.of(&"a".into());
    assert!(of_a(&low) > of_a(&free), "where a budget binds the dear arm is explored less: {free:?} {low:?}");
    assert!(of_a(&high) > of_a(&free) + 0.01, "a dear dollar moves requests: {free:?} {high:?}");
}
