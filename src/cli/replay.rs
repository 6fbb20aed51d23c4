//! `pointsman replay`: yesterday's traffic under an edited configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;

use super::output;
use super::progress::Progress;
use super::recorded::{From, settings};
use crate::offline::replay::{Edited, Guard, Guarded, guarded, replay};
use crate::offline::report;
use crate::routing::Featurizer;

/// Seed of the bootstrap.
const SEED: u64 = 1;

/// Arguments of `replay`.
#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    from: From,
    /// The edited configuration; its provider keys are not needed.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The last share of the log that is replayed; the policy is what the rest of it taught.
    #[arg(long, default_value_t = 0.5, value_name = "SHARE", value_parser = share)]
    share: f64,
    /// What must hold, for example quality_drop=0.02; also cost_rise and latency_rise, as shares. May be given several times.
    #[arg(long = "guard", value_name = "NAME=LIMIT", value_parser = guard)]
    guards: Vec<(Guard, f64)>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "must be a number between 0 and 1".to_owned())?;
    if share > 0.0 && share < 1.0 { Ok(share) } else { Err("must lie between 0 and 1".to_owned()) }
}

fn guard(text: &str) -> Result<(Guard, f64), String> {
    let (name, limit) = text.split_once('=').ok_or("must be NAME=LIMIT, for example quality_drop=0.02")?;
    let known = || Guard::ALL.map(|(name, _)| name).join(", ");
    let found = Guard::ALL.into_iter().find(|(known, _)| *known == name);
    let (_, guard) = found.ok_or_else(|| format!("no guard is named {name:?}; there are {}", known()))?;
    let limit: f64 = limit.parse().map_err(|_| format!("{limit:?} is not a number"))?;
    if limit.is_finite() { Ok((guard, limit)) } else { Err("the limit must be finite".to_owned()) }
}

pub(super) fn run(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    if args.from.data.is_some() {
        bail!(
            "--data: a folder of outcomes has no traffic to replay; `pointsman evaluate BUNDLE --data DIR` scores it exactly"
        );
    }
    let edited = settings(&args.config)?;
    let featurizer = Featurizer::built_in()?;
    let store = args.from.store()?;
    let mut bar = Progress::new("events");
    let replayed = replay(
        &store,
        (featurizer.schema(), featurizer.dim()),
        &Edited { arms: edited.catalog.arms(), routes: &edited.routes, share: args.share, seed: SEED },
        &mut |done, all| bar.at(done, all),
    );
    drop(bar);
    store.close();
    let replayed = replayed.context("nothing was replayed")?;
    let guards: BTreeMap<Guard, f64> = args.guards.iter().copied().collect();
    let fared = guarded(&replayed.evaluation, &guards);
    if args.json {
        output::json(&json!({"replayed": replayed, "guards": fared}))?;
    } else {
        output::line(format!("events {} to {} under {}", replayed.from, replayed.to, args.config.display()));
        for route in &replayed.gone {
            output::line(format!("route {route} is not in the configuration: its decisions are left out"));
        }
        output::line("");
        output::line(report::evaluation(&replayed.evaluation));
        fared.iter().for_each(|guard| output::line(told(guard)));
    }
    let held = fared.iter().all(|guard| guard.failed.is_none());
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn told(guarded: &Guarded) -> String {
    let name = Guard::ALL.into_iter().find(|(_, g)| *g == guarded.guard).map_or("", |(name, _)| name);
    match &guarded.failed {
        Some(why) => format!("guard {name}={} FAILS: {why}", guarded.limit),
        None => format!(
            "guard {name}={} holds: {:+.4}, at most {:+.4}",
            guarded.limit, guarded.change, guarded.at_most
        ),
    }
}
