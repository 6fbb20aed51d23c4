//! The figures of a run, as a value for JSON and as a table for people.

use std::fmt::Write as _;

use serde::Serialize;

use super::curve::{Curve, Point, Span};
use super::predict::Predictions;
use super::world::World;

/// Spends that are reported.
const BUDGETS: usize = 7;

/// A mean over seeds and half the width of its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// Mean.
    pub mean: f64,
    /// Half width; 0 with one seed.
    pub half_width: f64,
}

/// 97.5 % points of Student's t by degrees of freedom, from 1.
const T975: [f64; 10] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];

impl Interval {
    /// Over one value a seed.
    pub fn over(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n.max(1.0);
        if values.len() < 2 {
            return Self { mean, half_width: 0.0 };
        }
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let t = T975.get(values.len() - 2).copied().unwrap_or(2.1);
        Self { mean, half_width: t * (variance / n).sqrt() }
    }
}

/// One way to route.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Which.
    pub name: String,
    /// Area under the curve over spend, linear.
    pub linear_area: Interval,
    /// Area under the curve over the logarithm of spend.
    pub log_area: Interval,
    /// Quality at each budget.
    pub at_budgets: Vec<Interval>,
    /// Quality when cost does not count, and the spend for it.
    pub best: Point,
    /// How far the oracle is above it on average over the budgets.
    pub regret: f64,
}

/// What a way to route gains over the fixed mix at equal spend.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gain {
    /// At each budget.
    pub at_budgets: Vec<Interval>,
    /// Mean over the budgets.
    pub mean: Interval,
    /// Budgets at which the mean over seeds is below the mix.
    pub below: usize,
}

/// All figures of one set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The set.
    pub name: String,
    /// Arms with their mean quality and cost on the scored fold.
    pub arms: Vec<(String, Point)>,
    /// Prompts learned from.
    pub training: usize,
    /// Prompts scored.
    pub scored: usize,
    /// Shuffles.
    pub seeds: usize,
    /// Whether costs are known; without them areas and gains are about quality alone.
    pub priced: bool,
    /// The stretch of spend.
    pub span: Span,
    /// Spends that are reported.
    pub budgets: Vec<f64>,
    /// Every way to route, ours first.
    pub rows: Vec<Row>,
    /// Ours over the fixed mix.
    pub gain: Gain,
    /// Our curves, one a seed.
    pub curves: Vec<Curve>,
}

/// Puts the figures together.
pub fn report(world: &World, grid: &[f64], ours: &[Curve], baselines: &[(String, Predictions)]) -> Report {
    let arms: Vec<(String, Point)> =
        world.arms.iter().map(|arm| arm.id.to_string()).zip(singles(world)).collect();
    let mix = Curve::hull(singles(world));
    let span = span_of(&mix);
    let budgets = if world.priced { span.budgets(BUDGETS) } else { vec![span.high] };
    let oracle: Option<Curve> =
        baselines.iter().find(|(name, _)| name == "oracle").map(|(_, p)| p.sweep(world, grid));
    let best = oracle.unwrap_or_else(|| mix.clone());
    let best: Vec<f64> = budgets.iter().map(|b| best.at(*b)).collect();
    let row = |name: &str, curves: &[Curve]| row(name, curves, &span, &budgets, &best);
    let mut rows = vec![
        row("pointsman (bandit feedback)", ours),
        row("fixed mix (hindsight)", std::slice::from_ref(&mix)),
    ];
    for (name, predictions) in baselines {
        rows.push(row(name, &[predictions.sweep(world, grid)]));
    }
    rows.extend(single_rows(world, &arms).iter().map(|(name, point)| row(name, &[Curve::new(vec![*point])])));
    let gain = gain(ours, &mix, &budgets);
    Report {
        name: world.name.clone(),
        arms,
        training: world.training.len(),
        scored: world.scored.len(),
        seeds: ours.len(),
        priced: world.priced,
        span,
        budgets,
        rows,
        gain,
        curves: ours.to_vec(),
    }
}

/// What each arm spends and reaches on the scored prompts.
fn singles(world: &World) -> Vec<Point> {
    let of = |k| {
        let (quality, cost_usd) = world.mean(&world.scored, k);
        Point { cost_usd, quality }
    };
    (0..world.arms.len()).map(of).collect()
}

/// The stretch of spend that ways to route are compared on.
pub fn span_of_arms(world: &World) -> Span {
    span_of(&Curve::hull(singles(world)))
}

fn span_of(mix: &Curve) -> Span {
    let cost = |point: Option<&Point>| point.map_or(0.0, |p| p.cost_usd);
    Span { low: cost(mix.points().first()).max(1e-9), high: cost(mix.points().last()).max(2e-9) }
}

fn single_rows(world: &World, arms: &[(String, Point)]) -> Vec<(String, Point)> {
    let by = |key: fn(&Point) -> f64| arms.iter().max_by(|a, b| key(&a.1).total_cmp(&key(&b.1)));
    let n = arms.len().max(1) as f64;
    let mean = |value: fn(&Point) -> f64| arms.iter().map(|(_, p)| value(p)).sum::<f64>() / n;
    let mut rows = Vec::new();
    rows.extend(by(|p| p.quality).map(|(name, p)| (format!("best single: {name}"), *p)));
    let cheapest = by(|p| -p.cost_usd).filter(|_| world.priced);
    rows.extend(cheapest.map(|(name, p)| (format!("cheapest: {name}"), *p)));
    rows.push(("random".to_owned(), Point { cost_usd: mean(|p| p.cost_usd), quality: mean(|p| p.quality) }));
    rows
}

/// `best` is the oracle's quality at the budgets.
fn row(name: &str, curves: &[Curve], span: &Span, budgets: &[f64], best: &[f64]) -> Row {
    let over =
        |value: &dyn Fn(&Curve) -> f64| Interval::over(&curves.iter().map(value).collect::<Vec<f64>>());
    let at_budgets: Vec<Interval> = budgets.iter().map(|b| over(&|c| c.at(*b))).collect();
    let missed = best.iter().zip(&at_budgets).map(|(best, got)| best - got.mean);
    Row {
        name: name.to_owned(),
        linear_area: over(&|c| c.linear_area(span)),
        log_area: over(&|c| c.log_area(span)),
        best: Point {
            quality: over(&|c| c.points().last().map_or(0.0, |p| p.quality)).mean,
            cost_usd: over(&|c| c.points().last().map_or(0.0, |p| p.cost_usd)).mean,
        },
        regret: missed.sum::<f64>() / budgets.len().max(1) as f64,
        at_budgets,
    }
}

fn gain(ours: &[Curve], mix: &Curve, budgets: &[f64]) -> Gain {
    let over = |value: &dyn Fn(&Curve) -> f64| Interval::over(&ours.iter().map(value).collect::<Vec<f64>>());
    let at_budgets: Vec<Interval> = budgets.iter().map(|b| over(&|c| c.at(*b) - mix.at(*b))).collect();
    let count = budgets.len().max(1) as f64;
    Gain {
        below: at_budgets.iter().filter(|g| g.mean < 0.0).count(),
        mean: over(&|c| budgets.iter().map(|b| c.at(*b) - mix.at(*b)).sum::<f64>() / count),
        at_budgets,
    }
}

impl Report {
    /// Puts another way to route, one curve a seed, before the oracle.
    pub fn add(&mut self, name: &str, curves: &[Curve]) {
        let oracle = self.rows.iter().position(|row| row.name == "oracle").unwrap_or(self.rows.len());
        let best = self.rows.get(oracle).map_or(&[][..], |row| &row.at_budgets);
        let best: Vec<f64> = best.iter().map(|quality| quality.mean).collect();
        self.rows.insert(oracle, row(name, curves, &self.span, &self.budgets, &best));
    }

    /// A Markdown table with a line on what was run.
    pub fn table(&self) -> String {
        let mut out = format!(
            "### {}\n\n{} arms, {} prompts learned from, {} scored, {} shuffles; ± is a 95 % interval over shuffles.\n\n",
            self.name,
            self.arms.len(),
            self.training,
            self.scored,
            self.seeds
        );
        if self.priced {
            self.priced_table(&mut out)
        } else {
            self.plain_table(&mut out)
        }
        out
    }

    fn plain_table(&self, out: &mut String) {
        out.push_str("No costs are known: quality alone.\n\n| way to route | quality | below the oracle |\n|---|---|---|\n");
        for row in &self.rows {
            let quality = row.at_budgets.first().map_or_else(String::new, shown);
            let _ = writeln!(out, "| {} | {quality} | {:.4} |", row.name, row.regret);
        }
        let _ = writeln!(out, "\nGain over the best single arm: {}.", signed(&self.gain.mean));
    }

    fn priced_table(&self, out: &mut String) {
        out.push_str("Areas are mean quality over spend (linear, logarithmic); columns are quality at a mean spend per request in USD.\n\n");
        out.push_str("| way to route | area lin | area log |");
        self.budgets.iter().for_each(|b| {
            let _ = write!(out, " {b:.2e} |");
        });
        out.push_str(" below the oracle |\n|---|---|---|");
        out.push_str(&"---|".repeat(self.budgets.len() + 1));
        out.push('\n');
        for row in &self.rows {
            let _ = write!(out, "| {} | {} | {} |", row.name, shown(&row.linear_area), shown(&row.log_area));
            if row.name.contains(':') || row.name == "random" {
                // A single point has a spend of its own and no quality at another.
                let _ = writeln!(
                    out,
                    " {:.4} at {:.2e} |{}",
                    row.best.quality,
                    row.best.cost_usd,
                    " |".repeat(self.budgets.len())
                );
                continue;
            }
            row.at_budgets.iter().for_each(|q| {
                let _ = write!(out, " {} |", shown(q));
            });
            let _ = writeln!(out, " {:.4} |", row.regret);
        }
        let gains: Vec<String> = self.gain.at_budgets.iter().map(signed).collect();
        let _ = writeln!(
            out,
            "\nGain over the fixed mix at equal spend: mean {}; at the budgets {}; below at {} of {}.",
            signed(&self.gain.mean),
            gains.join(", "),
            self.gain.below,
            self.budgets.len()
        );
    }
}

fn shown(interval: &Interval) -> String {
    if interval.half_width > 0.0 {
        format!("{:.4} ±{:.4}", interval.mean, interval.half_width)
    } else {
        format!("{:.4}", interval.mean)
    }
}

fn signed(interval: &Interval) -> String {
    format!("{:+.4} ±{:.4}", interval.mean, interval.half_width)
}
