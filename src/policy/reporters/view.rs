//! Who reports and how far they are believed, to look at.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Against, Calibration, Reporters};
use crate::domain::{ArmId, Instrument, KeyId, Source};

/// Why a key is believed as far as it is on an arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Too few reports of its own, or of others to hold them against.
    TooFewReports,
    /// It has shown that it agrees with the other keys.
    Agrees,
    /// Nothing speaks against it, and it has not shown that it agrees.
    Undisputed,
    /// It reports something else than the other keys.
    Disagrees,
}

/// How a key is believed on one arm.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ArmTrust {
    /// Which.
    pub arm: ArmId,
    /// The part of a report that is believed, in (0, 1]; its share of all reports apart.
    pub trust: f64,
    /// For what reason.
    pub why: Why,
    /// How far the mean of what it reports beyond the expectation is from the median of the others'.
    pub off: Option<f64>,
    /// Standard error of that.
    pub error: Option<f64>,
}

/// What is known of one key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeyStanding {
    /// Whose.
    pub key: KeyId,
    /// Reports among the last ones.
    pub reports: usize,
    /// Share of their weight.
    pub share: f64,
    /// The part of its next report that fits under the share which a key may have that has not shown that it agrees.
    pub room: f64,
    /// On each arm on which it reported.
    pub arms: Vec<ArmTrust>,
}

/// `person = a + b reported`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Line {
    /// Level.
    pub a: f64,
    /// Slope.
    pub b: f64,
}

/// What is known of one instrument.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gauge {
    /// What measures.
    #[serde(flatten)]
    pub instrument: Instrument,
    /// Reports, revisions not counted.
    pub reports: u64,
    /// Decisions that a person rated too.
    pub pairs: f64,
    /// Mean of the person's rating less the reported one; `None` without pairs.
    pub bias: Option<f64>,
    /// Standard deviation of that difference.
    pub spread: Option<f64>,
    /// What a reported value is taken for.
    pub line: Line,
    /// Noise variance of a report on the line.
    pub variance: f64,
    /// What a report counts, in reports of a person.
    pub weight: f64,
}

impl Gauge {
    fn of(instrument: &Instrument, known: &Calibration) -> Self {
        let source = instrument.source;
        let variance = if known.pairs() > 0.0 { known.variance(source) } else { source.variance() };
        let (a, b) = known.line();
        let (bias, spread) = known.difference().unzip();
        Self {
            instrument: instrument.clone(),
            reports: known.reports,
            pairs: known.pairs(),
            bias,
            spread,
            line: Line { a, b },
            variance,
            weight: Source::User.variance() / variance,
        }
    }
}

impl Reporters {
    /// What is known of everything that has measured.
    pub fn gauges(&self) -> Vec<Gauge> {
        self.instruments.iter().map(|(instrument, known)| Gauge::of(instrument, known)).collect()
    }

    /// What is known of each key among the last reports.
    pub fn standings(&self) -> Vec<KeyStanding> {
        let mut of: BTreeMap<u32, (usize, f64, BTreeSet<u32>)> = BTreeMap::new();
        for seen in &self.seen {
            let (reports, weight, arms) = of.entry(seen.key).or_default();
            *reports += 1;
            *weight += seen.weight;
            arms.insert(seen.arm);
        }
        let all: f64 = of.values().map(|(_, weight, _)| weight).sum();
        let standing = |(key, (reports, weight, arms)): (u32, (usize, f64, BTreeSet<u32>))| KeyStanding {
            key: self.keys[key as usize].clone(),
            reports,
            share: if all > 0.0 { weight / all } else { 0.0 },
            room: self.room(key, 1.0),
            arms: arms.into_iter().map(|arm| self.trust(key, arm)).collect(),
        };
        of.into_iter().map(standing).collect()
    }

    fn trust(&self, key: u32, arm: u32) -> ArmTrust {
        let against = self.against_others(key, arm);
        let trust = against.map_or(1.0, Against::trust);
        let why = match against {
            None => Why::TooFewReports,
            Some(against) if against.agrees() => Why::Agrees,
            Some(_) if trust >= 1.0 => Why::Undisputed,
            Some(_) => Why::Disagrees,
        };
        let (off, error) = against.map(|against| (against.off, against.error)).unzip();
        ArmTrust { arm: self.arms[arm as usize].clone(), trust, why, off, error }
    }
}
