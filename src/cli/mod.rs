//! The command line: one file per sub-command. The only module (with `main`) that prints, and that may end on any error.

mod explain;
mod output;
mod serve;
mod version;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    /// Run the service; without a config it finds provider keys in the environment.
    Serve(serve::ServeArgs),
    /// Tell why a decision went to its model, and what would have changed it.
    Explain(explain::ExplainArgs),
    /// Show the version, and those of its parts.
    Version(version::VersionArgs),
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Version(args) => version::run(&args),
    };
    ended.unwrap_or_else(|error| {
        output::problem(&error);
        ExitCode::FAILURE
    })
}
