//! Stored states of the learner: damaged ones with a digest that fits are refused or are sound.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pointsman::domain::{ArmId, Context, FeatureSchema, PolicyVersion};
use pointsman::policy::{LearnedState, Learner, Observation, Provenance};
use sha2::{Digest, Sha256};

const MAGIC_BYTES: usize = 8;
const DIGEST_BYTES: usize = 32;

/// The body of a state that has learned a little.
static GOOD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let schema = FeatureSchema::new("fuzz");
    let mut state = LearnedState::new(schema.clone(), 3).expect("a state");
    for tick in 1..=20 {
        let context = Context::new(schema.clone(), vec![tick as f32 / 20.0, -0.5, 1.0]).expect("a context");
        let arm = ArmId::from(if tick % 2 == 0 { "a" } else { "b" });
        let from = Provenance::default();
        let told = Observation::Quality { arm: &arm, context: &context, value: 0.5, weight: 1.0, tick, replaces: None, from };
        state.apply(&told).expect("it learns");
    }
    state.to_bytes()
});

fuzz_target!(|data: &[u8]| {
    let Some((mode, rest)) = data.split_first() else { return };
    let (magic, good) = GOOD.split_at(MAGIC_BYTES);
    let good = &good[..good.len() - DIGEST_BYTES];
    let body = if mode % 4 == 0 {
        rest.to_vec()
    } else {
        let mut body = good.to_vec();
        for patch in rest.chunks_exact(3) {
            let at = usize::from(u16::from_le_bytes([patch[0], patch[1]])) % body.len();
            body[at] = patch[2];
        }
        body
    };
    let bytes = [magic, &body, Sha256::digest(&body).as_slice()].concat();
    let Ok(state) = LearnedState::from_bytes(&bytes) else { return };
    let _ = state.snapshot(PolicyVersion::from("learned@1"));
    let again = LearnedState::from_bytes(&state.to_bytes());
    assert!(again.is_ok(), "what was taken is taken again");
});
