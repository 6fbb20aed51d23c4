//! Arms and asks for the tests of this module.

use super::{Ask, Exploration};
use crate::domain::{
    Allowance, Arm, ArmId, CapabilitySet, Constraints, Context, FeatureSchema, Limits, Preference, Price,
    ProviderId, UnixMs,
};

/// An arm at `input` and `output` USD per million tokens.
pub fn arm(id: &str, input: f64, output: f64) -> Arm {
    Arm {
        id: ArmId::from(id),
        provider: ProviderId::from("test"),
        model: id.to_owned(),
        price: Price::flat(input, output),
        limits: Limits { context_window: 128_000, max_output: Some(4_000) },
        capabilities: CapabilitySet::default(),
    }
}

/// The schema of these tests.
pub fn schema() -> FeatureSchema {
    FeatureSchema::new("test-v1")
}

/// `features` and the constant 1.
pub fn context(features: &[f32]) -> Context {
    Context::new(schema(), features.iter().copied().chain([1.0]).collect::<Vec<f32>>()).unwrap()
}

/// Everything an ask borrows.
pub struct Question {
    pub arms: Vec<Arm>,
    pub context: Option<Context>,
    pub preference: Preference,
    pub constraints: Constraints,
    pub exploration: Exploration,
    pub allowance: Allowance,
    pub turn: u64,
    pub at: UnixMs,
}

impl Question {
    pub fn new(arms: Vec<Arm>, context: Option<Context>) -> Self {
        Self {
            arms,
            context,
            preference: Preference::best(),
            constraints: Constraints::default(),
            exploration: Exploration::DEFAULT,
            allowance: Allowance::UNBOUNDED,
            turn: 0,
            at: UnixMs(0),
        }
    }

    /// Asks with the first arm as the route's default.
    pub fn ask<T>(&self, with: impl FnOnce(&Ask<'_>) -> T) -> T {
        let arms: Vec<&Arm> = self.arms.iter().collect();
        with(&Ask {
            context: self.context.as_ref(),
            arms: &arms,
            reference: &self.arms[0],
            preference: &self.preference,
            constraints: &self.constraints,
            input_tokens: 100,
            max_output_tokens: None,
            turn: self.turn,
            at: self.at,
            exploration: self.exploration,
            allowance: self.allowance,
            cached: None,
        })
    }
}
