//! Same log, same bits; and what happens when rows, checkpoints or the learner are bad.

use std::time::Duration;

use super::*;
use crate::store::tests::{open, outsider, temporary};

fn cadence(scan: usize, publish_events: u64, checkpoint_events: u64) -> LearningOptions {
    LearningOptions { scan, publish_events, checkpoint_events, publish_after: Duration::from_millis(1) }
}

/// Waits until everything committed is published.
async fn settled(store: &Store, handle: &LearningHandle) {
    let end = *store.committed().borrow();
    handle.watch().wait_for(|s| s.published >= end || s.unwell.is_some()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_log_gives_the_same_bits_whatever_the_cadence() {
    let (folder, store) = temporary();
    write_log(&store, 0, 120).await;
    let (expected, whole) = folded(&store);
    assert_eq!((whole.applied, whole.set_aside), (*store.committed().borrow(), 0));
    store.close();
    for options in [cadence(1, 1, 3), cadence(7, 64, 50), cadence(256, 1000, 100_000)] {
        let copy = tempfile::tempdir().unwrap();
        std::fs::copy(folder.path().join("log.db"), copy.path().join("log.db")).unwrap();
        let store = open(copy.path()).unwrap();
        let handle = Actor::start(&store, &SOURCE, options).unwrap();
        assert_eq!(handle.policy().version().as_str(), format!("learned@{}", whole.applied));
        assert_eq!(handle.stop().unwrap(), whole.applied);
        assert_eq!(saved(&store), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn learning_while_events_come_in_equals_a_fold_and_so_does_each_restart() {
    let (_folder, store) = temporary();
    for round in 0..4 {
        let handle = Actor::start(&store, &SOURCE, cadence(5, 10, 40)).unwrap();
        write_log(&store, round * 40, round * 40 + 40).await;
        settled(&store, &handle).await;
        let end = *store.committed().borrow();
        assert_eq!(handle.policy().version().as_str(), format!("learned@{end}"));
        assert_eq!((handle.stop().unwrap(), handle.stop().unwrap()), (end, end));
        assert_eq!(saved(&store), folded(&store).0, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_a_checkpoint_loses_nothing() {
    let (folder, store) = temporary();
    let handle = Actor::start(&store, &SOURCE, cadence(5, 10, 40)).unwrap();
    write_log(&store, 0, 60).await;
    settled(&store, &handle).await;
    assert!(handle.status().checkpoint < handle.applied(), "{:?}", handle.status());
    let crashed = tempfile::tempdir().unwrap();
    for name in ["log.db", "log.db-wal"] {
        std::fs::copy(folder.path().join(name), crashed.path().join(name)).unwrap();
    }
    let store = open(crashed.path()).unwrap();
    let handle = Actor::start(&store, &SOURCE, LearningOptions::default()).unwrap();
    handle.stop().unwrap();
    assert_eq!(saved(&store), folded(&store).0);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_checkpoints_are_passed_over_for_older_ones_and_at_last_for_the_log() {
    let (folder, store) = temporary();
    write_log(&store, 0, 60).await;
    Actor::start(&store, &SOURCE, cadence(1, 64, 50)).unwrap().stop().unwrap();
    let (expected, whole) = folded(&store);
    let seqs: Vec<_> = store.checkpoints().unwrap().iter().map(|c| c.seq).collect();
    assert_eq!(seqs.len(), 3);
    let outsider = outsider(folder.path());
    let damage = ["seq = ?1", "seq = ?1", "seq >= 0 OR seq = ?1"];
    let resumed = [seqs[1], seqs[2], Seq(0)];
    for ((rows, bad), from) in damage.iter().zip(&seqs).zip(resumed) {
        let sql = format!("UPDATE checkpoints SET state = x'7b' WHERE {rows}");
        outsider.execute(&sql, [bad.0 as i64]).unwrap();
        let (_, seq) = super::super::checkpoint::restore(&store, &SOURCE).unwrap();
        assert_eq!(seq, from);
    }
    let handle = Actor::start(&store, &SOURCE, LearningOptions::default()).unwrap();
    assert_eq!(handle.stop().unwrap(), whole.applied);
    assert_eq!(saved(&store), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_the_learner_refuses_or_that_is_ahead_of_the_log_is_passed_over() {
    let (_folder, store) = temporary();
    write_log(&store, 0, 10).await;
    let end = *store.committed().borrow();
    let lead = store.lead().unwrap();
    store.save_checkpoint(lead, end, b"whole, but not of this learner".to_vec()).unwrap();
    store.save_checkpoint(lead, Seq(end.0 + 1), b"{}".to_vec()).unwrap();
    let handle = Actor::start(&store, &SOURCE, LearningOptions::default()).unwrap();
    handle.stop().unwrap();
    assert_eq!(handle.applied(), end);
    assert_eq!(handle.policy().version().as_str(), format!("learned@{end}"));
    let panics = |_: &[u8]| -> Result<Box<dyn Learner>, String> { panic!("cannot even read it") };
    let source = LearnerSource { restore: &panics, ..SOURCE };
    let handle = Actor::start(&store, &source, LearningOptions::default()).unwrap();
    assert_eq!((handle.applied(), handle.status().unwell), (end, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn poisoned_rows_are_set_aside_and_the_rest_is_learned() {
    let (folder, store) = temporary();
    write_log(&store, 0, 40).await;
    let clean = folded(&store).0;
    let handle = Actor::start(&store, &SOURCE, cadence(3, 10, 1000)).unwrap();
    let end = store.committed().borrow().0;
    let outsider = outsider(folder.path());
    let nan: Vec<u8> = [f32::NAN, 1.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    store.append(decided(decision(500, "a"))).await.unwrap();
    outsider
        .execute_batch(
            r#"INSERT INTO events (at_ms, kind, body) VALUES (0, 'feedback', '{"kind":"feedback"');
               INSERT INTO events (at_ms, kind, body) VALUES (0, 'feedback', x'ff00fe');
               INSERT INTO events (at_ms, kind, body) VALUES (0, 'unheard', '{"kind":"unheard","body":{}}');"#,
        )
        .unwrap();
    let columns = "INSERT INTO events (at_ms, kind, body, schema, features)";
    let copy = format!("{columns} SELECT 0, kind, body, schema, ?1 FROM events WHERE seq = ?2");
    outsider.execute(&copy, rusqlite::params![nan, end as i64 + 1]).unwrap();
    let orphan = Completed { decision: crate::store::tests::decision_id(9999), ..completed(1, "a") };
    store.append(ended(orphan)).await.unwrap();
    let other = Context::new(FeatureSchema::new("other"), vec![1.0]).unwrap();
    store.append(decided(Decision { context: Some(other), ..decision(501, "a") })).await.unwrap();
    store.feedback(on(501, 0.5)).await.unwrap();
    settled(&store, &handle).await;
    let status = handle.status();
    assert_eq!((status.set_aside, status.unwell), (6, None));
    store.append(decided(decision(502, "a"))).await.unwrap(); // after the notes
    let notes = store.list_set_aside(100).unwrap();
    let at: Vec<_> = notes.iter().map(|(seq, _)| seq.0 - end).collect();
    assert_eq!(at, [2, 3, 4, 5, 6, 8], "{notes:?}");
    handle.stop().unwrap();
    assert_eq!(saved(&store), clean);
    assert_eq!(folded(&store).1.set_aside, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn x3_a_learner_that_panics_leaves_its_last_good_policy_and_the_service_starts_again() {
    let (_folder, store) = temporary();
    write_log(&store, 0, 40).await;
    let handle = Actor::start(&store, &SOURCE, LearningOptions::default()).unwrap();
    let good = handle.policy();
    store.append(decided(decision(500, "a"))).await.unwrap();
    store.feedback(on(500, 0.666)).await.unwrap();
    handle.watch().wait_for(|s| s.unwell.is_some()).await.unwrap();
    store.feedback(on(500, 0.5)).await.unwrap();
    assert!(handle.policy().version() >= good.version());
    let stopped = handle.stop();
    assert!(
        matches!(&stopped, Err(LearningError::Unwell(why)) if why.contains("cannot stand")),
        "{stopped:?}"
    );
    assert!(store.checkpoints().unwrap().is_empty(), "a broken state is not saved");
    let handle = Actor::start(&store, &SOURCE, LearningOptions::default()).unwrap();
    assert!(handle.status().unwell.is_some());
    assert!(
        handle.status().published >= Seq(64),
        "the policy of what could be learned: {:?}",
        handle.status()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_cannot_be_written_does_not_stop_learning() {
    let (folder, store) = temporary();
    let handle = Actor::start(&store, &SOURCE, cadence(5, 1, 5)).unwrap();
    write_log(&store, 0, 1).await;
    settled(&store, &handle).await;
    let outsider = outsider(folder.path());
    // Refuses checkpoints alone, as a full disk would refuse what is big.
    let refuse =
        "CREATE TRIGGER no_room BEFORE INSERT ON checkpoints BEGIN SELECT RAISE(ABORT, 'no room'); END";
    outsider.execute_batch(refuse).unwrap();
    write_log(&store, 1, 20).await;
    settled(&store, &handle).await;
    assert_eq!((handle.applied(), handle.status().checkpoint), (*store.committed().borrow(), Seq(0)));
    outsider.execute_batch("DROP TRIGGER no_room").unwrap();
    handle.stop().unwrap();
    assert_eq!(saved(&store), folded(&store).0);
}
