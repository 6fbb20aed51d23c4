mod coverage;
mod sequences;
mod split;

use super::*;
use crate::math::counter::Counter;

fn draw(weight: f64, reward: f64, predicted: f64, expected: f64) -> Draw {
    Draw { weight, reward: Some(reward), predicted, expected }
}

#[test]
fn the_estimators_are_their_formulas() {
    let draws = [
        draw(2.0, 1.0, 0.5, 0.6),
        draw(0.5, 0.0, 0.4, 0.7),
        Draw { weight: 3.0, reward: None, predicted: 0.1, expected: 0.2 },
        draw(1.0, 0.5, 0.5, 0.5),
    ];
    assert!((ips(&draws).mean - (2.0 + 0.5) / 4.0).abs() < 1e-12);
    assert!((snips(&draws).mean - 2.5 / 3.5).abs() < 1e-12);
    assert!((direct_method(&draws).mean - 0.5).abs() < 1e-12);
    assert!(
        (doubly_robust(&draws).mean - (0.6 + 2.0 * 0.5 + 0.7 - 0.5 * 0.4 + 0.2 + 0.5) / 4.0).abs() < 1e-12
    );
    // The delta method by hand.
    let v = 2.5 / 3.5;
    let squares = (2.0f64 * (1.0 - v)).powi(2) + (0.5 * v).powi(2) + (0.5 - v).powi(2);
    assert!((snips(&draws).standard_error - squares.sqrt() / 3.5).abs() < 1e-12);
    assert!(snips(&[]).mean.is_nan() && doubly_robust(&[]).mean.is_nan());
}

#[test]
fn equal_weights_give_the_plain_mean_in_every_estimator_that_sees_rewards() {
    let draws: Vec<Draw> = (0..50).map(|i| draw(1.0, f64::from(i % 5) / 4.0, 0.3, 0.3)).collect();
    for estimate in [ips(&draws), snips(&draws), doubly_robust(&draws)] {
        assert!((estimate.mean - 0.5).abs() < 1e-12);
    }
}

#[test]
fn the_bootstrap_of_a_mean_agrees_with_the_normal_interval_and_repeats_itself() {
    let counter = Counter::new(3);
    let values: Vec<f64> = (0..800).map(|i| counter.normal(i)).collect();
    let terms: Vec<(f64, f64)> = values.iter().map(|v| (*v, 1.0)).collect();
    let uniform = |c| Counter::new(4).uniform(c);
    let interval = percentile(&terms, 1000, &uniform).unwrap();
    let normal = Value::of(values.iter().copied()).normal_interval();
    assert!((interval.low - normal.low).abs() < 0.01 && (interval.high - normal.high).abs() < 0.01);
    assert_eq!(percentile(&terms, 1000, &uniform), Some(interval));
    assert_eq!(percentile(&[], 10, &uniform), None);
    assert_eq!(percentile(&[(0.0, 0.0)], 10, &uniform), None, "a ratio without a denominator");
}

#[test]
fn the_verdict_is_refused_for_the_first_thing_that_is_wrong() {
    let limits = Limits::DEFAULT;
    let even: Vec<Draw> = (0..300).map(|_| draw(1.0, 1.0, 0.0, 0.0)).collect();
    let sound = Diagnostics::of(&even, 3, 0.01);
    assert_eq!(sound.verdict(&limits), Ok(()));
    assert_eq!((sound.effective, sound.effective_share, sound.clipped_share), (300.0, 1.0, 0.01));
    assert_eq!(Diagnostics::of(&[], 0, 0.0).verdict(&limits), Err(NoVerdict::NothingReported));
    let unsupported = Diagnostics::of(&even, 0, 0.2).verdict(&limits);
    assert!(unsupported.unwrap_err().to_string().contains("no support"));
    let few = Diagnostics::of(&even[..199], 0, 0.0).verdict(&limits);
    assert!(matches!(few, Err(NoVerdict::FewDraws { draws: 199.0, .. })));
    // One draw of fifty thousand carries nearly everything.
    let mut heavy: Vec<Draw> = (0..50_000).map(|_| draw(0.01, 1.0, 0.0, 0.0)).collect();
    heavy[0].weight = 1000.0;
    let refused = Diagnostics::of(&heavy, 0, 0.0);
    assert!(refused.effective_share < 0.05);
    assert!(refused.verdict(&limits).unwrap_err().to_string().starts_with("effective sample size is 0.00 %"));
}

#[test]
fn a_regression_leaves_the_fold_out_that_it_is_asked_about() {
    let mut regression = regression::Regression::new(2, 2, 2);
    for i in 0..400 {
        let x = if i % 4 < 2 { 1.0 } else { -1.0 };
        // Fold 0 says the opposite of fold 1.
        let sign = if i % 2 == 0 { 1.0 } else { -1.0 };
        regression.observe(i % 2, 0, &[x, 1.0], 0.5 + 0.3 * sign * x);
    }
    let fitted = regression.fit().unwrap();
    assert!(fitted.predict(0, 0, &[1.0, 1.0]) < 0.3 && fitted.predict(1, 0, &[1.0, 1.0]) > 0.7);
    assert!(
        (fitted.predict(0, 1, &[1.0, 1.0]) - 0.5).abs() < 1e-9,
        "an arm without rows has the level of all"
    );
}
