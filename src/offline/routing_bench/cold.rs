//! A new deployment: the first requests with what the prior supposes, and without.

use std::sync::Arc;

use super::live::{AsRecorded, Live, LiveOptions, Step, shuffled};
use super::table::{Figure, Table};
use super::world::{Case, World};
use crate::domain::Preference;
use crate::offline::dataset::Dataset;
use crate::policy::{LevelPrior, Prior, StateError};

/// Requests lived through, and where the windows end.
const WINDOWS: [usize; 4] = [0, 100, 500, 1500];
/// For quality alone: so much that no recorded cost counts.
const PRICELESS_USD: f64 = 1e9;
/// A perfect answer is worth so many mean calls of the dearest arm, or of the middling one.
const VALUE_CALLS: f64 = 10.0;
/// Most models of a deployment.
const MOST_ARMS: usize = 8;

/// The deployment's models: all of a small set, else eight from the best to the worst, evenly by rank of their mean quality.
pub fn chosen(set: &Dataset) -> Vec<String> {
    let mean = |k: usize| {
        let known = set.cells.iter().filter_map(|cells| cells[k]).map(|cell| cell.quality);
        let (sum, count) = known.fold((0.0, 0.0), |(sum, count), quality| (sum + quality, count + 1.0));
        sum / f64::max(count, 1.0)
    };
    let mut ranked: Vec<usize> = (0..set.models.len()).collect();
    ranked.sort_by(|a, b| mean(*b).total_cmp(&mean(*a)));
    let count = ranked.len().min(MOST_ARMS);
    let at = |i: usize| i * (ranked.len() - 1) / (count - 1).max(1);
    (0..count).map(|i| set.models[ranked[at(i)]].clone()).collect()
}

/// Lives through the first requests of `seeds` shuffles with each of the priors and with none, every arm on its own.
///
/// # Errors
/// When the settings give no policy, or a prior is of other features.
pub fn cold(
    world: &World,
    priors: &[(String, Prior)],
    options: &LiveOptions,
    seeds: u64,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Table, StateError> {
    let columns = WINDOWS.windows(2).map(|w| format!("gain per request, {} to {}", w[0], w[1]));
    let mut table = Table {
        title: format!("{}: the first requests", world.name),
        notes: vec![format!(
            "{} arms; {seeds} shuffles, ± is a 95 % interval over them. Regret is against the arm that is best for that value in hindsight, \
             summed over {} requests, in units of quality; gains are utility with the prior less without, same shuffle.",
            world.arms.len(),
            WINDOWS[2]
        )],
        columns: ["regret without", "regret with"].map(str::to_owned).into_iter().chain(columns).collect(),
        lines: Vec::new(),
        goals: Vec::new(),
    };
    let dim = world.training[0].context.features().len();
    let apart = Arc::new(Prior { levels: LevelPrior::APART, ..Prior::none(dim) });
    let values = values(world);
    let all = (values.len() * priors.len()) as u64 * seeds;
    let mut done = 0;
    for (what, value) in values {
        let live = |prior: &Arc<Prior>, seed| lost(world, prior, options, value, seed);
        let without: Vec<Vec<f64>> = (0..seeds).map(|seed| live(&apart, seed)).collect::<Result<_, _>>()?;
        for (name, prior) in priors {
            let prior = Arc::new(prior.clone());
            let mut with: Vec<Vec<f64>> = Vec::new();
            for seed in 0..seeds {
                with.push(live(&prior, seed)?);
                done += 1;
                progress(done, all);
            }
            table.line(format!("{what}, {name}"), figures(&without, &with));
        }
    }
    Ok(table)
}

/// Regret without and with, then the gains.
fn figures(without: &[Vec<f64>], with: &[Vec<f64>]) -> Vec<Figure> {
    let regret = |runs: &[Vec<f64>]| -> Vec<f64> {
        runs.iter().map(|run| run.iter().take(WINDOWS[2]).sum::<f64>()).collect()
    };
    let gains = WINDOWS.windows(2).map(|window| {
        let all: Vec<f64> = without.iter().zip(with).map(|(w, p)| gain(w, p, window)).collect();
        Figure::mean(&all)
    });
    [without, with].map(|runs| Figure::rounded(&regret(runs), 1)).into_iter().chain(gains).collect()
}

/// Mean of the losses saved between two turns.
fn gain(without: &[f64], with: &[f64], window: &[usize]) -> f64 {
    let saved: Vec<f64> =
        without.iter().zip(with).skip(window[0]).take(window[1] - window[0]).map(|(a, b)| a - b).collect();
    saved.iter().sum::<f64>() / saved.len().max(1) as f64
}

/// What a perfect answer is worth: anything; and where cost counts, some and few calls.
fn values(world: &World) -> Vec<(&'static str, f64)> {
    let mut values = vec![("quality alone", PRICELESS_USD)];
    if world.priced {
        let mut means: Vec<f64> = (0..world.arms.len()).map(|k| world.mean(&world.training, k).1).collect();
        means.sort_by(f64::total_cmp);
        let dearest = means.last().copied().unwrap_or(1.0);
        values.push(("worth 10 calls of the dearest arm", VALUE_CALLS * dearest));
        values.push(("worth 10 calls of the middling arm", VALUE_CALLS * means[means.len() / 2]));
    }
    values
}

/// What each request lost against the best arm in hindsight.
fn lost(
    world: &World,
    prior: &Arc<Prior>,
    options: &LiveOptions,
    value: f64,
    seed: u64,
) -> Result<Vec<f64>, StateError> {
    let preference = Preference::Value { quality_usd: value, second_usd: 0.0 };
    let cases: Vec<&Case> = shuffled(&world.training, seed).into_iter().take(WINDOWS[3]).collect();
    let mut live = Live::new(world, *options, &AsRecorded, seed)?.supposing(Arc::clone(prior))?;
    let of = |quality: f64, cost_usd: f64| quality - cost_usd / value;
    let expected = |k: usize| {
        let (quality, cost_usd) = world.mean(&world.training, k);
        of(quality, cost_usd)
    };
    let best = (0..world.arms.len()).max_by(|a, b| expected(*a).total_cmp(&expected(*b))).unwrap_or(0);
    let steps: Vec<Step> = live.run(&cases, &preference);
    let loss = |(case, step): (&&Case, &Step)| {
        let outcome = &case.outcomes[best];
        of(outcome.quality, outcome.cost_usd) - of(step.quality, step.cost_usd)
    };
    Ok(cases.iter().zip(&steps).map(loss).collect())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{options, world};
    use super::*;

    #[test]
    fn a_prior_that_knows_the_dear_arm_is_better_saves_regret_where_quality_alone_counts() {
        let world = world(true, 400);
        let options = LiveOptions { settings: options(1).settings, ..LiveOptions::default() };
        let apart = Prior { levels: LevelPrior::APART, ..Prior::none(3) };
        let levels = LevelPrior { per_log_usd: 0.1, per_log_usd_sd: 0.01, ..LevelPrior::DEFAULT };
        let priors = [("none".to_owned(), apart), ("knows".to_owned(), Prior { levels, ..Prior::none(3) })];
        let table = cold(&world, &priors, &options, 3, &mut |_, _| {}).unwrap();
        assert_eq!((table.lines.len(), table.columns.len()), (6, 5));
        let mean = |line: usize, column: usize| match &table.lines[line].figures[column] {
            Figure::Mean { interval, .. } => interval.mean,
            _ => f64::NAN,
        };
        assert_eq!((mean(0, 2), mean(0, 0)), (0.0, mean(0, 1)), "no prior changes nothing");
        assert!(mean(1, 2) > 0.0, "{table}");
    }

    #[test]
    fn a_large_set_gives_eight_models_from_the_best_to_the_worst() {
        let models: Vec<String> = (0..20).map(|k| format!("m{k:02}")).collect();
        let cell = |k: usize| {
            let quality = 1.0 - k as f64 / 20.0;
            let cell = crate::offline::dataset::Cell {
                quality,
                cost_usd: None,
                input_tokens: None,
                output_tokens: None,
                latency_ms: None,
            };
            Some(cell)
        };
        let mut set = Dataset {
            name: "set".to_owned(),
            rows: Vec::new(),
            models,
            cells: vec![(0..20).map(cell).collect()],
        };
        assert_eq!(chosen(&set), ["m00", "m02", "m05", "m08", "m10", "m13", "m16", "m19"]);
        set.models.truncate(2);
        set.cells[0].truncate(2);
        assert_eq!(chosen(&set), ["m00", "m01"]);
    }
}
