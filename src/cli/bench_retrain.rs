//! `pointsman bench retrain`: how long a log of so many decisions takes to be retrained on.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use clap::Args;
use serde_json::json;

use super::output;
use super::progress::Progress;
use crate::offline::synthetic::MadeUp;
use crate::offline::train::{TrainOptions, train};
use crate::routing::Featurizer;
use crate::store::{Store, StoreOptions};

/// Arguments of `bench retrain`.
#[derive(Debug, Args)]
pub struct RetrainBenchArgs {
    /// Decisions in the made-up log
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1000..))]
    rows: u64,
    /// Share of the decisions with a quality report
    #[arg(long, default_value_t = 0.3, value_name = "SHARE")]
    reported: f64,
    /// The log; made when it is not there [default: a temporary one]
    #[arg(long, value_name = "STORE")]
    traces: Option<PathBuf>,
    /// Make the log and stop
    #[arg(long, requires = "traces")]
    write_only: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &RetrainBenchArgs) -> anyhow::Result<()> {
    let beside = std::env::temp_dir().join(format!("pointsman-retrain-{}", std::process::id()));
    let path = args.traces.clone().unwrap_or_else(|| beside.join("log.db"));
    if args.traces.is_none() {
        std::fs::create_dir_all(&beside)?;
    }
    let done = measured(args, &path);
    if args.traces.is_none() {
        std::fs::remove_dir_all(&beside)?;
    }
    done
}

fn measured(args: &RetrainBenchArgs, path: &std::path::Path) -> anyhow::Result<()> {
    let featurizer = Featurizer::built_in()?;
    let (schema, dim) = (featurizer.schema().clone(), featurizer.dim());
    let is_new = !path.exists();
    let store = Store::open(StoreOptions::at(path)).context("opening the log")?;
    if is_new {
        let log = MadeUp { rows: args.rows, reported: args.reported, seed: 1, schema: schema.clone(), dim };
        let mut bar = Progress::new("decisions written");
        log.write(&store, &mut |done, all| bar.at(done, all)).map_err(|why| anyhow!(why))?;
    }
    if args.write_only {
        store.close();
        return Ok(());
    }
    let options = TrainOptions { grid: TrainOptions::grid(), seed: 1, margin: 0.02 };
    let mut bar = Progress::new("events");
    let began = Instant::now();
    let trained = train(&store, (&schema, dim), &options, &mut |done, all| bar.at(done, all))?;
    let seconds = began.elapsed().as_secs_f64();
    drop(bar);
    store.close();
    let difference = trained.gate.utility.difference.mean;
    if args.json {
        output::json(&json!({"events": trained.cut, "candidates": options.grid.len(), "seconds": seconds,
                             "refused": trained.refused, "utility_against_log": difference}))?;
    } else {
        output::line(format!(
            "{} events, {} candidates: {seconds:.1} s; utility against the log {difference:+.4}; {}",
            trained.cut,
            options.grid.len(),
            trained.refused.unwrap_or_else(|| "passed the gate".to_owned())
        ));
    }
    Ok(())
}
