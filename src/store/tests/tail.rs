//! What is handed over in memory, and rows that are written once for a decision and its end.

use rusqlite::types::Value;

use super::*;
use crate::store::log::Log;

/// All that the tail gives from now on.
fn drain(tail: &mut Tail, store: &Store, from: Seq) -> Vec<ScannedRow> {
    let mut all: Vec<ScannedRow> = Vec::new();
    loop {
        let after = all.last().map_or(from, |row| row.seq);
        let rows = tail.read(store, after, 7).unwrap();
        if rows.is_empty() {
            return all;
        }
        all.extend(rows);
    }
}

#[tokio::test]
async fn the_tail_gives_what_the_file_has_whoever_wrote_it() {
    let (folder, store) = temporary();
    serve(&store, 1, "a", "b").await;
    let mut tail = store.follow();
    for n in 2..40 {
        store.try_append(decided(decision(n, "a"))).unwrap();
        store.try_append(ended(completed(n, "a"))).unwrap();
    }
    store.feedback(on(3, 0.75)).await.unwrap();
    let refused: Result<(), _> = store
        .perform(|log| {
            log.append(decided(decision(77, "a")))?;
            log.event(Seq(12_345)).map(drop)
        })
        .await;
    assert!(refused.is_err(), "it is undone, and nobody may hear of it");
    // Another process: not handed over, so a gap that is read from the file.
    let mut other = outsider(folder.path());
    let mut log = Log::new(other.transaction().unwrap(), UnixMs(5));
    log.append(decided(decision(50, "b"))).unwrap();
    log.commit().unwrap();
    serve(&store, 51, "a", "a").await;
    store.feedback(on(50, 0.25)).await.unwrap();

    let all = store.scan(Seq(0), 1000).unwrap();
    assert_eq!(all.len(), 2 + 2 * 38 + 1 + 1 + 2 + 1);
    assert_eq!(drain(&mut tail, &store, Seq(0)), all);
    assert_eq!(drain(&mut tail, &store, all[20].seq), all[21..], "what was handed over once is read again");
}

#[tokio::test]
async fn what_was_handed_over_is_not_read_from_the_file() {
    let (folder, store) = temporary();
    let mut tail = store.follow();
    serve(&store, 1, "a", "a").await;
    let all = store.scan(Seq(0), 10).unwrap();
    outsider(folder.path()).execute("DELETE FROM events", []).unwrap();
    assert!(store.scan(Seq(0), 10).unwrap().is_empty());
    assert_eq!(drain(&mut tail, &store, Seq(0)), all);
}

#[tokio::test]
async fn a_follower_that_is_too_slow_or_replaced_reads_the_file() {
    let (_folder, store) = temporary();
    let mut replaced = store.follow();
    let mut slow = store.follow();
    for n in 0..30 {
        serve(&store, n, "a", "a").await;
    }
    let all = store.scan(Seq(0), 1000).unwrap();
    assert_eq!(drain(&mut slow, &store, Seq(0)), all);
    assert_eq!(drain(&mut replaced, &store, Seq(0)), all);
}

/// Every row of the look-up table as it is.
fn table(folder: &Path) -> Vec<Vec<Value>> {
    let connection = outsider(folder);
    let mut select = connection.prepare("SELECT * FROM decisions ORDER BY id").unwrap();
    let width = select.column_count();
    let rows = select.query_map([], |row| (0..width).map(|i| row.get(i)).collect()).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

#[test]
fn rows_written_together_are_those_written_one_by_one() {
    let billing = Billing {
        basis: Some(Basis::Provider),
        settled_usd: 0.5,
        reserved_usd: Some(0.75),
        prices: "v".into(),
    };
    let second = Decision { route: "other".into(), ..decision(1, "z") };
    let mut run = vec![
        ended(completed(9, "a")), // before its decision: nobody knows it yet
        decided(decision(1, "a")),
        decided(Decision { user: Some("u".into()), context: None, ..decision(2, "b") }),
        ended(Completed { billing: Some(billing), ..completed(2, "b") }),
        decided(second), // the same id again
        ended(completed(1, "b")),
        ended(completed(1, "c")),  // a second end
        decided(decision(3, "a")), // it ends in the next transaction
        decided(decision(9, "a")),
    ];
    let [one, together] = [(); 2].map(|()| {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path()).unwrap().close();
        folder
    });
    for folder in [&one, &together] {
        let mut connection = outsider(folder.path());
        let mut log = Log::new(connection.transaction().unwrap(), UnixMs(5));
        if folder.path() == one.path() {
            for body in &run {
                log.append(body.clone()).unwrap();
            }
        } else {
            assert_eq!(log.append_run(run.iter_mut()).unwrap(), (1..=9).map(Seq).collect::<Vec<_>>());
        }
        log.append_run(std::iter::once(&mut ended(completed(3, "a")))).unwrap();
        log.commit().unwrap();
    }
    assert_eq!(table(one.path()).len(), 4);
    assert_eq!(table(one.path()), table(together.path()));
}
