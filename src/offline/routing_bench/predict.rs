//! What a way to route expects of each arm on each scored prompt; swept over preferences it gives a curve.

use std::collections::HashMap;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::curve::{Curve, Point};
use super::stream::{Pupil, ask, shuffled};
use super::world::World;
use super::{clusters, mlp};
use crate::domain::{Preference, UnixMs};
use crate::policy::{LearnedPolicy, Settings, StateError};

/// Neighbours that are asked.
pub const NEIGHBOURS: [usize; 5] = [40, 60, 70, 80, 100];

/// Clusters of k-means.
const CLUSTERS: [usize; 2] = [16, 32];

/// A task's mean is pulled to the arm's mean as by so many prompts.
const TASK_SHRINKAGE: f64 = 5.0;

/// Expected quality and cost in USD, each of shape `[n][k]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions(Vec<Vec<(f64, f64)>>);

impl Predictions {
    /// The curve when each preference of `grid` takes the arm of the highest `quality - cost / value`.
    pub fn sweep(&self, world: &World, grid: &[f64]) -> Curve {
        Curve::new(grid.iter().map(|value| self.route(world, *value)).collect())
    }

    fn route(&self, world: &World, value: f64) -> Point {
        let utility = |(quality, cost): &(f64, f64)| quality - cost / value;
        let mut sum = Point { cost_usd: 0.0, quality: 0.0 };
        for (case, expected) in world.scored.iter().zip(&self.0) {
            let order = |a: &usize, b: &usize| utility(&expected[*a]).total_cmp(&utility(&expected[*b]));
            let outcome = (0..expected.len()).rev().max_by(order).map(|k| case.outcomes[k]);
            sum.quality += outcome.map_or(0.0, |o| o.quality);
            sum.cost_usd += outcome.map_or(0.0, |o| o.cost_usd);
        }
        let n = world.scored.len().max(1) as f64;
        Point { cost_usd: sum.cost_usd / n, quality: sum.quality / n }
    }
}

/// Of the policy. The failure head has seen no failure and shifts all arms alike, so quality is taken as it is.
pub fn learned(world: &World, policy: &LearnedPolicy) -> Predictions {
    let preference = Preference::best();
    let rows = world.scored.iter().map(|case| {
        let estimates = ask(world, case, &preference, |a| policy.estimates(a)).unwrap_or_default();
        estimates.iter().map(|e| (e.quality.mean, e.cost_usd)).collect()
    });
    Predictions(rows.collect())
}

/// All that are told every arm's outcome, and the oracle, which is told those of the scored fold.
pub fn baselines(world: &World, settings: &Settings) -> Result<Vec<(String, Predictions)>, StateError> {
    let mut all = vec![("task table (full labels)".to_owned(), task_table(world))];
    for (neighbours, predictions) in NEIGHBOURS.iter().zip(knn(world)) {
        all.push((format!("knn {neighbours} (full labels)"), predictions));
    }
    for count in CLUSTERS {
        let predictions = Predictions(clusters::predictions(world, count));
        all.push((format!("k-means {count} (full labels)"), predictions));
    }
    let ridge = ridge(world, settings)?;
    // The network says nothing of cost: it takes the ridge's.
    let with_cost = |(own, costs): (Vec<f64>, &Vec<(f64, f64)>)| {
        own.into_iter().zip(costs).map(|(quality, (_, cost))| (quality, *cost)).collect()
    };
    let network = mlp::qualities(world).into_iter().zip(&ridge.0).map(with_cost).collect();
    all.push(("ridge (full labels)".to_owned(), ridge));
    all.push(("MLP (full labels)".to_owned(), Predictions(network)));
    let truth =
        |outcomes: &[super::world::Outcome]| outcomes.iter().map(|o| (o.quality, o.cost_usd)).collect();
    let oracle = Predictions(world.scored.iter().map(|case| truth(&case.outcomes)).collect());
    all.push(("oracle".to_owned(), oracle));
    Ok(all)
}

/// The order in which the policy's own heads are told everything: files go task by task, which the heads take for drift.
const ORDER: u64 = 1;

/// The policy's own heads, told everything, forgetting nothing.
pub fn ridge(world: &World, settings: &Settings) -> Result<Predictions, StateError> {
    let mut settings = *settings;
    settings.heads.decay = 1.0;
    let mut pupil = Pupil::new(world, &settings)?;
    for i in shuffled(world.training.len(), &mut StdRng::seed_from_u64(ORDER)) {
        let case = &world.training[i];
        for k in 0..world.arms.len() {
            pupil.charge(case, &world.arms[k], case.outcomes[k].cost_usd, UnixMs(0));
            pupil.rate(case, k, case.outcomes[k].quality);
        }
    }
    Ok(learned(world, &pupil.policy("ridge".to_owned())))
}

/// Prompts of a task, and each arm's quality and cost over them.
type TaskSum = (f64, Vec<(f64, f64)>);

fn task_table(world: &World) -> Predictions {
    let arms = world.arms.len();
    let means: Vec<(f64, f64)> = (0..arms).map(|k| world.mean(&world.training, k)).collect();
    let prior = || (0.0, vec![(0.0, 0.0); arms]);
    let mut sums: HashMap<&str, TaskSum> = HashMap::new();
    for case in &world.training {
        let (count, sum) = sums.entry(&case.task).or_insert_with(prior);
        *count += 1.0;
        for (sum, outcome) in sum.iter_mut().zip(&case.outcomes) {
            *sum = (sum.0 + outcome.quality, sum.1 + outcome.cost_usd);
        }
    }
    let shrunk = |sum: f64, count: f64, mean: f64| (sum + TASK_SHRINKAGE * mean) / (count + TASK_SHRINKAGE);
    let expected = |task: &str| -> Vec<(f64, f64)> {
        let Some((count, sum)) = sums.get(task) else { return means.clone() };
        let cells = sum.iter().zip(&means);
        cells.map(|(s, m)| (shrunk(s.0, *count, m.0), shrunk(s.1, *count, m.1))).collect()
    };
    Predictions(world.scored.iter().map(|case| expected(&case.task)).collect())
}

/// Means over the nearest training prompts by cosine, one prediction for each of [`NEIGHBOURS`].
pub fn knn(world: &World) -> Vec<Predictions> {
    let most = NEIGHBOURS.into_iter().max().unwrap_or(1);
    let nearest: Vec<Vec<usize>> =
        world.scored.iter().map(|case| nearest(world, &case.vector, most)).collect();
    let mean_of = |neighbours: &[usize], k: usize| {
        let n = neighbours.len().max(1) as f64;
        let outcomes = neighbours.iter().map(|i| &world.training[*i].outcomes[k]);
        let sum = outcomes.fold((0.0, 0.0), |s, o| (s.0 + o.quality, s.1 + o.cost_usd));
        (sum.0 / n, sum.1 / n)
    };
    let predict = |count: usize| {
        let row = |near: &Vec<usize>| {
            (0..world.arms.len()).map(|k| mean_of(&near[..count.min(near.len())], k)).collect()
        };
        Predictions(nearest.iter().map(row).collect())
    };
    NEIGHBOURS.into_iter().map(predict).collect()
}

/// Indices of the training prompts whose unit vectors are nearest, the nearest first.
fn nearest(world: &World, vector: &[f32], count: usize) -> Vec<usize> {
    let similarity = |v: &[f32]| v.iter().zip(vector).map(|(a, b)| a * b).sum::<f32>();
    let mut scored: Vec<(f32, usize)> =
        world.training.iter().enumerate().map(|(i, case)| (similarity(&case.vector), i)).collect();
    let count = count.min(scored.len());
    let order = |a: &(f32, usize), b: &(f32, usize)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
    if count < scored.len() {
        scored.select_nth_unstable_by(count, order);
        scored.truncate(count);
    }
    scored.sort_by(order);
    scored.into_iter().map(|(_, i)| i).collect()
}
