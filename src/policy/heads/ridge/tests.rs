//! Properties of the regression: direct solution, forgetting, revisions.

use proptest::prelude::*;

use super::*;

const FLAT: FlatPrior = FlatPrior { level: 0.6, level_sd: 0.25, slope_sd: 0.1, noise_sd: 0.2 };

fn fresh(decay: f64) -> Ridge {
    Ridge::new(RidgePrior::flat(4, &FLAT, 1.0), decay).unwrap()
}

fn with_one(x: &[f64]) -> Vec<f64> {
    x.iter().copied().chain([1.0]).collect()
}

fn give(ridge: &mut Ridge, x: &[f64], (y, weight): (f64, f64), tick: u64, replaces: Option<(f64, f64)>) {
    ridge.observe(&Sample { x: &with_one(x), y, weight, tick, replaces }).unwrap();
}

fn rows() -> impl Strategy<Value = Vec<(Vec<f64>, f64, f64)>> {
    prop::collection::vec((prop::collection::vec(-3.0..3.0f64, 3), 0.0..1.0f64, 0.1..4.0f64), 1..40)
}

proptest! {
    #[test]
    fn a_revision_leaves_the_state_of_a_log_with_only_the_last_value(
        rows in rows(),
        revised in prop::collection::vec((any::<prop::sample::Index>(), 0.0..1.0f64, 0.1..4.0f64), 1..10),
    ) {
        let mut told = fresh(0.98);
        let mut last: Vec<(f64, f64)> = rows.iter().map(|(_, y, w)| (*y, *w)).collect();
        for (i, (x, y, w)) in rows.iter().enumerate() {
            give(&mut told, x, (*y, *w), i as u64 + 1, None);
        }
        for (index, y, w) in &revised {
            let i = index.index(rows.len());
            give(&mut told, &rows[i].0, (*y, *w), i as u64 + 1, Some(last[i]));
            last[i] = (*y, *w);
        }
        let mut only_last = fresh(0.98);
        for (i, (x, _, _)) in rows.iter().enumerate() {
            give(&mut only_last, x, last[i], i as u64 + 1, None);
        }
        for (a, b) in told.theta().iter().zip(only_last.theta()) {
            prop_assert!((a - b).abs() < 1e-9, "{a} and {b}");
        }
        prop_assert!((told.sigma() - only_last.sigma()).abs() < 1e-9);
        let (x, pull) = ([0.3, -0.2, 0.9, 1.0], [1.0, 2.0, 0.5, 3.0]);
        let (a, b) = (told.estimate(&x, (&pull, 0.0), &mut Vec::new()), only_last.estimate(&x, (&pull, 0.0), &mut Vec::new()));
        prop_assert!((a.mean - b.mean).abs() < 1e-9 && (a.sd - b.sd).abs() < 1e-9);
    }

    #[test]
    fn the_order_of_arrival_does_not_matter_only_the_ticks(rows in rows()) {
        let (mut forward, mut backward) = (fresh(0.97), fresh(0.97));
        for (i, (x, y, w)) in rows.iter().enumerate() {
            give(&mut forward, x, (*y, *w), i as u64 + 1, None);
        }
        for (i, (x, y, w)) in rows.iter().enumerate().rev() {
            give(&mut backward, x, (*y, *w), i as u64 + 1, None);
        }
        for (a, b) in forward.theta().iter().zip(backward.theta()) {
            prop_assert!((a - b).abs() < 1e-9);
        }
    }

    #[test]
    fn with_no_decay_it_is_the_normal_equations(rows in rows()) {
        let mut ridge = fresh(1.0);
        for (i, (x, y, w)) in rows.iter().enumerate() {
            give(&mut ridge, x, (*y, *w), i as u64 + 1, None);
        }
        // The gradient of the penalised squares vanishes at theta.
        let prior = RidgePrior::flat(4, &FLAT, 1.0);
        let noise = ridge.sums.spread(&prior).unwrap();
        let theta = ridge.theta().to_vec();
        for j in 0..4 {
            let mut gradient = noise * prior.precision[j] * (theta[j] - prior.mean[j]);
            for (x, y, w) in &rows {
                let x = with_one(x);
                gradient += w * (dot(&x, &theta) - y) * x[j];
            }
            prop_assert!(gradient.abs() < 1e-8, "{gradient}");
        }
    }
}

#[test]
fn a_long_silence_leads_back_to_the_prior_and_not_to_zero() {
    let mut ridge = fresh(0.9);
    (1..=50).for_each(|tick| give(&mut ridge, &[1.0, 0.0, 0.0], (0.0, 4.0), tick, None));
    assert!(ridge.mean(&[1.0, 0.0, 0.0, 1.0]) < 0.1);
    give(&mut ridge, &[0.0, 0.0, 0.0], (0.6, 1e-9), 1000, None);
    assert!((ridge.mean(&[1.0, 0.0, 0.0, 1.0]) - 0.6).abs() < 1e-6);
}

#[test]
fn what_breaks_the_sums_changes_nothing() {
    let mut ridge = fresh(0.99);
    give(&mut ridge, &[1.0, 0.5, 0.2], (0.4, 1.0), 1, None);
    let before = ridge.clone();
    let x = with_one(&[1.0, 0.5, 0.2]);
    let bad = |y, weight, replaces| Sample { x: &x, y, weight, tick: 2, replaces };
    assert!(ridge.observe(&bad(f64::NAN, 1.0, None)).is_err());
    assert!(ridge.observe(&bad(0.5, f64::INFINITY, None)).is_err());
    assert!(ridge.observe(&bad(0.5, 0.0, Some((0.5, 1e9)))).is_err(), "takes back what was never given");
    assert_eq!(ridge, before);
}

#[test]
fn a_pull_is_another_prior_mean() {
    let to = [0.05, -0.1, 0.2, 0.4];
    let moved = RidgePrior { mean: to.to_vec(), ..RidgePrior::flat(4, &FLAT, 1.0) };
    let (mut pulled, mut moved) = (fresh(0.99), Ridge::new(moved, 0.99).unwrap());
    for tick in 1..=30 {
        let x = [(tick as f64).sin(), (tick as f64).cos(), 0.1 * tick as f64];
        give(&mut pulled, &x, (0.5, 1.0), tick, None);
        give(&mut moved, &x, (0.5, 1.0), tick, None);
    }
    let (x, pull) = ([0.3, -0.2, 0.9, 1.0], pulled.prior().pull(&to));
    assert!((pulled.estimate(&x, (&pull, 0.0), &mut Vec::new()).mean - moved.mean(&x)).abs() < 1e-9);
    assert!((pulled.mean(&x) - moved.mean(&x)).abs() > 1e-3);
    // A lift is one of the level alone.
    let higher = [to[0], to[1], to[2], to[3] + 0.1];
    let by_pull = pulled.estimate(&x, (&pulled.prior().pull(&higher), 0.0), &mut Vec::new());
    assert!((pulled.estimate(&x, (&pull, 0.1), &mut Vec::new()).mean - by_pull.mean).abs() < 1e-12);
}

#[test]
fn common_slopes_are_found_whatever_the_levels() {
    let slope = [0.08, -0.05, 0.0];
    let ridges: Vec<Ridge> = [0.1, 0.5, 0.9]
        .iter()
        .map(|level| {
            let mut ridge = fresh(1.0);
            for tick in 1..=400 {
                // Each sees another part of the space.
                let x = [(tick as f64 * 0.7).sin() + level, (tick as f64 * 1.3).cos() - level, 0.0];
                give(&mut ridge, &x, (level + dot(&slope, &x), 1.0), tick, None);
            }
            ridge
        })
        .collect();
    let spread = Spread { slope_sd: FLAT.slope_sd, noise_sd: FLAT.noise_sd };
    let common = common_slopes(ridges.iter(), &spread, &[0.0; 4]).unwrap();
    let mean = common.through(0.6);
    assert!((mean[0] - 0.08).abs() < 0.005 && (mean[1] + 0.05).abs() < 0.005, "{mean:?}");
    assert!((mean[3] + 0.5 * mean[0] - 0.5 * mean[1] - 0.6).abs() < 0.005, "{mean:?}");
    // Each is as good as its level says at the centre of all prompts, whichever it was given.
    for (ridge, level) in ridges.iter().zip([0.1, 0.5, 0.9]) {
        let (found, variance) = common.level_of(ridge);
        let at_centre = level + 0.5 * slope[0] - 0.5 * slope[1];
        assert!((found - at_centre).abs() < 0.01 && variance < 0.01, "{found} of {at_centre}, {variance}");
    }
    let supposed = [0.1, -0.2, 0.0, 0.0];
    let nothing = common_slopes([].into_iter(), &spread, &supposed).unwrap();
    assert_eq!(nothing.through(0.6), [0.1, -0.2, 0.0, 0.6]);
    assert_eq!(nothing.level_of(&fresh(1.0)).1, f64::INFINITY);
}

#[test]
fn the_noise_is_found() {
    let mut ridge = fresh(1.0);
    for tick in 1..=2000 {
        let x = (tick as f64 * 0.7).sin();
        let noise = if tick % 2 == 0 { 0.3 } else { -0.3 };
        give(&mut ridge, &[x, 0.0, 0.0], (0.5 + 0.1 * x + noise, 1.0), tick, None);
    }
    assert!((ridge.sigma() - 0.3).abs() < 0.01, "{}", ridge.sigma());
}
