//! Arms that could go: on what a route was asked lately they are worse than its default by more than doubt allows, and on none of
//! it are they the best.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;

use super::{LiveRoute, Service};
use crate::domain::{AdminEvent, Allowance, Arm, ArmId, Context, Decision, EventBody, Preference, UnixMs};
use crate::policy::{Ask, Exploration, Policy};
use crate::routing::Retirement;

/// Prompts of a route that are kept for this.
const RECENT: usize = 64;
/// Requests between two looks.
const EVERY: u64 = 256;
/// Reports without which nothing is said.
const LEAST_REPORTS: u64 = 50;
/// How much worse, on the scale of utility, is worth a word.
const BEHIND: f64 = 0.02;
/// How many standard deviations are granted to the arm; three, since one looks again and again.
const DOUBT: f64 = 3.0;

/// What a route was asked lately, and what came of the last look.
#[derive(Debug, Default)]
pub struct Watch {
    asked: Mutex<VecDeque<Asked>>,
    outclassed: ArcSwap<BTreeMap<ArmId, f64>>,
}

#[derive(Debug, Clone)]
struct Asked {
    context: Context,
    input_tokens: u32,
}

impl Watch {
    /// The arms that could go, and by how much they are behind at the least.
    pub fn outclassed(&self) -> Arc<BTreeMap<ArmId, f64>> {
        self.outclassed.load_full()
    }

    /// Keeps a prompt; while somebody else does, it is let go.
    fn keep(&self, decision: &Decision) {
        let (Some(context), Ok(mut asked)) = (&decision.context, self.asked.try_lock()) else { return };
        if asked.len() == RECENT {
            asked.pop_front();
        }
        asked.push_back(Asked { context: context.clone(), input_tokens: decision.input_tokens });
    }
}

impl Service {
    /// Keeps the prompt, and now and then looks through the last ones, behind the request.
    pub(super) fn watch(&self, live: &Arc<LiveRoute>, decision: &Decision) {
        live.watch.keep(decision);
        if !live.turns_seen().is_multiple_of(EVERY) {
            return;
        }
        let Some(default) = self.fleet.arm(&live.route.default).cloned() else { return };
        let arms: Vec<Arc<Arm>> =
            live.route.arms.iter().filter_map(|id| self.fleet.arm(id)).cloned().collect();
        let (live, policy) = (Arc::clone(live), self.learning.policy());
        let (store, metrics, at) = (self.store.clone(), Arc::clone(&self.metrics), decision.at);
        tokio::task::spawn_blocking(move || {
            let asked: Vec<Asked> =
                live.watch.asked.lock().map(|asked| asked.iter().cloned().collect()).unwrap_or_default();
            let arms: Vec<&Arm> = arms.iter().map(AsRef::as_ref).collect();
            let found = look(&*policy, &asked, &arms, (&*default, &live.route.preference), at);
            let before = live.watch.outclassed.swap(Arc::new(found.clone()));
            for (arm, behind) in found.iter().filter(|(arm, _)| !before.contains_key(*arm)) {
                let route = live.route.name.clone();
                tracing::warn!(%route, %arm, behind, "the model is worse than the route's default: it could be retired");
                let event = AdminEvent::RetireSuggested { route, arm: arm.clone(), behind: *behind };
                if store.try_append(EventBody::Admin(event)).is_err() {
                    tracing::warn!(%arm, "the store's queue is full: the suggestion is not in the log");
                }
            }
            arms.iter().for_each(|arm| metrics.outclassed(&arm.id, found.contains_key(&arm.id)));
        });
    }
}

impl LiveRoute {
    /// Whether the arm is out of the running here because the route retires what is outclassed.
    pub(super) fn retired(&self, arm: &ArmId) -> bool {
        self.route.retire == Retirement::Auto && self.watch.outclassed.load().contains_key(arm)
    }
}

/// The arms that are behind the default, and by how much at the least.
fn look(
    policy: &dyn Policy,
    asked: &[Asked],
    arms: &[&Arm],
    (default, preference): (&Arm, &Preference),
    at: UnixMs,
) -> BTreeMap<ArmId, f64> {
    let heard: BTreeMap<ArmId, u64> = policy.present().into_iter().collect();
    let enough = |arm: &ArmId| heard.get(arm).is_some_and(|n| *n >= LEAST_REPORTS);
    if asked.is_empty() || !enough(&default.id) {
        return BTreeMap::new();
    }
    let candidates = arms.iter().filter(|arm| arm.id != default.id && enough(&arm.id));
    let mut most: BTreeMap<ArmId, f64> = candidates.map(|arm| (arm.id.clone(), 0.0)).collect();
    for one in asked {
        let ask = Ask {
            context: Some(&one.context),
            arms,
            reference: default,
            preference,
            constraints: &Default::default(),
            input_tokens: one.input_tokens,
            max_output_tokens: None,
            turn: 0,
            at,
            exploration: Exploration::NONE,
            allowance: Allowance::UNBOUNDED,
            cached: None,
        };
        let Ok(proposal) = policy.propose(&ask) else { return BTreeMap::new() };
        most.remove(&proposal.greedy);
        let Some(base) = proposal.estimates.iter().find(|e| e.arm == default.id) else {
            return BTreeMap::new();
        };
        for other in &proposal.estimates {
            if let Some(sum) = most.get_mut(&other.arm) {
                let doubt = base.quality.sd.hypot(other.quality.sd);
                *sum += (other.utility - base.utility + DOUBT * doubt) / asked.len() as f64;
            }
        }
    }
    most.into_iter().filter(|(_, upper)| *upper < -BEHIND).map(|(arm, upper)| (arm, -upper)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{FeatureSchema, Limits, PolicyVersion, Price, ProviderId};
    use crate::policy::{LearnedState, Learner, Observation, Provenance};

    fn arm(id: &str, usd: f64) -> Arm {
        Arm {
            id: ArmId::from(id),
            provider: ProviderId::from("p"),
            model: id.to_owned(),
            price: Price::flat(usd, usd),
            limits: Limits { context_window: 8000, max_output: None },
            capabilities: Default::default(),
        }
    }

    #[test]
    fn only_what_is_behind_beyond_doubt_could_go() {
        let schema = FeatureSchema::new("t");
        let x = |kind: f32| Context::new(schema.clone(), vec![kind, 1.0]).unwrap();
        let mut settings = crate::policy::Settings::DEFAULT;
        settings.heads.quality.slope_sd = 0.3;
        let mut state = LearnedState::with_settings(schema.clone(), 2, settings).unwrap();
        // `niche` is the best where the first feature is high and the worst elsewhere.
        let quality = |arm: &str, kind: f32| match (arm, kind > 0.0) {
            ("default", _) => 0.8,
            ("close", _) => 0.79,
            ("niche", true) => 0.95,
            _ => 0.3,
        };
        for (name, reports) in [("default", 400), ("close", 400), ("niche", 400), ("bad", 400), ("fresh", 20)]
        {
            for tick in 1..=reports {
                let kind = if tick % 2 == 0 { 1.0 } else { -1.0 };
                let value = quality(name, kind) + if tick % 4 < 2 { 0.05 } else { -0.05 };
                let (arm, context) = (ArmId::from(name), x(kind));
                let report = Observation::Quality {
                    arm: &arm,
                    context: &context,
                    value,
                    weight: 1.0,
                    tick,
                    replaces: None,
                    from: Provenance::default(),
                };
                state.apply(&report).unwrap();
            }
        }
        let policy = state.freeze(PolicyVersion::from("p"));
        let arms =
            [arm("bad", 1.0), arm("close", 1.0), arm("default", 1.0), arm("fresh", 1.0), arm("niche", 1.0)];
        let all: Vec<&Arm> = arms.iter().collect();
        let asked: Vec<Asked> = (0..10)
            .map(|i| Asked { context: x(if i == 0 { 1.0 } else { -1.0 }), input_tokens: 50 })
            .collect();
        let found = |preference: &Preference, asked: &[Asked]| {
            look(&*policy, asked, &all, (&arms[2], preference), UnixMs(0)).into_keys().collect::<Vec<_>>()
        };
        assert_eq!(
            found(&Preference::best(), &asked),
            [ArmId::from("bad")],
            "who is the best on one prompt in ten stays"
        );
        let elsewhere = found(&Preference::best(), &asked[1..]);
        assert_eq!(elsewhere, ["bad", "niche"].map(ArmId::from), "unless nobody asks for it");
        assert!(found(&Preference::best(), &[]).is_empty());
    }
}
