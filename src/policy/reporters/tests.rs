//! Liars, floods and judges: through the learner, as the service folds them.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::domain::PolicyVersion;
use crate::policy::fixtures::{Question, arm, context, schema};
use crate::policy::{Exploration, LearnedState, Learner, Observation, Policy, Settings};

/// Mean quality of each arm on either kind of prompt.
const TRUTH: [(&str, [f64; 2]); 3] =
    [("good", [0.85, 0.75]), ("middling", [0.6, 0.6]), ("poor", [0.3, 0.35])];

/// One day of traffic: honest keys rate one answer in ten, hostile ones each of their own, and upside down.
struct Attack {
    keys: usize,
    hostile: usize,
    /// Calls of a hostile key for each one of an honest key.
    zeal: usize,
    guard: GuardSettings,
}

fn quality(arm: &ArmId, kind: usize) -> f64 {
    TRUTH.iter().find(|(name, _)| *name == arm.as_str()).unwrap().1[kind]
}

/// The mean true quality that honest callers got after a warm-up.
fn reward(attack: &Attack, seed: u64) -> f64 {
    let mut rng = StdRng::seed_from_u64(seed);
    let settings = Settings { guard: attack.guard, ..Settings::DEFAULT };
    let mut state = LearnedState::with_settings(schema(), 2, settings).unwrap();
    let arms = TRUTH.iter().map(|(name, _)| arm(name, 1.0, 1.0)).collect();
    let mut question = Question { exploration: Exploration::DEFAULT, ..Question::new(arms, None) };
    let keys: Vec<KeyId> = (0..attack.keys).map(|k| KeyId::new(format!("k{k}"))).collect();
    let callers: Vec<usize> = (0..attack.keys)
        .flat_map(|k| std::iter::repeat_n(k, if k < attack.hostile { attack.zeal } else { 1 }))
        .collect();
    let mut ticks: BTreeMap<ArmId, u64> = BTreeMap::new();
    let (mut got, mut calls) = (0.0, 0.0);
    let mut policy = state.snapshot(PolicyVersion::from("learned@0"));
    for round in 0..6000 {
        let key = callers[rng.random_range(0..callers.len())];
        let kind = usize::from(rng.random_bool(0.5));
        let x = context(&[kind as f32 * 2.0 - 1.0]);
        question.context = Some(x.clone());
        let proposal = question.ask(|ask| policy.propose(ask)).unwrap();
        let drawn = crate::policy::explore::draw(&proposal.distribution, rng.random()).arm;
        let (truth, is_hostile) = (quality(&drawn, kind), key < attack.hostile);
        let luck: f64 = rng.random();
        if !is_hostile && round > 1500 {
            got += truth;
            calls += 1.0;
        }
        if !is_hostile && !rng.random_bool(0.1) {
            continue;
        }
        let value = if is_hostile { f64::from(drawn.as_str() == "poor") } else { f64::from(luck < truth) };
        let tick = ticks.entry(drawn.clone()).or_insert(0);
        *tick += 1;
        let from = Provenance { key: Some(&keys[key]), ..Provenance::default() };
        let seen = Observation::Quality {
            arm: &drawn,
            context: &x,
            value,
            weight: 1.0,
            tick: *tick,
            replaces: None,
            from,
        };
        state.apply(&seen).unwrap();
        if round % 10 == 0 {
            policy = state.snapshot(PolicyVersion::from("learned@0"));
        }
    }
    got / calls
}

fn loss(keys: usize, hostile: usize, zeal: usize, guard: GuardSettings) -> f64 {
    let mean = |hostile| {
        let attack = |seed| reward(&Attack { keys, hostile, zeal, guard }, seed);
        [1, 2, 3].map(attack).iter().sum::<f64>() / 3.0
    };
    1.0 - mean(hostile) / mean(0)
}

/// F7: one key in twenty rates each of its answers upside down, and calls three times as much as an honest one.
#[test]
fn f7_five_percent_of_hostile_keys_cost_little_and_without_defences_much() {
    let (guarded, open) = (loss(40, 2, 3, GuardSettings::DEFAULT), loss(40, 2, 3, GuardSettings::NONE));
    eprintln!("5% hostile keys: loss {guarded:.4} guarded, {open:.4} open");
    assert!(guarded < 0.10, "loss with defences {guarded:.4}");
    assert!(open > 0.20, "the attack must hurt where nothing stops it, loss {open:.4}");
}

#[test]
fn f7_one_hostile_key_costs_next_to_nothing_and_a_flood_is_thinned_out() {
    let (one, flood) = (loss(40, 1, 1, GuardSettings::DEFAULT), loss(40, 1, 20, GuardSettings::DEFAULT));
    let open = loss(40, 1, 20, GuardSettings::NONE);
    eprintln!("one hostile key: loss {one:.4}; flooding {flood:.4} guarded, {open:.4} open");
    assert!(one < 0.02, "loss to one hostile key {one:.4}");
    assert!(flood < 0.75 * open, "loss to a flood {flood:.4}, without defences {open:.4}");
    assert!(open > 0.20, "the flood must hurt where nothing stops it, loss {open:.4}");
}

fn reporters_of(keys: &[(&str, f64, usize)]) -> Reporters {
    let mut reporters = Reporters::new(GuardSettings::DEFAULT);
    let (arm, mut tick) = (ArmId::from("a"), 0);
    for i in 0..20 {
        for (key, residual, count) in keys {
            for _ in 0..*count {
                tick += 1;
                let luck = if i % 2 == 0 { 0.1 } else { -0.1 };
                reporters.heard(Some(&KeyId::from(*key)), &arm, tick, (residual + luck, 1.0));
            }
        }
    }
    reporters
}

#[test]
fn trust_falls_for_the_one_who_disagrees_and_for_nobody_when_the_model_itself_has_changed() {
    let arm = ArmId::from("a");
    let belief = |r: &Reporters, key: &str| r.belief(Some(&KeyId::from(key)), &arm, 1.0);
    let one_liar = reporters_of(&[("a", 0.0, 1), ("b", 0.05, 1), ("c", 0.0, 1), ("liar", -0.7, 1)]);
    assert_eq!(["a", "b", "c"].map(|k| belief(&one_liar, k)), [1.0; 3]);
    assert!(belief(&one_liar, "liar") < 0.1, "{}", belief(&one_liar, "liar"));
    assert_eq!(one_liar.belief(None, &arm, 1.0), 1.0, "without keys nobody is distrusted");
    let all_low = reporters_of(&[("a", -0.5, 1), ("b", -0.5, 1), ("c", -0.45, 1), ("d", -0.5, 1)]);
    assert_eq!(["a", "b", "c", "d"].map(|k| belief(&all_low, k)), [1.0; 4]);
    let two = reporters_of(&[("a", 0.0, 1), ("b", -0.7, 1)]);
    assert_eq!(["a", "b"].map(|k| belief(&two, k)), [1.0; 2], "of two nobody knows who lies");
}

#[test]
fn a_key_holds_no_more_than_its_share_of_the_window() {
    let busy = reporters_of(&[("a", 0.0, 1), ("b", 0.0, 1), ("busy", 0.0, 2)]);
    let room = |key: &str| busy.belief(Some(&KeyId::from(key)), &ArmId::from("a"), 1.0);
    assert_eq!(("a", room("a"), room("busy")), ("a", 1.0, 0.0), "half of the weight is its own already");
    let share: f64 = busy.standings().iter().find(|s| s.key.as_str() == "busy").unwrap().share;
    assert!((share - 0.5).abs() < 1e-12);
}

#[test]
fn a_judge_that_is_too_kind_is_brought_down_to_the_scale_of_people() {
    let (judge, mut reporters) = (ArmId::from("judge"), Reporters::new(GuardSettings::DEFAULT));
    assert_eq!(reporters.calibrated(&judge, 0.9), (0.9, 1.0));
    let mut rng = StdRng::seed_from_u64(3);
    let mut pairs = Vec::new();
    for _ in 0..400 {
        let human: f64 = rng.random_range(0.0..1.0);
        let judged = (0.5 + 0.5 * human + rng.random_range(-0.05..0.05)).clamp(0.0, 1.0);
        pairs.push((judged, human));
        reporters.paired(&judge, (judged, human), 1.0);
    }
    let (value, scale) = reporters.calibrated(&judge, 0.75);
    assert!((value - 0.5).abs() < 0.05, "{value}");
    assert!(reporters.calibrated(&judge, 0.55).0 < 0.2);
    assert!(scale > 1.5, "a judge that agrees weighs more than the guess: {scale}");
    for pair in pairs {
        reporters.paired(&judge, pair, -1.0);
    }
    let (value, _) = reporters.calibrated(&judge, 0.75);
    assert!((value - 0.75).abs() < 1e-6, "pairs taken back leave no trace: {value}");
}

#[test]
fn what_was_applied_is_remembered_in_a_bounded_way() {
    let mut reporters = Reporters::new(GuardSettings::DEFAULT);
    let arm = ArmId::from("a");
    let applied = Applied { value: 0.5, weight: 0.25, factor: 0.25 };
    (1..=REMEMBERED as u64 + 3).for_each(|tick| reporters.remember(&arm, tick, applied));
    assert_eq!(reporters.applied(&arm, 4), Some(applied));
    assert_eq!((reporters.applied(&arm, 3), reporters.is_forgotten(&arm, 3)), (None, true));
    assert!(!reporters.is_forgotten(&arm, 4) && !reporters.is_forgotten(&ArmId::from("b"), 1));
}
