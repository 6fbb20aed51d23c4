//! Order, exactness, batches, reopening.

use super::*;
use crate::store::log::Log;

#[tokio::test]
async fn events_come_back_bit_for_bit_and_in_order() {
    let (_folder, store) = temporary();
    let bodies = [
        decided(decision(1, "a")),
        ended(completed(1, "a")),
        decided(Decision { context: None, ..decision(2, "b") }),
        EventBody::Admin(AdminEvent::KeyRevoked { key: KeyId::from("k1") }),
    ];
    for (i, body) in bodies.iter().enumerate() {
        assert_eq!(store.append(body.clone()).await.unwrap(), Seq(i as u64 + 1));
    }
    let rows = store.scan(Seq(0), 100).unwrap();
    let read: Vec<_> = rows.iter().map(|row| row.event.clone().unwrap()).collect();
    assert_eq!(read.iter().map(|e| e.body.clone()).collect::<Vec<_>>(), bodies);
    let EventBody::Decided(first) = &read[0].body else { panic!("{read:?}") };
    let bits =
        |d: &Decision| d.context.as_ref().unwrap().features().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(first), bits(&decision(1, "a")), "subnormal and negative zero included");
    assert_eq!(first.propensity.to_bits(), (0.1f64 + 0.2).to_bits());
    assert_eq!(store.scan(Seq(1), 2).unwrap().iter().map(|r| r.seq).collect::<Vec<_>>(), [Seq(2), Seq(3)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writers_leave_no_gap_and_keep_each_ones_order() {
    let (_folder, store) = temporary();
    let writers = (0..8u128).map(|w| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut seqs = Vec::new();
            for i in 0..50 {
                store.try_append(decided(decision(w * 1000 + i, "a"))).unwrap();
                seqs.push(store.append(ended(completed(w * 1000 + i, "a"))).await.unwrap());
            }
            seqs
        })
    });
    let seqs = futures::future::join_all(writers).await;
    for one in seqs {
        assert!(one.unwrap().is_sorted());
    }
    let rows = store.scan(Seq(0), 10_000).unwrap();
    assert_eq!(rows.iter().map(|r| r.seq.0).collect::<Vec<_>>(), (1..=800).collect::<Vec<_>>());
    assert_eq!((*store.committed().borrow(), store.dropped(), store.queue_len()), (Seq(800), 0, 0));
}

#[tokio::test]
async fn a_record_holds_all_about_a_decision_by_either_id() {
    let (_folder, store) = temporary();
    serve(&store, 1, "a", "a").await;
    serve(&store, 2, "b", "b").await;
    store.feedback(on(1, 0.5)).await.unwrap();
    store.feedback(on(1, 0.75)).await.unwrap();
    let record = store.record(&FeedbackRef::Completion("chatcmpl-1".into()), None).unwrap().unwrap();
    assert_eq!(record.decision, decision(1, "a"));
    assert_eq!(record.completed, Some(completed(1, "a")));
    assert_eq!(record.feedback.iter().map(|f| f.value).collect::<Vec<_>>(), [Some(0.5), Some(0.75)]);
    assert_eq!(store.record(&FeedbackRef::Decision(decision_id(1)), None).unwrap(), Some(record));
    assert_eq!(store.record(&FeedbackRef::Decision(decision_id(9)), None).unwrap(), None);
    assert_eq!(store.session_decisions("s", None, 10).unwrap(), [decision_id(2), decision_id(1)]);
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_crash() {
    let (folder, store) = temporary();
    serve(&store, 1, "a", "a").await;
    let receipt = store.feedback(on(1, 0.9)).await.unwrap();
    // The files as a kill would leave them: the write-ahead log not folded in, no goodbye.
    let crashed = tempfile::tempdir().unwrap();
    for name in ["log.db", "log.db-wal"] {
        std::fs::copy(folder.path().join(name), crashed.path().join(name)).unwrap();
    }
    let reopened = open(crashed.path()).unwrap();
    assert_eq!(reopened.scan(Seq(0), 10).unwrap(), store.scan(Seq(0), 10).unwrap());
    let again = reopened.feedback(on(1, 0.9)).await.unwrap();
    assert_eq!((again.id, again.kind), (receipt.id, ReceiptKind::Again), "look-ups survived too");
    assert_eq!(reopened.append(decided(decision(2, "a"))).await.unwrap(), Seq(4));
}

#[tokio::test]
async fn closing_writes_what_is_queued_and_later_calls_are_told() {
    let (folder, store) = temporary();
    for n in 0..500 {
        store.try_append(decided(decision(n, "a"))).unwrap();
    }
    store.clone().close();
    store.clone().close();
    assert!(matches!(store.append(decided(decision(999, "a"))).await, Err(StoreError::Closed)));
    assert!(matches!(store.try_append(decided(decision(999, "a"))), Err(StoreError::Closed)));
    assert_eq!(open(folder.path()).unwrap().scan(Seq(0), 1000).unwrap().len(), 500);
}

#[tokio::test]
async fn a_damaged_row_is_told_in_its_place_and_the_rest_is_read() {
    let (folder, store) = temporary();
    serve(&store, 1, "a", "a").await;
    serve(&store, 2, "a", "a").await;
    let outsider = outsider(folder.path());
    let nan: Vec<u8> = [f32::NAN, 1.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    outsider.execute("UPDATE events SET features = ?1 WHERE seq = 1", [nan]).unwrap();
    outsider.execute("UPDATE events SET body = x'ff00' WHERE seq = 2", []).unwrap();
    outsider.execute("UPDATE events SET features = x'010203' WHERE seq = 3", []).unwrap();
    let rows = store.scan(Seq(0), 10).unwrap();
    let whole: Vec<_> = rows.iter().map(|r| (r.seq.0, r.event.is_ok())).collect();
    assert_eq!(whole, [(1, false), (2, false), (3, false), (4, true)]);
    assert!(rows[0].event.as_ref().unwrap_err().contains("not finite"), "{rows:?}");
    let record = store.record(&FeedbackRef::Decision(decision_id(1)), None);
    assert!(matches!(record, Err(StoreError::Unreadable { seq: Seq(1), .. })), "{record:?}");
}

#[tokio::test]
async fn checkpoints_are_kept_few_and_checked() {
    let (folder, store) = temporary();
    let saver = store.clone();
    let save = move || {
        (1..=5u8)
            .for_each(|n| saver.save_checkpoint(saver.lead().unwrap(), Seq(n.into()), vec![n; 9]).unwrap())
    };
    tokio::task::spawn_blocking(save).await.unwrap();
    outsider(folder.path()).execute("UPDATE checkpoints SET state = x'00' WHERE seq = 5", []).unwrap();
    let saved = store.checkpoints().unwrap();
    assert_eq!(saved.iter().map(|c| c.seq.0).collect::<Vec<_>>(), [5, 4, 3]);
    assert!(saved[0].state.is_err());
    assert_eq!(saved[1].state.as_deref(), Ok(&[4; 9][..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_fails_is_undone_alone() {
    let (_folder, store) = temporary();
    let store = &store;
    let failing = || {
        store.perform(|log| {
            log.append(decided(decision(77, "a")))?;
            log.event(Seq(12_345)).map(drop)
        })
    };
    let jobs = (0..40).map(|n| async move {
        let (good, bad) = tokio::join!(append(store, n), failing());
        assert!(matches!(bad, Err(StoreError::Unreadable { .. })), "{bad:?}");
        good
    });
    let seqs = futures::future::join_all(jobs).await;
    assert_eq!(seqs.len(), 40);
    let rows = store.scan(Seq(0), 100).unwrap();
    assert_eq!(rows.iter().map(|r| r.seq.0).collect::<Vec<_>>(), (1..=40).collect::<Vec<_>>());
    assert_eq!(store.record(&FeedbackRef::Decision(decision_id(77)), None).unwrap(), None);
    assert!(store.is_healthy());
}

async fn append(store: &Store, n: u128) -> Seq {
    store.append(decided(decision(n, "a"))).await.unwrap()
}

#[tokio::test]
async fn x4_rows_stand_in_the_order_in_which_they_came_whatever_the_clock_says() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).unwrap().close();
    let year = 365 * 86_400_000;
    let times =
        [1_764_000_000_000, 1_764_000_000_000 + year, 1_763_996_400_000, 0, i64::MAX, 1_764_000_000_001];
    let mut connection = outsider(folder.path());
    for (n, at) in (1..).zip(times) {
        let mut log = Log::new(connection.transaction().unwrap(), UnixMs(at));
        log.append(decided(decision(n, "a"))).unwrap();
        log.commit().unwrap();
    }
    let store = open(folder.path()).unwrap();
    let rows: Vec<_> =
        store.scan(Seq(0), 10).unwrap().into_iter().map(|r| (r.seq.0, r.event.unwrap().at.0)).collect();
    assert_eq!(rows, (1..).zip(times).collect::<Vec<_>>());
    // Reports on what was decided "later than now" are in time; the window is kept for the rest.
    let within = |n| NewFeedback { within_ms: Some(1000), ..on(n, 0.5) };
    assert!(store.feedback(within(5)).await.is_ok());
    let late = store.feedback(within(4)).await;
    assert!(matches!(late, Err(FeedbackRejected::Closed)), "{late:?}");
    assert_eq!(reports(&store).len(), 1);
}
