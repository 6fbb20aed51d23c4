//! Updates of the learner: what is finite stays so, and what is refused changes nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pointsman::domain::{ArmId, Context, FeatureSchema, Replaced, UnixMs};
use pointsman::policy::{LearnedState, Learner, Observation, Provenance};

const DIM: usize = 3;

struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// Often a usual number, at times any that eight bytes can hold.
    fn number(&mut self) -> f64 {
        match self.byte() {
            0..=29 => f64::from_bits(u64::from_le_bytes(std::array::from_fn(|_| self.byte()))),
            30..=34 => 1e300,
            35..=39 => 1e-300,
            other => f64::from(other) / 255.0,
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut from = Numbers(data);
    let schema = FeatureSchema::new("fuzz");
    let mut state = LearnedState::new(schema.clone(), DIM).expect("a state");
    let arms = ["a", "b"].map(ArmId::from);
    for tick in 1..=64u64 {
        if from.0.is_empty() {
            break;
        }
        let features = (0..DIM).map(|_| from.number() as f32).collect::<Vec<f32>>();
        let Ok(context) = Context::new(schema.clone(), features) else { continue };
        let arm = &arms[usize::from(from.byte() % 2)];
        let (value, weight) = (from.number(), from.number());
        let replaces = (from.byte() % 4 == 0).then(|| Replaced { value: from.number(), weight: from.number() });
        let at = UnixMs(from.number() as i64);
        let told = match from.byte() % 3 {
            0 => Observation::Answered {
                arm,
                context: Some(&context),
                input_tokens: 10,
                output_tokens: Some(value as u32),
                bill: None,
                kind: None,
                first_token_ms: Some(value),
                total_ms: Some(weight),
                at,
            },
            1 => Observation::Failed { arm, at },
            _ => Observation::Quality { arm, context: &context, value, weight, tick, replaces, from: Provenance::default() },
        };
        let before = state.clone();
        if state.apply(&told).is_err() {
            assert!(state == before, "what is refused changes nothing");
        }
    }
    for arm in &arms {
        let Some(heads) = state.arm(arm) else { continue };
        let ridge = heads.quality().ridge();
        assert!(ridge.theta().iter().all(|t| t.is_finite()) && ridge.sigma().is_finite());
    }
    let bytes = state.to_bytes();
    assert!(LearnedState::from_bytes(&bytes).expect("a state that was learned is one") == state);
});
