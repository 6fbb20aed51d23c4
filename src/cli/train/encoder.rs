//! `pointsman train encoder`: fits the student with MiniLM as its teacher.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::super::progress::Progress;
use super::{load, say};
use crate::embed::{Encoder, EncoderOptions, MiniLm, WeightSource};
use crate::offline::student::{Step, StudentOptions, Teacher, Texts, fit};
use crate::routing::Featurizer;
use crate::sim::prompts;

/// Seed of the made-up prompts; the demo and its tests use small ones.
const SEED: u64 = 20_261_127;

/// `pointsman train encoder`: fits the student, the table that stands in for MiniLM under load.
///
/// It is built into the binary: build again after the fit. It predicts the components that the features are made of, so
/// `pointsman train features` comes first, and the student is fitted anew after it.
#[derive(Debug, Clone, Args)]
pub struct TrainEncoderArgs {
    /// Folders of recorded prompts (prompts.jsonl.gz, outcomes.csv.gz); folds 2 to 4 are fitted on, fold 1 measures.
    #[arg(long, required = true, num_args = 1.., value_name = "DIR")]
    pub data: Vec<PathBuf>,
    /// Where manifest.json and table.bin go.
    #[arg(long, value_name = "DIR", default_value = "models/student")]
    pub out: PathBuf,
    /// Made-up prompts of the demo's kinds to fit on as well.
    #[arg(long, default_value_t = 4_000, value_name = "N")]
    pub own: usize,
    /// Rows for pairs of neighbouring tokens.
    #[arg(long, default_value_t = 32_768, value_name = "N")]
    pub buckets: usize,
    /// Ridge: how strongly a token is held to what MiniLM says of it alone.
    #[arg(long, default_value_t = 0.5, value_name = "X")]
    pub ridge: f64,
    /// A token's weight is X / (X + its share of all tokens).
    #[arg(long, default_value_t = 0.01, value_name = "X")]
    pub frequency: f64,
    /// Encoder threads.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub threads: usize,
    /// Folder with the encoder's files, instead of those in the binary.
    #[arg(long, value_name = "DIR")]
    pub weights: Option<PathBuf>,
    /// Folder to keep the prompts' vectors in.
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Print the manifest as JSON.
    #[arg(long)]
    pub json: bool,
}

impl TrainEncoderArgs {
    /// What the manifest says it was made by: without folders, which are the machine's own.
    fn command(&self) -> String {
        let Self { own, buckets, ridge, frequency, .. } = self;
        format!(
            "pointsman train encoder --data DIR... --own {own} --buckets {buckets} --ridge {ridge} --frequency {frequency}"
        )
    }
}

/// # Errors
/// When a folder cannot be read, the encoder does not start, or the fit fails.
pub fn run(args: TrainEncoderArgs) -> anyhow::Result<()> {
    let datasets = load(&args.data)?;
    let command = args.command();
    let weights = args.weights.map_or(WeightSource::BuiltIn, WeightSource::Folder);
    let model = MiniLm::load(&weights).context("the encoder does not load")?;
    let options =
        EncoderOptions { weights, threads: args.threads, cache_entries: 0, ..EncoderOptions::default() };
    let encoder = Encoder::start(options).context("the encoder does not start")?;
    let featurizer = Featurizer::built_in()?;
    let texts = prompts::generate(args.own, SEED).into_iter().map(|prompt| prompt.text).collect();
    let own = Texts { name: "made-up".into(), texts };
    let fitting = StudentOptions {
        buckets: args.buckets,
        frequency: args.frequency,
        ridge: args.ridge,
        iterations: 60,
        date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
        command,
        cache_dir: args.cache,
    };
    let mut bar: Option<(Step, Progress)> = None;
    let teacher = Teacher { encoder: &encoder, model: &model, featurizer: &featurizer };
    let manifest = fit((&datasets, &[own]), teacher, &fitting, &args.out, &mut |step, done, total| {
        if bar.as_ref().is_none_or(|(current, _)| *current != step) {
            // The last one ends before the next begins.
            drop(bar.take());
            bar = Some((step, Progress::new(name(step))));
        }
        if let Some((_, bar)) = &mut bar {
            bar.at(done as u64, total as u64);
        }
    })?;
    drop(bar);
    if args.json {
        say(&serde_json::to_string_pretty(&manifest)?);
    } else {
        let rows: usize = manifest.sources.iter().map(|source| source.rows).sum();
        say(&format!("fitted on {rows} texts, measured on {} of fold 1", manifest.held_out));
        let (first, all) = (manifest.r2_first8, manifest.r2_all);
        say(&format!("R2 {first:.3} on the first 8 components, {all:.3} on all {}", manifest.components));
        say(&format!("written to {}; build again to use it", args.out.display()));
    }
    Ok(())
}

fn name(step: Step) -> &'static str {
    match step {
        Step::Texts => "texts",
        Step::Tokens => "tokens",
        Step::Fit => "steps",
    }
}
