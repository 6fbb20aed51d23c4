//! The command line: one file per sub-command. The only module (with `main`) that prints, and that may end on any error.

mod bench;
mod bench_retrain;
mod check;
mod demo;
mod evaluate;
mod explain;
mod follow;
mod import;
mod init;
mod keys;
mod output;
mod progress;
mod promote;
mod recorded;
mod replay;
mod retrain;
mod serve;
mod train;
mod train_prior;
mod version;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::telemetry;

/// Pointsman, the learned LLM router: one OpenAI-compatible endpoint in front of many models; each prompt goes to the model with
/// the best balance of quality, cost and latency.
#[derive(Debug, Parser)]
#[command(name = "pointsman", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch the router learn: simulated models behind real HTTP, live traffic; no key, no config.
    Demo(demo::DemoArgs),
    /// Run the service; without a config it finds provider keys in the environment.
    Serve(serve::ServeArgs),
    /// Write a commented pointsman.toml from the keys and local servers found.
    Init(init::Args),
    /// Make a pointsman.toml of another gateway's configuration; what has no place here is named.
    Import(import::ImportArgs),
    /// Show every fault of a config at once; exit code 2 when there is one.
    Check(check::Args),
    /// Tell why a decision went to its model, and what would have changed it.
    Explain(explain::ExplainArgs),
    /// Train a policy from the log or a folder of outcomes, score it, and write it as a bundle; or fit what ships with the router.
    #[command(args_conflicts_with_subcommands = true)]
    Train {
        /// Fit something else than a policy.
        #[command(subcommand)]
        what: Option<TrainCommand>,
        /// Of the policy.
        #[command(flatten)]
        policy: retrain::RetrainArgs,
    },
    /// Tell what a bundle would have been worth on the log, or is worth on recorded outcomes.
    Evaluate(evaluate::EvaluateArgs),
    /// Let a bundle take over, in a running service too.
    Promote(promote::PromoteArgs),
    /// Tell what logged traffic would have come to under an edited configuration; exit code 1 when a stated guard fails.
    Replay(replay::ReplayArgs),
    /// Measure.
    Bench(bench::BenchArgs),
    /// Create, list and revoke client keys.
    Keys(keys::Args),
    /// Show the version, and those of its parts.
    Version(version::VersionArgs),
}

#[derive(Debug, Subcommand)]
enum TrainCommand {
    /// Fit the whitened components and the scales of the features on folders of prompts.
    Features(train::TrainFeaturesArgs),
    /// Fit the student: the table that stands in for MiniLM under load.
    Encoder(train::TrainEncoderArgs),
    /// Fit what is supposed of models that nobody has reported on, on folders of recorded outcomes.
    Prior(train_prior::TrainPriorArgs),
}

/// The demo draws its own picture; only what goes wrong is logged beside it.
fn run_demo(args: &demo::DemoArgs) -> anyhow::Result<ExitCode> {
    telemetry::init_tracing(
        telemetry::LogFormat::Text,
        Some(std::env::var("RUST_LOG").as_deref().unwrap_or("error")),
    )?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(demo::run(args, &demo::AppStarter))?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match cli.command {
        Command::Demo(args) => run_demo(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Train { what: None, policy } => retrain::run(&policy),
        Command::Train { what: Some(TrainCommand::Features(args)), .. } => {
            train::run(args).map(|()| ExitCode::SUCCESS)
        }
        Command::Train { what: Some(TrainCommand::Encoder(args)), .. } => {
            train::run_encoder(args).map(|()| ExitCode::SUCCESS)
        }
        Command::Train { what: Some(TrainCommand::Prior(args)), .. } => {
            train_prior::run(args).map(|()| ExitCode::SUCCESS)
        }
        Command::Replay(args) => replay::run(&args),
        Command::Promote(args) => promote::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Bench(args) => bench::run(args).map(|()| ExitCode::SUCCESS),
        Command::Keys(args) => keys::run(&args),
        Command::Version(args) => version::run(&args),
    };
    ended.unwrap_or_else(|error| {
        output::problem(&error);
        ExitCode::FAILURE
    })
}
