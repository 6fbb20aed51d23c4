//! Time of one decision and of one update, features given: 8 arms, 45 features.
//!
//! Goals: a decision in 20 us at the median, an update in 50 us. Run with `cargo bench --bench decision`.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use pointsman::domain::{
    Allowance, Arm, ArmId, CapabilitySet, Constraints, Context, FeatureSchema, Limits, PolicyVersion,
    Preference, Price, ProviderId, UnixMs,
};
use pointsman::policy::{Ask, Exploration, LearnedState, Learner, Observation, Policy, Provenance};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const ARMS: usize = 8;
const DIM: usize = 45;

fn schema() -> FeatureSchema {
    FeatureSchema::new("bench-v1")
}

fn arms() -> Vec<Arm> {
    let arm = |k: usize| Arm {
        id: ArmId::new(format!("provider/model-{k}")),
        provider: ProviderId::from("provider"),
        model: format!("model-{k}"),
        price: Price::flat(0.1 * (k + 1) as f64, 0.4 * (k + 1) as f64),
        limits: Limits { context_window: 128_000, max_output: None },
        capabilities: CapabilitySet::default(),
    };
    (0..ARMS).map(arm).collect()
}

fn context(rng: &mut StdRng) -> Context {
    let mut features: Vec<f32> = (0..DIM - 1).map(|_| rng.random_range(-1.7..1.7)).collect();
    features.push(1.0);
    Context::new(schema(), features).unwrap_or_else(|fault| unreachable!("finite by construction: {fault}"))
}

/// 500 answered and rated calls of each arm.
fn seasoned(rng: &mut StdRng, arms: &[Arm]) -> LearnedState {
    let mut state = LearnedState::new(schema(), DIM).unwrap_or_else(|fault| unreachable!("{fault}"));
    for tick in 1..=500 {
        for arm in arms {
            let x = context(rng);
            for seen in
                [answered(&arm.id, &x, rng.random_range(10..900)), rated(&arm.id, &x, rng.random(), tick)]
            {
                let applied = state.apply(&seen);
                assert!(applied.is_ok(), "{applied:?}");
            }
        }
    }
    state
}

fn answered<'a>(arm: &'a ArmId, context: &'a Context, tokens: u32) -> Observation<'a> {
    Observation::Answered {
        arm,
        context: Some(context),
        input_tokens: 200,
        output_tokens: Some(tokens),
        bill: None,
        kind: None,
        first_token_ms: Some(400.0),
        total_ms: Some(2000.0),
        at: UnixMs(0),
    }
}

fn rated<'a>(arm: &'a ArmId, context: &'a Context, value: f64, tick: u64) -> Observation<'a> {
    Observation::Quality {
        arm,
        context,
        value,
        weight: 1.0,
        tick,
        replaces: None,
        from: Provenance::default(),
    }
}

fn decision(c: &mut Criterion) {
    let mut rng = StdRng::seed_from_u64(1);
    let arms = arms();
    let state = seasoned(&mut rng, &arms);
    let policy = state.snapshot(PolicyVersion::from("learned@1"));
    let eligible: Vec<&Arm> = arms.iter().collect();
    let x = context(&mut rng);
    let (preference, constraints) = (Preference::balanced(), Constraints::default());
    let ask = Ask {
        context: Some(&x),
        arms: &eligible,
        reference: &arms[0],
        preference: &preference,
        constraints: &constraints,
        input_tokens: 200,
        max_output_tokens: None,
        turn: 0,
        at: UnixMs(1000),
        exploration: Exploration::DEFAULT,
        allowance: Allowance::UNBOUNDED,
        cached: None,
    };
    c.bench_function("decision, 8 arms, d 45", |b| b.iter(|| black_box(policy.propose(black_box(&ask)))));
}

fn update(c: &mut Criterion) {
    let mut rng = StdRng::seed_from_u64(2);
    let arms = arms();
    let mut state = seasoned(&mut rng, &arms);
    let x = context(&mut rng);
    let mut tick = 500;
    c.bench_function("quality update, d 45", |b| {
        b.iter(|| {
            tick += 1;
            black_box(state.apply(&rated(&arms[0].id, &x, 0.5, tick)))
        });
    });
    c.bench_function("answered update, d 45", |b| {
        b.iter(|| black_box(state.apply(&answered(&arms[0].id, &x, 120))));
    });
}

criterion_group!(benches, decision, update);
criterion_main!(benches);
