//! New arms among known ones. Until a few reports have come a new arm has a small share of the traffic, whatever is expected of it: no
//! more, so that a bad one costs little; no less, so that it is heard of. From then on it goes by its merits, and has besides a
//! share that follows the chance that it is the best: a bad one has none after few reports, a good one is not given up for bad
//! luck. What that may lose counts against the route's cap on the expected loss.

use super::Exploration;
use super::explore::{Stakes, square_cb};
use crate::domain::Allowance;
use crate::math::normal::upper_tail;

/// Share of the traffic of one new arm.
const SHARE: f64 = 0.02;
/// Share of all new arms together.
const MOST: f64 = 0.1;
/// The part of the cap on the expected loss that is kept for them.
const PART_OF_CAP: f64 = 0.5;
/// Reports after which a new arm goes by its merits.
pub const FIRST_LOOK: f64 = 8.0;
/// Reports, or rows of a prior that stand for them, after which an arm is new no more.
pub const LONG_ENOUGH: f64 = 50.0;
/// Reports after which an arm that joined is explored like any other.
pub const GROWN: f64 = 200.0;
/// The best keeps at least this probability.
const LEAST_OF_BEST: f64 = 0.5;

/// Probabilities over the arms at stake, shape `[k]`, and the best of those that are not new. Where all are new nobody is.
pub fn shares(stakes: &Stakes<'_>, is_new: &[bool], exploration: &Exploration) -> (Vec<f64>, Option<usize>) {
    let (new, known): (Vec<usize>, Vec<usize>) = (0..is_new.len()).partition(|k| is_new[*k]);
    let finite = stakes.utilities.iter().all(|u| u.is_finite());
    if new.is_empty() || known.is_empty() || !finite {
        return (square_cb(stakes, exploration), stakes.best());
    }
    let take = |values: &[f64]| known.iter().map(|k| values[*k]).collect::<Vec<f64>>();
    let (utilities, costs_usd, gammas) =
        (take(stakes.utilities), take(stakes.costs_usd), take(stakes.gammas));
    let among = Stakes {
        utilities: &utilities,
        costs_usd: &costs_usd,
        gammas: &gammas,
        reference_usd: stakes.reference_usd,
    };
    let mut p = vec![0.0; is_new.len()];
    let Some(best) = among.best() else { return (p, None) };
    let cap = exploration.max_expected_loss;
    let halved = Exploration { max_expected_loss: cap * (1.0 - PART_OF_CAP), ..*exploration };
    let of_known = square_cb(&among, &halved);
    if !exploration.is_greedy() {
        let share = exploration.share - (1.0 - of_known[best]);
        let room = Exploration { max_expected_loss: cap * PART_OF_CAP, share, ..*exploration };
        give(stakes, utilities[best], &new, &room, &mut p);
    }
    let left = 1.0 - p.iter().sum::<f64>();
    known.iter().zip(of_known).for_each(|(k, share)| p[*k] = left * share);
    (p, Some(known[best]))
}

/// Gives the new arms their shares, all by the same part when together they would lose or take more than there is room for.
fn give(stakes: &Stakes<'_>, top: f64, new: &[usize], room: &Exploration, p: &mut [f64]) {
    new.iter().for_each(|k| p[*k] = SHARE);
    let sum: f64 = p.iter().sum();
    let loss: f64 = new.iter().map(|k| p[*k] * (top - stakes.utilities[*k]).max(0.0)).sum();
    let most = MOST.min(room.share).max(0.0);
    let part = part(most, sum).min(part(room.max_expected_loss, loss));
    p.iter_mut().for_each(|p| *p *= part);
}

/// By what `is` has to be multiplied to be no more than `most`.
fn part(most: f64, is: f64) -> f64 {
    if is > most { most / is } else { 1.0 }
}

/// What the chance of an arm to be the best goes by; shapes `[k]`.
#[derive(Debug, Clone, Copy)]
pub struct Hopes<'a> {
    /// Whether it joined and is past its first look but not grown.
    pub is_young: &'a [bool],
    /// How far its mean quality may be off, one standard deviation.
    pub level_sds: &'a [f64],
    /// Of the request: what is tried is measured by the budget.
    pub allowance: &'a Allowance,
}

/// Raises young arms to what the chance that they are the best is worth, all by the same part of the way when the full way would
/// lose more than there is room for. What they gain the best arm gives.
pub fn raise(stakes: &Stakes<'_>, best: usize, hopes: &Hopes<'_>, exploration: &Exploration, p: &mut [f64]) {
    if exploration.is_greedy() || !hopes.is_young.contains(&true) {
        return;
    }
    let gap = |k: usize| (stakes.utilities[best] - stakes.utilities[k]).max(0.0);
    let worth = |k: usize| {
        let sd = hopes.level_sds[k].hypot(hopes.level_sds[best]).max(f64::MIN_POSITIVE);
        let extra = (stakes.costs_usd[k] - stakes.costs_usd[best]).max(f64::MIN_POSITIVE);
        let affordable = hopes.allowance.per_request_usd.map_or(1.0, |budget| (budget / extra).min(1.0));
        upper_tail(gap(k) / sd) * affordable
    };
    let lift = |k: usize| if hopes.is_young[k] && k != best { (worth(k) - p[k]).max(0.0) } else { 0.0 };
    let lifts: Vec<f64> = (0..p.len()).map(lift).collect();
    let lost: f64 = (0..p.len()).map(|k| p[k] * gap(k)).sum();
    let more: f64 = (0..p.len()).map(|k| lifts[k] * gap(k)).sum();
    let by_loss = (exploration.max_expected_loss - lost).max(0.0);
    let by_share = (exploration.share.min(1.0 - LEAST_OF_BEST) - (1.0 - p[best])).max(0.0);
    let all: f64 = lifts.iter().sum();
    let part = part(by_loss, more).min(part(by_share, all));
    p.iter_mut().zip(&lifts).for_each(|(p, lift)| *p += part * lift);
    p[best] -= part * all;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_contract_holds_with_new_arms_too(
            arms in prop::collection::vec((-1.0..1.0f64, 0.0..0.1f64, any::<bool>()), 1..10),
            cap in prop_oneof![Just(0.0), 1e-6..0.5f64],
            floor in 0.0..0.1f64,
            share in prop_oneof![Just(0.0), Just(1.0), 0.0..1.0f64],
        ) {
            let utilities: Vec<f64> = arms.iter().map(|a| a.0).collect();
            let costs_usd: Vec<f64> = arms.iter().map(|a| a.1).collect();
            let is_new: Vec<bool> = arms.iter().map(|a| a.2).collect();
            let gammas = vec![30.0; arms.len()];
            let stakes = Stakes { utilities: &utilities, costs_usd: &costs_usd, reference_usd: 0.001, gammas: &gammas };
            let exploration = Exploration { max_expected_loss: cap, floor, share };
            let (p, best) = shares(&stakes, &is_new, &exploration);
            let best = best.unwrap();
            prop_assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            prop_assert!(p.iter().all(|p| (0.0..=1.0).contains(p)), "{p:?}");
            // Against the best known arm: what a new one may gain over it is not set off.
            let loss: f64 = p.iter().zip(&utilities).map(|(p, u)| p * (utilities[best] - u).max(0.0)).sum();
            prop_assert!(loss <= cap * (1.0 + 1e-9) + 1e-12, "{loss} is more than {cap}");
            prop_assert!(1.0 - p[best] <= share + 1e-9, "{} on others, the share is {share}", 1.0 - p[best]);
            if is_new.iter().any(|n| !n) {
                for k in (0..p.len()).filter(|k| is_new[*k]) {
                    prop_assert!(p[k] <= SHARE + 1e-12 && k != best);
                }
            }
        }
    }

    #[test]
    fn a_new_arm_has_its_share_whatever_is_expected_of_it() {
        let (utilities, costs_usd) = ([0.8, 0.95, 0.75, 0.7], [0.001, 0.001, 0.004, 0.001]);
        let stakes = Stakes {
            utilities: &utilities,
            costs_usd: &costs_usd,
            reference_usd: 0.001,
            gammas: &[300.0; 4],
        };
        let (p, best) = shares(&stakes, &[false, true, true, false], &Exploration::DEFAULT);
        assert_eq!(best, Some(0));
        assert!((p[1] - 0.02).abs() < 1e-12 && (p[2] - 0.02).abs() < 1e-12, "{p:?}");
        let (p, best) = shares(&stakes, &[true; 4], &Exploration::DEFAULT);
        assert_eq!((best, p.len()), (Some(1), 4), "where all are new nobody is");
        let (p, _) = shares(&stakes, &[false, true, true, false], &Exploration::NONE);
        assert_eq!(p, [1.0, 0.0, 0.0, 0.0]);
    }

    proptest! {
        #[test]
        fn what_young_arms_are_given_keeps_the_contract(
            arms in prop::collection::vec((-1.0..1.0f64, 0.0..0.1f64, any::<bool>(), 0.001..0.3f64), 1..10),
            cap in prop_oneof![Just(0.0), 1e-6..0.5f64],
            share in prop_oneof![Just(0.0), Just(1.0), 0.0..1.0f64],
        ) {
            let utilities: Vec<f64> = arms.iter().map(|a| a.0).collect();
            let costs_usd: Vec<f64> = arms.iter().map(|a| a.1).collect();
            let is_young: Vec<bool> = arms.iter().map(|a| a.2).collect();
            let level_sds: Vec<f64> = arms.iter().map(|a| a.3).collect();
            let gammas = vec![300.0; arms.len()];
            let stakes = Stakes { utilities: &utilities, costs_usd: &costs_usd, reference_usd: 0.001, gammas: &gammas };
            let exploration = Exploration { max_expected_loss: cap, floor: 0.005, share };
            let mut p = square_cb(&stakes, &exploration);
            let (before, best) = (p.clone(), stakes.best().unwrap());
            let hopes = Hopes { is_young: &is_young, level_sds: &level_sds, allowance: &Allowance::UNBOUNDED };
            raise(&stakes, best, &hopes, &exploration, &mut p);
            prop_assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            prop_assert!((0..p.len()).all(|k| k == best || p[k] >= before[k] - 1e-12), "{p:?}");
            prop_assert!((0..p.len()).all(|k| is_young[k] || k == best || p[k] == before[k]), "{p:?}");
            let loss: f64 = p.iter().zip(&utilities).map(|(p, u)| p * (utilities[best] - u)).sum();
            prop_assert!(loss <= cap * (1.0 + 1e-9) + 1e-12, "{loss} is more than {cap}");
            prop_assert!(1.0 - p[best] <= share + 1e-9);
        }
    }

    #[test]
    fn a_young_arm_that_may_be_the_best_is_tried_and_one_that_cannot_be_is_not() {
        let (utilities, costs_usd) = ([0.8, 0.78, 0.78, 0.78], [0.001, 0.001, 0.001, 0.101]);
        let stakes = Stakes {
            utilities: &utilities,
            costs_usd: &costs_usd,
            reference_usd: 0.001,
            gammas: &[900.0; 4],
        };
        let given = |sds: [f64; 4], allowance: &Allowance| {
            let mut p = vec![0.97, 0.01, 0.01, 0.01];
            let is_young = [false, true, true, true];
            let hopes = Hopes { is_young: &is_young, level_sds: &sds, allowance };
            raise(&stakes, 0, &hopes, &Exploration::DEFAULT, &mut p);
            p
        };
        let p = given([0.01, 0.1, 0.005, 0.1], &Allowance::UNBOUNDED);
        assert!(p[1] > 0.15 && p[2] < 0.03 && (p[3] - p[1]).abs() < 1e-12, "{p:?}");
        let budget = Allowance { per_request_usd: Some(0.001), ..Allowance::UNBOUNDED };
        let p = given([0.01, 0.1, 0.005, 0.1], &budget);
        assert!(p[1] > 0.15 && p[3] < 0.03, "a hundred times the budget: {p:?}");
    }
}
