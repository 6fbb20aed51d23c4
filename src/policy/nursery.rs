//! New arms among known ones: until enough has been heard of it a new arm has a small share of the traffic, whatever is expected of
//! it. No more, so that a bad one costs little; no less, so that a good one is found. What that may lose counts against the
//! route's cap on the expected loss.

use super::Exploration;
use super::explore::{Stakes, square_cb};

/// Share of the traffic of one new arm at the default's cost or below; a dearer one has less, by as much as it is dearer.
const SHARE: f64 = 0.02;
/// Share of all new arms together.
const MOST: f64 = 0.1;
/// The part of the cap on the expected loss that is kept for them.
const PART_OF_CAP: f64 = 0.5;
/// Reports, or rows of a prior that stand for them, after which an arm is new no more.
pub const LONG_ENOUGH: f64 = 50.0;

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
    for k in new {
        let dearness = stakes.costs_usd[*k] / stakes.reference_usd.max(f64::MIN_POSITIVE);
        p[*k] = SHARE / dearness.max(1.0);
    }
    let sum: f64 = p.iter().sum();
    let loss: f64 = new.iter().map(|k| p[*k] * (top - stakes.utilities[*k]).max(0.0)).sum();
    let most = MOST.min(room.share).max(0.0);
    let part = |most: f64, is: f64| if is > most { most / is } else { 1.0 };
    let part = part(most, sum).min(part(room.max_expected_loss, loss));
    p.iter_mut().for_each(|p| *p *= part);
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
    fn a_new_arm_has_its_share_whatever_is_expected_of_it_and_less_when_it_is_dear() {
        let (utilities, costs_usd) = ([0.8, 0.95, 0.75, 0.7], [0.001, 0.001, 0.004, 0.001]);
        let stakes = Stakes {
            utilities: &utilities,
            costs_usd: &costs_usd,
            reference_usd: 0.001,
            gammas: &[300.0; 4],
        };
        let (p, best) = shares(&stakes, &[false, true, true, false], &Exploration::DEFAULT);
        assert_eq!(best, Some(0));
        assert!((p[1] - 0.02).abs() < 1e-12 && (p[2] - 0.005).abs() < 1e-12, "{p:?}");
        let (p, best) = shares(&stakes, &[true; 4], &Exploration::DEFAULT);
        assert_eq!((best, p.len()), (Some(1), 4), "where all are new nobody is");
        let (p, _) = shares(&stakes, &[false, true, true, false], &Exploration::NONE);
        assert_eq!(p, [1.0, 0.0, 0.0, 0.0]);
    }
}
