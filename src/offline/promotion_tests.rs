//! A promoted bundle is part of the fold: same log, same bits, whoever folds it and however often it is restarted.

use std::sync::Arc;

use super::synthetic::MadeUp;
use crate::domain::{AdminEvent, EventBody, FeatureSchema, KeyId, PolicyVersion, Seq};
use crate::learning::{Actor, LearnerSource, LearningOptions, fold};
use crate::policy::{LearnedState, Learner, Prior, Settings};
use crate::store::{NewPolicy, Store, StoreOptions};

const DIM: usize = 5;

fn empty(settings: Settings) -> LearnedState {
    LearnedState::with_settings(FeatureSchema::new("made-up"), DIM, settings).unwrap()
}

/// The state after the whole log, from nothing.
fn folded(store: &Store, settings: Settings) -> Vec<u8> {
    let mut state = empty(settings);
    fold(store, &mut state, *store.committed().borrow()).unwrap();
    state.to_bytes()
}

/// The state that a service started on the log comes to, and again after a restart.
fn served(store: &Store) -> Vec<u8> {
    let make = || Box::new(empty(Settings::DEFAULT)) as Box<dyn Learner>;
    let restore = |bytes: &[u8]| {
        LearnedState::from_bytes(bytes).map(|s| Box::new(s) as Box<dyn Learner>).map_err(|e| e.to_string())
    };
    let source = LearnerSource { make: &make, restore: &restore };
    let options = LearningOptions { checkpoint_events: 70, ..LearningOptions::default() };
    Actor::start(store, &source, options).unwrap().stop().unwrap();
    store.checkpoints().unwrap().remove(0).state.unwrap()
}

fn write(store: &Store, seed: u64, rows: u64) {
    let schema = FeatureSchema::new("made-up");
    MadeUp { rows, reported: 0.5, seed, schema, dim: DIM }.write(store, &mut |_, _| ()).unwrap();
}

fn promote(store: &Store, version: &str, cut: Seq, state: Vec<u8>) -> Seq {
    let version = PolicyVersion::from(version);
    store.promote(NewPolicy { version, cut, manifest: "{}".into(), state }).unwrap()
}

#[test]
fn a_promoted_bundle_takes_over_and_learns_on_and_a_rollback_brings_back_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::at(folder.path().join("log.db"))).unwrap();
    write(&store, 1, 200);
    let cut = *store.committed().borrow();
    // Tuned otherwise, so that nobody takes it for the state that the log alone teaches.
    let mut tuned = Settings::DEFAULT;
    tuned.heads.quality.slope_sd *= 3.0;
    let bundle = folded(&store, tuned);
    let plain = folded(&store, Settings::DEFAULT);
    assert!(bundle != plain && served(&store) == plain);

    write(&store, 2, 60);
    promote(&store, "one", cut, bundle.clone());
    write(&store, 3, 60);
    // What the bundle's settings would have made of the whole log: the promotion itself teaches nothing.
    let expected = {
        let mut state = LearnedState::from_bytes(&bundle).unwrap();
        let mut joiner = crate::learning::Joiner::default();
        let end = store.committed().borrow().0 as usize;
        for row in store.scan(Seq(0), end).unwrap() {
            let after = row.seq > cut;
            let _ =
                joiner.observe(&row, &store, &mut |o| if after { state.apply(o) } else { Ok(()) }).unwrap();
        }
        state.to_bytes()
    };
    assert!(folded(&store, Settings::DEFAULT) == expected, "a fold from the beginning");
    assert!(served(&store) == expected, "a restart from a checkpoint before the promotion");
    assert!(served(&store) == expected, "a restart from one after it");

    let mut other = Settings::DEFAULT;
    other.gamma = 99.0;
    promote(&store, "two", Seq(0), empty(other).to_bytes());
    assert!(LearnedState::from_bytes(&served(&store)).unwrap().settings() == other);
    let back = store.policy(&PolicyVersion::from("one")).unwrap().unwrap();
    assert_eq!((back.cut, &back.state), (cut, &bundle));
    store.promote(back).unwrap();
    let restored = served(&store);
    assert!(restored == expected, "promotions in between teach nothing");
    assert!(folded(&store, Settings::DEFAULT) == restored);
    let names: Vec<String> = store.promotions().unwrap().iter().map(|p| p.version.to_string()).collect();
    assert_eq!(names, ["one", "two", "one"]);
}

#[test]
fn g4_a_bundle_that_cannot_be_taken_is_set_aside_and_learning_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::at(folder.path().join("log.db"))).unwrap();
    write(&store, 1, 80);
    let plain = folded(&store, Settings::DEFAULT);
    let foreign = LearnedState::new(FeatureSchema::new("another"), DIM).unwrap();
    promote(&store, "foreign", Seq(0), foreign.to_bytes());
    let last = promote(&store, "damaged", Seq(0), b"no state at all".to_vec());
    let lost = AdminEvent::PolicyPromoted { policy: PolicyVersion::from("never kept") };
    store.try_append(EventBody::Admin(lost)).unwrap();
    store.try_append(EventBody::Admin(AdminEvent::KeyRevoked { key: KeyId::from("k") })).unwrap();
    while store.committed().borrow().0 < last.0 + 2 {
        std::thread::yield_now();
    }
    let mut state = empty(Settings::DEFAULT);
    let after = fold(&store, &mut state, *store.committed().borrow()).unwrap();
    assert_eq!(after.set_aside, 3);
    assert!(state.to_bytes() == plain);
}

#[test]
fn what_a_deployment_began_with_survives_a_promotion() {
    let schema = FeatureSchema::new("made-up");
    let ours = Arc::new(Prior { name: "ours".to_owned(), ..Prior::none(DIM) });
    let mut state = LearnedState::with_prior(schema.clone(), ours, DIM, Settings::DEFAULT).unwrap();
    state.adopt(&LearnedState::new(schema, DIM).unwrap().to_bytes()).unwrap();
    assert_eq!(state.origin(), "ours");
    assert_eq!(LearnedState::from_bytes(&state.to_bytes()).unwrap().origin(), "ours");
}
