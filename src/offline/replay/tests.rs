use super::*;
use crate::domain::{Constraints, Preference};
use crate::offline::synthetic::MadeUp;
use crate::policy::Exploration;
use crate::store::StoreOptions;

const DIM: usize = 9;

fn route(traces: &Traces, strategy: RouteStrategy, default: &str) -> (Vec<Arm>, Route) {
    let arms = traces.catalog();
    let route = Route {
        name: RouteName::from("auto"),
        arms: arms.iter().map(|a| a.id.clone()).collect(),
        default: ArmId::from(default),
        strategy,
        preference: Preference::balanced(),
        constraints: Constraints::default(),
        exploration: Exploration::DEFAULT,
        session: Default::default(),
        retire: Default::default(),
        conduct: Default::default(),
    };
    (arms, route)
}

fn change_of(replayed: &Replayed) -> (f64, f64) {
    let e = &replayed.evaluation;
    (e.quality.difference.mean, e.cost_usd.difference.mean / e.cost_usd.logged.mean)
}

#[test]
fn an_edited_configuration_is_priced_and_its_guards_hold_or_fail() {
    let schema = FeatureSchema::new("made-up");
    let log = MadeUp { rows: 6000, reported: 0.8, seed: 9, schema: schema.clone(), dim: DIM };
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::at(folder.path().join("log.db"))).unwrap();
    log.write(&store, &mut |_, _| ()).unwrap();
    let end = *store.committed().borrow();
    let traces = Traces::read(&store, (Seq(0), end), (&schema, DIM), &mut |_, _| ()).unwrap();
    let large = traces.catalog().into_iter().find(|a| a.id.as_str() == "made-up/large").unwrap();
    assert!((large.price.input - 2.5).abs() < 1e-6 && (large.price.output - 10.0).abs() < 1e-6, "{large:?}");
    let run = |arms: &[Arm], route: &Route| {
        let edited = Edited { arms, routes: std::slice::from_ref(route), share: 0.7, seed: 1 };
        replay(&store, (&schema, DIM), &edited, &mut |_, _| ()).unwrap()
    };

    // The cheapest arm alone: quality falls by what the world says, spend by more than half.
    let (arms, small) = route(&traces, RouteStrategy::Fixed, "made-up/small");
    let replayed = run(&arms, &small);
    let (quality, cost) = change_of(&replayed);
    assert!((-0.2..-0.05).contains(&quality) && (-1.0..-0.5).contains(&cost), "{quality} {cost}");
    let guards: BTreeMap<Guard, f64> = [(Guard::QualityDrop, 0.02), (Guard::CostRise, 0.1)].into();
    let fared = guarded(&replayed.evaluation, &guards);
    assert!(fared[0].failed.as_deref().unwrap().contains("95 % confidence"), "{fared:?}");
    assert_eq!(fared[1].failed, None, "{fared:?}");

    // Doubled prices double the spend of the same choices.
    let dear: Vec<Arm> = arms
        .iter()
        .cloned()
        .map(|mut a| {
            (a.price.input, a.price.output) = (2.0 * a.price.input, 2.0 * a.price.output);
            a
        })
        .collect();
    let doubled = run(&dear, &small);
    let ratio = doubled.evaluation.cost_usd.robust.mean / replayed.evaluation.cost_usd.robust.mean;
    assert!((ratio - 2.0).abs() < 0.05, "{ratio}");

    // A model that the log has never seen has no support, and a guard that cannot be judged fails.
    let mut unseen = arms.clone();
    unseen.push(Arm { id: ArmId::from("made-up/unseen"), ..arms[0].clone() });
    let mut new = small.clone();
    (new.default, new.arms) = (ArmId::from("made-up/unseen"), vec![ArmId::from("made-up/unseen")]);
    let replayed = run(&unseen, &new);
    assert!(replayed.evaluation.no_verdict.as_deref().unwrap().contains("no support"));
    assert!(guarded(&replayed.evaluation, &guards).iter().all(|g| g.failed.is_some()));

    let elsewhere = Route { name: RouteName::from("other"), ..small };
    let edited = Edited { arms: &arms, routes: &[elsewhere], share: 0.5, seed: 1 };
    let none = replay(&store, (&schema, DIM), &edited, &mut |_, _| ());
    assert!(matches!(none, Err(LogError::NoRoute { .. })));
}
