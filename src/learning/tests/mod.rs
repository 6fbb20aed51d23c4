//! Tests of the learner's actor with a small learner whose state depends on the order of what it sees, to the last bit.

mod actor;
mod joining;
mod learned;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::domain::*;
use crate::policy::{Ask, LearnError, Learner, Observation, Policy, PolicyError, Proposal};
use crate::store::tests::{completed, decided, decision, ended, on};
use crate::store::{Report, Store};

/// Discounted sums for each arm: `[quality, weight, output tokens, milliseconds, failures]`.
#[derive(Debug, Clone, Default)]
struct Sums {
    arms: BTreeMap<String, [f64; 5]>,
}

impl Sums {
    fn restore(bytes: &[u8]) -> Result<Box<dyn Learner>, String> {
        let arms: BTreeMap<String, [f64; 5]> = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        Ok(Box::new(Self { arms }))
    }

    fn add(&mut self, arm: &ArmId, position: usize, amount: f64) {
        let sums = self.arms.entry(arm.to_string()).or_default();
        sums[position] = sums[position] * 0.997 + amount;
    }
}

impl Learner for Sums {
    fn apply(&mut self, observation: &Observation<'_>) -> Result<(), LearnError> {
        match observation {
            Observation::Quality { arm, context, value, weight, replaces, .. } => {
                if context.schema().as_str() != "test-v1" {
                    let (wanted, found) = (FeatureSchema::new("test-v1"), context.schema().clone());
                    return Err(ContextError::WrongSchema { wanted, found }.into());
                }
                assert!(*value != 0.666, "a value that this learner cannot stand");
                let gone = replaces.map_or(0.0, |old| old.value * old.weight);
                self.add(arm, 0, (value * weight - gone) * f64::from(context.features()[0]));
                self.add(arm, 1, *weight);
            }
            Observation::Answered { arm, output_tokens, total_ms, .. } => {
                self.add(arm, 2, output_tokens.map_or(0.0, f64::from));
                self.add(arm, 3, total_ms.unwrap_or(0.0));
            }
            Observation::Asked { .. } => {}
            Observation::Compared { sides, score, .. } => self.add(sides[0].arm, 0, *score),
            Observation::Failed { arm, .. } => self.add(arm, 4, 1.0),
            Observation::Added { .. } | Observation::Removed { .. } => {}
        }
        Ok(())
    }

    fn freeze(&self, version: PolicyVersion) -> Arc<dyn Policy> {
        Arc::new(Frozen { version, sums: self.clone() })
    }

    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.arms).unwrap()
    }
}

/// Everything on the arm with the most quality.
#[derive(Debug)]
struct Frozen {
    version: PolicyVersion,
    sums: Sums,
}

impl Policy for Frozen {
    fn version(&self) -> &PolicyVersion {
        &self.version
    }

    fn strategy(&self) -> Strategy {
        Strategy::Learned
    }

    fn wants_context(&self) -> bool {
        false
    }

    fn propose(&self, ask: &Ask<'_>) -> Result<Proposal, PolicyError> {
        let quality = |arm: &&&Arm| self.sums.arms.get(arm.id.as_str()).map_or(0.0, |s| s[0]);
        let best = ask.arms.iter().max_by(|a, b| quality(a).total_cmp(&quality(b)));
        let greedy = best.ok_or(PolicyError::NoArm("sums"))?.id.clone();
        Ok(Proposal {
            distribution: ArmDistribution::certain(greedy.clone()),
            greedy,
            estimates: vec![],
            relaxed: vec![],
        })
    }
}

fn make() -> Box<dyn Learner> {
    Box::new(Sums::default())
}

const SOURCE: LearnerSource<'static> = LearnerSource { make: &make, restore: &Sums::restore };

/// Decisions `first..last` with answers, fallbacks, failures, reports and revisions, the same each time.
async fn write_log(store: &Store, first: u128, last: u128) {
    for n in first..last {
        let arm = ["a", "b", "c"][(n % 3) as usize];
        store.try_append(decided(decision(n, arm))).unwrap();
        let served = if n % 7 == 0 { "b" } else { arm };
        let mut call = Completed { total_ms: 100.0 + (n as f64).sqrt(), ..completed(n, served) };
        if n % 7 == 0 {
            let failed = Attempt {
                arm: ArmId::from(arm),
                end: AttemptEnd::ServerError,
                status: None,
                ms: 1.0,
                cost_usd: None,
            };
            call.attempts.insert(0, failed);
        }
        store.try_append(ended(call)).unwrap();
        if n % 4 != 0 {
            store.feedback(on(n, (n % 10) as f64 / 9.0)).await.unwrap();
        }
        if n % 5 == 0 && n > first + 9 {
            store.feedback(on(n - 9, (n % 3) as f64 / 3.1)).await.unwrap();
        }
    }
    store.append(EventBody::Admin(AdminEvent::KeyRevoked { key: KeyId::from("k") })).await.unwrap();
}

/// The state of the whole log, folded from nothing.
fn folded(store: &Store) -> (Vec<u8>, Folded) {
    let mut learner = Sums::default();
    let end = *store.committed().borrow();
    let folded = fold(store, &mut learner, end).unwrap();
    (learner.to_bytes(), folded)
}

/// The state in the newest checkpoint.
fn saved(store: &Store) -> Vec<u8> {
    store.checkpoints().unwrap().remove(0).state.unwrap()
}
