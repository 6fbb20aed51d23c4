//! A made-up log: for measuring how long retraining takes, and for tests that need a log whose truth is known.
//!
//! Arms differ in level and in slopes on a few features; the log is drawn from a soft policy over the truth, so that every arm is
//! drawn everywhere. A completion follows each decision, and a report some of them.

use std::time::Duration;

use uuid::Uuid;

use crate::domain::{
    ArmDistribution, ArmEstimate, ArmId, Attempt, AttemptEnd, Completed, CompletionEnd, Context, Decision,
    DecisionId, Encoding, Estimate, EventBody, FeatureSchema, Feedback, FeedbackId, LatencyEstimate, Source,
    UnixMs, Usage,
};
use crate::math::counter::Counter;
use crate::policy::explore::draw;
use crate::store::Store;

/// Price of a million tokens in and out, USD, level of quality, and typical answer, tokens.
const ARMS: [(&str, f64, f64, f64, f64); 6] = [
    ("made-up/small", 0.05, 0.4, 0.62, 250.0),
    ("made-up/swift", 0.10, 0.6, 0.66, 180.0),
    ("made-up/coder", 0.25, 2.0, 0.68, 400.0),
    ("made-up/middle", 0.60, 2.4, 0.74, 300.0),
    ("made-up/large", 2.50, 10.0, 0.80, 350.0),
    ("made-up/thinker", 5.00, 25.0, 0.83, 900.0),
];

/// Name of the policy and of the encoder.
const MADE_UP: &str = "made-up";
/// What is asked for.
const ROUTE: &str = "auto";
/// Milliseconds between two requests.
const PACE_MS: i64 = 250;
/// The log's first decision, 2026-01-01.
const BEGINNING: i64 = 1_767_225_600_000;
/// How sharply the logging policy prefers.
const SHARPNESS: f64 = 6.0;
/// Jobs in the store's queue before the writer waits.
const QUEUE: usize = 4_000;

/// What the log looks like.
#[derive(Debug, Clone)]
pub struct MadeUp {
    /// Decisions.
    pub rows: u64,
    /// Share of the decisions with a quality report.
    pub reported: f64,
    /// Seed.
    pub seed: u64,
    /// Of the features.
    pub schema: FeatureSchema,
    /// Features, the constant included.
    pub dim: usize,
}

impl MadeUp {
    /// Expected quality of arm `k` at `x`.
    pub fn quality(k: usize, x: &[f32]) -> f64 {
        let level = ARMS[k].3;
        let feature = |j: usize| f64::from(x.get(j % (x.len() - 1)).copied().unwrap_or(0.0));
        // All find the same prompts hard; each has something it is good at.
        (level - 0.06 * feature(0) + 0.05 * feature(1 + k)).clamp(0.02, 0.98)
    }

    /// Number of arms.
    pub const fn arms() -> usize {
        ARMS.len()
    }

    /// Features of decision `i`.
    pub fn features(&self, i: u64) -> Vec<f32> {
        let counter = Counter::new(self.seed);
        let free = self.dim as u64 - 1;
        let mut x: Vec<f32> =
            (0..free).map(|j| counter.normal(i * free + j).clamp(-4.0, 4.0) as f32).collect();
        x.push(1.0);
        x
    }

    /// What decision `i` is drawn from.
    fn shares(x: &[f32]) -> Vec<f64> {
        let score = |k: usize| (SHARPNESS * (Self::quality(k, x) - 12.0 * typical_usd(k))).exp();
        let total: f64 = (0..ARMS.len()).map(score).sum();
        (0..ARMS.len()).map(|k| score(k) / total).collect()
    }

    /// Writes the log to its end. `progress` gets (decisions done, decisions).
    ///
    /// # Errors
    /// When the store refuses an event.
    pub fn write(&self, store: &Store, progress: &mut dyn FnMut(u64, u64)) -> Result<(), String> {
        let mut ticks = vec![0u64; ARMS.len()];
        let committed = store.committed();
        let (mut last, dropped) = (committed.borrow().0, store.dropped());
        for i in 0..self.rows {
            while store.queue_len() > QUEUE {
                std::thread::sleep(Duration::from_millis(1));
            }
            for body in self.events(i, &mut ticks)? {
                store.try_append(body).map_err(|e| e.to_string())?;
                last += 1;
            }
            if i % 1024 == 0 {
                progress(i, self.rows);
            }
        }
        while committed.borrow().0 < last {
            if store.dropped() > dropped {
                return Err("the store lost events: is the disk full?".to_owned());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        progress(self.rows, self.rows);
        Ok(())
    }

    fn events(&self, i: u64, ticks: &mut [u64]) -> Result<Vec<EventBody>, String> {
        let x = self.features(i);
        let luck = Counter::new(self.seed ^ 0x5eed_1eaf);
        let at = UnixMs(BEGINNING + PACE_MS * i as i64);
        let (id, input_tokens) = (id(at, self.seed, i), 40 + (luck.bits(8 * i) % 800) as u32);
        let ids: Vec<ArmId> = ARMS.iter().map(|arm| ArmId::from(arm.0)).collect();
        let distribution = ArmDistribution::new(ids.clone(), Self::shares(&x)).map_err(|e| e.to_string())?;
        let drawn = draw(&distribution, luck.uniform(8 * i + 1));
        let k = ids.iter().position(|arm| *arm == drawn.arm).unwrap_or(0);
        let good = luck.uniform(8 * i + 2) < Self::quality(k, &x);
        let output_tokens = (ARMS[k].4 * (0.5 * luck.normal(4 * i + 2)).exp()).max(1.0) as u32;
        let cost_usd = usd(k, f64::from(input_tokens), f64::from(output_tokens));
        let total_ms = 300.0 + 12.0 * f64::from(output_tokens);
        let context = Context::new(self.schema.clone(), x.clone()).map_err(|e| e.to_string())?;
        let mut events = vec![
            EventBody::Decided(Box::new(Decision {
                propensity: drawn.propensity,
                estimates: (0..ARMS.len()).map(|k| estimate(k, &x, input_tokens)).collect(),
                distribution,
                context: Some(context),
                encoding: Encoding { embedder: MADE_UP.into(), cut: None },
                input_tokens,
                session: Some(format!("session-{}", i / 3)),
                ..Decision::certain(id, at, ROUTE.into(), drawn.arm.clone(), MADE_UP.into())
            })),
            EventBody::Completed(Box::new(completed(
                id,
                at,
                &drawn.arm,
                (input_tokens, output_tokens),
                (cost_usd, total_ms),
            ))),
        ];
        if luck.uniform(8 * i + 3) < self.reported {
            ticks[k] += 1;
            events.push(EventBody::Feedback(Box::new(report(
                id,
                at,
                drawn.arm,
                f64::from(u8::from(good)),
                ticks[k],
            ))));
        }
        Ok(events)
    }
}

fn usd(k: usize, input_tokens: f64, output_tokens: f64) -> f64 {
    (input_tokens * ARMS[k].1 + output_tokens * ARMS[k].2) / 1e6
}

fn typical_usd(k: usize) -> f64 {
    usd(k, 440.0, ARMS[k].4)
}

fn estimate(k: usize, x: &[f32], input_tokens: u32) -> ArmEstimate {
    let output_tokens = ARMS[k].4 * (1.0 + 0.1 * f64::from(x[0]));
    ArmEstimate {
        arm: ArmId::from(ARMS[k].0),
        quality: Estimate { mean: MadeUp::quality(k, x), sd: 0.02 },
        cost_usd: usd(k, f64::from(input_tokens), output_tokens),
        output_tokens,
        latency_ms: LatencyEstimate { p50: 300.0 + 12.0 * output_tokens, p95: 900.0 + 24.0 * output_tokens },
        failure: 0.01,
        utility: 0.0,
    }
}

/// A version 7 UUID of that time, the rest from the seed.
fn id(at: UnixMs, seed: u64, i: u64) -> DecisionId {
    let random = Counter::new(seed ^ 0x1d).bits(i);
    let high = (u128::from(at.0.unsigned_abs()) << 80) | (0x7 << 76) | (u128::from(i & 0xfff) << 64);
    DecisionId::from_uuid(Uuid::from_u128(high | (0b10 << 62) | u128::from(random >> 2)))
}

fn completed(
    decision: DecisionId,
    at: UnixMs,
    arm: &ArmId,
    (input_tokens, output_tokens): (u32, u32),
    (cost_usd, total_ms): (f64, f64),
) -> Completed {
    Completed {
        decision,
        at: UnixMs(at.0 + total_ms as i64),
        served: Some(arm.clone()),
        completion_id: None,
        end: CompletionEnd::Complete,
        usage: Some(Usage { input_tokens, output_tokens, ..Usage::default() }),
        cost_usd: Some(cost_usd),
        first_token_ms: Some(280.0),
        total_ms,
        finish_reason: Some("stop".into()),
        attempts: vec![Attempt {
            arm: arm.clone(),
            end: AttemptEnd::Answered,
            status: Some(200),
            ms: 280.0,
            cost_usd: None,
        }],
        kind: None,
        billing: None,
    }
}

fn report(decision: DecisionId, at: UnixMs, arm: ArmId, value: f64, tick: u64) -> Feedback {
    Feedback {
        id: FeedbackId::from_uuid(Uuid::from_bytes(*decision.as_bytes())),
        at: UnixMs(at.0 + 60_000),
        decision,
        name: "quality".into(),
        value: Some(value),
        verdict: None,
        source: Source::User,
        weight: 1.0,
        comment: None,
        idempotency_key: None,
        usage: None,
        cost_usd: None,
        latency_ms: None,
        error: None,
        key: None,
        arm: Some(arm),
        tick,
        replaces: None,
        versus: None,
        episode: None,
        judged: None,
        overlaps: Vec::new(),
    }
}
