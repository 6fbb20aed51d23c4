//! The simulated world: six models with fictional names, and how good each is at what.
//!
//! What a model makes of a prompt is a pure function of the two (the noise is a hash of the words), so the truth can be asked
//! for again at any time: by the upstream that serves, by the scoreboard that judges, by a test that recomputes.
//!
//! It is built so that routing pays: a dear generalist is good at everything, three cheap specialists are better in their own
//! field and middling elsewhere, a small generalist is worth its price nowhere, and the cheapest is poor at all that is not easy.

use crate::domain::{Limits, Price, Usage};

use super::hash;
use super::prompts::{Kind, SimPrompt};

/// How fast a model is, before the time scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Speed {
    /// Milliseconds to the first token.
    pub first_token_ms: f64,
    /// Tokens per second after it.
    pub tokens_per_second: f64,
}

/// How often a model fails, as shares of its calls.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Faults {
    /// Answers 500 or 503.
    pub server_error: f64,
    /// Answers 429.
    pub rate_limited: f64,
}

impl Faults {
    /// Never fails.
    pub const NONE: Self = Self { server_error: 0.0, rate_limited: 0.0 };
}

/// One model that the upstream hosts.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Its name on the wire.
    pub name: String,
    /// What it charges.
    pub price: Price,
    /// What fits.
    pub limits: Limits,
    /// How often it fails.
    pub faults: Faults,
}

/// What a model makes of a prompt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Truth {
    /// In [0, 1].
    pub quality: f64,
    /// What the call costs, USD.
    pub cost_usd: f64,
    /// Input tokens, as the provider counts them.
    pub input_tokens: u32,
    /// Output tokens, as the provider counts them.
    pub output_tokens: u32,
    /// To the first token, milliseconds, before the time scale.
    pub first_token_ms: f64,
    /// To the last token, milliseconds, before the time scale.
    pub total_ms: f64,
}

/// Fields of tasks in which a specialist is at home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Code,
    Exact,
    Language,
}

fn field(kind: Kind) -> Field {
    match kind {
        Kind::Code | Kind::Debugging | Kind::Sql => Field::Code,
        Kind::Maths | Kind::Puzzle | Kind::Extraction | Kind::Formatting | Kind::Classification => {
            Field::Exact
        }
        Kind::Translation | Kind::Summary | Kind::Chat | Kind::Creative => Field::Language,
    }
}

/// Skill in a field: quality falls linearly from `easy` (difficulty 0) by `slope` (to difficulty 1).
#[derive(Debug, Clone, Copy)]
struct Skill {
    easy: f64,
    slope: f64,
}

struct Character {
    name: &'static str,
    /// USD per million tokens in and out.
    price: (f64, f64),
    speed: Speed,
    /// Length of its answers relative to the usual.
    verbosity: f64,
    faults: Faults,
    /// By field: code, exact, language.
    skills: [Skill; 3],
}

const fn skill(easy: f64, slope: f64) -> Skill {
    Skill { easy, slope }
}

const fn speed(first_token_ms: f64, tokens_per_second: f64) -> Speed {
    Speed { first_token_ms, tokens_per_second }
}

const fn faults(server_error: f64, rate_limited: f64) -> Faults {
    Faults { server_error, rate_limited }
}

/// In its own field.
const SPECIALIST: Skill = skill(0.99, 0.12);
/// A specialist elsewhere.
const ELSEWHERE: Skill = skill(0.85, 0.20);

/// Sorted by name.
const CAST: [Character; 6] = [
    Character {
        name: "sim/abacus-medium",
        price: (0.3, 1.2),
        speed: speed(350.0, 110.0),
        verbosity: 1.0,
        faults: faults(0.015, 0.005),
        skills: [ELSEWHERE, SPECIALIST, ELSEWHERE],
    },
    Character {
        name: "sim/atlas-large",
        price: (4.0, 20.0),
        speed: speed(900.0, 55.0),
        verbosity: 1.0,
        faults: faults(0.010, 0.008),
        skills: [skill(0.925, 0.13); 3],
    },
    Character {
        name: "sim/coder-medium",
        price: (0.4, 1.6),
        speed: speed(350.0, 110.0),
        verbosity: 1.0,
        faults: faults(0.015, 0.005),
        skills: [SPECIALIST, ELSEWHERE, ELSEWHERE],
    },
    Character {
        name: "sim/nimbus-small",
        price: (0.5, 2.0),
        speed: speed(350.0, 110.0),
        verbosity: 1.0,
        faults: faults(0.010, 0.010),
        skills: [skill(0.70, 0.20); 3],
    },
    Character {
        name: "sim/polyglot-medium",
        price: (0.3, 1.2),
        speed: speed(300.0, 120.0),
        verbosity: 0.95,
        faults: faults(0.015, 0.005),
        skills: [ELSEWHERE, ELSEWHERE, SPECIALIST],
    },
    Character {
        name: "sim/swift-mini",
        price: (0.05, 0.2),
        speed: speed(120.0, 260.0),
        verbosity: 0.9,
        faults: faults(0.020, 0.010),
        skills: [skill(0.73, 0.28), skill(0.73, 0.28), skill(0.76, 0.28)],
    },
];

/// Standard deviation of what all models share on a prompt: some asks are just better put.
const SHARED_NOISE: f64 = 0.03;
/// Standard deviation of a model's own luck with a prompt.
const OWN_NOISE: f64 = 0.04;

/// Seeds the noise; the models are the same in every world.
#[derive(Debug, Clone)]
pub struct World {
    seed: u64,
    models: Vec<Model>,
}

impl World {
    /// A world whose noise comes from `seed`.
    pub fn new(seed: u64) -> Self {
        let models = CAST.iter().map(Character::model).collect();
        Self { seed, models }
    }

    /// The models by name, shape `[k]`.
    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// Quality that model `k` reaches on average on such prompts: the truth without its noise.
    pub fn expected_quality(&self, prompt: &SimPrompt, k: usize) -> f64 {
        let skill = CAST[k].skills[field(prompt.kind) as usize];
        (skill.easy - skill.slope * prompt.level.difficulty()).clamp(0.0, 1.0)
    }

    /// What model `k` makes of the prompt.
    pub fn truth(&self, prompt: &SimPrompt, k: usize) -> Truth {
        let words = hash::mix(hash::text(&prompt.text), self.seed);
        let own = hash::mix(words, 1 + k as u64);
        let noise = SHARED_NOISE * hash::normal(words) + OWN_NOISE * hash::normal(own);
        let character = &CAST[k];
        let input_tokens = token_count(&prompt.text);
        let spread = (0.2 * hash::normal(hash::mix(own, 99))).exp();
        let length = usual_length(prompt.kind) * (0.6 + 0.8 * prompt.level.difficulty());
        let output_tokens = (length * character.verbosity * spread).clamp(8.0, 2_000.0) as u32;
        let usage = Usage { input_tokens, output_tokens, ..Usage::default() };
        let speed = character.speed;
        Truth {
            quality: (self.expected_quality(prompt, k) + noise).clamp(0.0, 1.0),
            cost_usd: self.models[k].price.cost_usd(&usage),
            input_tokens,
            output_tokens,
            first_token_ms: speed.first_token_ms,
            total_ms: speed.first_token_ms + f64::from(output_tokens) * 1e3 / speed.tokens_per_second,
        }
    }
}

impl Character {
    fn model(&self) -> Model {
        let (input, output) = self.price;
        Model {
            name: self.name.to_owned(),
            price: Price::flat(input, output),
            limits: Limits { context_window: 128_000, max_output: Some(16_000) },
            faults: self.faults,
        }
    }
}

/// Tokens of a text as this world counts them: four bytes each, at least one.
pub fn token_count(text: &str) -> u32 {
    u32::try_from(text.len().div_ceil(4)).unwrap_or(u32::MAX).max(1)
}

/// Output tokens of a usual answer at middling difficulty.
fn usual_length(kind: Kind) -> f64 {
    match kind {
        Kind::Code => 320.0,
        Kind::Debugging => 280.0,
        Kind::Sql => 160.0,
        Kind::Maths => 260.0,
        Kind::Puzzle => 240.0,
        Kind::Translation => 90.0,
        Kind::Summary => 90.0,
        Kind::Chat => 140.0,
        Kind::Creative => 300.0,
        Kind::Extraction => 70.0,
        Kind::Formatting => 110.0,
        Kind::Classification => 30.0,
    }
}

#[cfg(test)]
mod tests;
