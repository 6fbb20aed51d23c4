//! Ten million updates of one arm, hostile contexts among them: the numbers stay finite, and how long it takes.
//!
//! `cargo bench --bench endurance -- --run [updates]`. Goal: a million reports replayed within 60 s. `-- --drift` counts false
//! alarms and the reports that a fall of .17 takes to show. Without either it does nothing, so that a plain `cargo bench` stays
//! short.

#![expect(clippy::print_stdout, reason = "a bench prints")]

use std::time::Instant;

use pointsman::domain::{ArmId, Context, FeatureSchema};
use pointsman::policy::drift::ArmDrift;
use pointsman::policy::{LearnedState, Learner, Observation, Provenance};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const DIM: usize = 45;

fn context(rng: &mut StdRng, schema: &FeatureSchema) -> Option<Context> {
    let kind = rng.random_range(0..8);
    let mut features: Vec<f32> = (0..DIM - 1)
        .map(|_| match kind {
            0 => 1.0,
            1 => 1e-30,
            2 => 999.0,
            _ => rng.random_range(-1.7..1.7),
        })
        .collect();
    features.push(1.0);
    Context::new(schema.clone(), features).ok()
}

fn normal(rng: &mut StdRng) -> f64 {
    let (u, v): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// A report where 0.8 is expected, at a spread.
type Reports = fn(&mut StdRng, f64) -> f64;

/// A million quiet reports, then 2,000 falls of .17 after 300 quiet ones.
fn drift(name: &str, sd: f64, report: Reports) {
    let mut rng = StdRng::seed_from_u64(1);
    let mut watch = ArmDrift::default();
    let false_alarms =
        (0..1_000_000).filter(|_| watch.rated(0.8, report(&mut rng, sd), sd).is_some()).count();
    let (mut runs, mut total) = (0u32, 0u32);
    for _ in 0..2000 {
        let mut watch = ArmDrift::default();
        if (0..300).filter(|_| watch.rated(0.8, report(&mut rng, sd), sd).is_some()).count() == 0 {
            runs += 1;
            total += (1..5000)
                .find(|_| watch.rated(0.8, report(&mut rng, sd) - 0.17, sd).is_some())
                .unwrap_or(5000u32);
        }
    }
    let delay = f64::from(total) / f64::from(runs.max(1));
    let rate = false_alarms as f64 / 100.0;
    println!("{name:24} sd {sd:.2}: {rate:.2} false alarms in 10,000, a fall shows after {delay:.1} reports");
}

fn drifts() {
    let graded: Reports = |rng, sd| 0.8 + sd * normal(rng);
    for sd in [0.11, 0.15, 0.2, 0.3] {
        drift("graded", sd, graded);
    }
    drift("uneven (30 % of sd .33)", 0.19, |rng, _| {
        let sd = if rng.random_bool(0.3) { 0.33 } else { 0.06 };
        0.8 + sd * normal(rng)
    });
    drift("yes or no", 0.4, |rng, _| f64::from(u8::from(rng.random_bool(0.8))));
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|a| a == "--drift") {
        drifts();
    }
    let Some(at) = arguments.iter().position(|a| a == "--run") else { return };
    let updates: u64 = arguments.get(at + 1).and_then(|n| n.parse().ok()).unwrap_or(10_000_000);
    let (schema, arm) = (FeatureSchema::new("bench-v1"), ArmId::from("provider/model"));
    let mut rng = StdRng::seed_from_u64(1);
    let Ok(mut state) = LearnedState::new(schema.clone(), DIM) else { return };
    let (started, mut refused) = (Instant::now(), 0u64);
    for tick in 1..=updates {
        let Some(context) = context(&mut rng, &schema) else { continue };
        let value = if rng.random_bool(0.7) { 1.0 } else { rng.random() };
        let told = Observation::Quality {
            arm: &arm,
            context: &context,
            value,
            weight: 1.0,
            tick,
            replaces: None,
            from: Provenance::default(),
        };
        refused += u64::from(state.apply(&told).is_err());
    }
    let seconds = started.elapsed().as_secs_f64();
    let Some(ridge) = state.arm(&arm).map(|a| a.quality().ridge()) else { return };
    let finite = ridge.theta().iter().all(|t| t.is_finite()) && ridge.sigma().is_finite();
    println!(
        "{updates} updates in {seconds:.1} s ({:.1} us each), {refused} refused, finite: {finite}, condition {:.1e}, sigma {:.4}",
        seconds * 1e6 / updates as f64,
        ridge.condition(),
        ridge.sigma()
    );
}
