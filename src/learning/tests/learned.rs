//! The real learner behind the actor.

use super::*;
use crate::policy::LearnedState;
use crate::store::tests::temporary;

fn fresh() -> LearnedState {
    LearnedState::new(FeatureSchema::new("test-v1"), 4).unwrap()
}

fn start(store: &Store, checkpoint_events: u64) -> LearningHandle {
    let make = || -> Box<dyn Learner> { Box::new(fresh()) };
    let restore = |bytes: &[u8]| -> Result<Box<dyn Learner>, String> {
        Ok(Box::new(LearnedState::from_bytes(bytes).map_err(|e| e.to_string())?))
    };
    let source = LearnerSource { make: &make, restore: &restore };
    let options = LearningOptions { checkpoint_events, ..Default::default() };
    Actor::start(store, &source, options).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn its_state_after_restarts_is_the_fold_of_the_log_bit_for_bit() {
    let (_folder, store) = temporary();
    for round in 0..3 {
        let handle = start(&store, 25);
        write_log(&store, round * 40, round * 40 + 40).await;
        let end = *store.committed().borrow();
        assert_eq!(handle.stop().unwrap(), end);
        assert_eq!((handle.status().set_aside, handle.status().unwell), (0, None));
        let mut whole = fresh();
        fold(&store, &mut whole, end).unwrap();
        assert_eq!(saved(&store), whole.to_bytes(), "round {round}");
        assert!(whole.quality_feedbacks().map(|(_, n)| n).sum::<u64>() > 10);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f2_a_revised_report_ends_where_the_last_alone_would() {
    let [revised, plain] = [temporary(), temporary()];
    for (_, store) in [&revised, &plain] {
        write_log(store, 0, 8).await;
    }
    revised.1.feedback(on(100, 0.1)).await.unwrap_err();
    for (store, values) in [(&revised.1, &[0.1, 0.7, 0.9][..]), (&plain.1, &[0.9])] {
        store.append(decided(decision(50, "a"))).await.unwrap();
        for value in values {
            store.feedback(on(50, *value)).await.unwrap();
        }
        store.append(decided(decision(51, "a"))).await.unwrap();
        store.feedback(on(51, 0.4)).await.unwrap();
    }
    let theta = |store: &Store| {
        let mut state = fresh();
        fold(store, &mut state, *store.committed().borrow()).unwrap();
        state.arm(&ArmId::from("a")).unwrap().quality().ridge().theta().to_vec()
    };
    let (revised, plain) = (theta(&revised.1), theta(&plain.1));
    for (a, b) in revised.iter().zip(&plain) {
        assert!((a - b).abs() < 1e-12, "{revised:?} {plain:?}");
    }
    assert!(plain.iter().any(|x| *x != 0.0));
}
