//! Fits the numbers of the features: principal components of the prompts' vectors and constants of the statistics.
//!
//! Only folds 2 to 4 are read, so that fold 1 stays unseen for tuning; of a large set only the prompts whose ids hash lowest, so that
//! no set outweighs the others and the choice is the same every time.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use ndarray::Array2;
use sha2::{Digest, Sha256};

use super::dataset::Dataset;
use super::vectors::{embed, kept};
use crate::embed::{ENCODER_SHA256, EmbedError, Encoder};
use crate::math::{Pca, PcaError};
use crate::routing::featurize::{FeatureManifest, FeatureSource, schema_name, sha256_hex};
use crate::routing::statistics::{COUNT, NAMES, STATED, Scale, statistics};
use crate::wire::chat::prompt_of_text;

/// Folds that features are fitted on.
const FOLDS: std::ops::RangeInclusive<u8> = 2..=4;
/// A statistic that hardly varies gets at least this standard deviation.
const LEAST_SD: f64 = 0.02;

/// How to fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FitOptions {
    /// Most prompts of one set.
    pub per_set: usize,
    /// Principal components.
    pub components: usize,
    /// The date that the manifest states.
    pub date: String,
    /// Where vectors of whole sets may be kept from a run before.
    pub cache_dir: Option<PathBuf>,
}

impl FitOptions {
    /// 2,500 prompts a set and 32 components.
    pub fn on(date: impl Into<String>) -> Self {
        Self { per_set: 2_500, components: 32, date: date.into(), cache_dir: None }
    }
}

/// Why there are no features.
#[derive(Debug, thiserror::Error)]
pub enum FeaturesError {
    /// A prompt could not be embedded.
    #[error("cannot embed the prompts: {0}")]
    Embed(#[from] EmbedError),
    /// Too few prompts, or they hardly differ.
    #[error("cannot fit the components: {0}; give more data sets")]
    Pca(#[from] PcaError),
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

/// Fits on the sets and writes `components.f32`, then `manifest.json`, into `out`. `progress` gets (done, total) prompts.
///
/// # Errors
/// When a prompt cannot be embedded, the prompts are too few, or `out` cannot be written.
pub fn fit(
    datasets: &[Dataset],
    encoder: &Encoder,
    options: &FitOptions,
    out: &Path,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<FeatureManifest, FeaturesError> {
    let chosen: Vec<(&Dataset, Vec<usize>)> =
        datasets.iter().map(|set| (set, choose(set, options.per_set))).collect();
    let total: usize = chosen.iter().map(|(_, rows)| rows.len()).sum();
    let (mut prompts, mut vectors) = (Vec::with_capacity(total), Vec::with_capacity(total));
    for (set, rows) in &chosen {
        let of_set: Vec<&str> = rows.iter().map(|i| set.rows[*i].prompt.as_str()).collect();
        let before = prompts.len();
        match options.cache_dir.as_deref().and_then(|dir| kept(set, encoder, dir)) {
            Some(kept) => vectors.extend(rows.iter().map(|i| kept[*i].clone())),
            None => vectors.extend(embed(&of_set, encoder, &mut |done, _| progress(before + done, total))?),
        }
        prompts.extend(of_set);
        progress(prompts.len(), total);
    }
    let dim = encoder.dim();
    let rows = Array2::from_shape_fn((vectors.len(), dim), |(i, j)| f64::from(vectors[i][j]));
    let pca = Pca::fit(rows.view(), options.components)?;
    let components = bytes_of(&pca);
    let scales = scales_of(&prompts);
    let source =
        |(set, rows): &(&Dataset, Vec<usize>)| FeatureSource { name: set.name.clone(), rows: rows.len() };
    let manifest = FeatureManifest {
        schema: schema_name(&components, dim, &scales),
        date: options.date.clone(),
        encoder_sha256: ENCODER_SHA256.into(),
        max_tokens: encoder.options().max_tokens,
        dim,
        sources: chosen.iter().map(source).collect(),
        rows: prompts.len(),
        explained_variance: pca.explained(),
        variances: pca.variances.to_vec(),
        statistics: scales,
        components_sha256: sha256_hex(&components),
    };
    put(&out.join("components.f32"), &components)?;
    let mut text = serde_json::to_vec_pretty(&manifest)?;
    text.push(b'\n');
    put(&out.join("manifest.json"), &text)?;
    Ok(manifest)
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), FeaturesError> {
    super::replace_file(path, |file| file.write_all(bytes))
        .map_err(|source| FeaturesError::Io { path: path.to_owned(), source })
}

/// At most `limit` rows of folds 2 to 4, those whose ids hash lowest.
fn choose(dataset: &Dataset, limit: usize) -> Vec<usize> {
    let fits = |i: &usize| FOLDS.contains(&dataset.rows[*i].fold);
    let mut rows: Vec<usize> = (0..dataset.rows.len()).filter(fits).collect();
    rows.sort_by_cached_key(|i| <[u8; 32]>::from(Sha256::digest(&dataset.rows[*i].id)));
    rows.truncate(limit);
    rows
}

/// The mean, then each component divided by the standard deviation along it.
fn bytes_of(pca: &Pca) -> Vec<u8> {
    let mut components = pca.components.clone();
    for (mut row, scale) in components.rows_mut().into_iter().zip(pca.whitening()) {
        row.mapv_inplace(|x| x * scale);
    }
    pca.mean.iter().chain(components.iter()).flat_map(|x| (*x as f32).to_le_bytes()).collect()
}

fn scales_of(prompts: &[&str]) -> Vec<Scale> {
    let raw: Vec<_> = prompts.iter().map(|prompt| statistics(&prompt_of_text(prompt))).collect();
    let scale = |i: usize| {
        let name = NAMES[i].to_owned();
        if let Some(stated) = i.checked_sub(COUNT - STATED.len()) {
            let (mean, sd) = STATED[stated];
            return Scale { name, mean, sd, fitted: false };
        }
        let values: Vec<f64> = raw.iter().filter_map(|row| row[i]).collect();
        let (mean, sd) = moments(&values);
        Scale { name, mean, sd: sd.max(LEAST_SD), fitted: true }
    };
    (0..COUNT).map(scale).collect()
}

/// Mean and standard deviation.
fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
    (mean, variance.sqrt())
}

#[cfg(test)]
mod tests {
    use super::super::dataset::Row;
    use super::*;
    use crate::embed::EncoderOptions;
    use crate::routing::featurize::Featurizer;

    fn dataset(rows: usize) -> Dataset {
        let nouns = ["signal", "ferry", "river", "ledger", "violin", "glacier", "orchard"];
        let row = |i: usize| Row {
            id: format!("row-{i}"),
            task: "t".into(),
            fold: (i % 4 + 1) as u8,
            split: None,
            prompt: format!("What does the {} near the {} number {i} do?", nouns[i % 7], nouns[i / 7 % 7]),
        };
        Dataset { name: "made-up".into(), rows: (0..rows).map(row).collect(), models: vec![], cells: vec![] }
    }

    #[test]
    fn the_choice_keeps_fold_one_out_is_bounded_and_does_not_depend_on_the_order() {
        let mut set = dataset(80);
        let ids = |set: &Dataset| choose(set, 20).iter().map(|i| set.rows[*i].id.clone()).collect::<Vec<_>>();
        let before = ids(&set);
        assert!(choose(&set, 20).iter().all(|i| set.rows[*i].fold != 1));
        set.rows.reverse();
        assert_eq!((before.len(), &before), (20, &ids(&set)));
        assert_eq!(choose(&set, 1000).len(), 60);
    }

    #[test]
    fn a_fit_whitens_the_prompts_it_was_made_on() {
        let set = dataset(60);
        let encoder = Encoder::start(EncoderOptions::default()).unwrap();
        let out = tempfile::tempdir().unwrap();
        let options = FitOptions { per_set: 2_500, components: 4, ..FitOptions::on("2026-11-23") };
        let mut last = (0, 0);
        let manifest = fit(std::slice::from_ref(&set), &encoder, &options, out.path(), &mut |done, all| {
            last = (done, all)
        })
        .unwrap();
        assert_eq!((manifest.rows, last), (45, (45, 45)));
        let read = |name| std::fs::read(out.path().join(name)).unwrap();
        let featurizer = Featurizer::parse(&read("manifest.json"), &read("components.f32")).unwrap();
        let rows = choose(&set, 2_500);
        let first: Vec<f64> = rows
            .iter()
            .map(|i| {
                let row = &set.rows[*i];
                let vector = encoder.embed_blocking(&row.prompt, "").unwrap().vector;
                f64::from(featurizer.context(&vector, &prompt_of_text(&row.prompt)).unwrap().features()[0])
            })
            .collect();
        let (mean, sd) = moments(&first);
        assert!(mean.abs() < 1e-3 && (sd - 1.0).abs() < 0.02, "{mean} {sd}");
    }
}
