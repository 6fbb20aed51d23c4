//! `pointsman train`: offline fitting.

mod encoder;

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::Args;

use super::progress::Progress;
use crate::embed::{Encoder, EncoderOptions, WeightSource};
use crate::offline::dataset::Dataset;
use crate::offline::features::{FitOptions, fit};

pub use encoder::{TrainEncoderArgs, run as run_encoder};

/// `pointsman train features`: fits the numbers that turn prompts into features.
///
/// They are built into the binary: build again after the fit. Whatever was learned under the old numbers has another schema and is
/// not read any more.
#[derive(Debug, Clone, Args)]
pub struct TrainFeaturesArgs {
    /// Folders of recorded prompts (prompts.jsonl.gz, outcomes.csv.gz); folds 2 to 4 are used.
    #[arg(long, required = true, num_args = 1.., value_name = "DIR")]
    pub data: Vec<PathBuf>,
    /// Where manifest.json and components.f32 go.
    #[arg(long, value_name = "DIR", default_value = "models/features")]
    pub out: PathBuf,
    /// Most prompts of one folder.
    #[arg(long, default_value_t = 2_500, value_name = "N")]
    pub per_set: usize,
    /// Principal components.
    #[arg(long, default_value_t = 32, value_name = "K")]
    pub components: usize,
    /// Encoder threads.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub threads: usize,
    /// Folder with the encoder's files, instead of those in the binary.
    #[arg(long, value_name = "DIR")]
    pub weights: Option<PathBuf>,
    /// Folder of vectors that earlier runs have kept.
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Print the manifest as JSON.
    #[arg(long)]
    pub json: bool,
}

/// # Errors
/// When a folder cannot be read, the encoder does not start, or the fit fails.
pub fn run(args: TrainFeaturesArgs) -> anyhow::Result<()> {
    let datasets = load(&args.data)?;
    let weights = args.weights.map_or(WeightSource::BuiltIn, WeightSource::Folder);
    let options =
        EncoderOptions { weights, threads: args.threads, cache_entries: 0, ..EncoderOptions::default() };
    let encoder = Encoder::start(options).context("the encoder does not start")?;
    let fitting = FitOptions {
        per_set: args.per_set,
        components: args.components,
        date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
        cache_dir: args.cache,
    };
    let mut progress = Progress::new("prompts");
    let manifest = fit(&datasets, &encoder, &fitting, &args.out, &mut |done, total| {
        progress.at(done as u64, total as u64)
    })?;
    drop(progress);
    if args.json {
        say(&serde_json::to_string_pretty(&manifest)?);
    } else {
        let share = manifest.explained_variance * 100.0;
        say(&format!("{} from {} prompts, {share:.1} % of the variance", manifest.schema, manifest.rows));
        say(&format!("written to {}; build again to use it", args.out.display()));
    }
    Ok(())
}

fn load(folders: &[PathBuf]) -> anyhow::Result<Vec<Dataset>> {
    let mut datasets: Vec<Dataset> = Vec::with_capacity(folders.len());
    for folder in folders {
        let set = Dataset::load(folder)?;
        ensure!(datasets.iter().all(|d| d.name != set.name), "two folders of --data are named {}", set.name);
        datasets.push(set);
    }
    Ok(datasets)
}

#[expect(clippy::print_stdout, reason = "the result of a command goes to standard output")]
fn say(line: &str) {
    println!("{line}");
}
