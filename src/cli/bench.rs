//! `pointsman bench`: the quality goals, measured on this machine.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use crate::domain::Context;
use crate::embed::{Encoder, EncoderOptions};
use crate::offline::dataset::Dataset;
use crate::offline::routing_bench::{BenchOptions, Report, World, run as run_bench};
use crate::offline::vectors::vectors;
use crate::routing::featurize::Featurizer;
use crate::routing::statistics::prompt_of_text;

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    what: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// The policy over folders of recorded outcomes, beside single models, mixes, kNN, ridge and the oracle
    Routing(RoutingArgs),
}

/// Arguments of `bench routing`.
#[derive(Debug, Args)]
pub struct RoutingArgs {
    /// A folder with prompts.jsonl.gz and outcomes.csv.gz; may be given several times
    #[arg(long, value_name = "DIR", required = true)]
    data: Vec<PathBuf>,
    /// Models to route between, separated by commas [default: all of the folder]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    models: Vec<String>,
    /// Shuffles of the stream
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// Share of the drawn models' answers whose quality is reported
    #[arg(long, default_value_t = 1.0, value_parser = share)]
    feedback: f64,
    /// Share of prompts on which the quality of every model is reported
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    full: f64,
    /// Folder to keep the prompts' vectors in
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Write there instead of to the standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "must be a number between 0 and 1".to_owned())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("must be between 0 and 1".to_owned()) }
}

/// Runs the command.
///
/// # Errors
/// When a folder cannot be read, a model is not in it, or the result cannot be written.
pub fn run(args: BenchArgs) -> anyhow::Result<()> {
    let Bench::Routing(args) = args.what;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let encoder = Encoder::start(EncoderOptions { threads, ..EncoderOptions::default() })?;
    let featurizer = Featurizer::built_in()?;
    let reports = args
        .data
        .iter()
        .map(|folder| report(&args, folder, &encoder, &featurizer))
        .collect::<anyhow::Result<Vec<Report>>>()?;
    let text = if args.json {
        serde_json::to_string_pretty(&reports)? + "\n"
    } else {
        reports.iter().map(Report::table).collect::<Vec<String>>().join("\n")
    };
    match &args.out {
        Some(path) => std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display())),
        None => Ok(std::io::stdout().write_all(text.as_bytes())?),
    }
}

fn report(
    args: &RoutingArgs,
    folder: &Path,
    encoder: &Encoder,
    featurizer: &Featurizer,
) -> anyhow::Result<Report> {
    let whole = Dataset::load(folder)?;
    let set = chosen(args, &whole)?;
    let bar = Bar::new(format!("{}: embedding", whole.name));
    let vectors =
        vectors(&whole, encoder, args.cache.as_deref(), &mut |done, all| bar.at(done as u64, all as u64))?;
    let contexts = contexts(&whole, &vectors, featurizer)?;
    let world = World::new(&set, &contexts, &vectors)?;
    let mut options = BenchOptions { seeds: args.seeds, ..BenchOptions::default() };
    (options.stream.feedback, options.stream.full) = (args.feedback, args.full);
    let bar = Bar::new(format!("{}: learning", whole.name));
    Ok(run_bench(&world, &options, &mut |done, all| bar.at(done, all))?)
}

/// The set with the chosen models' columns and all its rows.
fn chosen(args: &RoutingArgs, whole: &Dataset) -> anyhow::Result<Dataset> {
    if args.models.is_empty() {
        return Ok(whole.clone());
    }
    for model in &args.models {
        let known = whole.models.join(", ");
        ensure!(
            whole.models.contains(model),
            "--models: {} has no model {model:?}; it has {known}",
            whole.name
        );
    }
    let keep: Vec<usize> =
        (0..whole.models.len()).filter(|k| args.models.contains(&whole.models[*k])).collect();
    let mut set = whole.clone();
    set.models = keep.iter().map(|k| whole.models[*k].clone()).collect();
    set.cells = whole.cells.iter().map(|cells| keep.iter().map(|k| cells[*k]).collect()).collect();
    Ok(set)
}

fn contexts(
    dataset: &Dataset,
    vectors: &[Arc<[f32]>],
    featurizer: &Featurizer,
) -> anyhow::Result<Vec<Context>> {
    let context = |(row, vector): (&crate::offline::dataset::Row, &Arc<[f32]>)| {
        featurizer
            .context(vector, &prompt_of_text(&row.prompt))
            .with_context(|| format!("{}: prompt {}", dataset.name, row.id))
    };
    dataset.rows.iter().zip(vectors).map(context).collect()
}

/// A progress bar on a terminal; elsewhere a line when a step begins.
struct Bar(ProgressBar);

impl Bar {
    fn new(what: String) -> Self {
        if !std::io::stderr().is_terminal() {
            // Nothing to do when the standard error is closed.
            let _ = writeln!(std::io::stderr(), "{what}");
            return Self(ProgressBar::hidden());
        }
        let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}");
        let bar = ProgressBar::new(0).with_message(what);
        Self(match style {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        })
    }

    fn at(&self, done: u64, all: u64) {
        self.0.set_length(all);
        self.0.set_position(done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
