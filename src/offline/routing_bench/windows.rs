//! Budgets of an hour, while prices stay and while one rises tenfold (goal G4).

use super::live::{AsRecorded, Live, LiveOptions, Script, Step, shuffled};
use super::table::{Figure, Table};
use super::world::{Case, Outcome, World};
use crate::domain::{Arm, BudgetLimits, Preference, UnixMs};
use crate::policy::StateError;

/// For quality alone: so much that no recorded cost counts.
const PRICELESS_USD: f64 = 1e9;
/// Requests of an hour.
const HOURLY: usize = 300;
/// An hour, milliseconds.
const HOUR_MS: i64 = 3_600_000;
/// What an hour's mean request may cost, USD.
const BUDGETS: [f64; 3] = [2.345e-4, 6.637e-4, 1.878e-3];
/// How many times dearer the arm becomes.
const DEARER: f64 = 10.0;
/// Goal G4: the most of an hour's limit that may be spent while prices stay ...
const MOST_STATIONARY: f64 = 1.02;
/// ... and in the hour of the change.
const MOST_CHANGED: f64 = 1.05;

/// From request `from` on arm `arm` costs ten times as much.
struct Dearer {
    arm: usize,
    from: usize,
    /// Whether its price in the configuration says so; if not, only the costs of its calls do.
    edited: bool,
}

impl Script for Dearer {
    fn outcome(&self, turn: usize, case: &Case, k: usize) -> Outcome {
        let recorded = case.outcomes[k];
        if k != self.arm || turn < self.from {
            return recorded;
        }
        Outcome { cost_usd: recorded.cost_usd * DEARER, ..recorded }
    }

    fn arm(&self, turn: usize, arm: &Arm, k: usize) -> Option<Arm> {
        let mut arm = arm.clone();
        if self.edited && k == self.arm && turn >= self.from {
            arm.price.input *= DEARER;
            arm.price.output *= DEARER;
        }
        Some(arm)
    }
}

/// Hours of `HOURLY` requests over both parts of the world; in the last but one arm `arm` becomes dearer. The hard stop is not used: what
/// is shown is what pacing alone does.
///
/// # Errors
/// When the settings give no policy.
pub fn windows(
    world: &World,
    arm: usize,
    options: &LiveOptions,
    seeds: u64,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Table, StateError> {
    let hours = (world.training.len() + world.scored.len()) / HOURLY;
    let changed = hours.saturating_sub(2);
    let name = &world.arms[arm].id;
    let mut table = Table {
        title: format!("{}: budgets of an hour", world.name),
        notes: vec![format!(
            "{hours} hours of {HOURLY} requests; a limit is {HOURLY} times the budget per request. In hour {} {name} becomes {DEARER} times as \
             dear. Spend over the limit of the hour, by pacing alone, without the hard stop; {seeds} shuffles, ± is a 95 % interval.",
            changed + 1
        )],
        columns: [
            "hours before, mean",
            "hours before, worst",
            "hour of the change",
            "hour after",
            "quality before",
            "from the change on",
        ]
        .map(str::to_owned)
        .to_vec(),
        lines: Vec::new(),
        goals: Vec::new(),
    };
    let from = changed * HOURLY;
    let scripts: [(&str, Box<dyn Script>); 3] = [
        ("prices stay", Box::new(AsRecorded)),
        ("the price is edited", Box::new(Dearer { arm, from, edited: true })),
        ("only the calls' costs tell", Box::new(Dearer { arm, from, edited: false })),
    ];
    let all = (BUDGETS.len() * scripts.len()) as u64 * seeds;
    for (at, budget) in BUDGETS.into_iter().enumerate() {
        for (which, (what, script)) in scripts.iter().enumerate() {
            let mut seen = Seen::default();
            for seed in 0..seeds {
                let steps = live(world, options, script.as_ref(), seed, budget)?;
                seen.add(&steps, changed, HOURLY as f64 * budget);
                progress(((at * scripts.len() + which) as u64) * seeds + seed + 1, all);
            }
            seen.describe(&format!("{budget:.3e}, {what}"), which == 0, &mut table);
        }
    }
    Ok(table)
}

fn live(
    world: &World,
    options: &LiveOptions,
    script: &dyn Script,
    seed: u64,
    budget: f64,
) -> Result<Vec<Step>, StateError> {
    let options = LiveOptions { pace_ms: HOUR_MS / HOURLY as i64, ..*options };
    let limits = BudgetLimits { usd_per_hour: Some(HOURLY as f64 * budget), ..BudgetLimits::default() };
    let preference = Preference::Value { quality_usd: PRICELESS_USD, second_usd: 0.0 };
    let mut cases = shuffled(&world.training, seed);
    cases.extend(shuffled(&world.scored, seed));
    Ok(Live::new(world, options, script, seed)?.with_budget(&limits, UnixMs(0)).run(&cases, &preference))
}

/// Spend over limit and quality, one a seed.
#[derive(Default)]
struct Seen {
    before: Vec<f64>,
    worst: Vec<f64>,
    change: Vec<f64>,
    after: Vec<f64>,
    quality: Vec<f64>,
    quality_since: Vec<f64>,
}

impl Seen {
    fn add(&mut self, steps: &[Step], changed: usize, limit: f64) {
        let spent: Vec<f64> = steps
            .chunks_exact(HOURLY)
            .map(|hour| hour.iter().map(|s| s.cost_usd).sum::<f64>() / limit)
            .collect();
        let quality =
            |steps: &[Step]| steps.iter().map(|s| s.quality).sum::<f64>() / steps.len().max(1) as f64;
        let before = &spent[..changed.min(spent.len())];
        self.before.push(before.iter().sum::<f64>() / before.len().max(1) as f64);
        self.worst.push(before.iter().copied().fold(0.0, f64::max));
        self.change.extend(spent.get(changed));
        self.after.extend(spent.get(changed + 1));
        let split = (changed * HOURLY).min(steps.len());
        self.quality.push(quality(&steps[..split]));
        self.quality_since.push(quality(&steps[split..]));
    }

    fn describe(&self, name: &str, stationary: bool, table: &mut Table) {
        let shares = [&self.before, &self.worst, &self.change, &self.after].map(|v| Figure::rounded(v, 3));
        let qualities = [&self.quality, &self.quality_since].map(|v| Figure::mean(v));
        table.line(name, shares.into_iter().chain(qualities).collect());
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let (found, most) = if stationary {
            (mean(&self.before), MOST_STATIONARY)
        } else {
            (mean(&self.change), MOST_CHANGED)
        };
        table.goal(
            format!("G4, {name}: spend at most {most} of the hour's limit"),
            format!("{found:.3}"),
            found <= most,
        );
    }
}
