//! The same stream read by different readers: what the student costs in MiniLM's place.

use super::BenchOptions;
use super::curve::{Curve, Span};
use super::predict::learned;
use super::report::{Interval, span_of_arms};
use super::stream::learn;
use super::table::{Figure, Table};
use super::world::World;
use crate::policy::StateError;

/// The most that a reader may lose of the first one's area.
const MOST_LOST: f64 = 0.001;

/// One world, its contexts read by several; `worlds` has the reader's name beside each, and the first is what the others are compared
/// with, shuffle by shuffle.
///
/// # Errors
/// When the settings give no policy.
pub fn readers(
    worlds: &[(&str, World)],
    options: &BenchOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Option<Table>, StateError> {
    let Some((reference, world)) = worlds.first() else { return Ok(None) };
    let (span, grid) = (span_of_arms(world), world.grid(options.grid));
    let mut table = empty(reference, world, options.seeds);
    let all = worlds.len() as u64 * options.seeds;
    let mut first: Option<Seen> = None;
    for (at, (name, world)) in worlds.iter().enumerate() {
        let mut seen = Seen::default();
        for seed in 0..options.seeds {
            let policy = learn(world, options, &grid, seed)?;
            seen.add(&learned(world, &policy).sweep(world, &grid), &span, world.priced);
            progress(at as u64 * options.seeds + seed + 1, all);
        }
        let base = first.get_or_insert_with(|| seen.clone());
        seen.describe(name, base, at == 0, &mut table);
    }
    Ok(Some(table))
}

fn empty(reference: &str, world: &World, seeds: u64) -> Table {
    let columns: &[&str] = if world.priced {
        &["area", "area over log spend", "difference of area", "of area over log spend"]
    } else {
        &["quality", "difference"]
    };
    Table {
        title: format!("{}: read by others", world.name),
        notes: vec![format!(
            "{} arms, {} prompts learned from with bandit feedback, {} scored, {seeds} shuffles; ± is a 95 % interval over them. Differences are to \
             {reference}, of the same shuffle.",
            world.arms.len(),
            world.training.len(),
            world.scored.len()
        )],
        columns: columns.iter().map(|&c| c.to_owned()).collect(),
        lines: Vec::new(),
        goals: Vec::new(),
    }
}

/// Figures of one reader, each with one value a seed.
#[derive(Default, Clone)]
struct Seen {
    figures: Vec<Vec<f64>>,
}

impl Seen {
    fn add(&mut self, curve: &Curve, span: &Span, priced: bool) {
        let values = if priced {
            vec![curve.linear_area(span), curve.log_area(span)]
        } else {
            vec![curve.at(span.high)]
        };
        self.figures.resize(values.len(), Vec::new());
        self.figures.iter_mut().zip(values).for_each(|(all, value)| all.push(value));
    }

    fn describe(&self, name: &str, base: &Self, is_base: bool, table: &mut Table) {
        let apart = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| a - b).collect();
        let differences: Vec<Vec<f64>> = self.figures.iter().zip(&base.figures).map(apart).collect();
        let mut line: Vec<Figure> = self.figures.iter().map(|v| Figure::mean(v)).collect();
        if !is_base {
            line.extend(differences.iter().map(|v| Figure::mean(v)));
            let lost = differences.first().map_or(0.0, |v| -Interval::over(v).mean);
            let goal = format!("{name}: loses at most {MOST_LOST}");
            table.goal(goal, format!("{lost:.4}"), lost <= MOST_LOST);
        }
        table.line(name, line);
    }
}
