//! Fits the student: the table that predicts MiniLM's whitened components from tokens and pairs of neighbours.
//!
//! Prior: each token as MiniLM sees it alone, through one linear map. On top, by ridge regression, what the prompts of folds 2 to 4
//! (and texts of our own making) say beyond it. Prompts of fold 1 measure. Sets may share prompts: each counts once.

mod corpus;
mod sparse;

use std::borrow::Cow;
use std::io::Write as _;
use std::path::{Path, PathBuf};

pub use corpus::Texts;

use super::dataset::Dataset;
use super::vectors::VectorsError;
use crate::embed::student::{LENGTH_TERMS, Numbers, Shape, StudentManifest, pack, sha256_hex, terms};
use crate::embed::{ENCODER_SHA256, EmbedError, Embedder, Encoder, MiniLm, Student, TokenWindow};
use crate::math::cholesky::{Cholesky, NotPositive, rank_one};
use crate::routing::featurize::{FeaturizeError, Featurizer};
use corpus::Corpus;
use sparse::{Ridge, SparseRows};

/// Single tokens that the teacher reads at a time.
const TOKENS_AT_ONCE: usize = 256;
/// How many leading components count for the first of the two R2.
const FIRST: usize = 8;

/// How to fit.
#[derive(Debug, Clone, PartialEq)]
pub struct StudentOptions {
    /// Buckets of neighbouring pairs.
    pub buckets: usize,
    /// Weight of a token is `a / (a + share)`; this is `a`.
    pub frequency: f64,
    /// Ridge.
    pub ridge: f64,
    /// Steps of conjugate gradients.
    pub iterations: usize,
    /// The date that the manifest states.
    pub date: String,
    /// The command that the manifest states.
    pub command: String,
    /// Where vectors of whole sets may be kept.
    pub cache_dir: Option<PathBuf>,
}

/// Why there is no student.
#[derive(Debug, thiserror::Error)]
pub enum StudentFitError {
    /// A set's prompts could not be embedded.
    #[error(transparent)]
    Vectors(#[from] VectorsError),
    /// A text could not be embedded, or the table does not load.
    #[error("cannot embed: {0}")]
    Embed(#[from] EmbedError),
    /// The teacher's vectors are not of the features' width.
    #[error(transparent)]
    Featurize(#[from] FeaturizeError),
    /// No prompt to fit on, or none to measure with.
    #[error("{0} prompts in folds 2 to 4 and {1} in fold 1: give folders that have both")]
    TooFew(usize, usize),
    /// The texts are all alike.
    #[error("the texts hardly differ: {0}")]
    Alike(#[from] NotPositive),
    /// The manifest cannot be written as JSON.
    #[error("cannot write the manifest: {0}")]
    Manifest(#[from] serde_json::Error),
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// What is being done, for a progress bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The teacher reads texts.
    Texts,
    /// The teacher reads single tokens.
    Tokens,
    /// The table is fitted.
    Fit,
}

/// Gets the step and (done, total) of it.
pub type Progress<'a> = &'a mut dyn FnMut(Step, usize, usize);

/// The teacher and what it is asked for.
#[derive(Clone, Copy)]
pub struct Teacher<'a> {
    /// Reads texts.
    pub encoder: &'a Encoder,
    /// Reads single tokens.
    pub model: &'a MiniLm,
    /// Vectors to components.
    pub featurizer: &'a Featurizer,
}

/// Fits on the sets and the texts, writes `table.bin`, then `manifest.json`, into `out`.
///
/// # Errors
/// When a text cannot be embedded, there are too few, or `out` cannot be written.
pub fn fit(
    (datasets, own): (&[Dataset], &[Texts]),
    teacher: Teacher<'_>,
    options: &StudentOptions,
    out: &Path,
    progress: Progress<'_>,
) -> Result<StudentManifest, StudentFitError> {
    let corpus = Corpus::gather(datasets, own, teacher, options.cache_dir.as_deref(), progress)?;
    if corpus.train.is_empty() || corpus.held_out.is_empty() {
        return Err(StudentFitError::TooFew(corpus.train.len(), corpus.held_out.len()));
    }
    let (k, windower) = (corpus.components, teacher.encoder.windower());
    let shape = Shape { vocabulary: windower.vocabulary(), buckets: options.buckets, components: k };
    let alone = tokens_alone(teacher, shape.vocabulary, progress)?;
    let numbers = numbers(&corpus, &alone, shape, options, progress)?;
    let table = pack(shape, &numbers);
    let mut manifest = StudentManifest {
        schema: teacher.featurizer.schema().to_string(),
        date: options.date.clone(),
        command: options.command.clone(),
        encoder_sha256: ENCODER_SHA256.into(),
        max_tokens: windower.max_tokens(),
        components: k,
        vocabulary: shape.vocabulary,
        buckets: shape.buckets,
        frequency: options.frequency,
        ridge: options.ridge,
        sources: corpus.sources.clone(),
        held_out: corpus.held_out.len(),
        r2_first8: 0.0,
        r2_all: 0.0,
        table_sha256: sha256_hex(&table),
    };
    // Measured as it will be read: quantised, through the same code.
    let written = serde_json::to_vec(&manifest)?;
    let student = Student::parse(&written, Cow::Owned(table.clone()), windower.clone())?;
    let r2 = corpus.r2(&student);
    let mean = |r2: &[f64]| r2.iter().sum::<f64>() / r2.len().max(1) as f64;
    (manifest.r2_first8, manifest.r2_all) = (mean(&r2[..FIRST.min(k)]), mean(&r2));
    put(&out.join("table.bin"), &table)?;
    let mut text = serde_json::to_vec_pretty(&manifest)?;
    text.push(b'\n');
    put(&out.join("manifest.json"), &text)?;
    Ok(manifest)
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), StudentFitError> {
    super::replace_file(path, |file| file.write_all(bytes))
        .map_err(|source| StudentFitError::Io { path: path.to_owned(), source })
}

/// Components of each token of the vocabulary when it stands alone, shape `[vocabulary * k]`.
fn tokens_alone(
    teacher: Teacher<'_>,
    vocabulary: usize,
    progress: Progress<'_>,
) -> Result<Vec<f32>, StudentFitError> {
    let [start, end] = match teacher.encoder.windower().window("", "")?.window.ids[..] {
        [start, end] => [start, end],
        _ => [0, 0],
    };
    let mut out = Vec::new();
    let ids: Vec<u32> = (0..vocabulary as u32).collect();
    for chunk in ids.chunks(TOKENS_AT_ONCE) {
        let windows: Vec<TokenWindow> =
            chunk.iter().map(|id| TokenWindow { ids: vec![start, *id, end] }).collect();
        for row in teacher.model.embed(&windows)?.rows() {
            out.extend(teacher.featurizer.components(&row.to_vec())?);
        }
        progress(Step::Tokens, chunk.last().map_or(0, |id| *id as usize + 1), vocabulary);
    }
    Ok(out)
}

/// The table's numbers: weights, then the prior's linear map, then the ridge on what is left.
fn numbers(
    corpus: &Corpus,
    alone: &[f32],
    shape: Shape,
    options: &StudentOptions,
    progress: Progress<'_>,
) -> Result<Numbers, StudentFitError> {
    let k = shape.components;
    let weights = corpus.weights(shape.vocabulary, options.frequency);
    let (mut rows, mut lengths) = (SparseRows::default(), Vec::with_capacity(corpus.train.len()));
    for i in &corpus.train {
        let found = terms(&corpus.windows[*i].ids, &weights, shape.buckets as u32);
        rows.push(&found.values);
        lengths.push(found.length);
    }
    let mut seen = alone.to_vec();
    seen.resize(shape.rows() * k, 0.0);
    let inputs: Vec<Vec<f64>> = rows
        .times(&seen, k)
        .chunks_exact(k)
        .zip(&lengths)
        .map(|(mean, length)| length.iter().chain(mean).map(|x| f64::from(*x)).collect())
        .collect();
    let targets: Vec<f32> = corpus.train.iter().flat_map(|i| corpus.target(*i)).copied().collect();
    let map = least_squares(&inputs, &targets, k)?;
    let mut rest = targets;
    for (rest, input) in rest.chunks_exact_mut(k).zip(&inputs) {
        rest.iter_mut().zip(&map).for_each(|(y, column)| *y -= product(column, input) as f32);
    }
    let (steps, ridge) =
        (options.iterations, Ridge { ridge: options.ridge as f32, steps: options.iterations });
    let mut table = rows.ridge(&rest, (shape.rows(), k), ridge, &mut |step| {
        progress(Step::Fit, step, steps);
    });
    for (row, alone) in table.chunks_exact_mut(k).zip(alone.chunks_exact(k)) {
        let alone: Vec<f64> = alone.iter().map(|x| f64::from(*x)).collect();
        row.iter_mut()
            .zip(&map)
            .for_each(|(x, column)| *x += product(&column[LENGTH_TERMS..], &alone) as f32);
    }
    let length =
        (0..LENGTH_TERMS).flat_map(|term| map.iter().map(move |column| column[term] as f32)).collect();
    Ok(Numbers { length, weights, rows: table })
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Coefficients for each of `k` targets, shape `[k][inputs]`.
fn least_squares(inputs: &[Vec<f64>], targets: &[f32], k: usize) -> Result<Vec<Vec<f64>>, NotPositive> {
    let d = inputs.first().map_or(0, Vec::len);
    let mut gram = vec![0.0; d * (d + 1) / 2];
    let mut sides = vec![vec![0.0; d]; k];
    for (input, targets) in inputs.iter().zip(targets.chunks_exact(k)) {
        rank_one(&mut gram, input, 1.0);
        for (side, y) in sides.iter_mut().zip(targets) {
            side.iter_mut().zip(input).for_each(|(sum, x)| *sum += x * f64::from(*y));
        }
    }
    let factor = Cholesky::factor(&gram, d)?;
    sides.iter_mut().for_each(|side| factor.solve(side));
    Ok(sides)
}

#[cfg(test)]
mod tests;
