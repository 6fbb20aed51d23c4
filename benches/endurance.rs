//! Ten million updates of one arm, hostile contexts among them: the numbers stay finite, and how long it takes.
//!
//! `cargo bench --bench endurance -- --run [updates]`. Goal: a million reports replayed within 60 s. Without `--run` it does
//! nothing, so that a plain `cargo bench` stays short.

#![expect(clippy::print_stdout, reason = "a bench prints")]

use std::time::Instant;

use pointsman::domain::{ArmId, Context, FeatureSchema};
use pointsman::policy::{LearnedState, Learner, Observation};
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

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let Some(at) = arguments.iter().position(|a| a == "--run") else { return };
    let updates: u64 = arguments.get(at + 1).and_then(|n| n.parse().ok()).unwrap_or(10_000_000);
    let (schema, arm) = (FeatureSchema::new("bench-v1"), ArmId::from("provider/model"));
    let mut rng = StdRng::seed_from_u64(1);
    let Ok(mut state) = LearnedState::new(schema.clone(), DIM) else { return };
    let (started, mut refused) = (Instant::now(), 0u64);
    for tick in 1..=updates {
        let Some(context) = context(&mut rng, &schema) else { continue };
        let value = if rng.random_bool(0.7) { 1.0 } else { rng.random() };
        let told =
            Observation::Quality { arm: &arm, context: &context, value, weight: 1.0, tick, replaces: None };
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
