//! How the learner is, to look at: what is watched, what was noticed, and how healthy the sums are.

use serde::Serialize;

use super::LearnedPolicy;
use crate::domain::ArmId;
use crate::policy::drift::{Alarm, Signal, THRESHOLD, WatchView};

/// One watch and the last change that it noticed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WatchReport {
    /// How it stands.
    #[serde(flatten)]
    pub watch: WatchView,
    /// The last alarm, if it is among those remembered.
    pub last_alarm: Option<Alarm>,
}

/// One arm.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ArmReport {
    /// Which.
    pub arm: ArmId,
    /// Quality reports, revisions not counted.
    pub reports: u64,
    /// How many of them still count, after forgetting and alarms.
    pub evidence: f64,
    /// What is added to the expected quality for what the last reports say.
    pub offset: f64,
    /// Bills over price times tokens.
    pub cost_factor: f64,
    /// Share of the input that is read from the provider's cache.
    pub cached_share: f64,
    /// Condition of the quality regression; solutions lose about as many digits as it has.
    pub condition: f64,
    /// Quality, cost, latency, failure, refusal.
    pub watches: Vec<WatchReport>,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Checkup {
    /// By id.
    pub arms: Vec<ArmReport>,
    /// The prompts' features.
    pub traffic: WatchReport,
    /// Alarms raised since the log began.
    pub raised: u64,
    /// The last of them, oldest first.
    pub alarms: Vec<Alarm>,
}

impl LearnedPolicy {
    pub(super) fn report(&self) -> Checkup {
        let last = |arm: Option<&ArmId>, signal: Signal| {
            let same = |a: &&Alarm| a.arm.as_ref() == arm && a.signal == signal;
            self.alarms.iter().rev().find(same).cloned()
        };
        let arms = self.arms.iter().map(|(arm, state)| {
            let quality = state.quality();
            let report = |watch: WatchView| WatchReport { watch, last_alarm: last(Some(arm), watch.signal) };
            ArmReport {
                arm: arm.clone(),
                reports: quality.reports(),
                evidence: quality.ridge().evidence(),
                offset: quality.offset(self.heard),
                cost_factor: state.cost().factor(),
                cached_share: state.cost().cached_share(),
                condition: quality.ridge().condition(),
                watches: state.drift().view().map(report).into(),
            }
        });
        let (signal, statistic, n) = (Signal::Traffic, self.traffic.statistic(), self.traffic.seen());
        Checkup {
            arms: arms.collect(),
            traffic: WatchReport {
                watch: WatchView { signal, statistic, threshold: THRESHOLD, n },
                last_alarm: last(None, signal),
            },
            raised: self.raised,
            alarms: self.alarms.iter().cloned().collect(),
        }
    }
}
