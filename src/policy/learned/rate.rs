//! Folding what reporters say: ratings and comparisons, each as far as its reporter is believed.

use std::sync::Arc;

use super::LearnedState;
use super::state::{MAX_WEIGHT, in_range};
use crate::domain::{ArmId, Context, Replaced, Source};
use crate::policy::heads::Report;
use crate::policy::reporters::{Applied, Provenance, Reporters};
use crate::policy::{Contender, LearnError};

/// A difference of quality that doubles the odds of being preferred by `e`: with 0.2 better, 73 of 100 prefer it.
const TASTE: f64 = 0.2;

/// Noise variance of a report of weight 1.
const UNIT_VARIANCE: f64 = 0.04;

/// Halvings that find the most probable difference; the interval is then below 1e-12.
const HALVINGS: u32 = 60;

/// A rating as it came, before it is believed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rating<'a> {
    pub(super) arm: &'a ArmId,
    pub(super) context: &'a Context,
    pub(super) value: f64,
    pub(super) weight: f64,
    pub(super) tick: u64,
    pub(super) replaces: Option<Replaced>,
    pub(super) from: Provenance<'a>,
}

impl LearnedState {
    pub(super) fn rated(&mut self, r: &Rating<'_>) -> Result<(), LearnError> {
        let x = self.features(r.context)?;
        checked((r.value, r.weight), r.tick, r.replaces)?;
        let (replaces, factor) = self.believed(r)?;
        let by = r.from.instrument;
        let (value, scale) = by.map_or((r.value, 1.0), |by| self.reporters.calibrated(by, r.value));
        let (weight, expected) = (r.weight * scale * factor, self.expected(r.arm, &x, None).0);
        let report = Report { x: &x, value, weight, tick: r.tick, replaces };
        self.observe(r.arm, &report)?;
        let counted = self.measures(r);
        let is_as_it_stands = factor >= 1.0 && (value, scale) == (r.value, 1.0);
        if !is_as_it_stands || self.reporters.applied(r.arm, r.tick).is_some() {
            self.reporters_mut().remember(r.arm, r.tick, Applied { value, weight, factor });
        }
        self.reporters_mut().heard(r.from.key, r.arm, r.tick, (value - expected, weight));
        if let Some(by) = by.filter(|_| r.replaces.is_none()) {
            self.reporters_mut().count(by);
        }
        self.pair(r, &counted);
        Ok(())
    }

    /// What a revision takes back, and the part of its weight that counts. A revision is believed no more than what it revises.
    fn believed(&self, r: &Rating<'_>) -> Result<(Option<Replaced>, f64), LearnError> {
        let belief = self.reporters.belief(r.from.key, r.arm, r.weight);
        let Some(old) = r.replaces else { return Ok((None, belief)) };
        match self.reporters.applied(r.arm, r.tick) {
            Some(a) => {
                Ok((Some(Replaced { value: a.value, weight: a.weight }), a.factor.min(self.trusted(r))))
            }
            None if self.reporters.is_forgotten(r.arm, r.tick) => Err(LearnError::TooOld { tick: r.tick }),
            None => Ok((Some(old), self.trusted(r))),
        }
    }

    /// The belief without regard to the key's share: a revision adds nothing to it.
    fn trusted(&self, r: &Rating<'_>) -> f64 {
        self.reporters.belief(r.from.key, r.arm, 0.0)
    }

    /// Whether each pair that the report is part of has a person in it who is believed.
    fn measures(&self, r: &Rating<'_>) -> Vec<bool> {
        r.from.overlaps.iter().map(|o| self.reporters.is_measure(r.arm, o.tick)).collect()
    }

    /// `counted`: as [`Self::measures`] before the report.
    fn pair(&mut self, r: &Rating<'_>, counted: &[bool]) {
        let is_person = r.from.instrument.is_some_and(|by| by.source == Source::User);
        let counts = self.measures(r);
        for ((overlap, counted), counts) in r.from.overlaps.iter().zip(counted).zip(counts) {
            let sides = |value| if is_person { (overlap.value, value) } else { (value, overlap.value) };
            if let Some(old) = r.replaces.filter(|_| *counted) {
                self.reporters_mut().paired(&overlap.instrument, sides(old.value), -1.0);
            }
            if counts {
                self.reporters_mut().paired(&overlap.instrument, sides(r.value), 1.0);
            }
        }
    }

    fn reporters_mut(&mut self) -> &mut Reporters {
        Arc::make_mut(&mut self.reporters)
    }

    /// Expected quality at `x` and its standard deviation; the correction of the level is left out.
    fn expected(&self, arm: &ArmId, x: &[f64], pull: Option<&[f64]>) -> (f64, f64) {
        let ridge = self.arm(arm).unwrap_or(&self.unknown).quality().ridge();
        match pull {
            Some(pull) => {
                let estimate = ridge.estimate(x, (pull, 0.0), &mut Vec::with_capacity(x.len()));
                (estimate.mean, estimate.sd)
            }
            None => (ridge.mean(x), 0.0),
        }
    }

    /// Bradley and Terry on the difference of two arms' quality: `P(one is preferred) = 1 / (1 + exp(-d / TASTE))`. The likelihood
    /// is replaced by a Gaussian at the most probable difference (Laplace), and that one by what it tells of each arm alone.
    pub(super) fn compared(
        &mut self,
        sides: [Contender<'_>; 2],
        said: (f64, f64),
        old: Option<Replaced>,
        from: &Provenance<'_>,
    ) -> Result<(), LearnError> {
        let before = (sides.map(|s| self.arms.get(s.arm).cloned()), self.heard);
        let done = self.compare(sides, said, old, from);
        if done.is_err() {
            self.heard = before.1;
            for (side, state) in sides.iter().zip(before.0) {
                match state {
                    Some(state) => drop(self.arms.insert(side.arm.clone(), state)),
                    None => drop(self.arms.remove(side.arm)),
                }
            }
        }
        done
    }

    fn compare(
        &mut self,
        sides: [Contender<'_>; 2],
        (score, weight): (f64, f64),
        old: Option<Replaced>,
        from: &Provenance<'_>,
    ) -> Result<(), LearnError> {
        let [one, other] = sides;
        if one.arm == other.arm {
            return Err(LearnError::BadNumber { field: "arms", value: 1.0 });
        }
        let xs = [self.features(one.context)?, self.features(other.context)?];
        for side in sides {
            checked((score, weight), side.tick, old)?;
        }
        let mut taken = [None, None];
        if old.is_some() {
            for (taken, side) in taken.iter_mut().zip(sides) {
                let gone = LearnError::TooOld { tick: side.tick };
                *taken = Some(self.reporters.applied(side.arm, side.tick).ok_or(gone)?);
            }
        }
        // What the first report gave goes before the new one is weighed against what is known.
        for (i, side) in sides.iter().enumerate() {
            if let Some(a) = taken[i] {
                let replaces = Some(Replaced { value: a.value, weight: a.weight });
                let nothing = Report { x: &xs[i], value: a.value, weight: 0.0, tick: side.tick, replaces };
                self.observe(side.arm, &nothing)?;
            }
        }
        let pull = self.shared().pull;
        let [q1, q2] = [0, 1].map(|i| self.expected(sides[i].arm, &xs[i], Some(&pull)));
        let site = site(q1.0 - q2.0, q1.1 * q1.1 + q2.1 * q2.1, score);
        let belief =
            sides.map(|s| self.reporters.belief(from.key, s.arm, if old.is_some() { 0.0 } else { weight }));
        let earlier = taken[0].map_or(1.0, |a| a.factor);
        let factor = belief[0].min(belief[1]).min(earlier);
        let told = [
            (q2.0 + site.difference, q2.1, score - site.expected),
            (q1.0 - site.difference, q1.1, site.expected - score),
        ];
        for (i, (value, their_sd, residual)) in told.into_iter().enumerate() {
            let side = sides[i];
            let variance = 1.0 / site.precision + their_sd * their_sd;
            let weight = weight * factor * (UNIT_VARIANCE / variance).min(1.0);
            let value = value.clamp(0.0, 1.0);
            let replaces = taken[i].map(|a| Replaced { value: a.value, weight: 0.0 });
            self.observe(side.arm, &Report { x: &xs[i], value, weight, tick: side.tick, replaces })?;
            self.reporters_mut().remember(side.arm, side.tick, Applied { value, weight, factor });
            self.reporters_mut().heard(from.key, side.arm, side.tick, (residual, weight));
        }
        Ok(())
    }
}

fn checked((value, weight): (f64, f64), tick: u64, replaces: Option<Replaced>) -> Result<(), LearnError> {
    in_range("value", value, 1.0)?;
    in_range("weight", weight, MAX_WEIGHT)?;
    if let Some(old) = replaces {
        in_range("replaces.value", old.value, 1.0)?;
        in_range("replaces.weight", old.weight, MAX_WEIGHT)?;
    }
    if tick == 0 { Err(LearnError::BadNumber { field: "tick", value: 0.0 }) } else { Ok(()) }
}

/// The Gaussian that stands for a comparison.
struct Site {
    /// What was expected: the probability that the first is preferred.
    expected: f64,
    /// Its mean, within [-1, 1].
    difference: f64,
    /// Its precision, above 0.
    precision: f64,
}

/// `expected` difference of variance `variance`, and the score that came.
fn site(expected: f64, variance: f64, score: f64) -> Site {
    let prefers = |d: f64| 1.0 / (1.0 + (-d / TASTE).exp());
    // The slope of the log posterior falls from one end of this interval to the other.
    let reach = variance / TASTE;
    let (mut low, mut high) = (expected - reach, expected + reach);
    for _ in 0..HALVINGS {
        let d = 0.5 * (low + high);
        if (d - expected) / variance.max(f64::MIN_POSITIVE) < (score - prefers(d)) / TASTE {
            low = d
        } else {
            high = d
        }
    }
    let d = 0.5 * (low + high);
    let p = prefers(d).clamp(0.02, 0.98);
    let precision = p * (1.0 - p) / (TASTE * TASTE);
    let aim = d + (score - p) / TASTE / precision;
    // A tie says that there is no difference, never that the other one is better.
    let aim = if score == 0.5 { aim.clamp(d.min(0.0), d.max(0.0)) } else { aim };
    Site { expected: prefers(expected), difference: aim.clamp(-1.0, 1.0), precision }
}
