//! The command line: one file per sub-command. The only module (with `main`) that prints, and that may end on any error.

mod bench;
mod check;
mod demo;
mod explain;
mod init;
mod keys;
mod output;
mod serve;
mod train;
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
    /// Show every fault of a config at once; exit code 2 when there is one.
    Check(check::Args),
    /// Tell why a decision went to its model, and what would have changed it.
    Explain(explain::ExplainArgs),
    /// Fit what ships with the router.
    #[command(subcommand)]
    Train(TrainCommand),
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
        Command::Check(args) => check::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Train(TrainCommand::Features(args)) => train::run(args).map(|()| ExitCode::SUCCESS),
        Command::Train(TrainCommand::Encoder(args)) => train::run_encoder(args).map(|()| ExitCode::SUCCESS),
        Command::Bench(args) => bench::run(args).map(|()| ExitCode::SUCCESS),
        Command::Keys(args) => keys::run(&args),
        Command::Version(args) => version::run(&args),
    };
    ended.unwrap_or_else(|error| {
        output::problem(&error);
        ExitCode::FAILURE
    })
}
