//! A challenger is a fold like the champion: what it knows and what its guards have seen are the log's, whoever reads it and
//! however often it is killed.

use std::sync::Arc;
use std::time::Duration;

use super::synthetic::MadeUp;
use crate::domain::{
    CanaryGuard, Completed, CompletionEnd, Decision, DecisionId, EventBody, Experiment, FeatureSchema,
    PolicyVersion, Seq, Trial, UnixMs,
};
use crate::learning::{Actor, Challenger, LearnerSource, LearningHandle, LearningOptions};
use crate::policy::{LearnedState, Learner};
use crate::store::{NewPolicy, Store, StoreOptions, stage};

const DIM: usize = 5;

fn empty() -> LearnedState {
    LearnedState::new(FeatureSchema::new("made-up"), DIM).unwrap()
}

fn start(store: &Store, checkpoint_events: u64) -> LearningHandle {
    let make = || Box::new(empty()) as Box<dyn Learner>;
    let restore = |bytes: &[u8]| {
        LearnedState::from_bytes(bytes).map(|s| Box::new(s) as Box<dyn Learner>).map_err(|e| e.to_string())
    };
    let options = LearningOptions { checkpoint_events, ..LearningOptions::default() };
    Actor::start(store, &LearnerSource { make: &make, restore: &restore }, options).unwrap()
}

fn begin(store: &Store, state: Vec<u8>, guard: (CanaryGuard, f64)) -> Seq {
    let policy = PolicyVersion::from("one");
    let bundle = NewPolicy { version: policy.clone(), cut: Seq(0), manifest: "{}".into(), state };
    let experiment =
        Experiment { name: "try".into(), route: None, policy, share: 0.05, guards: [guard].into() };
    store.start_experiment(Some(bundle), experiment).unwrap().unwrap()
}

/// Calls of the stage that began at `stage`, `n` a side; the challenger's fail where `fails` says so.
fn play(store: &Store, stage: Seq, from: u128, n: u128, fails: impl Fn(u128) -> bool) {
    for i in from..from + 2 * n {
        let (challenger, id) = (i % 2 == 1, DecisionId::from_uuid(uuid::Uuid::from_u128(1 << 100 | i)));
        let mut decision = Decision::certain(id, UnixMs(1), "auto".into(), "a".into(), "p".into());
        decision.trial = Some(Trial { experiment: "try".into(), stage, share: 0.05, challenger });
        let failed = challenger && fails(i);
        let ended = Completed {
            decision: id,
            at: UnixMs(2),
            served: (!failed).then(|| "a".into()),
            completion_id: None,
            end: if failed { CompletionEnd::Failed } else { CompletionEnd::Complete },
            usage: None,
            cost_usd: Some(0.001),
            first_token_ms: None,
            total_ms: 100.0,
            finish_reason: None,
            attempts: Vec::new(),
            kind: None,
            billing: None,
        };
        store.try_append(EventBody::Decided(Box::new(decision))).unwrap();
        store.try_append(EventBody::Completed(Box::new(ended))).unwrap();
    }
}

/// What requests see once everything that is queued was folded in.
fn seen(store: &Store, learning: &LearningHandle) -> Option<Arc<Challenger>> {
    while store.queue_len() > 0 || learning.status().published < *store.committed().borrow() {
        std::thread::sleep(Duration::from_millis(2));
    }
    learning.challenger()
}

#[test]
fn a_restart_from_any_checkpoint_sees_what_was_seen_before() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::at(folder.path().join("log.db"))).unwrap();
    let made_up =
        MadeUp { rows: 60, reported: 0.5, seed: 1, schema: FeatureSchema::new("made-up"), dim: DIM };
    made_up.write(&store, &mut |_, _| ()).unwrap();
    let since = begin(&store, empty().to_bytes(), (CanaryGuard::ErrorRateRise, 0.9));
    let live = start(&store, 25);
    play(&store, since, 0, 4, |i| i == 3);
    MadeUp { rows: 20, seed: 2, ..made_up }.write(&store, &mut |_, _| ()).unwrap();
    let before = seen(&store, &live).unwrap();
    let readings = &before.guards[0];
    assert_eq!((readings.champion.n, readings.challenger.n, readings.challenger.value), (4, 4, Some(0.25)));
    // Beside it, as after a kill: there is no last checkpoint, the newest one is from some events ago.
    let again = start(&store, 1_000_000);
    let after = again.challenger().unwrap();
    assert_eq!((&after.stage, &after.guards), (&before.stage, &before.guards));
    let version = |c: &Challenger| c.policy.as_ref().unwrap().version().clone();
    assert_eq!(version(&after), version(&before));
    let reports = |c: &Challenger| c.policy.as_ref().unwrap().present();
    assert!(
        reports(&after) == reports(&before) && !reports(&after).is_empty(),
        "it learned with the champion"
    );
    assert_eq!(format!("{:?}", after.policy), format!("{:?}", before.policy), "to the last bit");
    live.stop().unwrap();
    assert_eq!(start(&store, 1_000_000).challenger().unwrap().guards, before.guards, "from the last one too");
}

#[test]
fn stages_follow_each_other_and_a_failing_guard_ends_the_experiment() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::at(folder.path().join("log.db"))).unwrap();
    let since = begin(&store, empty().to_bytes(), (CanaryGuard::ErrorRateRise, 0.2));
    let learning = start(&store, 1000);
    play(&store, since, 0, 100, |_| false);
    let running = || stage(&store.admin_events(*store.committed().borrow()).unwrap());
    while running().unwrap().since == since {
        std::thread::sleep(Duration::from_millis(2));
    }
    let second = running().unwrap();
    assert_eq!((second.share, second.next_share()), (0.25, None));
    let fresh = seen(&store, &learning).unwrap();
    assert_eq!(
        (fresh.stage.since, fresh.guards[0].challenger.n),
        (second.since, 0),
        "a stage has its own evidence"
    );
    // Late words on the first stage count for nothing.
    play(&store, since, 10_000, 50, |_| true);
    assert_eq!(seen(&store, &learning).unwrap().guards[0].challenger.n, 0);
    play(&store, second.since, 20_000, 100, |_| true);
    while running().is_some() {
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(seen(&store, &learning).is_none());
    assert!(store.promotions().unwrap().is_empty());
    learning.stop().unwrap();
}

#[test]
fn g3_a_challenger_that_cannot_be_is_taken_back_and_the_champion_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::at(folder.path().join("log.db"))).unwrap();
    let learning = start(&store, 1000);
    begin(&store, b"no state at all".to_vec(), (CanaryGuard::CostRise, 0.1));
    let over = || stage(&store.admin_events(*store.committed().borrow()).unwrap()).is_none();
    while !over() {
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(seen(&store, &learning).is_none());
    assert_eq!(learning.status().unwell, None);
    learning.stop().unwrap();
}
