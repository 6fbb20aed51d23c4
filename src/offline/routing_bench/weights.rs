//! One trained state under many weights: less weight on cost must not spend less, nor answer worse (POLICY 6, preference sweep).

use super::stream::{ask, learn};
use super::table::{Figure, Table};
use super::world::{Outcome, World};
use super::{BenchOptions, report::Interval};
use crate::domain::{Preference, Weights};
use crate::policy::{LearnedPolicy, Policy, StateError};

/// Weight of cost; quality has the rest. Closer where a dear arm is given up, in units of the default arm's call.
const COST_WEIGHTS: [f64; 11] = [0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9];
/// Dollars per request are shown per so many requests.
const REQUESTS: f64 = 1000.0;

/// Mean quality, mean USD per request and each arm's share of the scored prompts under one preference.
struct Routed {
    quality: f64,
    cost_usd: f64,
    shares: Vec<f64>,
}

/// `seeds` states, each learned from once; each routes the scored prompts under eleven weights, greedily. The world needs costs.
///
/// # Errors
/// When the settings give no policy.
pub fn weights(
    world: &World,
    options: &BenchOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Table, StateError> {
    let grid = world.grid(options.grid);
    // Shape [weights][seeds].
    let mut routed: Vec<Vec<Routed>> = COST_WEIGHTS.iter().map(|_| Vec::new()).collect();
    for seed in 0..options.seeds {
        let policy = learn(world, options, &grid, seed)?;
        for (at, cost) in COST_WEIGHTS.into_iter().enumerate() {
            routed[at].extend(preference(cost).map(|preference| route(world, &policy, &preference)));
        }
        progress(seed + 1, options.seeds);
    }
    Ok(described(world, options, &routed))
}

/// `None` for a weight that is none; [`COST_WEIGHTS`] has no such.
fn preference(cost: f64) -> Option<Preference> {
    Weights::new(1.0 - cost, cost, 0.0).ok().map(Preference::Weights)
}

fn route(world: &World, policy: &LearnedPolicy, preference: &Preference) -> Routed {
    let mut counts = vec![0.0; world.arms.len()];
    let (mut sum, mut n) = (Outcome { quality: 0.0, cost_usd: 0.0 }, 0.0);
    for case in &world.scored {
        let proposal = ask(world, case, preference, |a| policy.propose(a));
        let Ok(proposal) = proposal else { continue };
        let distribution = &proposal.distribution;
        let likelier = |a: &usize, b: &usize| distribution.p()[*a].total_cmp(&distribution.p()[*b]);
        let drawn = (0..distribution.arms().len()).rev().max_by(likelier);
        let k = drawn.and_then(|i| world.arms.iter().position(|arm| arm.id == distribution.arms()[i]));
        let Some(k) = k else { continue };
        counts[k] += 1.0;
        sum.quality += case.outcomes[k].quality;
        sum.cost_usd += case.outcomes[k].cost_usd;
        n += 1.0;
    }
    let n = f64::max(n, 1.0);
    Routed {
        quality: sum.quality / n,
        cost_usd: sum.cost_usd / n,
        shares: counts.iter().map(|c| c / n).collect(),
    }
}

fn described(world: &World, options: &BenchOptions, routed: &[Vec<Routed>]) -> Table {
    let mut table = Table {
        title: format!("{}: one state, eleven weights", world.name),
        notes: vec![format!(
            "{} arms; {} prompts learned from under mixed preferences, then {} scored greedily under each weight by the same state; {} shuffles, \
             ± is a 95 % interval over them. Columns are the weight of cost, quality has the rest; a cost of 1 is the typical call of {}.",
            world.arms.len(),
            world.training.len(),
            world.scored.len(),
            options.seeds,
            world.arms[0].id
        )],
        columns: COST_WEIGHTS.iter().map(f64::to_string).collect(),
        lines: Vec::new(),
        goals: Vec::new(),
    };
    let series = |of: &dyn Fn(&Routed) -> f64| -> Vec<Vec<f64>> {
        routed.iter().map(|seeds| seeds.iter().map(of).collect()).collect()
    };
    let (quality, spend) = (series(&|r| r.quality), series(&|r| r.cost_usd * REQUESTS));
    table.line("quality", quality.iter().map(|v| Figure::mean(v)).collect());
    table.line(format!("USD per {REQUESTS} requests"), spend.iter().map(|v| Figure::rounded(v, 4)).collect());
    for (k, arm) in world.arms.iter().enumerate() {
        let share = series(&|r| r.shares[k]);
        table.line(format!("share of {}", arm.id), share.iter().map(|v| Figure::rounded(v, 3)).collect());
    }
    for (what, values) in [("spend", &spend), ("quality", &quality)] {
        let rises = Rises::of(values);
        let goal = format!("the mean {what} never rises with the weight of cost");
        table.goal(goal, rises.to_string(), rises.of_means == 0);
    }
    table
}

/// Steps from one weight to the next at which a figure rises.
struct Rises {
    of_means: usize,
    most: f64,
    of_shuffles: usize,
    steps: usize,
}

impl Rises {
    /// Of shape `[weights][seeds]`.
    fn of(values: &[Vec<f64>]) -> Self {
        let means: Vec<f64> = values.iter().map(|v| Interval::over(v).mean).collect();
        let up = |pair: &[f64]| pair[1] - pair[0];
        let single = |pair: &[Vec<f64>]| pair[0].iter().zip(&pair[1]).filter(|(a, b)| b > a).count();
        Self {
            of_means: means.windows(2).filter(|pair| up(pair) > 0.0).count(),
            most: means.windows(2).map(up).fold(0.0, f64::max),
            of_shuffles: values.windows(2).map(single).sum(),
            steps: values.windows(2).map(|pair| pair[0].len()).sum(),
        }
    }
}

impl std::fmt::Display for Rises {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} rises of the mean, at most {:.4}; {} of {} steps of single shuffles",
            self.of_means, self.most, self.of_shuffles, self.steps
        )
    }
}
