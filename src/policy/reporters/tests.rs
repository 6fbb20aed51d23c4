//! Liars, floods and judges: through the learner, as the service folds them.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::domain::{PolicyVersion, Source};
use crate::policy::fixtures::{Question, arm, context, schema};
use crate::policy::{Exploration, LearnedState, Learner, Observation, Policy, Settings};

/// Mean quality of each arm on either kind of prompt.
const TRUTH: [(&str, [f64; 2]); 3] =
    [("good", [0.85, 0.75]), ("middling", [0.6, 0.6]), ("poor", [0.3, 0.35])];

/// One day of traffic: honest keys rate one answer in ten, hostile ones each of their own, and upside down.
#[derive(Clone, Copy)]
struct Attack {
    keys: usize,
    hostile: usize,
    /// Calls of a hostile key for each one of an honest key.
    zeal: usize,
    guard: GuardSettings,
    /// Of a hundred reports of a hostile key so many, the first, are true.
    honest: usize,
}

fn quality(arm: &ArmId, kind: usize) -> f64 {
    TRUTH.iter().find(|(name, _)| *name == arm.as_str()).unwrap().1[kind]
}

/// The mean true quality that honest callers got after a warm-up.
fn reward(attack: &Attack, seed: u64) -> f64 {
    day(attack, seed).1
}

fn day(attack: &Attack, seed: u64) -> (LearnedState, f64) {
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
    let (mut got, mut calls, mut said) = (0.0, 0.0, vec![0usize; attack.keys]);
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
        let lies = is_hostile && said[key] % 100 >= attack.honest;
        said[key] += 1;
        let value = if lies { f64::from(drawn.as_str() == "poor") } else { f64::from(luck < truth) };
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
    (state, got / calls)
}

/// Loss to the attack of `hostile` keys among `keys`, and the worst over the seeds.
fn loss(attack: Attack, seeds: std::ops::RangeInclusive<u64>) -> (f64, f64) {
    let clean = Attack { hostile: 0, zeal: 1, ..attack };
    let mean = |rewards: &[f64]| rewards.iter().sum::<f64>() / rewards.len() as f64;
    let all = |attack: Attack| seeds.clone().map(|seed| reward(&attack, seed)).collect::<Vec<_>>();
    let (clean, got) = (mean(&all(clean)), all(attack));
    let worst = got.iter().copied().fold(f64::INFINITY, f64::min);
    (1.0 - mean(&got) / clean, 1.0 - worst / clean)
}

const EVEN: Attack = Attack { keys: 40, hostile: 2, zeal: 1, guard: GuardSettings::DEFAULT, honest: 0 };

/// F7: one key in twenty rates each of its answers upside down, at the traffic of an honest one and at three times as much.
#[test]
fn f7_five_percent_of_hostile_keys_cost_little_and_without_defences_much() {
    for attack in [EVEN, Attack { zeal: 3, ..EVEN }] {
        let (guarded, _) = loss(attack, 1..=8);
        let (open, _) = loss(Attack { guard: GuardSettings::NONE, ..attack }, 1..=8);
        assert!(guarded < 0.10, "loss with defences {guarded:.4}");
        assert!(open > 0.20, "the attack must hurt where nothing stops it, loss {open:.4}");
    }
}

#[test]
fn f7_a_flood_is_thinned_out_and_a_liar_who_agreed_at_first_gains_nothing() {
    let flood = Attack { hostile: 1, zeal: 20, ..EVEN };
    let (guarded, _) = loss(flood, 1..=8);
    let (open, _) = loss(Attack { guard: GuardSettings::NONE, ..flood }, 1..=8);
    // A third of the traffic is hostile here, not a twentieth.
    assert!(guarded < 0.15, "loss to a flood {guarded:.4}");
    assert!(open > 0.20, "the flood must hurt where nothing stops it, loss {open:.4}");
    let (sleeper, _) = loss(Attack { honest: 70, ..flood }, 1..=8);
    assert!(sleeper < 0.15, "loss to a flood that tells the truth seven times in ten {sleeper:.4}");
}

/// `cargo test --release --lib reporters::tests::attacks_measured -- --ignored --nocapture`
#[test]
#[ignore = "prints the table of training/README.md"]
fn attacks_measured() {
    for (keys, hostile, zeal, honest) in [
        (40, 2, 1, 0),
        (40, 2, 3, 0),
        (40, 2, 3, 70),
        (40, 1, 1, 0),
        (40, 1, 20, 0),
        (40, 1, 20, 70),
        (40, 1, 20, 100),
        (100, 5, 1, 0),
        (100, 5, 3, 0),
        (100, 1, 20, 0),
        (10, 1, 1, 0),
        (10, 1, 3, 0),
        (10, 1, 20, 0),
        (10, 1, 20, 100),
    ] {
        let [(guarded, worst), (open, _)] = [GuardSettings::DEFAULT, GuardSettings::NONE]
            .map(|guard| loss(Attack { keys, hostile, zeal, honest, guard }, 1001..=1024));
        eprintln!(
            "{hostile} of {keys} keys, {zeal} calls for one, {honest} % honest: {guarded:.4} (worst {worst:.4}), open {open:.4}"
        );
    }
}

/// One key has twenty times the calls of each other, and rates all of them: five reports in six are its own.
#[test]
fn a_large_caller_who_agrees_with_the_others_keeps_its_voice() {
    let share = |honest| {
        let state = day(&Attack { hostile: 1, zeal: 20, honest, ..EVEN }, 5).0;
        let policy = state.snapshot(PolicyVersion::from("learned@1"));
        let standings = policy.reporters().unwrap().standings();
        standings.iter().find(|s| s.key.as_str() == "k0").unwrap().share
    };
    let (honest, liar) = (share(100), share(0));
    assert!(honest > 0.5, "share of the weight {honest:.3}");
    assert!(liar < 0.1, "the same key, were it to lie {liar:.3}");
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
fn a_key_that_disagrees_holds_no_more_than_its_share_of_the_window() {
    let room = |off: f64| {
        let busy = reporters_of(&[("a", 0.0, 1), ("b", 0.0, 1), ("busy", off, 2)]);
        let share = busy.standings().iter().find(|s| s.key.as_str() == "busy").unwrap().share;
        assert!((share - 0.5).abs() < 1e-12);
        ["a", "busy"].map(|key| busy.belief(Some(&KeyId::from(key)), &ArmId::from("a"), 1.0))
    };
    assert_eq!(room(0.15), [1.0, 0.0], "half of the weight is its own already");
    assert_eq!(room(0.0), [1.0, 1.0], "it agrees with the others");
}

#[test]
fn a_judge_that_is_too_kind_is_brought_down_to_the_scale_of_people() {
    let mut reporters = Reporters::new(GuardSettings::DEFAULT);
    let judge = Instrument { source: Source::Judge, judge: Some(ArmId::from("judge")) };
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
    let gauge = reporters.gauges().remove(0);
    assert_eq!((gauge.instrument.source, gauge.pairs), (Source::Judge, 400.0));
    assert!((gauge.bias.unwrap() + 0.25).abs() < 0.02 && (gauge.line.b - 2.0).abs() < 0.2, "{gauge:?}");
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
