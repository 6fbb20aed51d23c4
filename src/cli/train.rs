//! `pointsman train`: offline fitting.

mod encoder;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::embed::{Encoder, EncoderOptions, WeightSource};
use crate::offline::dataset::Dataset;
use crate::offline::features::{FitOptions, fit};

pub use encoder::{TrainEncoderArgs, run as run_encoder};

/// Without a terminal a line of progress is given each time this many percent are done.
const PERCENT_A_LINE: usize = 10;

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
    let manifest =
        fit(&datasets, &encoder, &fitting, &args.out, &mut |done, total| progress.at(done, total))?;
    progress.finish();
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

/// A bar on a terminal, plain lines elsewhere.
struct Progress {
    bar: Option<ProgressBar>,
    what: &'static str,
    /// The next percentage that is worth a line.
    next: usize,
}

impl Progress {
    fn new(what: &'static str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0).with_message(what);
            let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}, {eta} left");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { bar, what, next: PERCENT_A_LINE }
    }

    fn at(&mut self, done: usize, total: usize) {
        if let Some(bar) = &self.bar {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        } else if done * 100 >= self.next * total {
            tell(&format!("{done} of {total} {}", self.what));
            while self.next * total <= done * 100 && self.next <= 100 {
                self.next += PERCENT_A_LINE;
            }
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[expect(clippy::print_stdout, reason = "the result of a command goes to standard output")]
fn say(line: &str) {
    println!("{line}");
}

#[expect(clippy::print_stderr, reason = "progress goes to standard error, so that the result can be piped")]
fn tell(line: &str) {
    eprintln!("{line}");
}
