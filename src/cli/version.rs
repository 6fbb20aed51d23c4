//! `pointsman version`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::output;
use crate::routing::Featurizer;
use crate::store::sqlite_version_number;

/// Arguments of `version`.
#[derive(Debug, Args)]
pub(super) struct VersionArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &VersionArgs) -> anyhow::Result<ExitCode> {
    let featurizer = Featurizer::built_in()?;
    let (version, sqlite) = (env!("CARGO_PKG_VERSION"), sqlite_version_number());
    if args.json {
        output::json(&json!({"pointsman": version, "features": featurizer.schema(), "sqlite": sqlite}))?;
    } else {
        output::line(format!("pointsman {version}"));
        output::line(format!("features  {}", featurizer.schema()));
        output::line(format!("sqlite    {}.{}.{}", sqlite / 1_000_000, sqlite / 1000 % 1000, sqlite % 1000));
    }
    Ok(ExitCode::SUCCESS)
}
