use super::super::sequence::{Betting, asymptotic, at_end};
use super::*;

#[test]
fn the_asymptotic_sequence_is_the_published_closed_form() {
    // Theorem 2.2 of arXiv 2103.06476 with rho^2 = (-2 ln a + ln(-2 ln a + 1)) / n*, computed by hand for n = n* = 1000,
    // a = 0.05, sd = 1: rho^2 = 0.0079368, n rho^2 + 1 = 8.9368.
    let interval = asymptotic(1000, 0.0, 1.0, 0.05, 1000.0);
    let two_log = -2.0 * 0.05f64.ln();
    let rho2 = (two_log + (two_log + 1.0).ln()) / 1000.0;
    assert!((rho2 - 0.007_936_8).abs() < 1e-6, "{rho2}");
    let half = (2.0 * (1000.0 * rho2 + 1.0) / (1000.0f64.powi(2) * rho2)
        * ((1000.0 * rho2 + 1.0).sqrt() / 0.05).ln())
    .sqrt();
    assert!((interval.high - half).abs() < 1e-12 && (interval.low + half).abs() < 1e-12);
    assert!((half - 0.0960).abs() < 5e-4, "{half}");
    // The price of looking at any time: wider than the fixed-n interval, by less than twice at its tightest.
    assert!(half > 1.96 / 1000f64.sqrt() && half < 2.0 * 1.96 / 1000f64.sqrt());
}

#[test]
fn betting_capital_against_a_certain_outcome_is_a_product() {
    // All values 1: the capital on the mean m is the product of 1 + bet (1 - m); with the bets cut at 1 / (2 m) the candidate m
    // falls when that product reaches 2 / alpha. Recomputed here without the class.
    let (mut betting, alpha) = (Betting::new(0.05), 0.05f64);
    let (mut capital, mut squares, mut sum) = (0.0f64, 0.0, 0.0);
    let m = 0.8;
    let mut fell = None;
    for n in 0..100u32 {
        let t = f64::from(n) + 1.0;
        let bet = (2.0 * (2.0 / alpha).ln() / ((0.25 + squares) / t * t * (t + 1.0).ln())).sqrt();
        capital += (1.0 + bet.min(0.5 / m) * (1.0 - m)).ln();
        squares += (1.0 - (0.5 + sum) / t).powi(2);
        sum += 1.0;
        betting.observe(1.0);
        if fell.is_none() && capital >= (2.0 / alpha).ln() {
            fell = Some(n);
            assert!(betting.interval().low >= m - 1e-9, "{:?}", betting.interval());
        } else if fell.is_none() {
            assert!(betting.interval().low < m);
        }
    }
    assert!(fell.is_some());
    assert!(betting.interval().high == 1.0 && betting.mean() == 1.0 && betting.count() == 100);
}

/// How often the true mean is ever outside, over all looks.
fn ever_missed(seed: u64, n: u64, p: f64) -> bool {
    let counter = Counter::new(seed);
    let mut betting = Betting::new(0.05);
    (0..n).any(|i| {
        betting.observe(f64::from(u8::from(counter.uniform(i) < p)));
        !betting.interval().covers(p)
    })
}

#[test]
fn a_betting_sequence_covers_at_all_looks_together() {
    for p in [0.1, 0.5] {
        let missed = (0..120).filter(|seed| ever_missed(*seed, 150, p)).count();
        // 5 % of 120 are 6; twice that has probability under 2 % at the nominal level.
        assert!(missed <= 12, "{missed} of 120 at p = {p}");
    }
}

#[test]
fn the_asymptotic_sequence_covers_at_all_looks_from_some_hundreds_on() {
    let missed = (0..300u64).filter(|seed| {
        let counter = Counter::new(1000 + seed);
        let (mut sum, mut squares) = (0.0, 0.0);
        (1..=1500u64).any(|n| {
            let value = counter.uniform(n).powi(2);
            (sum, squares) = (sum + value, squares + value * value);
            let mean = sum / n as f64;
            let sd = (squares / n as f64 - mean * mean).max(0.0).sqrt();
            n >= 200 && !asymptotic(n, mean, sd, 0.05, 1000.0).covers(1.0 / 3.0)
        })
    });
    assert!(missed.count() <= 15);
}

#[test]
fn values_on_any_scale_are_taken_and_nothing_gives_nothing() {
    let small: Vec<f64> = (0..500).map(|i| -1.0 + 3.0 * f64::from(i % 2)).collect();
    let interval = at_end(&small, (-2.0, 3.0)).unwrap();
    assert!(interval.covers(0.5) && interval.low > -0.5 && interval.high < 1.5, "{interval:?}");
    let large: Vec<f64> = small.iter().cycle().take(5000).copied().collect();
    let tighter = at_end(&large, (-2.0, 3.0)).unwrap();
    assert!(tighter.covers(0.5) && tighter.high - tighter.low < interval.high - interval.low);
    assert_eq!(at_end(&[], (0.0, 1.0)), None);
    assert_eq!(at_end(&[0.5], (1.0, 1.0)), None);
}
