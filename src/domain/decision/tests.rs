//! Distributions and sets of arms that are none.

use super::*;

#[test]
fn a_distribution_is_refused_unless_it_is_one() {
    let arms = || vec![ArmId::from("a"), ArmId::from("b")];
    assert!(ArmDistribution::new(arms(), vec![0.25, 0.75]).is_ok());
    assert_eq!(
        ArmDistribution::new(arms(), vec![1.0]),
        Err(DistributionError::Shape { arms: 2, probabilities: 1 })
    );
    assert!(matches!(ArmDistribution::new(arms(), vec![0.5, 0.4]), Err(DistributionError::Sum(_))));
    assert!(matches!(
        ArmDistribution::new(arms(), vec![f64::NAN, 1.0]),
        Err(DistributionError::OutOfRange { .. })
    ));
    assert!(ArmDistribution::new(vec![], vec![]).is_err());
}

#[test]
fn an_arm_set_is_sorted_distinct_and_never_empty() {
    let set = ArmSet::new(["b", "a", "b"].map(ArmId::from)).unwrap();
    assert_eq!(set.as_slice(), &["a", "b"].map(ArmId::from));
    assert!(ArmSet::new([]).is_none());
}
