//! `pointsman bench cold`: every folder in turn is a new deployment; what its prior is fitted on knows nothing of it.

use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;

use super::super::progress::Progress;
use super::load::{Loaded, Loader, ReadBy};
use crate::offline::dataset::Dataset;
use crate::offline::prior::{Recorded, fit};
use crate::offline::routing_bench::{LiveOptions, Parting, Table, World, chosen, cold};
use crate::policy::{LevelPrior, Prior};

/// Arguments of `bench cold`.
#[derive(Debug, Clone, Args)]
pub struct ColdArgs {
    /// Folders of recorded outcomes, at least two
    #[arg(long, required = true, num_args = 1.., value_name = "DIR")]
    data: Vec<PathBuf>,
    /// Shuffles of the first requests
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// Only the deployments of these names; the other folders are still learned from
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    of: Vec<String>,
    /// Folder to keep the prompts' vectors in
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

/// A table for each deployment.
///
/// # Errors
/// When a folder cannot be read, or there is nothing to fit a prior on.
pub(super) fn run(args: &ColdArgs) -> anyhow::Result<String> {
    ensure!(
        args.data.len() > 1,
        "--data wants at least two folders: a deployment's prior is fitted on the others"
    );
    let loader = Loader::new(args.cache.clone(), Vec::new())?;
    let sets = args
        .data
        .iter()
        .map(|dir| loader.load(dir, ReadBy::Minilm))
        .collect::<anyhow::Result<Vec<Loaded>>>()?;
    let mut tables = Vec::new();
    for (i, set) in sets.iter().enumerate() {
        if args.of.is_empty() || args.of.contains(&set.set.name) {
            tables.push(deployment(&sets, i, args.seeds)?);
        }
    }
    if args.json {
        return Ok(serde_json::to_string_pretty(&tables)? + "\n");
    }
    Ok(tables.iter().map(Table::to_string).collect::<Vec<String>>().join("\n"))
}

fn deployment(sets: &[Loaded], own: usize, seeds: u64) -> anyhow::Result<Table> {
    let set = &sets[own];
    let models = chosen(&set.set);
    let world = World::new(&set.set.with_models(&models), &set.contexts, &set.vectors, Parting::Folds)?;
    let others: Vec<Recorded<'_>> =
        sets.iter().enumerate().filter(|(i, _)| *i != own).map(|(_, set)| set.recorded()).collect();
    let left_out = fit(&others, "")?.prior;
    let none = Prior::none(left_out.quality.len());
    let mut priors = vec![
        ("set left out".to_owned(), left_out.clone()),
        ("its levels alone".to_owned(), Prior { levels: left_out.levels, ..none.clone() }),
        ("its slopes alone".to_owned(), Prior { levels: LevelPrior::APART, ..left_out }),
    ];
    if let Some(prior) = without_models(sets, &models)? {
        priors.push(("its models left out of all sets".to_owned(), prior));
    }
    let mut bar = Progress::new(format!("first requests of {} lived", world.name));
    Ok(cold(&world, &priors, &LiveOptions::default(), seeds, &mut |done, all| bar.at(done, all))?)
}

/// Fitted on all sets, this one too, but on no outcome of these models; `None` where no set would miss one but this.
fn without_models(sets: &[Loaded], models: &[String]) -> anyhow::Result<Option<Prior>> {
    let kept: Vec<(Dataset, &Loaded)> = sets
        .iter()
        .filter_map(|loaded| {
            let others: Vec<String> =
                loaded.set.models.iter().filter(|m| !models.contains(m)).cloned().collect();
            (others.len() > 1).then(|| (loaded.set.with_models(&others), loaded))
        })
        .collect();
    if kept.is_empty() {
        return Ok(None);
    }
    let recorded: Vec<Recorded<'_>> =
        kept.iter().map(|(set, loaded)| Recorded { set, contexts: &loaded.contexts }).collect();
    Ok(Some(fit(&recorded, "")?.prior))
}
