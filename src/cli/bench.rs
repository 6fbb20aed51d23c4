//! `pointsman bench`: the quality goals, measured on this machine.

mod cold;
pub(super) mod load;
mod peers;
mod poisoning;

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand, ValueEnum};

use self::load::{Loaded, Loader, ReadBy};
use super::progress::Progress;
use crate::offline::routing_bench::{
    BenchOptions, LiveOptions, Parting, Report, Table, World, join, newarm, paced, readers, regression,
    run as run_bandit, weights, windows,
};

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
    /// What hostile keys cost the others, with the defences and without, on simulated calls
    Poisoning(poisoning::PoisoningArgs),
    /// The first requests of a new deployment, with a prior that knows nothing of it and without
    Cold(cold::ColdArgs),
    /// Time and result of retraining on a made-up log
    Retrain(super::bench_retrain::RetrainBenchArgs),
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Protocol {
    /// Bandit feedback over folds 2 to 4, then frozen and scored on fold 1
    Bandit,
    /// Seven budgets per request: split `val` to learn from, `test` scored while still learning
    Paced,
    /// The same, while one model (--changed) is worse for a while
    Regression,
    /// Budgets of an hour, while prices stay and while one model's (--changed) rises tenfold
    Windows,
    /// Two folders as one stream: regret over the second beside a fresh learner's
    Join,
    /// An arm joins in the middle of a stream (--new)
    Newarm,
    /// As bandit, then scored under eleven weights of cost by the same state
    Weights,
    /// As bandit, once with each --embedder: what the student costs in MiniLM's place
    Readers,
}

/// Arguments of `bench routing`.
#[derive(Debug, Args)]
pub struct RoutingArgs {
    /// A folder with prompts.jsonl.gz and outcomes.csv.gz; may be given several times
    #[arg(long, value_name = "DIR", required = true)]
    data: Vec<PathBuf>,
    /// What is measured
    #[arg(long, value_enum, default_value_t = Protocol::Bandit)]
    protocol: Protocol,
    /// Models to route between, separated by commas [default: all of the folder]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    models: Vec<String>,
    /// Models that join in the middle of the stream (protocol newarm), one stream each
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    new: Vec<String>,
    /// The model that becomes worse or dearer (protocols regression and windows)
    #[arg(long, value_name = "NAME")]
    changed: Option<String>,
    /// Shuffles of the stream
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// Share of the drawn models' answers whose quality is reported
    #[arg(long, default_value_t = 1.0, value_parser = share)]
    feedback: f64,
    /// Share of prompts on which the quality of every model is reported (protocol bandit)
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    full: f64,
    /// Who reads the prompts for the policy; the references keep MiniLM's vectors (protocol readers has all)
    #[arg(long, value_enum, default_value_t = ReadBy::Minilm)]
    embedder: ReadBy,
    /// Folder to keep the prompts' vectors in
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Also run other routers from their own libraries: a script that takes EXPORT RESULT (protocol bandit; needs Python 3.11)
    /// [default: benches/peers/run.py]
    #[arg(long, value_name = "SCRIPT", num_args = 0..=1, default_missing_value = peers::SCRIPT)]
    peers: Option<PathBuf>,
    /// Shuffles that peers are run on, at most those of --seeds
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    peer_seeds: u64,
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
    let args = match args.what {
        Bench::Routing(args) => args,
        Bench::Poisoning(args) => return poisoning::run(&args),
        Bench::Cold(args) => return Ok(std::io::stdout().write_all(cold::run(&args)?.as_bytes())?),
        Bench::Retrain(args) => return super::bench_retrain::run(&args),
    };
    let loader = Loader::new(args.cache.clone(), args.models.clone())?;
    let load = |folder: &PathBuf| loader.load(folder, args.embedder);
    let sets = || args.data.iter().map(load).collect::<anyhow::Result<Vec<Loaded>>>();
    let text = match args.protocol {
        Protocol::Bandit => {
            let reports =
                sets()?.iter().map(|set| bandit(&args, set)).collect::<anyhow::Result<Vec<Report>>>()?;
            shown(&args, &reports, Report::table)?
        }
        Protocol::Readers => {
            let read = |folder: &PathBuf| read_by_all(&args, &loader.load_as(folder, &ReadBy::ALL)?);
            let tables = args.data.iter().map(read).collect::<anyhow::Result<Vec<Table>>>()?;
            shown(&args, &tables, Table::to_string)?
        }
        protocol => {
            let tables = tables(&args, protocol, &sets()?)?;
            shown(&args, &tables, Table::to_string)?
        }
    };
    match &args.out {
        Some(path) => std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display())),
        None => Ok(std::io::stdout().write_all(text.as_bytes())?),
    }
}

fn shown<T: serde::Serialize>(
    args: &RoutingArgs,
    found: &[T],
    table: fn(&T) -> String,
) -> anyhow::Result<String> {
    if args.json {
        return Ok(serde_json::to_string_pretty(found)? + "\n");
    }
    Ok(found.iter().map(table).collect::<Vec<String>>().join("\n"))
}

fn options(args: &RoutingArgs) -> BenchOptions {
    let mut options = BenchOptions { seeds: args.seeds, ..BenchOptions::default() };
    (options.stream.feedback, options.stream.full) = (args.feedback, args.full);
    options
}

fn bandit(args: &RoutingArgs, set: &Loaded) -> anyhow::Result<Report> {
    let world = set.world(Parting::Folds)?;
    let options = options(args);
    let mut bar = Progress::new(format!("shuffles of {} learned from", world.name));
    let mut report = run_bandit(&world, &options, &mut |done, all| bar.at(done, all))?;
    if let Some(script) = &args.peers {
        let seeds = args.peer_seeds.min(args.seeds);
        peers::ask(script, &world, &world.grid(options.grid), seeds)?.join(&mut report);
    }
    Ok(report)
}

/// `sets`: the same set as each of [`ReadBy::ALL`] reads it.
fn read_by_all(args: &RoutingArgs, sets: &[Loaded]) -> anyhow::Result<Table> {
    let world = |(by, set): (ReadBy, &Loaded)| Ok((by.name(), set.world(Parting::Folds)?));
    let worlds = ReadBy::ALL.into_iter().zip(sets).map(world).collect::<anyhow::Result<Vec<_>>>()?;
    let mut bar = Progress::new("shuffles learned from");
    readers(&worlds, &options(args), &mut |done, all| bar.at(done, all))?.context("nobody reads the set")
}

fn tables(args: &RoutingArgs, protocol: Protocol, sets: &[Loaded]) -> anyhow::Result<Vec<Table>> {
    if protocol == Protocol::Join {
        let [first, second] = sets else { anyhow::bail!("--protocol join wants two folders, in order") };
        return Ok(vec![live(args, protocol, &first.followed_by(second)?)?]);
    }
    let by_folds = matches!(protocol, Protocol::Newarm | Protocol::Weights);
    let parting = if by_folds { Parting::Folds } else { Parting::Origin };
    sets.iter().map(|set| live(args, protocol, &set.world(parting)?)).collect()
}

fn live(args: &RoutingArgs, protocol: Protocol, world: &World) -> anyhow::Result<Table> {
    let options = LiveOptions { feedback: args.feedback, ..LiveOptions::default() };
    let mut bar = Progress::new(format!("shuffles of {} lived", world.name));
    let mut progress = |done, all| bar.at(done, all);
    let seeds = args.seeds;
    Ok(match protocol {
        Protocol::Paced => paced(world, &options, seeds, &mut progress)?,
        Protocol::Regression => regression(world, changed(args, world)?, &options, seeds, &mut progress)?,
        Protocol::Windows => windows(world, changed(args, world)?, &options, seeds, &mut progress)?,
        Protocol::Newarm => newarm(world, &newcomers(args, world)?, &options, seeds, &mut progress)?,
        Protocol::Weights => {
            ensure!(world.priced, "--protocol weights: {} has no costs", world.name);
            weights(world, &self::options(args), &mut progress)?
        }
        Protocol::Bandit | Protocol::Readers | Protocol::Join => join(world, &options, seeds, &mut progress)?,
    })
}

/// Indices of the arms named by `--new`.
fn newcomers(args: &RoutingArgs, world: &World) -> anyhow::Result<Vec<usize>> {
    ensure!(!args.new.is_empty(), "--protocol newarm wants --new NAMES");
    args.new.iter().map(|name| index("--new", name, world)).collect()
}

/// Index of the arm named by `--changed`.
fn changed(args: &RoutingArgs, world: &World) -> anyhow::Result<usize> {
    let name = args.changed.as_ref().context("this protocol wants --changed NAME")?;
    index("--changed", name, world)
}

fn index(option: &str, name: &str, world: &World) -> anyhow::Result<usize> {
    let found = world.arms.iter().position(|arm| arm.id.as_str() == name);
    found.with_context(|| format!("{option}: {} has no model {name:?}", world.name))
}
