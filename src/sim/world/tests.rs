//! What must hold of the world for the demo to mean anything.

use super::super::prompts::{Kind, Level, generate};
use super::*;

const N: usize = 4_000;

struct Table {
    world: World,
    prompts: Vec<SimPrompt>,
    /// Shape `[n][k]`.
    truths: Vec<Vec<Truth>>,
}

fn table(seed: u64) -> Table {
    let world = World::new(seed);
    let prompts = generate(N, seed);
    let truths = prompts.iter().map(|p| (0..CAST.len()).map(|k| world.truth(p, k)).collect()).collect();
    Table { world, prompts, truths }
}

impl Table {
    /// Mean quality and mean cost when each prompt goes where `choose` says.
    fn mean(&self, choose: impl Fn(usize) -> usize) -> (f64, f64) {
        let sum = (0..N)
            .map(|i| self.truths[i][choose(i)])
            .fold((0.0, 0.0), |(q, c), t| (q + t.quality, c + t.cost_usd));
        (sum.0 / N as f64, sum.1 / N as f64)
    }

    fn single(&self, name: &str) -> (f64, f64) {
        let k = CAST.iter().position(|c| c.name == name).unwrap();
        self.mean(|_| k)
    }

    fn best_by(&self, i: usize, value: impl Fn(&Truth) -> f64) -> usize {
        (0..CAST.len())
            .max_by(|a, b| value(&self.truths[i][*a]).total_cmp(&value(&self.truths[i][*b])))
            .unwrap()
    }

    /// The best model for each kind and level by expectation, at `lambda` quality per atlas call.
    fn by_words(&self, lambda: f64) -> impl Fn(usize) -> usize {
        let unit = self.single("sim/atlas-large").1;
        let value = move |i: usize, k: usize| {
            self.world.expected_quality(&self.prompts[i], k) - lambda * self.truths[i][k].cost_usd / unit
        };
        move |i| (0..CAST.len()).max_by(|a, b| value(i, *a).total_cmp(&value(i, *b))).unwrap()
    }
}

#[test]
fn the_best_single_model_is_the_dearest_and_reaches_0_86() {
    let table = table(1);
    let (quality, cost) = table.single("sim/atlas-large");
    assert!((0.85..0.875).contains(&quality), "{quality}");
    for (k, character) in CAST.iter().enumerate().filter(|(_, c)| c.name != "sim/atlas-large") {
        let other = table.mean(|_| k);
        assert!(other.0 < quality - 0.03 && other.1 < cost / 2.0, "{} {other:?}", character.name);
    }
}

#[test]
fn the_cheapest_is_poor_and_chance_is_not_much_better() {
    let table = table(2);
    let (quality, cost) = table.single("sim/swift-mini");
    assert!((0.55..0.65).contains(&quality), "{quality}");
    assert!(cost < table.single("sim/atlas-large").1 / 50.0);
    let random: f64 = (0..CAST.len()).map(|k| table.mean(|_| k).0).sum::<f64>() / CAST.len() as f64;
    assert!((0.70..0.79).contains(&random), "{random}");
}

#[test]
fn a_choice_by_the_words_keeps_the_quality_at_under_a_third_of_the_spend() {
    let table = table(3);
    let best = table.single("sim/atlas-large");
    let routed = table.mean(table.by_words(0.05));
    assert!(routed.0 > best.0, "{routed:?} {best:?}");
    assert!(routed.1 < best.1 / 3.0, "{routed:?} {best:?}");
}

#[test]
fn no_mix_of_two_models_without_looking_comes_near() {
    let table = table(4);
    let best = table.single("sim/atlas-large");
    let routed = table.mean(table.by_words(0.05));
    let singles: Vec<(f64, f64)> = (0..CAST.len()).map(|k| table.mean(|_| k)).collect();
    let at_equal_spend = |a: (f64, f64), b: (f64, f64)| {
        let share = ((routed.1 - a.1) / (b.1 - a.1)).clamp(0.0, 1.0);
        (a.1 <= routed.1).then_some(a.0 + share * (b.0 - a.0))
    };
    let mixes = singles.iter().flat_map(|a| singles.iter().filter_map(|b| at_equal_spend(*a, *b)));
    let best_mix = mixes.filter(|q| q.is_finite()).fold(0.0, f64::max);
    assert!(best_mix < routed.0 - 0.05, "mix {best_mix}, routed {routed:?}, best {best:?}");
}

#[test]
fn the_oracle_is_above_all_by_the_noise_only() {
    let table = table(5);
    let routed = table.mean(table.by_words(0.0)).0;
    let oracle = table.mean(|i| table.best_by(i, |t| t.quality)).0;
    assert!(oracle > routed && oracle < routed + 0.08, "oracle {oracle}, by words {routed}");
}

#[test]
fn harder_asks_are_answered_worse_and_longer() {
    let table = table(6);
    let mean = |level: Level, of: fn(&Truth) -> f64| {
        let of_level: Vec<f64> =
            (0..N).filter(|i| table.prompts[*i].level == level).map(|i| of(&table.truths[i][0])).collect();
        of_level.iter().sum::<f64>() / of_level.len() as f64
    };
    assert!(mean(Level::Easy, |t| t.quality) > mean(Level::Hard, |t| t.quality) + 0.05);
    assert!(mean(Level::Easy, |t| t.cost_usd) < mean(Level::Hard, |t| t.cost_usd));
}

#[test]
fn a_few_hundred_reports_by_kind_separate_the_models() {
    // Epsilon-greedy on averages by kind, no features: 30 % of 3,000 random choices are reported.
    let table = table(7);
    let mut sums = vec![vec![(0.0, 0.0); CAST.len()]; Kind::ALL.len()];
    for i in (0..3_000).filter(|i| hash::unit(hash::mix(11, *i as u64)) < 0.3) {
        let k = hash::mix(12, i as u64) as usize % CAST.len();
        let cell = &mut sums[table.prompts[i].kind as usize][k];
        *cell = (cell.0 + table.truths[i][k].quality, cell.1 + 1.0);
    }
    let learnt = |i: usize| {
        let row = &sums[table.prompts[i].kind as usize];
        let mean = |k: usize| row[k].0 / f64::max(row[k].1, 1.0);
        (0..CAST.len())
            .filter(|k| CAST[*k].name != "sim/atlas-large")
            .max_by(|a, b| mean(*a).total_cmp(&mean(*b)))
            .unwrap()
    };
    let best = table.single("sim/atlas-large");
    let learnt = table.mean(learnt);
    assert!(learnt.0 > best.0 - 0.02 && learnt.1 < best.1 / 4.0, "{learnt:?} {best:?}");
}

#[test]
fn the_truth_is_a_pure_function_of_words_and_model() {
    let (one, two) = (table(8), table(8));
    assert!(one.truths == two.truths);
    assert!(one.truths.iter().flatten().all(|t| (0.0..=1.0).contains(&t.quality) && t.cost_usd > 0.0));
}
