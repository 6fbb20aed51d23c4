//! Experiments: a challenger has a share of the traffic, and guards watch that nothing gets worse.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{AdminEvent, ExperimentName, PolicyVersion, RouteName, Seq, UnixMs};

/// The share after the first stage; after that the challenger takes over.
const SECOND_STAGE: f64 = 0.25;
/// The most that a challenger may begin with: the champion is what it is compared with.
const MOST_SHARE: f64 = 0.5;

/// What must not get worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CanaryGuard {
    /// Mean quality may fall by so much.
    QualityDrop,
    /// The share of requests that nobody answers may rise by so much.
    ErrorRateRise,
    /// Mean cost may rise by this share.
    CostRise,
    /// The 95th percentile of the total latency may rise by this share.
    LatencyP95Rise,
}

impl CanaryGuard {
    /// All, with what each lets through unless told otherwise.
    pub const ALL: [(Self, f64); 4] = [
        (Self::QualityDrop, 0.02),
        (Self::ErrorRateRise, 0.01),
        (Self::CostRise, 0.10),
        (Self::LatencyP95Rise, 0.20),
    ];

    /// The name used in configuration and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QualityDrop => "quality_drop",
            Self::ErrorRateRise => "error_rate_rise",
            Self::CostRise => "cost_rise",
            Self::LatencyP95Rise => "latency_p95_rise",
        }
    }
}

impl std::str::FromStr for CanaryGuard {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|(guard, _)| guard.as_str() == name);
        let names = || Self::ALL.map(|(guard, _)| guard.as_str()).join(", ");
        found
            .map(|(guard, _)| guard)
            .ok_or_else(|| format!("no guard is named {name:?}; there are {}", names()))
    }
}

/// A share of the traffic, `5%` or `0.05`.
pub fn share_of(text: &str) -> Option<f64> {
    let number = |digits: &str| digits.trim().parse::<f64>().ok();
    match text.trim().strip_suffix('%') {
        Some(percent) => number(percent).map(|percent| percent / 100.0),
        None => number(text),
    }
}

/// What each guard lets through.
pub type CanaryGuards = BTreeMap<CanaryGuard, f64>;

/// Why an experiment cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} must be {must}")]
pub struct ExperimentError {
    /// The field at fault.
    pub field: &'static str,
    /// What it must be.
    pub must: &'static str,
}

/// A policy against the one in place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    /// What it is called.
    pub name: ExperimentName,
    /// On which route; `None`: on every route that learns.
    pub route: Option<RouteName>,
    /// The challenger's bundle.
    pub policy: PolicyVersion,
    /// Its share of the traffic in the first stage.
    pub share: f64,
    /// What must not get worse.
    pub guards: CanaryGuards,
}

impl Experiment {
    /// # Errors
    /// When the share or a guard's limit is out of range, or nothing guards it.
    pub fn checked(self) -> Result<Self, ExperimentError> {
        let fault = |field, must| Err(ExperimentError { field, must });
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let name = self.name.as_str();
        if !(1..=64).contains(&name.len()) || !name.chars().all(plain) {
            return fault("name", "1 to 64 letters, digits, `-`, `_` or `.`");
        }
        if !(self.share > 0.0 && self.share <= MOST_SHARE) {
            return fault("share", "above 0 and at most 50%: the rest is what it is compared with");
        }
        if self.guards.is_empty() {
            return fault(
                "guards",
                "at least one of quality_drop, error_rate_rise, cost_rise, latency_p95_rise",
            );
        }
        if self.guards.values().any(|limit| !(limit.is_finite() && *limit > 0.0)) {
            return fault("guards", "limits above 0: no difference can be shown to be none at all");
        }
        Ok(self)
    }
}

/// How an experiment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExperimentEnd {
    /// The challenger took over.
    Promoted,
    /// A guard failed, or the challenger was unwell.
    RolledBack,
    /// An operator stopped it.
    Stopped,
}

/// Which side of an experiment a request was on; stands in its decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Which experiment.
    pub experiment: ExperimentName,
    /// The event that began its stage.
    pub stage: Seq,
    /// The challenger's share in that stage.
    pub share: f64,
    /// Whether the challenger chose.
    pub challenger: bool,
}

/// Where an experiment stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stage {
    /// Which.
    pub experiment: Experiment,
    /// The challenger's share now.
    pub share: f64,
    /// The event that began this stage.
    pub since: Seq,
    /// Its time.
    pub since_ms: UnixMs,
}

impl Stage {
    /// What stands after `event`: one experiment at a time, and any other promotion ends it.
    pub fn after(running: Option<Self>, event: &AdminEvent, since: Seq, since_ms: UnixMs) -> Option<Self> {
        match (event, running) {
            (AdminEvent::ExperimentStarted { experiment }, None) => {
                let experiment = experiment.clone();
                Some(Self { share: experiment.share, experiment, since, since_ms })
            }
            (AdminEvent::ExperimentRamped { name, from, to }, Some(stage))
                if stage.is(name) && stage.share == *from =>
            {
                Some(Self { share: *to, since, since_ms, ..stage })
            }
            (AdminEvent::ExperimentEnded { name, .. }, Some(stage)) if stage.is(name) => None,
            (AdminEvent::PolicyPromoted { .. }, _) => None,
            (_, running) => running,
        }
    }

    /// Whether it is the experiment of that name.
    pub fn is(&self, name: &ExperimentName) -> bool {
        self.experiment.name == *name
    }

    /// The share after this stage; `None`: the challenger takes over.
    pub fn next_share(&self) -> Option<f64> {
        (self.share < SECOND_STAGE).then_some(SECOND_STAGE)
    }

    /// Whether requests of `route` are part of it.
    pub fn is_on(&self, route: &RouteName) -> bool {
        self.experiment.route.as_ref().is_none_or(|own| own == route)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn experiment(share: f64) -> Experiment {
        let guards = CanaryGuards::from(CanaryGuard::ALL);
        Experiment { name: "e".into(), route: Some("auto".into()), policy: "p".into(), share, guards }
    }

    #[test]
    fn stages_follow_the_log_and_nothing_else() {
        let started = AdminEvent::ExperimentStarted { experiment: experiment(0.05) };
        let stage = Stage::after(None, &started, Seq(7), UnixMs(1)).unwrap();
        assert_eq!((stage.share, stage.since, stage.next_share()), (0.05, Seq(7), Some(0.25)));
        assert!(stage.is_on(&"auto".into()) && !stage.is_on(&"other".into()));
        let again = Stage::after(Some(stage.clone()), &started, Seq(8), UnixMs(2));
        assert_eq!(again, Some(stage.clone()), "one at a time");
        let ramped = |from| AdminEvent::ExperimentRamped { name: "e".into(), from, to: 0.25 };
        let second = Stage::after(Some(stage.clone()), &ramped(0.05), Seq(9), UnixMs(3)).unwrap();
        assert_eq!((second.share, second.since, second.next_share()), (0.25, Seq(9), None));
        let stale = Stage::after(Some(second.clone()), &ramped(0.05), Seq(10), UnixMs(4));
        assert_eq!(stale, Some(second.clone()), "a ramp that was written twice counts once");
        let other = AdminEvent::ExperimentEnded {
            name: "other".into(),
            end: ExperimentEnd::Stopped,
            why: String::new(),
        };
        assert_eq!(Stage::after(Some(second.clone()), &other, Seq(11), UnixMs(5)), Some(second.clone()));
        let promoted = AdminEvent::PolicyPromoted { policy: "q".into() };
        assert_eq!(Stage::after(Some(second), &promoted, Seq(12), UnixMs(6)), None);
    }

    #[test]
    fn shares_are_written_either_way() {
        assert_eq!([share_of("5%"), share_of(" 0.05 "), share_of("five")], [Some(0.05), Some(0.05), None]);
        assert_eq!("cost_rise".parse(), Ok(CanaryGuard::CostRise));
        assert!("cost".parse::<CanaryGuard>().unwrap_err().contains("latency_p95_rise"));
    }

    #[test]
    fn an_experiment_without_guards_or_with_everything_is_none() {
        assert!(experiment(0.5).checked().is_ok());
        for share in [0.0, -0.1, 0.51, f64::NAN] {
            assert_eq!(experiment(share).checked().unwrap_err().field, "share");
        }
        let unguarded = Experiment { guards: CanaryGuards::new(), ..experiment(0.1) };
        assert_eq!(unguarded.checked().unwrap_err().field, "guards");
        let exact = Experiment { guards: [(CanaryGuard::CostRise, 0.0)].into(), ..experiment(0.1) };
        assert_eq!(exact.checked().unwrap_err().field, "guards");
        let name = Experiment { name: "a b".into(), ..experiment(0.1) };
        assert_eq!(name.checked().unwrap_err().field, "name");
    }
}
