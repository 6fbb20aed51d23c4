//! What comparisons teach, and what a revision of one leaves behind.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::domain::{Instrument, KeyId, Overlap, Replaced, Source};
use crate::policy::fixtures::{context, schema};
use crate::policy::{Contender, LearnError, Learner, Observation, Provenance};

fn fresh() -> LearnedState {
    LearnedState::new(schema(), 2).unwrap()
}

struct Match<'a> {
    arms: [&'a ArmId; 2],
    tick: u64,
    score: f64,
    old: Option<f64>,
}

fn play(state: &mut LearnedState, x: &Context, m: &Match<'_>) -> Result<(), LearnError> {
    let side = |arm| Contender { arm, context: x, tick: m.tick };
    state.apply(&Observation::Compared {
        sides: [side(m.arms[0]), side(m.arms[1])],
        score: m.score,
        weight: 1.0,
        replaces: m.old.map(|value| Replaced { value, weight: 1.0 }),
        from: Provenance::default(),
    })
}

fn rate(state: &mut LearnedState, arm: &ArmId, x: &Context, value: f64, tick: u64) {
    told(state, (arm, x), (tick, value), None, Provenance::default());
}

/// A report of weight 1; `old` is what it takes back.
fn told(
    state: &mut LearnedState,
    (arm, context): (&ArmId, &Context),
    (tick, value): (u64, f64),
    old: Option<f64>,
    from: Provenance<'_>,
) {
    let replaces = old.map(|value| Replaced { value, weight: 1.0 });
    state.apply(&Observation::Quality { arm, context, value, weight: 1.0, tick, replaces, from }).unwrap();
}

fn level(state: &LearnedState, arm: &ArmId) -> f64 {
    state.arm(arm).unwrap().quality().ridge().mean(&[0.0, 1.0])
}

#[test]
fn preferences_alone_find_the_order_of_three_arms_and_their_distances() {
    let arms = ["a", "b", "c"].map(ArmId::from);
    let truth = [0.8, 0.65, 0.4];
    let (mut state, mut rng, mut ticks) = (fresh(), StdRng::seed_from_u64(1), [0u64; 3]);
    for _ in 0..900 {
        let first = rng.random_range(0..3usize);
        let second = (first + rng.random_range(1..3usize)) % 3;
        let wins = 1.0 / (1.0 + (-(truth[first] - truth[second]) / 0.2f64).exp());
        ticks[first] += 1;
        ticks[second] += 1;
        let x = context(&[rng.random_range(-1.0..1.0f32)]);
        let sides = [
            Contender { arm: &arms[first], context: &x, tick: ticks[first] },
            Contender { arm: &arms[second], context: &x, tick: ticks[second] },
        ];
        let score = f64::from(rng.random_bool(wins));
        let from = Provenance::default();
        state.apply(&Observation::Compared { sides, score, weight: 1.0, replaces: None, from }).unwrap();
    }
    let [a, b, c] = [0, 1, 2].map(|k| level(&state, &arms[k]));
    assert!((a - b - 0.15).abs() < 0.1 && (b - c - 0.25).abs() < 0.1, "{a:.3} {b:.3} {c:.3}");
    let again = LearnedState::from_bytes(&state.to_bytes()).unwrap();
    assert_eq!(again, state);
}

#[test]
fn a_tie_brings_two_arms_together_and_never_past_each_other() {
    let (a, b) = (ArmId::from("a"), ArmId::from("b"));
    let (mut state, x) = (fresh(), context(&[0.0]));
    for tick in 1..=20 {
        rate(&mut state, &a, &x, 0.9, tick);
        rate(&mut state, &b, &x, 0.3, tick);
    }
    let before = level(&state, &a) - level(&state, &b);
    (21..=220).for_each(|tick| {
        play(&mut state, &x, &Match { arms: [&a, &b], tick, score: 0.5, old: None }).unwrap();
    });
    let after = level(&state, &a) - level(&state, &b);
    assert!(after < 0.5 * before && after > -0.01, "{before:.3} then {after:.3}");
}

#[test]
fn a_revised_comparison_leaves_no_trace_of_the_first_when_nothing_came_between() {
    let (a, b) = (ArmId::from("a"), ArmId::from("b"));
    let (mut revised, x) = (fresh(), context(&[0.4]));
    (1..=10).for_each(|tick| rate(&mut revised, &a, &x, 0.6, tick));
    (1..=10).for_each(|tick| rate(&mut revised, &b, &x, 0.5, tick));
    let mut plain = revised.clone();
    play(&mut revised, &x, &Match { arms: [&a, &b], tick: 11, score: 1.0, old: None }).unwrap();
    let wrong = level(&revised, &a) - level(&revised, &b);
    play(&mut revised, &x, &Match { arms: [&a, &b], tick: 11, score: 0.0, old: Some(1.0) }).unwrap();
    play(&mut plain, &x, &Match { arms: [&a, &b], tick: 11, score: 0.0, old: None }).unwrap();
    for arm in [&a, &b] {
        let off = level(&revised, arm) - level(&plain, arm);
        assert!(off.abs() < 2e-3, "{arm}: off by {off}, before the revision the gap was {wrong}");
        assert_eq!(
            revised.arm(arm).unwrap().quality().reports(),
            plain.arm(arm).unwrap().quality().reports()
        );
    }
}

#[test]
fn comparisons_that_cannot_be_used_change_nothing() {
    let (a, b) = (ArmId::from("a"), ArmId::from("b"));
    let (mut state, x) = (fresh(), context(&[0.0]));
    rate(&mut state, &a, &x, 0.5, 1);
    let before = state.clone();
    let never = Match { arms: [&a, &b], tick: 7, score: 1.0, old: Some(0.0) };
    assert_eq!(play(&mut state, &x, &never), Err(LearnError::TooOld { tick: 7 }));
    for (score, tick, other) in [(f64::NAN, 2, &b), (1.5, 2, &b), (1.0, 0, &b), (1.0, 2, &a)] {
        assert!(play(&mut state, &x, &Match { arms: [&a, other], tick, score, old: None }).is_err());
    }
    assert_eq!(state, before);
}

#[test]
fn f6_ten_thousand_contradictory_comparisons_at_extreme_features_stay_finite() {
    let (a, b) = (ArmId::from("a"), ArmId::from("b"));
    let mut state = fresh();
    for tick in 1..=10_000u64 {
        let x = context(&[[1e-30, 1e3, -1e3, 0.0][(tick % 4) as usize]]);
        play(&mut state, &x, &Match { arms: [&a, &b], tick, score: (tick % 2) as f64, old: None }).unwrap();
    }
    assert!(level(&state, &a).is_finite() && level(&state, &b).is_finite());
}

#[test]
fn a_thinned_report_is_taken_back_as_it_was_given() {
    let (arm, x) = (ArmId::from("a"), context(&[0.0]));
    let keys = ["k1", "k2", "k3", "k4"].map(KeyId::from);
    let mut state = fresh();
    let mut tick = 0;
    let mut say = |state: &mut LearnedState, key: &KeyId, value: f64, revises: Option<(u64, f64)>| {
        let at = revises.map_or(tick + 1, |r| r.0);
        tick = tick.max(at);
        let from = Provenance { key: Some(key), ..Provenance::default() };
        told(state, (&arm, &x), (at, value), revises.map(|r| r.1), from);
        at
    };
    for _ in 0..20 {
        for key in &keys[..3] {
            say(&mut state, key, 0.8, None);
        }
        say(&mut state, &keys[3], 0.0, None);
    }
    let before = level(&state, &arm);
    let thinned = say(&mut state, &keys[3], 0.0, None);
    let applied = state.reporters.applied(&arm, thinned).unwrap();
    assert!(applied.weight < 0.2, "{applied:?}");
    for flip in 0..200 {
        let (old, new) = if flip % 2 == 0 { (0.0, 1.0) } else { (1.0, 0.0) };
        say(&mut state, &keys[3], new, Some((thinned, old)));
    }
    assert!((level(&state, &arm) - before).abs() < 0.01, "flipping a report back and forth moves nothing");
}

fn instruments() -> [Instrument; 3] {
    let of = |source, judge| Instrument { source, judge };
    [of(Source::Judge, Some(ArmId::from("judge"))), of(Source::Code, None), of(Source::Implicit, None)]
}

#[test]
fn whatever_measures_is_calibrated_by_the_people_who_rated_the_same_answers() {
    let (x, person) = (context(&[0.0]), Instrument { source: Source::User, judge: None });
    for instrument in instruments() {
        let mut state = fresh();
        for tick in 1..=200u64 {
            // People say 0.4 where it says 0.9.
            let overlaps = [Overlap { instrument: instrument.clone(), value: 0.9, tick }];
            let from = Provenance { instrument: Some(&person), overlaps: &overlaps, ..Provenance::default() };
            told(&mut state, (&ArmId::from("a"), &x), (tick, 0.4), None, from);
        }
        let (arm, others) = (ArmId::from("b"), instruments().into_iter().filter(|i| *i != instrument));
        for tick in 1..=200u64 {
            let from = Provenance { instrument: Some(&instrument), ..Provenance::default() };
            told(&mut state, (&arm, &x), (tick, 0.9), None, from);
        }
        assert!((level(&state, &arm) - 0.45).abs() < 0.08, "{instrument:?}: {}", level(&state, &arm));
        for other in others {
            assert_eq!(state.reporters.calibrated(&other, 0.9), (0.9, 1.0), "nobody rated what it rated");
        }
    }
}

#[test]
fn pairs_with_a_person_who_is_not_believed_calibrate_nothing() {
    let (arm, x) = (ArmId::from("a"), context(&[0.0]));
    let person = Instrument { source: Source::User, judge: None };
    let [_, code, _] = instruments();
    let mut state = fresh();
    let keys = ["k1", "k2", "k3", "liar"].map(KeyId::from);
    let mut tick = 0;
    for _ in 0..60 {
        for key in &keys {
            tick += 1;
            let value = if key.as_str() == "liar" { 0.0 } else { 0.9 };
            let overlaps = [Overlap { instrument: code.clone(), value: 0.9, tick }];
            let from = Provenance { key: Some(key), instrument: Some(&person), overlaps: &overlaps };
            told(&mut state, (&arm, &x), (tick, value), None, from);
        }
    }
    let gauges = state.reporters.gauges();
    let gauge = gauges.iter().find(|g| g.instrument == code).unwrap();
    assert!(gauge.pairs < 200.0 && gauge.bias.unwrap() > -0.1, "{gauge:?}");
}
