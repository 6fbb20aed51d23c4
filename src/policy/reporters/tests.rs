//! How far keys are believed, and how a judge is brought to the scale of people. What hostile keys do to whole days of calls:
//! `offline::poisoning`.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::domain::Source;

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
