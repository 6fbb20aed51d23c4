//! Two sets as one stream: what has been learned on the first must not hurt on the second (goal G6).

use super::live::{AsRecorded, Live, LiveOptions, Step, shuffled};
use super::table::{Figure, Table};
use super::world::{Case, World};
use crate::domain::Preference;
use crate::policy::StateError;

/// What a perfect answer is worth, USD, where cost counts.
const VALUE_USD: f64 = 0.05;
/// For quality alone: so much that no recorded cost counts.
const PRICELESS_USD: f64 = 1e9;
/// Goal G6: regret of the second half over that of a learner that starts there.
const MOST_RATIO: f64 = 1.15;

/// Sums over the second set, one a seed.
#[derive(Default)]
struct Sums {
    carried: Vec<f64>,
    fresh: Vec<f64>,
    single: Vec<f64>,
    best_single: Vec<f64>,
    random: Vec<f64>,
}

/// Runs `seeds` shuffles of the world's first part followed by its second, and of the second alone.
///
/// # Errors
/// When the settings give no policy.
pub fn join(
    world: &World,
    options: &LiveOptions,
    seeds: u64,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Table, StateError> {
    let mut table = Table {
        title: format!("{}: two sets as one stream", world.name),
        notes: vec![format!(
            "{} arms; {} prompts, then {} of the second set; {seeds} shuffles, ± is a 95 % interval over them. Regret is summed over the second \
             set, against the best arm of each prompt; `fresh` starts with the second set.",
            world.arms.len(),
            world.training.len(),
            world.scored.len()
        )],
        columns: [
            "carried on",
            "fresh",
            "ratio of means",
            "best single (hindsight)",
            "random",
            "best single of the first set",
        ]
        .map(str::to_owned)
        .to_vec(),
        lines: Vec::new(),
        goals: Vec::new(),
    };
    let mut values = vec![("quality alone", PRICELESS_USD)];
    if world.priced {
        values.push(("a perfect answer worth $0.05", VALUE_USD));
    }
    let all = values.len() as u64 * seeds;
    for (at, (name, value)) in values.into_iter().enumerate() {
        let mut sums = Sums::default();
        for seed in 0..seeds {
            one(world, options, value, seed, &mut sums)?;
            progress(at as u64 * seeds + seed + 1, all);
        }
        let total = |values: &[f64]| values.iter().sum::<f64>();
        let ratio = total(&sums.carried) / total(&sums.fresh).max(f64::MIN_POSITIVE);
        let figures = vec![
            Figure::rounded(&sums.carried, 1),
            Figure::rounded(&sums.fresh, 1),
            Figure::Text(format!("{ratio:.3}")),
            Figure::rounded(&sums.best_single, 1),
            Figure::rounded(&sums.random, 1),
            Figure::rounded(&sums.single, 1),
        ];
        table.line(name, figures);
        let goal = format!("G6, {name}: regret of the second set at most {MOST_RATIO} of a fresh learner's");
        table.goal(goal, format!("{ratio:.3}"), ratio <= MOST_RATIO);
    }
    Ok(table)
}

fn one(
    world: &World,
    options: &LiveOptions,
    value: f64,
    seed: u64,
    sums: &mut Sums,
) -> Result<(), StateError> {
    let preference = Preference::Value { quality_usd: value, second_usd: 0.0 };
    let (first, second) = (shuffled(&world.training, seed), shuffled(&world.scored, seed));
    let mut carried = Live::new(world, *options, &AsRecorded, seed)?;
    carried.run(&first, &preference);
    let carried = carried.run(&second, &preference);
    let fresh = Live::new(world, *options, &AsRecorded, seed)?.run(&second, &preference);
    let utility = |case: &Case, k: usize| case.outcomes[k].quality - case.outcomes[k].cost_usd / value;
    let arms = world.arms.len();
    let best: f64 = second.iter().map(|c| (0..arms).map(|k| utility(c, k)).fold(f64::MIN, f64::max)).sum();
    let of = |cases: &[&Case], k: usize| cases.iter().map(|c| utility(c, k)).sum::<f64>();
    let lived = |steps: &[Step]| best - steps.iter().map(|s| s.quality - s.cost_usd / value).sum::<f64>();
    sums.carried.push(lived(&carried));
    sums.fresh.push(lived(&fresh));
    let singles: Vec<f64> = (0..arms).map(|k| best - of(&second, k)).collect();
    let favourite = (0..arms).max_by(|a, b| of(&first, *a).total_cmp(&of(&first, *b))).unwrap_or(0);
    sums.single.push(singles[favourite]);
    sums.best_single.push(singles.iter().copied().fold(f64::MAX, f64::min));
    sums.random.push(singles.iter().sum::<f64>() / arms as f64);
    Ok(())
}
