//! `pointsman replay`: yesterday's traffic under an edited configuration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::Args;
use serde_json::json;

use super::output;
use super::progress::Progress;
use super::recorded::{Folder, From, settings};
use crate::config::Settings;
use crate::offline::exact::Lesson;
use crate::offline::replay::{Beside, Edited, Guard, Guarded, PlayError, Played, guarded, play, replay};
use crate::offline::report::{self, number};
use crate::routing::Featurizer;

/// Seed of the bootstrap.
const SEED: u64 = 1;
/// The share of the log that is replayed unless said otherwise.
const SHARE: f64 = 0.5;

/// Arguments of `replay`.
#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    from: From,
    /// The edited configuration; its provider keys are not needed.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The last share of the log that is replayed; the policy is what the rest of it taught [default: 0.5].
    #[arg(long, value_name = "SHARE", value_parser = share)]
    share: Option<f64>,
    /// What must hold, for example quality_drop=0.02; also cost_rise and latency_rise, as shares. May be given several times. On a log
    /// they compare with what was logged, on a folder with the route's default serving everything.
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
    let edited = settings(&args.config)?;
    let featurizer = Featurizer::built_in()?;
    let guards: BTreeMap<Guard, f64> = args.guards.iter().copied().collect();
    let held = match &args.from.data {
        Some(folder) => on_folder(args, &edited, folder, &featurizer, &guards)?,
        None => on_log(args, &edited, &featurizer, &guards)?,
    };
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether every guard holds.
fn on_log(
    args: &ReplayArgs,
    edited: &Settings,
    featurizer: &Featurizer,
    guards: &BTreeMap<Guard, f64>,
) -> anyhow::Result<bool> {
    let store = args.from.store()?;
    let mut bar = Progress::new("events");
    let share = args.share.unwrap_or(SHARE);
    let replayed = replay(
        &store,
        (featurizer.schema(), featurizer.dim()),
        &Edited { arms: edited.catalog.arms(), routes: &edited.routes, share, seed: SEED },
        &mut |done, all| bar.at(done, all),
    );
    drop(bar);
    store.close();
    let replayed = replayed.context("nothing was replayed")?;
    let fared = guarded(&replayed.evaluation, guards);
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
    Ok(fared.iter().all(|guard| guard.failed.is_none()))
}

/// Whether every guard holds on every route whose models the folder has.
fn on_folder(
    args: &ReplayArgs,
    edited: &Settings,
    folder: &Path,
    featurizer: &Featurizer,
    guards: &BTreeMap<Guard, f64>,
) -> anyhow::Result<bool> {
    ensure!(args.share.is_none(), "--share: a folder is replayed on its fold 1, after folds 2 to 4");
    let folder = Folder::load(folder, args.from.cache.as_deref(), featurizer)?;
    let lesson = Lesson { dataset: &folder.dataset, contexts: &folder.contexts, vectors: &folder.vectors };
    let (mut played, mut passed_over) = (Vec::new(), Vec::new());
    for route in &edited.routes {
        match play(&lesson, (edited.catalog.arms(), route), guards) {
            Ok(one) => played.push(one),
            Err(why @ PlayError::NoDefault { .. }) => passed_over.push(why.to_string()),
            Err(error) => return Err(error).with_context(|| format!("route {}", route.name)),
        }
    }
    ensure!(!played.is_empty(), "nothing was replayed: {}", passed_over.join("; "));
    if args.json {
        output::json(&json!({"played": played, "passed_over": passed_over}))?;
    } else {
        played.iter().for_each(tell);
        passed_over.iter().for_each(output::line);
    }
    Ok(played.iter().flat_map(|route| &route.guards).all(|guard| guard.failed.is_none()))
}

fn tell(played: &Played) {
    let Played { route, default, learned_from, prompts, .. } = played;
    output::line(format!(
        "route {route} on {prompts} prompts, after {learned_from} others, beside {default} alone\n"
    ));
    output::line(format!("{:<16} {:>12} {:>12} {:>24}", "", "route", "default", "difference, 95 %"));
    let row = |name: &str, beside: &Beside| {
        let difference = format!("{} ± {}", number(beside.difference), number(beside.half_width));
        let (ours, default) = (number(beside.replayed), number(beside.default));
        output::line(format!("{name:<16} {ours:>12} {default:>12} {difference:>24}"));
    };
    row("quality", &played.quality);
    if let Some(cost) = &played.cost_usd {
        row("USD a request", cost);
    }
    let mut shares: Vec<_> = played.shares.iter().collect();
    shares.sort_by(|a, b| b.1.total_cmp(a.1));
    let shares: Vec<String> =
        shares.iter().map(|(arm, share)| format!("{arm} {:.1} %", *share * 100.0)).collect();
    output::line(format!("\nserved by {}", shares.join(", ")));
    if !played.left_out.is_empty() {
        let names: Vec<String> = played.left_out.iter().map(ToString::to_string).collect();
        output::line(format!("without outcomes in the folder, left out: {}", names.join(", ")));
    }
    played.guards.iter().for_each(|guard| output::line(told(guard)));
    output::line("");
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
