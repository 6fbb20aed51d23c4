//! Properties of the distribution and of the draw.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn stakes<'a>(utilities: &'a [f64], costs_usd: &'a [f64]) -> Stakes<'a> {
    Stakes { utilities, costs_usd, reference_usd: 0.001, gammas: &[30.0; 12] }
}

fn losses(utilities: &[f64], p: &[f64]) -> f64 {
    let top = utilities.iter().copied().fold(f64::MIN, f64::max);
    utilities.iter().zip(p).map(|(u, p)| p * (top - u)).sum()
}

proptest! {
    #[test]
    fn it_sums_to_one_and_the_cap_holds(
        arms in prop::collection::vec((-1e9..1.0f64, 0.0..10.0f64, 0u64..1_000_000), 1..12),
        narrow in any::<bool>(),
        cap in prop_oneof![Just(0.0), 1e-6..0.5f64],
        floor in 0.0..1.0f64,
        share in prop_oneof![Just(0.0), Just(1.0), 0.0..1.0f64],
    ) {
        let scale = if narrow { 1e-9 } else { 1.0 };
        let utilities: Vec<f64> = arms.iter().map(|(u, _, _)| u * scale).collect();
        let costs: Vec<f64> = arms.iter().map(|(_, c, _)| *c).collect();
        let gammas: Vec<f64> = arms.iter().map(|(_, _, n)| gamma(30.0, *n)).collect();
        let exploration = Exploration { max_expected_loss: cap, floor, share };
        let p = square_cb(&Stakes { gammas: &gammas, ..stakes(&utilities, &costs) }, &exploration);
        prop_assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        prop_assert!(p.iter().all(|p| (0.0..=1.0).contains(p)));
        prop_assert!(losses(&utilities, &p) <= cap * (1.0 + 1e-9) + 1e-12, "{}", losses(&utilities, &p));
        let best = stakes(&utilities, &costs).best().unwrap();
        prop_assert!(p[best] >= 1.0 / p.len() as f64 - 0.5);
        prop_assert!(1.0 - p[best] <= share + 1e-9, "{} on others, the share is {share}", 1.0 - p[best]);
        if cap == 0.0 || share == 0.0 {
            prop_assert_eq!(p[best], 1.0);
        }
    }

    #[test]
    fn where_the_cap_leaves_room_every_arm_keeps_its_floor_by_its_cost(
        arms in prop::collection::vec((-1.0..1.0f64, 0.0..1.0f64), 2..12),
        floor in 0.0..0.1f64,
    ) {
        let (utilities, costs): (Vec<f64>, Vec<f64>) = arms.into_iter().unzip();
        let stakes = stakes(&utilities, &costs);
        let p = square_cb(&stakes, &Exploration { max_expected_loss: 1e9, floor, share: 1.0 });
        let most = 0.5 / p.len() as f64;
        for k in 0..p.len() {
            let kept = floor.min(most) / (costs[k] / stakes.reference_usd).max(1.0);
            prop_assert!(p[k] >= kept - 1e-12, "arm {k} has {} and should keep {kept}", p[k]);
        }
    }

    #[test]
    fn a_better_arm_is_never_drawn_less_at_equal_cost(utilities in prop::collection::vec(-1.0..1.0f64, 2..8)) {
        let costs = vec![0.001; utilities.len()];
        let p = square_cb(&stakes(&utilities, &costs), &Exploration::DEFAULT);
        for i in 0..p.len() {
            for j in 0..p.len() {
                if utilities[i] > utilities[j] {
                    prop_assert!(p[i] >= p[j] - 1e-12);
                }
            }
        }
    }
}

#[test]
fn without_cap_and_floor_it_is_inverse_gap_weighting() {
    let free = Exploration { max_expected_loss: 10.0, floor: 0.0, share: 1.0 };
    let p = square_cb(&stakes(&[0.5, 0.9, 0.8], &[1.0; 3]), &free);
    assert!((p[0] - 1.0 / (3.0 + 30.0 * 0.4)).abs() < 1e-12);
    assert!((p[2] - 1.0 / (3.0 + 30.0 * 0.1)).abs() < 1e-12);
}

#[test]
fn a_dear_arm_keeps_a_smaller_floor() {
    let exploration = Exploration { max_expected_loss: 1e9, floor: 0.01, share: 1.0 };
    let p = square_cb(&stakes(&[0.9, -1e6, -1e6], &[0.001, 0.001, 0.1]), &exploration);
    assert!((p[1] - 0.01).abs() < 1e-12 && (p[2] - 0.0001).abs() < 1e-12, "{p:?}");
}

#[test]
fn more_reports_on_an_arm_explore_it_less() {
    let loose = Exploration { max_expected_loss: 1.0, floor: 0.0, share: 1.0 };
    let gammas = [gamma(30.0, 500), gamma(30.0, 0), gamma(30.0, 100)];
    let p = square_cb(&Stakes { gammas: &gammas, ..stakes(&[0.9, 0.7, 0.7], &[1.0; 3]) }, &loose);
    assert!((p[1] - 1.0 / (3.0 + 30.0 * 0.2)).abs() < 1e-9);
    assert!((p[2] - 1.0 / (3.0 + 30.0 * 101f64.sqrt() * 0.2)).abs() < 1e-9);
}

#[test]
fn what_is_not_finite_gives_no_distribution() {
    let p = square_cb(&stakes(&[0.9, f64::NAN], &[1.0; 2]), &Exploration::DEFAULT);
    assert!(ArmDistribution::new(["a", "b"].map(ArmId::from).to_vec(), p).is_err());
}

#[test]
fn the_draws_follow_the_distribution() {
    let arms = ["a", "b", "c", "d"].map(ArmId::from).to_vec();
    let p = [0.5, 0.3, 0.0, 0.2];
    let distribution = ArmDistribution::new(arms.clone(), p.to_vec()).unwrap();
    let mut counts = [0u32; 4];
    let draws = 1_000_000u64;
    for i in 0..draws {
        let id = DecisionId::from_uuid(Uuid::from_u64_pair(i, i ^ 0x5a5a));
        let drawn = draw(&distribution, uniform(id, b"salt"));
        let k = arms.iter().position(|a| *a == drawn.arm).unwrap();
        assert_eq!(drawn.propensity, p[k]);
        counts[k] += 1;
    }
    assert_eq!(counts[2], 0);
    let chi_square: f64 = [0, 1, 3]
        .map(|k| {
            let want = draws as f64 * p[k];
            (f64::from(counts[k]) - want).powi(2) / want
        })
        .iter()
        .sum();
    // 2 degrees of freedom, 1 in 10,000.
    assert!(chi_square < 18.4, "{chi_square}");
}

#[test]
fn the_draw_reaches_the_last_arm_whatever_the_rounding() {
    let distribution =
        ArmDistribution::new(["a", "b"].map(ArmId::from).to_vec(), vec![1.0 - 1e-10, 0.0]).unwrap();
    assert_eq!(draw(&distribution, 1.0 - 1e-16).arm, ArmId::from("a"));
}

#[test]
fn the_uniform_number_depends_on_id_and_salt_alone() {
    let id = DecisionId::from_uuid(Uuid::from_u128(7));
    assert_eq!(uniform(id, b"x"), uniform(id, b"x"));
    assert_ne!(uniform(id, b"x"), uniform(id, b"y"));
    assert!((0.0..1.0).contains(&uniform(id, b"")));
}

#[test]
fn a_million_draws_come_as_often_as_their_propensities_say() {
    let p = vec![0.6, 0.25, 0.1, 0.045, 0.005];
    let arms: Vec<ArmId> = ["a", "b", "c", "d", "e"].map(ArmId::from).to_vec();
    let distribution = ArmDistribution::new(arms.clone(), p.clone()).unwrap();
    let mut counts = [0u32; 5];
    for n in 0..1_000_000u128 {
        let drawn = draw(&distribution, uniform(DecisionId::from_uuid(Uuid::from_u128(n)), b"salt"));
        let k = arms.iter().position(|arm| *arm == drawn.arm).unwrap();
        assert_eq!(drawn.propensity, p[k]);
        counts[k] += 1;
    }
    let chi_square: f64 =
        counts.iter().zip(&p).map(|(n, p)| (f64::from(*n) - 1e6 * p).powi(2) / (1e6 * p)).sum();
    // The 99.9 % point with four degrees of freedom.
    assert!(chi_square < 18.47, "{chi_square}: {counts:?}");
}
