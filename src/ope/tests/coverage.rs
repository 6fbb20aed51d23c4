//! G9: a simulated logged world whose truth is known.

use super::super::regression::Regression;
use super::*;

const ARMS: usize = 3;
const DIM: usize = 5;
const ROWS: u64 = 1500;

/// Expected quality of an arm: not linear, so that the regression is wrong.
fn truth(arm: usize, x: &[f64]) -> f64 {
    let slope = [0.10, -0.05, 0.02][arm];
    ([0.55, 0.65, 0.75][arm] + slope * x[0] + 0.04 * (x[1] * x[1] - 1.0) - 0.03 * x[2] * x[0])
        .clamp(0.05, 0.95)
}

/// A soft policy: mostly the arm with the highest score.
fn policy(x: &[f64], bias: [f64; ARMS], sharpness: f64) -> [f64; ARMS] {
    let score = |arm: usize| (sharpness * (truth(arm, x) + bias[arm])).exp();
    let total: f64 = (0..ARMS).map(score).sum();
    std::array::from_fn(|arm| score(arm) / total)
}

fn logging(x: &[f64]) -> [f64; ARMS] {
    policy(x, [0.10, 0.05, 0.0], 12.0)
}

fn target(x: &[f64]) -> [f64; ARMS] {
    policy(x, [-0.05, 0.02, 0.08], 15.0)
}

fn context(counter: &Counter, row: u64) -> Vec<f64> {
    let mut x: Vec<f64> = (0..DIM as u64 - 1).map(|j| counter.normal(row * DIM as u64 + j)).collect();
    x.push(1.0);
    x
}

/// A log of one replay, of whose outcomes only `reported` are told, seen by the target.
fn replay(seed: u64, reported: f64) -> Vec<Draw> {
    let (contexts, draws) = (Counter::new(seed), Counter::new(seed ^ 0xabcd));
    let rows: Vec<(Vec<f64>, usize, Option<f64>)> = (0..ROWS)
        .map(|row| {
            let x = context(&contexts, row);
            let (u, p) = (draws.uniform(4 * row), logging(&x));
            let arm = if u < p[0] {
                0
            } else if u < p[0] + p[1] {
                1
            } else {
                2
            };
            let good = draws.uniform(4 * row + 1) < truth(arm, &x);
            let told = draws.uniform(4 * row + 2) < reported;
            (x, arm, told.then(|| f64::from(u8::from(good))))
        })
        .collect();
    let mut regression = Regression::new(DIM, ARMS, 5);
    for (i, (x, arm, reward)) in rows.iter().enumerate() {
        reward.iter().for_each(|r| regression.observe(i, *arm, x, *r));
    }
    let fitted = regression.fit().unwrap();
    let seen = |(i, (x, arm, reward)): (usize, &(Vec<f64>, usize, Option<f64>))| {
        let wanted = target(x);
        Draw {
            weight: wanted[*arm] / logging(x)[*arm] / reported,
            reward: *reward,
            predicted: fitted.predict(i, *arm, x),
            expected: (0..ARMS).map(|a| wanted[a] * fitted.predict(i, a, x)).sum(),
        }
    };
    rows.iter().enumerate().map(seen).collect()
}

fn true_value() -> f64 {
    let contexts = Counter::new(u64::MAX);
    let value = |row| {
        let x = context(&contexts, row);
        target(&x).iter().enumerate().map(|(arm, p)| p * truth(arm, &x)).sum::<f64>()
    };
    (0..300_000).map(value).sum::<f64>() / 300_000.0
}

#[test]
fn g9_dr_intervals_cover_the_truth_in_at_least_93_percent_of_200_replays() {
    let value = true_value();
    for reported in [1.0, 0.3] {
        let (mut covered, mut errors) = ((0, 0, 0), (0.0, 0.0));
        for seed in 0..200 {
            let draws = replay(seed, reported);
            assert_eq!(Diagnostics::of(&draws, 0, 0.0).verdict(&Limits::DEFAULT), Ok(()));
            let dr = doubly_robust(&draws);
            covered.0 += u32::from(dr.normal_interval().covers(value));
            covered.1 += u32::from(snips(&draws).normal_interval().covers(value));
            let robust: Vec<f64> = draws.iter().map(Draw::robust).collect();
            let bounds = robust.iter().fold((0.0f64, 1.0f64), |(l, h), v| (l.min(*v), h.max(*v)));
            covered.2 += u32::from(sequence::at_end(&robust, bounds).unwrap().covers(value));
            errors = (errors.0 + (dr.mean - value).powi(2), errors.1 + (ips(&draws).mean - value).powi(2));
        }
        let rmse = (f64::sqrt(errors.0 / 200.0), f64::sqrt(errors.1 / 200.0));
        println!(
            "reported {reported}: covered (DR, SNIPS, sequence) {covered:?} of 200; RMSE (DR, IPS) {rmse:?}"
        );
        assert!(covered.0 >= 186, "DR: {} of 200", covered.0);
        assert!(covered.1 >= 182, "SNIPS: {} of 200", covered.1);
        assert!(covered.2 >= covered.0);
        assert!(rmse.0 < 0.75 * rmse.1, "DR should err less than IPS: {rmse:?}");
    }
}

#[test]
fn the_bootstrap_interval_of_dr_covers_too() {
    let value = true_value();
    let covered = (0..60).filter(|seed| {
        let terms: Vec<_> = replay(1000 + seed, 1.0).iter().map(|d| (d.robust(), 1.0)).collect();
        let counter = Counter::new(*seed);
        percentile(&terms, 200, &|c| counter.uniform(c)).unwrap().covers(value)
    });
    let covered = covered.count();
    assert!(covered >= 53, "{covered} of 60");
}
