//! The pacer meets its target on lumpy arms, leaves slack alone, and follows a change of prices.

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

fn offer(utility: f64, cost_usd: f64) -> Offer {
    Offer { utility, cost_usd }
}

/// Three arms as in the recorded data: costs apart by factors of twenty and thirty, quality close together.
fn lumpy(rng: &mut StdRng, dearness: f64) -> Vec<Offer> {
    let mut noise = |sd: f64| sd * rng.random_range(-1.7..1.7);
    vec![
        offer(0.79 + noise(0.1), 2.9e-5 * dearness),
        offer(0.92 + noise(0.05), 5.3e-4 * dearness),
        offer(0.93 + noise(0.05), 1.5e-2 * dearness),
    ]
}

/// The arm of the highest utility at a price drawn by its share, as a greedy policy over the mixture would choose it.
fn choose(row: &[Offer], multiplier: Multiplier, u: f64) -> Offer {
    let price = if u < multiplier.share_high { multiplier.high } else { multiplier.low };
    let utility = |o: &Offer| o.utility - price * o.cost_usd;
    *row.iter().max_by(|a, b| utility(a).total_cmp(&utility(b))).unwrap()
}

struct World {
    pacer: Pacer,
    rng: StdRng,
    now: i64,
}

impl World {
    fn new(seed: u64) -> Self {
        Self { pacer: Pacer::new(PaceSettings::DEFAULT), rng: StdRng::seed_from_u64(seed), now: 0 }
    }

    /// Runs `requests`; arms cost `dearness` times the first prices, of which the estimates know `known`. Gives the spend, USD.
    fn run(&mut self, requests: usize, budget_usd: f64, dearness: f64, known: f64) -> f64 {
        let mut spent = 0.0;
        for _ in 0..requests {
            self.now += 100;
            let row = lumpy(&mut self.rng, known);
            let drawn = choose(&row, self.pacer.multiplier(), self.rng.random());
            self.pacer.requested(row.into(), budget_usd, drawn.cost_usd);
            let actual = drawn.cost_usd * dearness / known * self.rng.random_range(0.5..1.5);
            self.pacer.settled(drawn.cost_usd, actual);
            self.pacer.refresh(UnixMs(self.now));
            spent += actual;
        }
        spent
    }
}

#[test]
fn spend_meets_the_budget_on_lumpy_arms() {
    for (seed, budget) in [1.0e-4, 3.0e-4, 6.6e-4, 1.9e-3, 5.0e-3].into_iter().enumerate() {
        let mut world = World::new(seed as u64);
        let compliance = world.run(4000, budget, 1.0, 1.0) / (4000.0 * budget);
        assert!((0.9..=1.02).contains(&compliance), "{compliance} of a budget of {budget}");
    }
}

#[test]
fn two_equal_arms_are_mixed_where_no_price_lies_between() {
    // Every row the same: at any price all or nothing goes to the dear arm.
    let rows: Vec<Arc<[Offer]>> = vec![vec![offer(0.5, 1.0), offer(0.9, 5.0)].into(); 50];
    let found = Problem::new(rows, 2.0).solve().multiplier;
    assert!((found.share_high - 0.75).abs() < 1e-9, "{found:?}");
    assert!((found.mean() - 0.1).abs() < 1e-4, "a gap of 0.4 for 4 USD: {found:?}");
}

#[test]
fn slack_costs_nothing() {
    let mut world = World::new(3);
    world.run(500, 0.1, 1.0, 1.0);
    assert_eq!(world.pacer.multiplier(), Multiplier::FREE);
}

#[test]
fn without_money_the_cheapest_serves() {
    let mut world = World::new(4);
    let spent = world.run(300, 1e-9, 1.0, 1.0);
    world.run(100, 0.0, 1.0, 1.0);
    let row = lumpy(&mut world.rng, 1.0);
    assert_eq!(choose(&row, world.pacer.multiplier(), 0.5).cost_usd, row[0].cost_usd);
    assert!(spent < 0.1, "{spent}");
}

#[test]
fn a_tenfold_price_is_met_whether_the_estimates_know_it_or_not() {
    for (seed, known) in [(5, 10.0), (6, 1.0)] {
        let mut world = World::new(seed);
        let budget = 1.9e-3;
        world.run(2000, budget, 1.0, 1.0);
        let first = world.run(3600, budget, 10.0, known) / (3600.0 * budget);
        let second = world.run(3600, budget, 10.0, known) / (3600.0 * budget);
        assert!((0.85..=1.05).contains(&first), "{first} in the window of the change, known: {known}");
        assert!((0.9..=1.05).contains(&second), "{second} in the window after it, known: {known}");
        let back = world.run(3600, budget, 1.0, 1.0) / (3600.0 * budget);
        assert!((0.75..=1.05).contains(&back), "{back} once prices were back, known: {known}");
    }
}

#[test]
fn savings_are_spent_up_to_the_credit_and_no_more() {
    let mut pacer = Pacer::new(PaceSettings::DEFAULT);
    (0..500).for_each(|_| pacer.requested(vec![offer(1.0, 0.0)].into(), 1.0, 0.0));
    assert_eq!(pacer.bank_usd(), -40.0);
    assert!((pacer.target_usd() - (1.0 + 40.0 / 300.0)).abs() < 1e-12);
    (0..500).for_each(|_| pacer.requested(vec![offer(1.0, 9.0)].into(), 1.0, 9.0));
    assert_eq!((pacer.bank_usd(), pacer.target_usd()), (3000.0, 0.2));
}

#[test]
fn it_is_solved_at_once_at_the_start_and_then_every_so_often() {
    let mut pacer = Pacer::new(PaceSettings::DEFAULT);
    let mut solved = Vec::new();
    for i in 0..100 {
        pacer.requested(vec![offer(1.0, 1.0)].into(), 1.0, 1.0);
        if pacer.due(UnixMs(i)).is_some() {
            solved.push(i);
        }
    }
    assert_eq!(solved[..24], (0..24).collect::<Vec<_>>()[..]);
    assert_eq!(solved[24..], [48, 73, 98]);
    pacer.requested(vec![offer(1.0, 1.0)].into(), 1.0, 1.0);
    assert!(pacer.due(UnixMs(500)).is_none() && pacer.due(UnixMs(1098)).is_some());
    assert!(pacer.due(UnixMs(9000)).is_none(), "nothing new");
}

#[test]
fn numbers_that_are_none_change_nothing() {
    let mut pacer = Pacer::new(PaceSettings::DEFAULT);
    pacer.requested(vec![offer(1.0, 1.0)].into(), f64::NAN, 1.0);
    pacer.settled(f64::INFINITY, 1.0);
    assert_eq!(pacer.bank_usd(), 0.0);
    let problem = Problem::new(vec![vec![offer(f64::NAN, f64::NAN), offer(0.5, 1.0)].into()], 0.5);
    assert!(problem.solve().multiplier.mean().is_finite());
}

fn rows() -> impl Strategy<Value = Vec<Vec<Offer>>> {
    let arm = (0.0..1.0f64, 1e-6..1e-1f64).prop_map(|(u, c)| offer(u, c));
    proptest::collection::vec(proptest::collection::vec(arm, 1..6), 1..40)
}

proptest! {
    #[test]
    fn the_mixture_costs_its_target_or_an_end_of_the_range(rows in rows(), share in 0.0..1.2f64) {
        let rows: Vec<Arc<[Offer]>> = rows.into_iter().map(Into::into).collect();
        let n = rows.len() as f64;
        let mean = |f: &dyn Fn(&[Offer]) -> f64| rows.iter().map(|r| f(r)).sum::<f64>() / n;
        let least = mean(&|r| r.iter().map(|o| o.cost_usd).fold(f64::INFINITY, f64::min));
        let most = mean(&|r| choose(r, Multiplier::FREE, 0.5).cost_usd);
        let target = least + share * (most - least);
        let found = Problem::new(rows.clone(), target).solve().multiplier;
        let cost = found.parts().map(|(price, part)| {
            part * mean(&|r| choose(r, Multiplier::certain(price), 0.5).cost_usd)
        }).sum::<f64>();
        prop_assert!(cost <= target * (1.0 + 1e-6) + 1e-12, "{cost} for {target}: {found:?}");
        prop_assert!(cost >= target.min(most) * (1.0 - 1e-6) - 1e-12, "{cost} for {target}: {found:?}");
    }

    #[test]
    fn a_tighter_target_never_makes_money_cheaper(rows in rows(), a in 0.0..0.1f64, b in 0.0..0.1f64) {
        let rows: Vec<Arc<[Offer]>> = rows.into_iter().map(Into::into).collect();
        let price = |target: f64| Problem::new(rows.clone(), target).solve().multiplier.mean();
        prop_assert!(price(a.min(b)) >= price(a.max(b)) * (1.0 - 1e-6));
    }
}

#[test]
fn a_debt_of_many_budgets_is_paid_back_and_not_forgiven() {
    let mut pacer = Pacer::new(PaceSettings::DEFAULT);
    pacer.requested(Arc::from([Offer { utility: 1.0, cost_usd: 1.0 }]), 1.0, 1.0);
    (0..4).for_each(|_| pacer.settled(1.0, 501.0));
    assert!((pacer.bank_usd() - 2000.0).abs() < 1e-6, "{}", pacer.bank_usd());
    assert!((pacer.target_usd() - 0.2).abs() < 1e-12, "the least that is spent is a fifth");
}
