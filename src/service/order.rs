//! Whom to ask, one after the other.

use crate::domain::{ArmId, Decision};

/// Most arms that one request may be sent to, one after the other.
const MOST_TARGETS: usize = 4;

/// The drawn arm, the caller's own fallbacks, the other eligible arms by utility, and the route's default at the end if it does
/// not stand there already. Short: every further call costs the caller time.
pub(super) fn in_order(
    decision: &Decision,
    fallbacks: Vec<ArmId>,
    on_route: &[ArmId],
    default: Option<&ArmId>,
) -> Vec<ArmId> {
    let ranked = decision.estimates.iter().map(|e| e.arm.clone());
    let eligible = |arm: &&ArmId| decision.excluded.iter().all(|e| e.arm != **arm);
    let others = on_route.iter().filter(eligible).cloned();
    let mut order: Vec<ArmId> = Vec::new();
    for arm in [decision.arm.clone()].into_iter().chain(fallbacks).chain(ranked).chain(others) {
        if !order.contains(&arm) {
            order.push(arm);
        }
    }
    order.truncate(MOST_TARGETS);
    if let Some(default) = default.filter(|d| !order.contains(d)) {
        order.truncate(MOST_TARGETS - 1);
        order.push(default.clone());
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ArmDistribution, Encoding, PolicyVersion, Preference, Reason, Strategy};
    use crate::service::now;

    fn decision(arms: &[&str], drawn: &str) -> Decision {
        let p = vec![1.0 / arms.len() as f64; arms.len()];
        Decision {
            id: "0192f0c1-0000-7000-8000-000000000000".parse().unwrap(),
            at: now(),
            route: "auto".into(),
            arm: drawn.into(),
            propensity: p[0],
            distribution: ArmDistribution::new(arms.iter().map(|a| ArmId::from(*a)).collect(), p).unwrap(),
            estimates: vec![],
            excluded: vec![],
            policy: PolicyVersion::from("x"),
            strategy: Strategy::Learned,
            reason: Reason::Greedy,
            fault: None,
            preference: Preference::balanced(),
            constraints: crate::domain::Constraints::default(),
            relaxed: vec![],
            context: None,
            encoding: Encoding { embedder: "none".into(), cut: None },
            prompt: None,
            input_tokens: 1,
            pin: None,
            key: None,
            session: None,
            user: None,
            tags: Default::default(),
            decision_only: false,
            price: None,
            budget: None,
            repeats: None,
            trial: None,
        }
    }

    fn names(order: &[ArmId]) -> Vec<&str> {
        order.iter().map(ArmId::as_str).collect()
    }

    #[test]
    fn the_order_starts_with_the_drawn_arm_and_ends_with_the_default() {
        let six = decision(&["a", "b", "c", "d", "e", "f"], "c");
        let all = six.distribution.arms().to_vec();
        assert_eq!(names(&in_order(&six, vec![], &all, Some(&"f".into()))), ["c", "a", "b", "f"]);
        assert_eq!(names(&in_order(&six, vec!["e".into()], &all, Some(&"f".into()))), ["c", "e", "a", "f"]);
        let one = decision(&["a"], "a");
        assert_eq!(names(&in_order(&one, vec![], &[], None)), ["a"]);
        assert_eq!(names(&in_order(&one, vec![], &all[..1], Some(&"z".into()))), ["a", "z"]);
        let certain = decision(&["a"], "a");
        assert_eq!(
            names(&in_order(&certain, vec![], &all[..2], Some(&"a".into()))),
            ["a", "b"],
            "simple strategies fall back too"
        );
    }
}
