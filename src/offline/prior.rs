//! Fits the prior: what recorded outcomes of many models say of a model that nobody has reported on.
//!
//! Within each set, so that sets may differ in level: which features go with prompts that are hard for all its models, and with long
//! answers (ridge on the mean over the set's models); and how models of one deployment differ in level: how much better a dearer one
//! is (slope on the logarithm of its mean cost), and how far from that they are. Only folds 2 to 4 are read. Sets weigh at most alike, however large; the same sets give the same numbers.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::dataset::{Cell, Dataset};
use crate::domain::{Context, FeatureSchema};
use crate::math::cholesky::{Cholesky, NotPositive, packed_len, rank_one};
use crate::policy::{LearnedState, LevelPrior, Prior, Settings, StateError};
use crate::routing::featurize::sha256_hex;
use crate::routing::prior::{PriorManifest, PriorSource, name_of, shipped_or_none};

/// Prompts that a set counts for at most.
const ROWS_PER_SET: f64 = 1000.0;
/// Models that a set counts for at most.
const MODELS_PER_SET: f64 = 10.0;
/// Penalty on slopes, in prompts: about what made slopes right on sets left out.
const PENALTY: f64 = 1000.0;
/// Answers whose lengths hardly vary (a letter each) tell nothing of length.
const LEAST_SPREAD: f64 = 0.05;
/// Fold that stays unseen.
const TUNING_FOLD: u8 = 1;

/// A set and its prompts' features, in the order of its rows.
#[derive(Debug, Clone, Copy)]
pub struct Recorded<'a> {
    /// Outcomes.
    pub set: &'a Dataset,
    /// One for each row.
    pub contexts: &'a [Context],
}

/// Why there is no prior.
#[derive(Debug, thiserror::Error)]
pub enum PriorFitError {
    /// No prompts, or not of one schema.
    #[error("no prompts of folds 2 to 4 that all models of their set answered, or not all of one schema")]
    NoRows,
    /// The sums do not allow a fit.
    #[error("the outcomes do not allow a fit: {0}")]
    Sums(#[from] NotPositive),
}

/// What a deployment's learner begins with: the shipped prior where the features are those that it was fitted on.
///
/// # Errors
/// When the settings give no proper prior.
pub fn beginning(schema: &FeatureSchema, dim: usize, settings: Settings) -> Result<LearnedState, StateError> {
    LearnedState::with_prior(schema.clone(), Arc::new(shipped_or_none(schema, dim)), dim, settings)
}

/// Fits on the sets; `date` is what the manifest states.
///
/// # Errors
/// When there is nothing to fit on.
pub fn fit(sets: &[Recorded<'_>], date: &str) -> Result<PriorManifest, PriorFitError> {
    let first = sets.iter().find_map(|s| s.contexts.first()).ok_or(PriorFitError::NoRows)?;
    let (schema, dim) = (first.schema(), first.features().len());
    if sets.iter().flat_map(|s| s.contexts).any(|c| c.schema() != schema) {
        return Err(PriorFitError::NoRows);
    }
    let (mut quality, mut length) = (Slopes::new(dim), Slopes::new(dim));
    let (mut levels, mut sources) = (Levels::default(), Vec::new());
    for recorded in sets {
        let rows = recorded.rows();
        if rows.is_empty() {
            continue;
        }
        quality.add(&rows, |row| Some(mean(row.cells.iter().map(|c| c.quality))));
        length.add(&rows, |row| {
            let logs = row.cells.iter().filter_map(|c| c.output_tokens).map(|t| f64::from(t.max(1)).ln());
            let logs: Vec<f64> = logs.collect();
            (!logs.is_empty()).then(|| mean(logs.into_iter()))
        });
        levels.add(&rows);
        sources.push(recorded.source(&rows));
    }
    if sources.is_empty() {
        return Err(PriorFitError::NoRows);
    }
    let rounded = |numbers: Vec<f64>| numbers.into_iter().map(six_digits).collect();
    let mut prior = Prior {
        name: String::new(),
        quality: rounded(quality.solve()?),
        length: rounded(length.solve()?),
        levels: levels.fit(),
    };
    prior.name = name_of(&prior);
    Ok(PriorManifest { schema: schema.to_string(), date: date.to_owned(), sources, prior })
}

/// More is noise; and short numbers are the same in every file.
fn six_digits(x: f64) -> f64 {
    (x * 1e6).round() / 1e6
}

/// A prompt that every model of its set answered.
struct Row<'a> {
    id: &'a str,
    x: Vec<f64>,
    cells: Vec<Cell>,
}

impl<'a> Recorded<'a> {
    fn rows(&self) -> Vec<Row<'a>> {
        let all = self.set.rows.iter().zip(&self.set.cells).zip(self.contexts);
        let row = |((row, cells), context): ((&'a super::dataset::Row, &Vec<Option<Cell>>), &Context)| {
            let cells = cells.iter().copied().collect::<Option<Vec<Cell>>>()?;
            let x = context.features().iter().map(|x| f64::from(*x)).collect();
            (row.fold != TUNING_FOLD).then_some(Row { id: &row.id, x, cells })
        };
        all.filter_map(row).collect()
    }

    fn source(&self, rows: &[Row<'_>]) -> PriorSource {
        let mut hash = Sha256::new();
        for row in rows {
            hash.update(row.id);
            row.cells.iter().for_each(|cell| hash.update(cell.quality.to_le_bytes()));
        }
        let sha256 = sha256_hex(&hash.finalize());
        PriorSource { name: self.set.name.clone(), rows: rows.len(), models: self.set.models.len(), sha256 }
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / f64::max(count, 1.0)
}

/// Sums of a ridge regression within sets; the last feature is the constant and stays out.
struct Slopes {
    xx: Vec<f64>,
    xy: Vec<f64>,
}

impl Slopes {
    fn new(dim: usize) -> Self {
        Self { xx: vec![0.0; packed_len(dim)], xy: vec![0.0; dim] }
    }

    fn add(&mut self, rows: &[Row<'_>], value: impl Fn(&Row<'_>) -> Option<f64>) {
        let known: Vec<(&Row<'_>, f64)> = rows.iter().filter_map(|row| Some((row, value(row)?))).collect();
        let dim = self.xy.len();
        let middle = mean(known.iter().map(|(_, y)| *y));
        let spread = mean(known.iter().map(|(_, y)| (y - middle).powi(2))).sqrt();
        if known.is_empty() || spread < LEAST_SPREAD {
            return;
        }
        let centre: Vec<f64> = (0..dim).map(|j| mean(known.iter().map(|(row, _)| row.x[j]))).collect();
        let weight = (ROWS_PER_SET / known.len() as f64).min(1.0);
        for (row, y) in known {
            let x: Vec<f64> = row.x.iter().zip(&centre).map(|(x, c)| x - c).collect();
            rank_one(&mut self.xx, &x, weight);
            self.xy.iter_mut().zip(&x).for_each(|(sum, x)| *sum += weight * (y - middle) * x);
        }
    }

    fn solve(mut self) -> Result<Vec<f64>, NotPositive> {
        let dim = self.xy.len();
        (0..dim).for_each(|j| self.xx[packed_len(j + 1) - 1] += PENALTY);
        Cholesky::factor(&self.xx, dim)?.solve(&mut self.xy);
        if let Some(last) = self.xy.last_mut() {
            *last = 0.0;
        }
        Ok(self.xy)
    }
}

/// The sets' lines: models' mean quality over the logarithm of their mean cost.
#[derive(Default)]
struct Levels {
    /// Mean quality of each set.
    middles: Vec<f64>,
    /// Slope of each set of which costs are known, and the weight of that slope.
    slopes: Vec<(f64, f64)>,
    /// Squares of what is left around the sets' lines, and of how many models beyond the two that fix a line.
    squares: f64,
    models: f64,
}

/// Two sets may agree by chance: no spread is believed to be smaller.
const LEAST_LEVEL_SD: f64 = 0.15;
const LEAST_SLOPE_SD: f64 = 0.02;
/// What the others say of an arm is a guess itself: with less, models that are far from their price's line were found too late.
const LEAST_OWN_SD: f64 = 0.16;

impl Levels {
    fn add(&mut self, rows: &[Row<'_>]) {
        let models = rows.first().map_or(0, |row| row.cells.len());
        let of = |k: usize| {
            let costs: Option<Vec<f64>> = rows.iter().map(|row| row.cells[k].cost_usd).collect();
            let usd = costs.map_or(0.0, |costs| mean(costs.into_iter()));
            let quality = mean(rows.iter().map(|row| row.cells[k].quality));
            (quality, (usd > 0.0).then(|| (usd.ln(), quality)))
        };
        let all: Vec<(f64, Option<(f64, f64)>)> = (0..models).map(of).collect();
        self.middles.push(mean(all.iter().map(|(quality, _)| *quality)));
        let known: Vec<(f64, f64)> = all.into_iter().filter_map(|(_, known)| known).collect();
        let (x, y) = (mean(known.iter().map(|m| m.0)), mean(known.iter().map(|m| m.1)));
        let xx: f64 = known.iter().map(|m| (m.0 - x).powi(2)).sum();
        if known.len() < 2 || xx <= 0.0 {
            return;
        }
        let slope = known.iter().map(|m| (m.0 - x) * (m.1 - y)).sum::<f64>() / xx;
        let weight = (MODELS_PER_SET / known.len() as f64).min(1.0);
        self.slopes.push((slope, weight * xx));
        self.squares += weight * known.iter().map(|m| (m.1 - y - slope * (m.0 - x)).powi(2)).sum::<f64>();
        self.models += weight * (known.len() - 2) as f64;
    }

    /// Where there is too little to tell, what [`LevelPrior::DEFAULT`] says.
    fn fit(&self) -> LevelPrior {
        let usual = LevelPrior::DEFAULT;
        let level = mean(self.middles.iter().copied());
        let sd = |squares: f64, count: usize| (squares / count.saturating_sub(1) as f64).sqrt();
        let level_sd = sd(self.middles.iter().map(|m| (m - level).powi(2)).sum(), self.middles.len());
        let weights: f64 = self.slopes.iter().map(|(_, weight)| weight).sum();
        let per_log_usd = self.slopes.iter().map(|(slope, weight)| slope * weight).sum::<f64>() / weights;
        let slope_sd =
            sd(self.slopes.iter().map(|(s, _)| (s - per_log_usd).powi(2)).sum(), self.slopes.len());
        let or = |found: f64, least: f64, usual: f64| {
            six_digits(if found.is_finite() { found.max(least) } else { usual })
        };
        LevelPrior {
            level: six_digits(level),
            level_sd: or(level_sd, LEAST_LEVEL_SD, usual.level_sd),
            per_log_usd: or(per_log_usd, 0.0, usual.per_log_usd),
            per_log_usd_sd: or(slope_sd, LEAST_SLOPE_SD, usual.per_log_usd_sd),
            own_sd: or((self.squares / self.models).sqrt(), LEAST_OWN_SD, usual.own_sd),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::dataset::Row as PromptRow;
    use super::*;
    use crate::domain::FeatureSchema;

    /// Quality falls with the first feature, length grows with the second; the dear model is better by `gain`.
    fn recorded(rows: usize, gain: f64) -> (Dataset, Vec<Context>) {
        let cell = |quality: f64, usd: f64, tokens: f64| {
            let output_tokens = Some(tokens as u32);
            Some(Cell { quality, cost_usd: Some(usd), input_tokens: None, output_tokens, latency_ms: None })
        };
        let mut set =
            Dataset { name: "set".into(), rows: vec![], models: vec!["a".into(), "b".into()], cells: vec![] };
        let mut contexts = Vec::new();
        for i in 0..rows {
            let (a, b) = ((i % 5) as f64 / 2.0 - 1.0, (i / 5 % 5) as f64 / 2.0 - 1.0);
            let fold = (i % 4 + 1) as u8;
            set.rows.push(PromptRow {
                id: i.to_string(),
                task: "t".into(),
                fold,
                split: None,
                prompt: String::new(),
            });
            let (quality, tokens) = (0.5 - 0.2 * a, (200.0 * (0.5 * b).exp()).round());
            set.cells.push(vec![cell(quality, 1e-4, tokens), cell(quality + gain, 1e-3, tokens)]);
            contexts.push(Context::new(FeatureSchema::new("s"), vec![a as f32, b as f32, 1.0]).unwrap());
        }
        (set, contexts)
    }

    #[test]
    fn it_finds_what_is_hard_what_is_long_and_what_a_price_tells_but_never_reads_fold_one() {
        let (mut set, contexts) = recorded(20_000, 0.1);
        let fitted = |set: &Dataset| fit(&[Recorded { set, contexts: &contexts }], "2026-11-27").unwrap();
        let found = fitted(&set);
        let prior = &found.prior;
        // A thousand prompts of variance one half against a penalty of a thousand: a third of the way.
        assert!((prior.quality[0] + 0.2 / 3.0).abs() < 0.01 && prior.quality[1].abs() < 0.01, "{prior:?}");
        assert!((prior.length[1] - 0.5 / 3.0).abs() < 0.02 && prior.length[0].abs() < 0.02, "{prior:?}");
        let levels = prior.levels;
        assert!((levels.per_log_usd - 0.1 / 10f64.ln()).abs() < 1e-5 && (levels.level - 0.55).abs() < 1e-5);
        // One set of two models tells neither how sets differ nor how models do.
        let usual = LevelPrior::DEFAULT;
        assert_eq!((levels.level_sd, levels.own_sd), (usual.level_sd, usual.own_sd));
        assert_eq!((prior.quality[2], prior.length[2], found.sources[0].rows), (0.0, 0.0, 15_000));
        let changed = set.cells.iter_mut().zip(&set.rows).filter(|(_, row)| row.fold == 1);
        changed.flat_map(|(cells, _)| cells).flatten().for_each(|cell| cell.quality = 0.0);
        assert_eq!(fitted(&set), found);
    }

    #[test]
    fn a_set_without_rows_to_learn_from_is_refused() {
        let (mut set, contexts) = recorded(8, 0.1);
        set.rows.iter_mut().for_each(|row| row.fold = 1);
        let fitted = fit(&[Recorded { set: &set, contexts: &contexts }], "2026-11-27");
        assert!(matches!(fitted, Err(PriorFitError::NoRows)));
    }
}
