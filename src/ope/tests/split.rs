use super::super::split::{GuardReading, GuardVerdict, Outcome, Split};
use super::*;
use crate::domain::{CanaryGuard, CanaryGuards};

fn guarded(guard: CanaryGuard, limit: f64) -> Split {
    Split::new(CanaryGuards::from([(guard, limit)]))
}

fn reading(split: &Split) -> GuardReading {
    split.readings().remove(0)
}

/// `n` outcomes a side, from uniform numbers.
fn play(split: &mut Split, seed: u64, n: u64, outcome: impl Fn(bool, f64) -> Outcome) {
    let counter = Counter::new(seed);
    for i in 0..n {
        for challenger in [false, true] {
            let uniform = counter.uniform(2 * i + u64::from(challenger));
            split.observe(challenger, outcome(challenger, uniform));
        }
    }
}

fn coin(p: f64, uniform: f64) -> f64 {
    f64::from(u8::from(uniform < p))
}

#[test]
fn a_drop_of_quality_fails_equal_quality_holds_and_little_evidence_says_nothing() {
    let verdict = |new: f64, n: u64| {
        let mut split = guarded(CanaryGuard::QualityDrop, 0.1);
        play(&mut split, 1, n, |challenger, u| Outcome::Quality(coin(if challenger { new } else { 0.8 }, u)));
        reading(&split)
    };
    assert_eq!(verdict(0.8, 30).verdict, GuardVerdict::Open);
    let same = verdict(0.8, 2500);
    assert_eq!(same.verdict, GuardVerdict::Holds, "{same:?}");
    assert_eq!((same.champion.n, same.challenger.n), (2500, 2500));
    let worse = verdict(0.55, 2500);
    assert_eq!(worse.verdict, GuardVerdict::Fails, "{worse:?}");
    assert!((worse.change.unwrap() - 0.25).abs() < 0.05);
    assert!(worse.at_least.unwrap() > 0.1 && worse.at_most.unwrap() < 0.4);
}

#[test]
fn errors_costs_and_slow_answers_are_seen_too() {
    let mut errors = guarded(CanaryGuard::ErrorRateRise, 0.02);
    play(&mut errors, 2, 1500, |challenger, u| Outcome::Ended {
        failed: u < if challenger { 0.15 } else { 0.01 },
    });
    assert_eq!(reading(&errors).verdict, GuardVerdict::Fails);
    let cost = |factor: f64| {
        let mut split = guarded(CanaryGuard::CostRise, 0.1);
        play(&mut split, 3, 3000, |challenger, u| {
            Outcome::Cost((0.001 + 0.001 * u) * if challenger { factor } else { 1.0 })
        });
        reading(&split)
    };
    assert_eq!((cost(1.0).verdict, cost(1.3).verdict), (GuardVerdict::Holds, GuardVerdict::Fails));
    assert!((cost(1.3).change.unwrap() - 0.3).abs() < 0.03);
    let latency = |factor: f64, n| {
        let mut split = guarded(CanaryGuard::LatencyP95Rise, 0.2);
        play(&mut split, 4, n, |challenger, u| {
            Outcome::Latency(-300.0 * (1.0 - u).ln() * if challenger { factor } else { 1.0 })
        });
        reading(&split)
    };
    assert_eq!(latency(1.0, 200).at_most, None, "a 95th percentile needs hundreds");
    let (same, slow) = (latency(1.0, 20_000), latency(1.6, 20_000));
    assert_eq!((same.verdict, slow.verdict), (GuardVerdict::Holds, GuardVerdict::Fails), "{same:?} {slow:?}");
}

#[test]
fn what_is_free_on_both_sides_has_not_become_dearer() {
    let cost = |usd: f64| {
        let mut split = guarded(CanaryGuard::CostRise, 0.1);
        play(&mut split, 5, 400, |challenger, _| Outcome::Cost(if challenger { usd } else { 0.0 }));
        reading(&split).verdict
    };
    assert_eq!((cost(0.0), cost(0.001)), (GuardVerdict::Holds, GuardVerdict::Fails));
}

/// The true 95th percentile of either side is outside of its interval at some look in at most one run in twenty; with the level
/// shared out over two sides the change is outside less often still.
#[test]
fn the_latency_interval_covers_at_all_looks_together() {
    let missed = (0..60).filter(|seed| {
        let mut split = guarded(CanaryGuard::LatencyP95Rise, 0.2);
        let counter = Counter::new(1000 + seed);
        (0..3000u64).any(|i| {
            for challenger in [false, true] {
                let u = counter.uniform(2 * i + u64::from(challenger));
                split.observe(challenger, Outcome::Latency(-300.0 * (1.0 - u).ln()));
            }
            let now = reading(&split);
            i % 20 == 0
                && (now.at_least.is_some_and(|low| low > 0.0) || now.at_most.is_some_and(|high| high < 0.0))
        })
    });
    let missed = missed.count();
    assert!(missed <= 3, "{missed} of 60 runs");
}
