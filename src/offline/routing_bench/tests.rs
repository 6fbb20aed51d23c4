//! The benchmark on a small world whose truth is known.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::domain::{Context, FeatureSchema};
use crate::offline::dataset::{Cell, Dataset, Row as PromptRow};

/// Two cheap models that are good at one kind of prompt each, and a dear one that is good at both.
fn dataset(priced: bool, rows: usize) -> (Dataset, Vec<Context>, Vec<Arc<[f32]>>) {
    let mut rng = StdRng::seed_from_u64(9);
    let mut set = Dataset {
        name: "small".into(),
        rows: Vec::new(),
        models: vec!["code".into(), "dear".into(), "prose".into()],
        cells: Vec::new(),
    };
    let (mut contexts, mut vectors) = (Vec::new(), Vec::new());
    for i in 0..rows {
        let kind = if rng.random_bool(0.5) { 1.0f32 } else { -1.0 };
        let noise: f32 = rng.random_range(-1.0..1.0);
        set.rows.push(PromptRow {
            id: i.to_string(),
            task: if kind > 0.0 { "code".into() } else { "prose".into() },
            fold: 1 + (i % 4) as u8,
            split: None,
            prompt: String::new(),
        });
        let cell = |chance: f64, price: f64, draw: f64| {
            let tokens = 100 + (50.0 * f64::from(noise)) as u32;
            Some(Cell {
                quality: f64::from(draw < chance),
                cost_usd: priced.then(|| (200.0 * price + f64::from(tokens) * 4.0 * price) / 1e6),
                input_tokens: Some(200),
                output_tokens: Some(tokens),
                latency_ms: None,
            })
        };
        let (code, prose) = if kind > 0.0 { (0.85, 0.4) } else { (0.4, 0.85) };
        set.cells.push(vec![
            cell(code, 0.1, rng.random()),
            cell(0.9, 10.0, rng.random()),
            cell(prose, 0.1, rng.random()),
        ]);
        contexts.push(Context::new(FeatureSchema::new("small-v1"), vec![kind, noise, 1.0]).unwrap());
        vectors.push(Arc::from([kind * 0.8, 0.6 * noise.signum()]));
    }
    (set, contexts, vectors)
}

pub(super) fn world(priced: bool, rows: usize) -> World {
    let (set, contexts, vectors) = dataset(priced, rows);
    World::new(&set, &contexts, &vectors, Parting::Folds).unwrap()
}

pub(super) fn options(seeds: u64) -> BenchOptions {
    let mut options = BenchOptions { seeds, ..BenchOptions::default() };
    options.settings.heads.quality.slope_sd = 0.2;
    options
}

#[test]
fn prices_are_found_from_recorded_tokens_and_costs() {
    let world = world(true, 400);
    assert!((world.arms[0].price.input - 0.1).abs() < 1e-6);
    assert!((world.arms[1].price.output - 40.0).abs() < 1e-6);
    assert_eq!((world.training.len(), world.scored.len()), (300, 100));
}

#[test]
fn costs_without_tokens_become_tokens_at_a_price() {
    let (mut set, contexts, vectors) = dataset(true, 400);
    set.cells.iter_mut().flatten().flatten().for_each(|c| (c.input_tokens, c.output_tokens) = (None, None));
    let world = World::new(&set, &contexts, &vectors, Parting::Folds).unwrap();
    for (k, arm) in world.arms.iter().enumerate() {
        let (_, mean) = world.mean(&world.training, k);
        assert!(
            (mean / (arm.price.output * 1000.0 / 1e6) - 1.0).abs() < 1e-9,
            "the mean call is 1,000 tokens"
        );
    }
    assert_eq!(world.arms[0].price.input, 0.0);
}

#[test]
fn ours_beats_every_mix_where_prompts_differ_and_full_labels_are_no_worse() {
    let world = world(true, 6000);
    let report = run(&world, &options(3), &mut |_, _| {}).unwrap();
    let area = |name: &str| {
        let row = report.rows.iter().find(|r| r.name.starts_with(name)).unwrap();
        (row.linear_area.mean, row.log_area.mean)
    };
    let (ours, mix, oracle) = (area("pointsman"), area("fixed mix"), area("oracle"));
    assert!(ours.0 > mix.0 + 0.05 && ours.1 > mix.1 + 0.05, "{ours:?} {mix:?}");
    assert!(oracle.0 > ours.0 && oracle.1 > ours.1);
    assert!((area("ridge").0 - ours.0).abs() < 0.02);
    assert!((area("task table").0 - ours.0).abs() < 0.02);
    for reference in ["knn 100", "k-means 16", "MLP"] {
        assert!(
            (area(reference).0 - ours.0).abs() < 0.03,
            "{reference}: {:?} and ours {ours:?}",
            area(reference)
        );
    }
    assert_eq!(report.gain.at_budgets.len(), 7);
    assert!(report.gain.mean.mean > 0.05);
    assert!(report.table().contains("| pointsman (bandit feedback) |"));
}

#[test]
fn the_same_seeds_give_the_same_report() {
    let world = world(true, 400);
    let one = run(&world, &options(2), &mut |_, _| {}).unwrap();
    let two = run(&world, &options(2), &mut |_, _| {}).unwrap();
    assert_eq!(one, two);
    assert!(serde_json::to_string(&one).unwrap().contains("\"priced\":true"));
}

#[test]
fn without_costs_quality_alone_is_compared() {
    let world = world(false, 3000);
    let report = run(&world, &options(2), &mut |_, _| {}).unwrap();
    assert!(!report.priced && report.budgets.len() == 1);
    let best = report.arms.iter().map(|(_, p)| p.quality).fold(0.0, f64::max);
    assert!(report.rows[0].best.quality > best - 0.05);
    assert!((report.rows[1].best.quality - best).abs() < 1e-12, "the fixed mix is the best single arm");
    assert!(report.table().contains("quality alone"));
}

#[test]
fn a_world_needs_rows_to_learn_from_and_to_score() {
    let (mut set, contexts, vectors) = dataset(true, 8);
    assert!(matches!(
        World::new(&set, &contexts[..7], &vectors, Parting::Folds),
        Err(WorldError::Shape { found: 7, .. })
    ));
    set.rows.iter_mut().for_each(|r| r.fold = 1);
    assert!(matches!(World::new(&set, &contexts, &vectors, Parting::Folds), Err(WorldError::NoRows { .. })));
}

#[test]
fn what_was_learned_on_the_first_set_helps_on_a_second_of_the_same_kind() {
    let (set, contexts, vectors) = dataset(true, 1200);
    let world = World::new(&set, &contexts, &vectors, Parting::Rows(600)).unwrap();
    assert_eq!((world.training.len(), world.scored.len()), (600, 600));
    let table = join(&world, &LiveOptions::default(), 3, &mut |_, _| {}).unwrap();
    assert_eq!((table.lines.len(), table.goals.len()), (2, 2));
    assert!(table.goals.iter().all(|goal| goal.met && goal.found.parse::<f64>().unwrap() < 1.0), "{table}");
}

#[test]
fn a_good_newcomer_is_adopted_and_a_bad_one_is_left() {
    let mut one = world(true, 2400);
    // The newcomer is what it was; the same arm, made useless, is the bad one.
    let good = newarm(&one, &[1], &LiveOptions::default(), 2, &mut |_, _| {}).unwrap();
    let seeds_short = good.goals[0].found.contains("not in");
    assert!(good.goals[0].goal.contains("within 60 of its feedbacks") && !seeds_short, "{good}");
    one.training.iter_mut().for_each(|case| case.outcomes[1].quality = 0.0);
    let bad = newarm(&one, &[1], &LiveOptions::default(), 2, &mut |_, _| {}).unwrap();
    assert!(bad.goals[0].goal.contains("of traffic"), "{bad}");
    assert!(bad.goals[0].found.parse::<f64>().unwrap() < 0.1, "{bad}");
}

#[test]
fn one_state_spends_less_and_answers_worse_the_more_cost_weighs() {
    let table = weights(&world(true, 2400), &options(2), &mut |_, _| {}).unwrap();
    assert_eq!((table.columns.len(), table.lines.len()), (11, 2 + 3));
    let mean = |line: usize, at: usize| match &table.lines[line].figures[at] {
        Figure::Mean { interval, .. } => interval.mean,
        other => panic!("no mean: {other}"),
    };
    // Line 1 is the spend: the dear arm costs a hundred times what each of the others does, and nobody is better.
    assert!(mean(1, 0) > 20.0 * mean(1, 10), "{table}");
    assert!(mean(0, 0) > mean(0, 10) && table.goals[0].met, "{table}");
    let shares: f64 = (2..5).map(|line| mean(line, 5)).sum();
    assert!((shares - 1.0).abs() < 1e-9, "{table}");
}

#[test]
fn a_reader_who_sees_nothing_of_the_prompt_loses_against_one_who_does() {
    let blind = {
        let (set, contexts, vectors) = dataset(true, 2400);
        let nothing = |c: &Context| Context::new(c.schema().clone(), vec![0.0, 0.0, 1.0]).unwrap();
        let contexts: Vec<Context> = contexts.iter().map(nothing).collect();
        World::new(&set, &contexts, &vectors, Parting::Folds).unwrap()
    };
    let seeing = world(true, 2400);
    let worlds = [("sight", seeing.clone()), ("twin", seeing), ("blind", blind)];
    let table = readers(&worlds, &options(2), &mut |_, _| {}).unwrap().unwrap();
    assert_eq!(table.lines.len(), 3);
    assert!(table.goals[0].met && table.goals[0].found.parse::<f64>().unwrap() == 0.0, "{table}");
    assert!(!table.goals[1].met && table.goals[1].found.parse::<f64>().unwrap() > 0.02, "{table}");
    assert!(readers(&[], &options(2), &mut |_, _| {}).unwrap().is_none());
}

#[test]
fn what_full_labels_reach_stands_in_the_table_of_budgets_between_mix_and_oracle() {
    let table = paced(&world(true, 400), &LiveOptions::default(), 1, &mut |_, _| {}).unwrap();
    let line = |name: &str| {
        let line = table.lines.iter().find(|line| line.name.starts_with(name)).unwrap();
        line.figures.iter().map(|f| f.to_string().parse::<f64>().unwrap()).collect::<Vec<f64>>()
    };
    let (mix, ridge, oracle) = (line("fixed mix"), line("ridge (full labels)"), line("oracle"));
    assert_eq!(ridge.len(), 7);
    // At a budget between the cheap arms and the dear one.
    let at = 4;
    assert!(mix[at] < ridge[at] && ridge[at] < oracle[at], "{table}");
    assert!(line("knn 100")[at] > mix[at], "{table}");
}

#[test]
fn the_origins_split_is_val_then_test_and_leaves_the_rest() {
    let (mut set, contexts, vectors) = dataset(true, 40);
    for (i, row) in set.rows.iter_mut().enumerate() {
        row.split = [Some("val"), Some("test"), None, Some("train")][i % 4].map(str::to_owned);
    }
    let world = World::new(&set, &contexts, &vectors, Parting::Origin).unwrap();
    assert_eq!((world.training.len(), world.scored.len()), (10, 10));
}
