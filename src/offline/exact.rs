//! Folders where every model answered every prompt: nothing need be estimated, scores are exact.

use std::sync::Arc;

use rayon::prelude::*;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::dataset::Dataset;
use super::plots::{self, Labels, PlotError};
use super::prior::beginning;
use super::report::number;
use super::routing_bench::{Curve, Parting, Point, Span, World, WorldError, ask, charged, rated};
use super::traces::Progress;
use super::train::TrainOptions;
use crate::domain::{Arm, Context, PolicyVersion, Preference, UnixMs, hex};
use crate::policy::{LearnedPolicy, LearnedState, Learner, Policy, Settings, StateError};

/// Preferences of the sweep.
const GRID: usize = 41;

/// Prompts with contexts and vectors, one each.
#[derive(Clone, Copy)]
pub struct Lesson<'a> {
    /// The folder.
    pub dataset: &'a Dataset,
    /// Shape `[n]`.
    pub contexts: &'a [Context],
    /// Shape `[n]`.
    pub vectors: &'a [Arc<[f32]>],
}

/// Why a folder teaches nothing.
#[derive(Debug, thiserror::Error)]
pub enum ExactError {
    /// Not enough prompts that all models answered.
    #[error(transparent)]
    World(#[from] WorldError),
    /// The settings give no heads.
    #[error(transparent)]
    State(#[from] StateError),
}

/// One way to serve every prompt.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// Which.
    pub name: String,
    /// What it comes to.
    pub point: Point,
}

/// A frozen policy on fold 1, exactly.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExactScore {
    /// Prompts scored.
    pub prompts: usize,
    /// Whether the folder knows costs; without, quality alone counts.
    pub priced: bool,
    /// Mean quality over the spends between the cheapest arm and the best, at equal ratios; without costs the best quality.
    pub area: f64,
    /// The same of the best mix of two arms without a look at the prompt.
    pub mix_area: f64,
    /// Spend and quality over the preferences.
    pub curve: Vec<Point>,
    /// Single arms.
    pub singles: Vec<Line>,
    /// Named preferences; weights count in calls of the first arm.
    pub presets: Vec<Line>,
}

impl ExactScore {
    /// In words.
    pub fn table(&self) -> String {
        let mut text = format!(
            "exact on {} prompts of fold 1\n  area under quality over spend {:.4}, best mix of two models {:.4} ({:+.4})\n\n{:<44} {:>9} {:>14}\n",
            self.prompts,
            self.area,
            self.mix_area,
            self.area - self.mix_area,
            "",
            "quality",
            "USD/request"
        );
        for line in self.singles.iter().chain(&self.presets) {
            text += &format!(
                "{:<44} {:>9.4} {:>14}\n",
                line.name,
                line.point.quality,
                number(line.point.cost_usd)
            );
        }
        text
    }

    /// The curve as a picture.
    ///
    /// # Errors
    /// When it cannot be drawn.
    pub fn pictures(&self) -> Result<Vec<(&'static str, Vec<u8>)>, PlotError> {
        let labels =
            Labels { title: "Quality over spend, exact on fold 1", x: "USD per request", y: "quality" };
        let pair = |p: &Point| (p.cost_usd, p.quality);
        let curve: Vec<(f64, f64)> = self.curve.iter().map(pair).collect();
        let named: Vec<_> = self.singles.iter().map(|l| (l.name.clone(), pair(&l.point))).collect();
        Ok(vec![("curve.svg", plots::curve(&labels, &curve, &named)?.into_bytes())])
    }
}

/// What came of training on a folder.
#[derive(Debug)]
pub struct Learned {
    /// Told every outcome of folds 2 to 4.
    pub state: LearnedState,
    /// What won on fold 4 of those.
    pub settings: Settings,
    /// Prompts learned from.
    pub prompts: usize,
    /// Area on fold 4 by candidate, best first.
    pub scores: Vec<(Settings, f64)>,
    /// The winner on fold 1.
    pub score: ExactScore,
    /// Why it must not be promoted.
    pub refused: Option<String>,
}

/// Chooses settings by folds 2 and 3 against fold 4, fits them on folds 2 to 4, scores on fold 1.
///
/// # Errors
/// When a fold has no prompt that all models answered.
pub fn train(lesson: &Lesson<'_>, progress: &mut Progress<'_>) -> Result<Learned, ExactError> {
    let choosing = world(lesson, &|fold| match fold {
        1 => None,
        4 => Some(1),
        other => Some(other),
    })?;
    let whole = world(lesson, &Some)?;
    // The sharpness of exploration has no part here, and nothing is old.
    let mut grid = TrainOptions::grid();
    grid.iter_mut()
        .for_each(|s| (s.gamma, s.heads.decay) = (Settings::DEFAULT.gamma, Settings::DEFAULT.heads.decay));
    let mut distinct: Vec<Settings> = Vec::new();
    grid.into_iter().for_each(|s| {
        if !distinct.contains(&s) {
            distinct.push(s)
        }
    });
    let all = distinct.len() as u64 + 1;
    let fitted: Result<Vec<(Settings, f64)>, StateError> = distinct
        .into_par_iter()
        .map(|s| {
            Ok((s, score(&choosing, &told(&choosing, &s)?.snapshot(PolicyVersion::from("candidate"))).area))
        })
        .collect();
    let mut scores = fitted?;
    scores.sort_by(|a, b| b.1.total_cmp(&a.1));
    progress(all - 1, all);
    let settings = scores[0].0;
    let state = told(&whole, &settings)?;
    let score = score(&whole, &state.snapshot(PolicyVersion::from("candidate")));
    progress(all, all);
    let refused = refusal(&score);
    Ok(Learned { state, settings, prompts: whole.training.len(), scores, score, refused })
}

fn refusal(score: &ExactScore) -> Option<String> {
    if !score.area.is_finite() {
        return Some("its quality is not finite".to_owned());
    }
    (score.area < score.mix_area).then(|| {
        format!(
            "a mix of two models without any learning does better on fold 1: {:.4} against {:.4}",
            score.mix_area, score.area
        )
    })
}

/// A frozen policy on fold 1 of a folder.
///
/// # Errors
/// When fold 1 has no prompt that all models answered.
pub fn evaluate(lesson: &Lesson<'_>, policy: &LearnedPolicy) -> Result<ExactScore, ExactError> {
    Ok(score(&world(lesson, &Some)?, policy))
}

/// The world with folds renamed; `None`: left out.
pub(super) fn world(lesson: &Lesson<'_>, rename: &dyn Fn(u8) -> Option<u8>) -> Result<World, WorldError> {
    let keep: Vec<(usize, u8)> =
        lesson.dataset.rows.iter().enumerate().filter_map(|(i, row)| Some((i, rename(row.fold)?))).collect();
    let rows = keep.iter().map(|(i, fold)| {
        let mut row = lesson.dataset.rows[*i].clone();
        row.fold = *fold;
        row
    });
    let dataset = Dataset {
        name: lesson.dataset.name.clone(),
        models: lesson.dataset.models.clone(),
        rows: rows.collect(),
        cells: keep.iter().map(|(i, _)| lesson.dataset.cells[*i].clone()).collect(),
    };
    let contexts: Vec<Context> = keep.iter().map(|(i, _)| lesson.contexts[*i].clone()).collect();
    let vectors: Vec<Arc<[f32]>> = keep.iter().map(|(i, _)| Arc::clone(&lesson.vectors[*i])).collect();
    World::new(&dataset, &contexts, &vectors, Parting::Folds)
}

/// A learner told what every arm did on the training folds. All outcomes are of one tick: none is older than another.
pub(super) fn told(world: &World, settings: &Settings) -> Result<LearnedState, StateError> {
    let context = &world.training[0].context;
    let mut state = beginning(context.schema(), context.features().len(), *settings)?;
    for case in &world.training {
        for (arm, outcome) in world.arms.iter().zip(&case.outcomes) {
            let charged = world.priced.then(|| charged(case, arm, outcome.cost_usd, UnixMs(0)));
            for seen in charged.into_iter().chain([rated(case, arm, outcome.quality, 1)]) {
                if let Err(fault) = state.apply(&seen) {
                    tracing::warn!(%fault, "an outcome was set aside");
                }
            }
        }
    }
    Ok(state)
}

fn score(world: &World, policy: &LearnedPolicy) -> ExactScore {
    let grid = world.grid(GRID);
    let served = |preference: &Preference| served(world, policy, preference);
    let points: Vec<Point> = grid
        .par_iter()
        .map(|usd| served(&Preference::Value { quality_usd: *usd, second_usd: 0.0 }))
        .collect();
    let single = |(k, arm): (usize, &Arm)| {
        let (quality, cost_usd) = world.mean(&world.scored, k);
        Line { name: arm.id.to_string(), point: Point { cost_usd, quality } }
    };
    let singles: Vec<Line> = world.arms.iter().enumerate().map(single).collect();
    let mix = Curve::hull(singles.iter().map(|l| l.point).collect());
    let curve = Curve::hull(points.clone());
    let ends = |of: fn(f64, f64) -> f64, from: f64| mix.points().iter().map(|p| p.cost_usd).fold(from, of);
    let span = Span { low: ends(f64::min, f64::INFINITY), high: ends(f64::max, 0.0) };
    let wide = world.priced && span.low > 0.0 && span.high > span.low;
    let best = |c: &Curve| c.points().last().map_or(f64::NAN, |p| p.quality);
    let area = |c: &Curve| if wide { c.log_area(&span) } else { best(c) };
    let presets = [
        ("auto:best", Preference::best()),
        ("auto", Preference::balanced()),
        ("auto:cheap", Preference::cheap()),
    ];
    ExactScore {
        prompts: world.scored.len(),
        priced: world.priced,
        area: area(&curve),
        mix_area: area(&mix),
        curve: points,
        presets: presets
            .iter()
            .map(|(name, p)| Line { name: (*name).to_owned(), point: served(p) })
            .collect(),
        singles,
    }
}

/// Greedy on every scored prompt.
fn served(world: &World, policy: &LearnedPolicy, preference: &Preference) -> Point {
    let mut sum = Point { cost_usd: 0.0, quality: 0.0 };
    for case in &world.scored {
        let proposed = ask(world, case, preference, |a| policy.propose(a));
        let k = proposed.ok().and_then(|p| world.arms.iter().position(|arm| arm.id == p.greedy));
        let outcome = k.map(|k| case.outcomes[k]);
        // A prompt without an answer counts as one without quality.
        sum.quality += outcome.map_or(0.0, |o| o.quality);
        sum.cost_usd += outcome.map_or(0.0, |o| o.cost_usd);
    }
    let n = world.scored.len().max(1) as f64;
    Point { cost_usd: sum.cost_usd / n, quality: sum.quality / n }
}

/// SHA-256 over ids, folds and outcomes.
pub fn fingerprint(dataset: &Dataset) -> String {
    let mut hash = Sha256::new();
    for (row, cells) in dataset.rows.iter().zip(&dataset.cells) {
        hash.update((row.id.len() as u64).to_le_bytes());
        hash.update(&row.id);
        hash.update([row.fold]);
        for cell in cells.iter().flatten() {
            hash.update(cell.quality.to_le_bytes());
            hash.update(cell.cost_usd.unwrap_or(-1.0).to_le_bytes());
        }
    }
    hex(&hash.finalize())
}
