//! Who reports, and how far they are believed: poisoning defences, and the calibration of everything that measures against persons.
//!
//! All of it is a fold over reports in the log's order, part of the learner's state, so replays agree. A report without a key (the
//! operator's own instance without keys) is believed as it is. Three things bound what one key can do:
//!
//! - its **share** of the weight of the last reports, once three keys are heard: a key that floods is thinned out, unless it has
//!   shown that it agrees with the others on that arm, so that a large caller is heard;
//! - its **trust** on an arm: how far the mean of its last residuals there lies from the median of the other keys' means, in
//!   standard errors. The median is over keys, not over reports, so loud liars do not move it; a real change of the arm moves all
//!   keys alike and costs nobody trust;
//! - what was **applied** of a report is kept, so that a revision takes back exactly that, never more.

mod calibration;
mod view;

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

pub use calibration::Calibration;
pub use view::{ArmTrust, Gauge, KeyStanding, Line, Why};

use crate::domain::{ArmId, Instrument, KeyId, Overlap};

/// Where a report comes from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Provenance<'a> {
    /// Whose key; `None` without keys.
    pub key: Option<&'a KeyId>,
    /// What measured; `None`: it is not on the scale of single answers.
    pub instrument: Option<&'a Instrument>,
    /// Ratings of the same decision on the other side, of persons and of everything else.
    pub overlaps: &'a [Overlap],
}

/// How far reporters are believed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GuardSettings {
    /// The most of the weight of the last reports that a key may have that has not shown that it agrees with the others, once three
    /// keys are heard; where there are many keys, three times its fair share. 1: all.
    pub key_share: f64,
    /// Whether keys that disagree with the others count less.
    pub trust: bool,
}

impl GuardSettings {
    /// Half of the weight, and trust.
    pub const DEFAULT: Self = Self { key_share: 0.5, trust: true };
    /// Everybody is believed.
    pub const NONE: Self = Self { key_share: 1.0, trust: false };

    /// Whether the numbers make sense.
    pub fn is_sound(&self) -> bool {
        self.key_share > 0.0 && self.key_share <= 1.0
    }
}

/// Reports that are looked back on.
const WINDOW: usize = 1024;
/// Reports whose applied weight is remembered, for revisions.
const REMEMBERED: usize = 8192;
/// Keys that must be heard before they are held against each other.
const LEAST_KEYS: usize = 3;
/// Reports of a key on an arm before its agreement is looked at.
const LEAST_REPORTS: f64 = 3.5;
/// Reports of another key before it is compared with.
const LEAST_OF_OTHERS: f64 = 1.9;
/// A key that has not shown that it agrees with the others may have so many times its fair share of the window.
const TIMES_FAIR: f64 = 3.0;
/// What a residual keeps per further report of the same key on the same arm: it looks back on about fifty.
const KEEP: f64 = 0.98;
/// Pairs of arm and key whose agreement is followed; beyond that newcomers are believed.
const MOST_PAIRS: usize = 16_384;
/// Callers differ: this much of a mean residual is nobody's fault.
const TOLERANCE: f64 = 0.1;
/// Standard errors that a mean residual may be off.
const GATE: f64 = 3.0;
/// Variance of a median of many, in units of a mean's.
const MEDIAN_VARIANCE: f64 = 1.57;
/// Standard error below which agreement is taken to be shown.
const SURE: f64 = 0.1;
/// Persons' reports that were believed less calibrate nothing.
const MEASURE: f64 = 0.5;
/// The least trust.
const FLOOR: f64 = 0.02;
/// Bounds of the standard deviation of single residuals.
const SPREAD: (f64, f64) = (0.1, 0.5);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Seen {
    key: u32,
    arm: u32,
    tick: u64,
    weight: f64,
}

/// How far a key's last reports on an arm were off the expectation; each report fades with the key's own, so nobody else's
/// reports crowd it out.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Residuals {
    n: f64,
    sum: f64,
    squares: f64,
}

impl Residuals {
    fn add(&mut self, residual: f64) {
        self.n = self.n * KEEP + 1.0;
        self.sum = self.sum * KEEP + residual;
        self.squares = self.squares * KEEP + residual * residual;
    }
}

/// How far the mean of a key's residuals lies from the median of the others', and the standard error of that.
#[derive(Debug, Clone, Copy)]
struct Against {
    off: f64,
    error: f64,
}

impl Against {
    fn trust(self) -> f64 {
        let off = (self.off - TOLERANCE).max(0.0) / self.error;
        if off <= GATE { 1.0 } else { (GATE / off).powi(4).max(FLOOR) }
    }

    /// Whether it is shown that the key agrees, not only that nothing speaks against it.
    fn agrees(self) -> bool {
        self.error <= SURE && self.off <= TOLERANCE + self.error
    }
}

/// What went into an arm's head for a report.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Applied {
    /// The value, as the head got it,
    pub value: f64,
    /// and the weight.
    pub weight: f64,
    /// The part of the reporter's weight that was believed.
    pub factor: f64,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reporters {
    guard: GuardSettings,
    keys: Vec<KeyId>,
    arms: Vec<ArmId>,
    seen: VecDeque<Seen>,
    residuals: BTreeMap<(u32, u32), Residuals>,
    applied: BTreeMap<(u32, u64), Applied>,
    order: VecDeque<(u32, u64)>,
    /// The highest tick forgotten, for each arm.
    horizon: BTreeMap<u32, u64>,
    instruments: BTreeMap<Instrument, Calibration>,
}

impl Reporters {
    /// Whether all reports so far came from one key, or from none: there is nobody whom another could speak against.
    pub fn is_one_voice(&self) -> bool {
        self.keys.len() <= 1
    }

    /// Has heard nobody.
    pub fn new(guard: GuardSettings) -> Self {
        Self {
            guard,
            keys: Vec::new(),
            arms: Vec::new(),
            seen: VecDeque::new(),
            residuals: BTreeMap::new(),
            applied: BTreeMap::new(),
            order: VecDeque::new(),
            horizon: BTreeMap::new(),
            instruments: BTreeMap::new(),
        }
    }

    /// The part of a report's `weight` that is believed.
    pub fn belief(&self, key: Option<&KeyId>, arm: &ArmId, weight: f64) -> f64 {
        let Some(key) = key.and_then(|key| self.keys.iter().position(|k| k == key)) else { return 1.0 };
        let arm = self.arms.iter().position(|a| a == arm);
        let against = arm.and_then(|arm| self.against_others(key as u32, arm as u32));
        match against {
            Some(against) if against.agrees() => 1.0,
            Some(against) => against.trust() * self.room(key as u32, weight),
            None => self.room(key as u32, weight),
        }
    }

    /// The part of `weight` that fits under the key's share of the window.
    fn room(&self, key: u32, weight: f64) -> f64 {
        let mut heard = vec![false; self.keys.len()];
        let (mut own, mut all) = (0.0, 0.0);
        for seen in &self.seen {
            heard[seen.key as usize] = true;
            all += seen.weight;
            own += if seen.key == key { seen.weight } else { 0.0 };
        }
        let keys = heard.iter().filter(|h| **h).count();
        if self.guard.key_share >= 1.0 || keys < LEAST_KEYS || weight <= 0.0 {
            return 1.0;
        }
        let share = self.guard.key_share.min(TIMES_FAIR / keys as f64);
        ((share / (1.0 - share) * (all - own) - own) / weight).clamp(0.0, 1.0)
    }

    /// A key's reports on an arm against the other keys'; `None` while too little is known of either.
    fn against_others(&self, key: u32, arm: u32) -> Option<Against> {
        let own = self.residuals.get(&(arm, key)).filter(|own| self.guard.trust && own.n >= LEAST_REPORTS)?;
        let (mut means, mut within, mut freedom, mut unsure) = (Vec::new(), 0.0, 0.0, 0.0);
        for ((_, other), r) in self.residuals.range((arm, 0)..=(arm, u32::MAX)) {
            within += r.squares - r.sum * r.sum / r.n;
            freedom += r.n - 1.0;
            if *other != key && r.n >= LEAST_OF_OTHERS {
                means.push(r.sum / r.n);
                unsure += 1.0 / r.n;
            }
        }
        if means.len() + 1 < LEAST_KEYS {
            return None;
        }
        means.sort_by(f64::total_cmp);
        let others = means.len() as f64;
        let median = 0.5 * (means[means.len() / 2] + means[(means.len() - 1) / 2]);
        let spread = (within.max(0.0) / freedom.max(1.0)).sqrt().clamp(SPREAD.0, SPREAD.1);
        let error = spread * (1.0 / own.n + MEDIAN_VARIANCE * unsure / (others * others)).sqrt();
        Some(Against { off: (own.sum / own.n - median).abs(), error })
    }

    /// Notes a report of `weight` (as believed) that was off the expectation by `residual`. One of a tick that is in the window
    /// takes no more room there.
    pub fn heard(&mut self, key: Option<&KeyId>, arm: &ArmId, tick: u64, (residual, weight): (f64, f64)) {
        let Some(key) = key else { return };
        let key = number(&mut self.keys, key);
        let arm = number(&mut self.arms, arm);
        if self.residuals.len() < MOST_PAIRS || self.residuals.contains_key(&(arm, key)) {
            self.residuals.entry((arm, key)).or_default().add(residual);
        }
        if let Some(seen) = self.seen.iter_mut().find(|s| s.arm == arm && s.tick == tick) {
            seen.weight = weight;
            return;
        }
        if self.seen.len() == WINDOW {
            self.seen.pop_front();
        }
        self.seen.push_back(Seen { key, arm, tick, weight });
    }

    /// What was applied for the report of that tick, when it was not the report as it stood.
    pub fn applied(&self, arm: &ArmId, tick: u64) -> Option<Applied> {
        let arm = self.arms.iter().position(|a| a == arm)? as u32;
        self.applied.get(&(arm, tick)).copied()
    }

    /// Whether what was applied for that report may have been forgotten.
    pub fn is_forgotten(&self, arm: &ArmId, tick: u64) -> bool {
        let arm = self.arms.iter().position(|a| a == arm).map(|a| a as u32);
        arm.and_then(|arm| self.horizon.get(&arm)).is_some_and(|upto| tick <= *upto)
    }

    /// Remembers what was applied.
    pub fn remember(&mut self, arm: &ArmId, tick: u64, applied: Applied) {
        let entry = (number(&mut self.arms, arm), tick);
        if self.applied.insert(entry, applied).is_some() {
            return;
        }
        self.order.push_back(entry);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.applied.remove(&oldest);
            let upto = self.horizon.entry(oldest.0).or_insert(0);
            *upto = (*upto).max(oldest.1);
        }
    }

    /// Whether the report of that tick was believed enough to calibrate others by.
    pub(super) fn is_measure(&self, arm: &ArmId, tick: u64) -> bool {
        self.applied(arm, tick).is_none_or(|applied| applied.factor >= MEASURE)
    }

    /// What a value amounts to on the scale of people: value, and what its weight is multiplied by.
    pub fn calibrated(&self, instrument: &Instrument, value: f64) -> (f64, f64) {
        let (source, known) = (instrument.source, self.instruments.get(instrument));
        known
            .filter(|c| c.pairs() > 0.0)
            .map_or((value, 1.0), |c| (c.value(value), source.variance() / c.variance(source)))
    }

    /// One more report by `instrument`, not a revision.
    pub fn count(&mut self, instrument: &Instrument) {
        self.instruments.entry(instrument.clone()).or_default().reports += 1;
    }

    /// A decision that a person rated and something else too; `sign` -1 takes it back.
    pub fn paired(&mut self, instrument: &Instrument, (said, person): (f64, f64), sign: f64) {
        self.instruments.entry(instrument.clone()).or_default().add(said, person, sign);
    }

    /// How far reporters are believed.
    pub fn guard(&self) -> &GuardSettings {
        &self.guard
    }

    /// From now on under another guard; what was noted stays.
    pub fn set_guard(&mut self, guard: GuardSettings) {
        self.guard = guard;
    }

    /// Whether what was stored is a state.
    pub fn is_sound(&self) -> bool {
        let known = |s: &Seen| (s.key as usize) < self.keys.len() && (s.arm as usize) < self.arms.len();
        self.guard.is_sound() && self.seen.len() <= WINDOW && self.seen.iter().all(known)
    }
}

/// The number of a name; a new one is added.
fn number<T: PartialEq + Clone>(names: &mut Vec<T>, name: &T) -> u32 {
    let at = names.iter().position(|n| n == name).unwrap_or_else(|| {
        names.push(name.clone());
        names.len() - 1
    });
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
