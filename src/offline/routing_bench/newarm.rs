//! An arm that joins in the middle of a stream: how soon a good one is used, how much a bad one gets (goal G7).

use super::live::{Live, LiveOptions, Script, Step, shuffled};
use super::table::{Figure, Table};
use super::world::World;
use crate::domain::{Arm, Preference};
use crate::policy::StateError;

/// For quality alone: so much that no recorded cost counts.
const PRICELESS_USD: f64 = 1e9;
/// Requests that a share is a mean over.
const WINDOW: usize = 100;
/// An arm with a steady share of this much is a good one.
const GOOD_SHARE: f64 = 0.1;
/// Goal G7: the part of the steady share that a good arm reaches ...
const ADOPTED: f64 = 0.8;
/// ... within so many of its feedbacks.
const MOST_FEEDBACKS: f64 = 60.0;
/// Goal G7: the most traffic that a bad arm gets.
const MOST_EXPOSURE: f64 = 0.02;

/// Arm `arm` is offered from request `from` on.
struct Joins {
    arm: usize,
    from: usize,
}

impl Script for Joins {
    fn arm(&self, turn: usize, arm: &Arm, k: usize) -> Option<Arm> {
        (k != self.arm || turn >= self.from).then(|| arm.clone())
    }
}

/// What a seed shows of a newcomer.
#[derive(Default)]
struct Seen {
    steady: Vec<f64>,
    feedbacks: Vec<f64>,
    requests: Vec<f64>,
    exposure: Vec<f64>,
    last: Vec<f64>,
}

/// Each of `newcomers` (indices of arms) joins a stream of its own, halfway through the world's first part.
///
/// # Errors
/// When the settings give no policy.
pub fn newarm(
    world: &World,
    newcomers: &[usize],
    options: &LiveOptions,
    seeds: u64,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Table, StateError> {
    let from = world.training.len() / 2;
    let mut table = Table {
        title: format!("{}: an arm joins after {from} of {} requests", world.name, world.training.len()),
        notes: vec![format!(
            "{} arms in all, quality alone counts, {seeds} shuffles, ± is a 95 % interval over them. The steady share is the arm's over the last \
             quarter when it was there from the start. It counts as adopted when its mean probability over {WINDOW} requests is \
             {ADOPTED} of that.",
            world.arms.len()
        )],
        columns: [
            "steady share",
            "feedbacks until adopted",
            "requests until adopted",
            "share since it joined",
            "share of the last quarter",
        ]
        .map(str::to_owned)
        .to_vec(),
        lines: Vec::new(),
        goals: Vec::new(),
    };
    let all = newcomers.len() as u64 * seeds;
    for (at, arm) in newcomers.iter().enumerate() {
        let mut seen = Seen::default();
        for seed in 0..seeds {
            one(world, *arm, options, seed, &mut seen)?;
            progress(at as u64 * seeds + seed + 1, all);
        }
        describe(&world.arms[*arm], &seen, seeds, &mut table);
    }
    Ok(table)
}

fn describe(arm: &Arm, seen: &Seen, seeds: u64, table: &mut Table) {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let missed = seeds as usize - seen.feedbacks.len();
    let note = if missed > 0 { format!(" (not in {missed} of {seeds})") } else { String::new() };
    let figures = vec![
        Figure::rounded(&seen.steady, 3),
        Figure::Text(format!("{}{note}", Figure::rounded(&seen.feedbacks, 0))),
        Figure::rounded(&seen.requests, 0),
        Figure::rounded(&seen.exposure, 4),
        Figure::rounded(&seen.last, 3),
    ];
    table.line(arm.id.to_string(), figures);
    if mean(&seen.steady) >= GOOD_SHARE {
        let goal = format!("G7, {}: {ADOPTED} of its share within {MOST_FEEDBACKS} of its feedbacks", arm.id);
        let found = mean(&seen.feedbacks);
        table.goal(goal, format!("{found:.0}{note}"), missed == 0 && found <= MOST_FEEDBACKS);
    } else {
        let (found, goal) =
            (mean(&seen.exposure), format!("G7, {}: at most {MOST_EXPOSURE} of traffic", arm.id));
        table.goal(goal, format!("{found:.4}"), found <= MOST_EXPOSURE);
    }
}

fn one(
    world: &World,
    arm: usize,
    options: &LiveOptions,
    seed: u64,
    seen: &mut Seen,
) -> Result<(), StateError> {
    let preference = Preference::Value { quality_usd: PRICELESS_USD, second_usd: 0.0 };
    let cases = shuffled(&world.training, seed);
    let (from, quarter) = (cases.len() / 2, cases.len() * 3 / 4);
    let there = Live::new(world, *options, &Joins { arm, from: 0 }, seed)?.run(&cases, &preference);
    let joins = Joins { arm, from };
    let mut live = Live::new(world, *options, &joins, seed)?;
    let mut joined = live.run(&cases[..from], &preference);
    live.pupil.joined(arm);
    joined.extend(live.run(&cases[from..], &preference));
    let share =
        |steps: &[Step]| steps.iter().map(|s| s.chances[arm]).sum::<f64>() / steps.len().max(1) as f64;
    let steady = share(&there[quarter.min(there.len())..]);
    let since = &joined[from.min(joined.len())..];
    seen.steady.push(steady);
    seen.exposure.push(share(since));
    seen.last.push(share(&joined[quarter.min(joined.len())..]));
    let adopted =
        (0..since.len().saturating_sub(WINDOW)).find(|i| share(&since[*i..i + WINDOW]) >= ADOPTED * steady);
    if let Some(i) = adopted {
        // The first request of the window: from there on it has its share.
        let own = since[..i].iter().filter(|s| s.arm == arm && s.rated).count();
        seen.feedbacks.push(own as f64);
        seen.requests.push(i as f64);
    }
    Ok(())
}
