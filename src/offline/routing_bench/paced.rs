//! Streams under a budget: quality at the spend that was allowed (goals G1 and G2), and through a silent regression (G3).
//!
//! As the origin of `paretobandit` does it: the first part of the world is the learning phase, the second is scored *while still
//! learning*, route first and reward after. The pacer sees the true cost of each call. Quality alone is wanted; money is a matter of the
//! budget.

use super::curve::{Curve, Point};
use super::live::{AsRecorded, Live, LiveOptions, Script, Step, shuffled};
use super::predict;
use super::report::Interval;
use super::table::{Figure, Table};
use super::world::{Case, Outcome, World};
use crate::domain::{BudgetLimits, Preference, UnixMs};
use crate::policy::StateError;

/// For quality alone: so much that no recorded cost counts.
const PRICELESS_USD: f64 = 1e9;
/// The origin's budgets, USD per request.
const BUDGETS: [f64; 7] = [2.929e-5, 8.288e-5, 2.345e-4, 6.637e-4, 1.878e-3, 5.314e-3, 1.504e-2];
/// Goal G1 at each budget.
const WANTED: [f64; 7] = [0.793, 0.822, 0.872, 0.922, 0.927, 0.931, 0.933];
/// Goal G1: the most of the budget that may be spent in the mean.
const MOST_SPENT: f64 = 1.02;
/// Goal G1: the most that a budget may lie below the fixed mix.
const BELOW_MIX: f64 = 0.001;
/// Budgets of the regression, USD per request.
const REGRESSION_BUDGETS: [f64; 3] = [3.0e-4, 6.6e-4, 1.9e-3];
/// What the arm's quality is while it is worse.
const WORSE: f64 = 0.75;
/// For so many requests.
const WORSE_FOR: usize = 608;

/// Quality and spend over the budget, one a seed.
#[derive(Default)]
struct Lived {
    quality: Vec<f64>,
    spent: Vec<f64>,
}

impl Lived {
    fn add(&mut self, steps: &[Step], budget: f64) {
        let n = steps.len().max(1) as f64;
        self.quality.push(steps.iter().map(|s| s.quality).sum::<f64>() / n);
        self.spent.push(steps.iter().map(|s| s.cost_usd).sum::<f64>() / n / budget);
    }

    fn figure(&self) -> Figure {
        Figure::Paced { quality: Interval::over(&self.quality), spend: Interval::over(&self.spent) }
    }

    fn means(&self) -> (f64, f64) {
        (Interval::over(&self.quality).mean, Interval::over(&self.spent).mean)
    }
}

/// USD per request, and no other limit.
fn per_request(usd: f64) -> BudgetLimits {
    BudgetLimits { usd_per_request: Some(usd), ..BudgetLimits::default() }
}

fn quality_alone() -> Preference {
    Preference::Value { quality_usd: PRICELESS_USD, second_usd: 0.0 }
}

/// Goals G1 and G2: seven budgets, `seeds` shuffles each.
///
/// # Errors
/// When the settings give no policy.
pub fn paced(
    world: &World,
    options: &LiveOptions,
    seeds: u64,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Table, StateError> {
    let mut table = Table {
        title: format!("{}: streams under a budget", world.name),
        notes: vec![
            format!(
                "{} arms; {} prompts to learn from, then {} scored while still learning; {seeds} shuffles, ± is a 95 % interval over them.",
                world.arms.len(),
                world.training.len(),
                world.scored.len()
            ),
            format!(
                "Quality reported on {} of the answers. Figures are quality @ spend / budget; the fixed mix and the oracle know the scored \
                 outcomes and spend the budget.",
                options.feedback
            ),
        ],
        columns: BUDGETS.iter().map(|b| format!("{b:.3e}")).collect(),
        lines: Vec::new(),
        goals: Vec::new(),
    };
    let mut warm: Vec<Lived> = Vec::new();
    let mut alone: Vec<Lived> = Vec::new();
    for (at, budget) in BUDGETS.into_iter().enumerate() {
        warm.push(Lived::default());
        alone.push(Lived::default());
        for seed in 0..seeds {
            let (first, second) = (shuffled(&world.training, seed), shuffled(&world.scored, seed));
            let mut live =
                Live::new(world, *options, &AsRecorded, seed)?.with_budget(&per_request(budget), UnixMs(0));
            live.run(&first, &quality_alone());
            warm[at].add(&live.run(&second, &quality_alone()), budget);
            let mut fresh =
                Live::new(world, *options, &AsRecorded, seed)?.with_budget(&per_request(budget), UnixMs(0));
            alone[at].add(&fresh.run(&second, &quality_alone()), budget);
            progress(at as u64 * seeds + seed + 1, BUDGETS.len() as u64 * seeds);
        }
    }
    table.line("pointsman", warm.iter().map(Lived::figure).collect());
    table.line("pointsman, scored prompts alone", alone.iter().map(Lived::figure).collect());
    for (name, curve) in ceilings(world, options)? {
        let figures = BUDGETS.iter().map(|b| Figure::mean(&[curve.at(*b)])).collect();
        table.line(format!("{name}, price in hindsight"), figures);
    }
    let mix = hindsight(world, &mut table);
    goals(&warm, &mix, options.feedback, &mut table);
    Ok(table)
}

/// Prices that are tried for a ceiling.
const PRICES: usize = 241;

/// What can be reached who is told every arm's outcome on the first part, and finds the price of a dollar on the second.
fn ceilings(world: &World, options: &LiveOptions) -> Result<Vec<(String, Curve)>, StateError> {
    let grid = world.grid(PRICES);
    let ridge = predict::ridge(world, &options.settings)?;
    let mut found = vec![("ridge (full labels)".to_owned(), ridge.sweep(world, &grid))];
    for (neighbours, predictions) in predict::NEIGHBOURS.iter().zip(predict::knn(world)) {
        found.push((format!("knn {neighbours} (full labels)"), predictions.sweep(world, &grid)));
    }
    Ok(found)
}

/// The lines that know the outcomes; gives the fixed mix.
fn hindsight(world: &World, table: &mut Table) -> Curve {
    let of = |k: usize| {
        let (quality, cost_usd) = world.mean(&world.scored, k);
        Point { cost_usd, quality }
    };
    let singles: Vec<Point> = (0..world.arms.len()).map(of).collect();
    let mix = Curve::hull(singles.clone());
    table.line("fixed mix (hindsight)", BUDGETS.iter().map(|b| Figure::mean(&[mix.at(*b)])).collect());
    let affordable = |budget: f64| {
        let best = singles.iter().filter(|p| p.cost_usd <= budget).map(|p| p.quality).reduce(f64::max);
        best.map_or(Figure::Blank, |q| Figure::mean(&[q]))
    };
    table.line("best single within the budget", BUDGETS.iter().map(|b| affordable(*b)).collect());
    let oracle = oracle(world);
    table.line("oracle", BUDGETS.iter().map(|b| Figure::mean(&[oracle.at(*b)])).collect());
    for (arm, point) in world.arms.iter().zip(&singles) {
        table.line(format!("single: {}", arm.id), vec![Figure::Text(shown(*point))]);
    }
    let n = singles.len().max(1) as f64;
    let sum = |of: fn(&Point) -> f64| singles.iter().map(of).sum::<f64>() / n;
    let random = Point { cost_usd: sum(|p| p.cost_usd), quality: sum(|p| p.quality) };
    table.line("random", vec![Figure::Text(shown(random))]);
    mix
}

fn shown(point: Point) -> String {
    format!("{:.4} at {:.2e}", point.quality, point.cost_usd)
}

/// What one could reach who knew every outcome beforehand.
fn oracle(world: &World) -> Curve {
    let at = |price: f64| {
        let best = |case: &Case| {
            let utility = |o: &Outcome| o.quality - price * o.cost_usd;
            case.outcomes.iter().copied().max_by(|a, b| utility(a).total_cmp(&utility(b)))
        };
        let chosen: Vec<Outcome> = world.scored.iter().filter_map(best).collect();
        let n = chosen.len().max(1) as f64;
        let cost_usd = chosen.iter().map(|o| o.cost_usd).sum::<f64>() / n;
        Point { cost_usd, quality: chosen.iter().map(|o| o.quality).sum::<f64>() / n }
    };
    Curve::hull((-20..=60).map(|i| at(10f64.powf(f64::from(i) / 8.0))).collect())
}

fn goals(warm: &[Lived], mix: &Curve, feedback: f64, table: &mut Table) {
    // With little feedback G2 allows .002 less than G1.
    let (name, less) = if feedback < 1.0 { ("G2", 0.002) } else { ("G1", 0.0) };
    for (at, budget) in BUDGETS.into_iter().enumerate() {
        let ((quality, spent), wanted) = (warm[at].means(), WANTED[at] - less);
        let floor = mix.at(budget) - BELOW_MIX;
        let met = quality >= wanted && spent <= MOST_SPENT && (feedback < 1.0 || quality >= floor);
        let goal = format!(
            "{name} at {budget:.3e}: at least {wanted:.3} and {floor:.4} (mix - {BELOW_MIX}), spend at most {MOST_SPENT}"
        );
        table.goal(goal, format!("{quality:.4} @ {spent:.3}"), met);
    }
}

/// An arm is worse for a while.
struct Worse {
    arm: usize,
    from: usize,
}

impl Script for Worse {
    fn outcome(&self, turn: usize, case: &Case, k: usize) -> Outcome {
        let worse = k == self.arm && (self.from..self.from + WORSE_FOR).contains(&turn);
        let recorded = case.outcomes[k];
        Outcome { quality: if worse { WORSE } else { recorded.quality }, ..recorded }
    }
}

/// Goal G3: arm `arm` is worse for some requests in the middle of the scored part.
///
/// # Errors
/// When the settings give no policy.
pub fn regression(
    world: &World,
    arm: usize,
    options: &LiveOptions,
    seeds: u64,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Table, StateError> {
    let before = world.scored.len().saturating_sub(WORSE_FOR) / 2;
    let script = Worse { arm, from: world.training.len() + before };
    let mut table = Table {
        title: format!("{}: {} is worse for a while", world.name, world.arms[arm].id),
        notes: vec![format!(
            "After {} prompts to learn from and {before} more its quality is {WORSE} for {WORSE_FOR} requests, then as before; {seeds} shuffles, \
             ± is a 95 % interval over them. Quality reported on {} of the answers. Figures are quality @ spend / budget.",
            world.training.len(),
            options.feedback
        )],
        columns: ["before", "during", "after", "the arm's share before", "during", "after"]
            .map(str::to_owned)
            .to_vec(),
        lines: Vec::new(),
        goals: Vec::new(),
    };
    for (at, budget) in REGRESSION_BUDGETS.into_iter().enumerate() {
        let mut phases: [Lived; 3] = Default::default();
        let mut shares: [Vec<f64>; 3] = Default::default();
        for seed in 0..seeds {
            let (first, second) = (shuffled(&world.training, seed), shuffled(&world.scored, seed));
            let mut live =
                Live::new(world, *options, &script, seed)?.with_budget(&per_request(budget), UnixMs(0));
            live.run(&first, &quality_alone());
            let cuts =
                [&second[..before], &second[before..before + WORSE_FOR], &second[before + WORSE_FOR..]];
            for ((cases, lived), share) in cases_of(cuts).zip(&mut phases).zip(&mut shares) {
                let steps = live.run(cases, &quality_alone());
                lived.add(&steps, budget);
                let own = steps.iter().filter(|s| s.arm == arm).count();
                share.push(own as f64 / steps.len().max(1) as f64);
            }
            progress(at as u64 * seeds + seed + 1, REGRESSION_BUDGETS.len() as u64 * seeds);
        }
        let shown = shares.iter().map(|share| Figure::rounded(share, 2));
        table.line(format!("{budget:.1e}"), phases.iter().map(Lived::figure).chain(shown).collect());
        if budget == 6.6e-4 {
            for (name, phase, least) in [("after", &phases[2], 0.915), ("during", &phases[1], 0.8)] {
                let found = phase.means().0;
                let goal = format!("G3 at {budget:.1e}, {name}: at least {least}");
                table.goal(goal, format!("{found:.4}"), found >= least);
            }
        }
    }
    Ok(table)
}

fn cases_of<'a, 'c>(cuts: [&'a [&'c Case]; 3]) -> impl Iterator<Item = &'a [&'c Case]> {
    cuts.into_iter()
}
