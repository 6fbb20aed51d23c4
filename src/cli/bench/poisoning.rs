//! `pointsman bench poisoning`: hostile keys against the others, on simulated calls.

use std::io::Write as _;

use clap::Args;

use super::super::progress::Progress;
use crate::offline::poisoning::attacks;

/// Arguments of `bench poisoning`.
#[derive(Debug, Args)]
pub(super) struct PoisoningArgs {
    /// Simulated runs of each attack
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &PoisoningArgs) -> anyhow::Result<()> {
    let mut bar = Progress::new("attacks lived through");
    let table = attacks(args.seeds, &mut |done, all| bar.at(done, all))?;
    let text = if args.json { serde_json::to_string_pretty(&table)? + "\n" } else { table.to_string() };
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}
