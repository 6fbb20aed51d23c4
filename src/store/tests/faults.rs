//! What goes wrong with files, disks and other processes (FAULTS rows D1 to D5).

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

#[tokio::test]
async fn d1_a_locked_database_fails_feedback_and_recovers() {
    let (folder, store) = temporary();
    serve(&store, 1, "a", "a").await;
    let outsider = outsider(folder.path());
    outsider.execute_batch("BEGIN EXCLUSIVE").unwrap();
    store.try_append(decided(decision(2, "a"))).unwrap();
    let refused = store.feedback(on(1, 0.5)).await;
    assert!(matches!(refused, Err(FeedbackRejected::Store(StoreError::Locked))), "{refused:?}");
    assert_eq!((store.dropped(), store.is_healthy()), (1, false));
    assert_eq!(store.scan(Seq(0), 10).unwrap().len(), 2, "reading goes on");
    outsider.execute_batch("COMMIT").unwrap();
    assert_eq!(store.feedback(on(1, 0.5)).await.unwrap().kind, ReceiptKind::New);
    assert!(store.is_healthy());
    assert_eq!(reports(&store).len(), 1);
}

#[tokio::test]
async fn d2_a_full_disk_fails_feedback_counts_the_lost_and_recovers() {
    let (_folder, store) = temporary();
    serve(&store, 1, "a", "a").await;
    let limit = |sql: &'static str| {
        store.perform(move |log| {
            let allowed = log.db().first(sql, &[], |row| row.get::<i64>(0));
            allowed.map_err(StoreError::doing("limiting the size"))
        })
    };
    limit("PRAGMA max_page_count = 1").await.unwrap();
    let long = || Decision { fault: Some("x".repeat(100_000)), ..decision(2, "a") };
    assert!(matches!(store.append(decided(long())).await, Err(StoreError::DiskFull)));
    store.try_append(decided(long())).unwrap();
    let comment = Some("x".repeat(4096));
    let mut refused = Ok(());
    for n in 0..100 {
        let report = Report { comment: comment.clone(), name: n.to_string(), ..Report::quality(0.5) };
        refused = store.feedback(NewFeedback { report, ..on(1, 0.0) }).await.map(drop);
        if refused.is_err() {
            break;
        }
    }
    assert!(matches!(refused, Err(FeedbackRejected::Store(StoreError::DiskFull))), "{refused:?}");
    assert_eq!((store.dropped(), store.is_healthy()), (1, false));
    let before = store.scan(Seq(0), 1000).unwrap().len() as u64;
    limit("PRAGMA max_page_count = 1000000").await.unwrap();
    assert_eq!(store.append(decided(long())).await.unwrap(), Seq(before + 1), "no gap");
    assert!(store.is_healthy());
}

#[tokio::test]
async fn x3_a_writer_that_panics_is_told_to_callers_and_to_health() {
    let (_folder, store) = temporary();
    serve(&store, 1, "a", "a").await;
    let lost: Result<(), _> = store.perform(|_| panic!("a fault of ours")).await;
    assert!(matches!(lost, Err(StoreError::Closed)));
    let refused = store.feedback(on(1, 0.5)).await;
    assert!(matches!(refused, Err(FeedbackRejected::Store(StoreError::Closed))), "{refused:?}");
    assert_eq!(store.scan(Seq(0), 10).unwrap().len(), 2, "reading goes on");
    store.clone().close(); // waits for the thread
    assert!(!store.is_healthy());
}

#[tokio::test]
async fn d1_a_full_queue_refuses_at_once_and_counts_the_lost() {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions { queue: 4, busy_timeout: Duration::from_secs(60), ..options(folder.path()) };
    let store = Store::open(options).unwrap();
    let outsider = outsider(folder.path());
    outsider.execute_batch("BEGIN EXCLUSIVE").unwrap();
    // The writer takes one batch and waits for the lock; then the queue fills.
    let mut refused = 0;
    while refused < 10 {
        match store.try_append(decided(decision(1, "a"))) {
            Ok(()) => {}
            Err(StoreError::QueueFull(4)) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(store.dropped(), 10);
    assert!(store.queue_len() <= 4 + 64);
    outsider.execute_batch("COMMIT").unwrap();
    store.clone().close();
    assert_eq!((store.dropped(), store.queue_len()), (10, 0));
    assert!(!store.scan(Seq(0), 10_000).unwrap().is_empty());
}

/// A closed log with a few events.
fn written() -> tempfile::TempDir {
    let (folder, store) = temporary();
    (0..200).for_each(|n| store.try_append(decided(decision(n, "a"))).unwrap());
    store.close();
    folder
}

fn refusal(folder: &Path) -> StoreError {
    let before = fs::read(folder.join("log.db")).unwrap();
    let error = open(folder).unwrap_err();
    assert_eq!(fs::read(folder.join("log.db")).unwrap(), before, "the file was left as it was");
    assert!(error.to_string().contains("log.db") || matches!(error, StoreError::ReadOnly(_)), "{error}");
    error
}

#[test]
fn d3_files_that_are_not_a_whole_log_are_refused() {
    let folder = written();
    let file = folder.path().join("log.db");
    let good = fs::read(&file).unwrap();
    assert!(good.len() > 40_000, "{}", good.len());
    fs::write(&file, &good[..good.len() / 2 - 100]).unwrap();
    assert!(matches!(refusal(folder.path()), StoreError::Damaged { .. }));
    let mut holed = good.clone();
    holed[8192..16384].fill(0);
    fs::write(&file, &holed).unwrap();
    assert!(matches!(refusal(folder.path()), StoreError::Damaged { .. }));
    fs::write(&file, vec![0x5a; 8192]).unwrap();
    assert!(matches!(refusal(folder.path()), StoreError::NotADatabase(_)));
    fs::write(&file, "").unwrap();
    assert!(matches!(refusal(folder.path()), StoreError::Empty(_)));
    fs::write(&file, &good).unwrap();
    assert_eq!(open(folder.path()).unwrap().scan(Seq(0), 1000).unwrap().len(), 200);
}

#[test]
fn d5_newer_schemas_and_other_programs_databases_are_refused() {
    let folder = written();
    outsider(folder.path()).execute_batch("PRAGMA user_version = 999").unwrap();
    let newer = refusal(folder.path());
    assert!(matches!(newer, StoreError::NewerSchema { found: 999, known: 6.., .. }), "{newer}");
    let foreign = tempfile::tempdir().unwrap();
    outsider(foreign.path()).execute_batch("CREATE TABLE cookies (id)").unwrap();
    assert!(matches!(refusal(foreign.path()), StoreError::Foreign(_)));
}

#[test]
fn d5_a_migration_that_was_cut_off_is_done_again() {
    let folder = tempfile::tempdir().unwrap();
    // What a kill inside the migration leaves: our mark, version 0, no tables.
    outsider(folder.path())
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA application_id = 0x506e7473")
        .unwrap();
    let store = open(folder.path()).unwrap();
    assert_eq!(store.scan(Seq(0), 1).unwrap(), []);
}

/// The schema's steps as they are shipped, in order.
fn schema() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/schema");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
}

#[test]
fn d5_a_kill_inside_any_migration_leaves_what_was_there_and_the_next_start_does_it_again() {
    let steps = schema();
    assert!(steps.len() >= 5);
    for (step, sql) in (0..).zip(&steps) {
        let folder = tempfile::tempdir().unwrap();
        let half_way = outsider(folder.path());
        let ours = "PRAGMA journal_mode = WAL; PRAGMA application_id = 0x506e7473; PRAGMA cache_size = 1";
        half_way.execute_batch(ours).unwrap();
        steps.iter().take(step as usize).for_each(|done| half_way.execute_batch(done).unwrap());
        half_way.pragma_update(None, "user_version", step).unwrap();
        if step > 0 {
            let key = "INSERT INTO client_keys (id, hash, name, scopes, created_ms) VALUES ('k', zeroblob(32), 'n', 'infer', 1)";
            half_way.execute_batch(key).unwrap();
        }
        half_way.execute_batch(&format!("BEGIN IMMEDIATE; {sql}")).unwrap();
        half_way.pragma_update(None, "user_version", step + 1).unwrap();
        // What a kill leaves now: the files as they are, nothing committed.
        let image = tempfile::tempdir().unwrap();
        for name in ["log.db", "log.db-wal"] {
            fs::copy(folder.path().join(name), image.path().join(name)).unwrap();
        }
        let version = |folder: &Path| -> i64 {
            outsider(folder).pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
        };
        assert_eq!(version(image.path()), step, "half a step is none");
        let store = open(image.path()).unwrap();
        assert_eq!(
            (version(image.path()), store.list_keys().unwrap().len()),
            (steps.len() as i64, usize::from(step > 0))
        );
        drop(store);
    }
}

#[test]
fn d4_read_only_files_and_folders_are_refused() {
    let folder = written();
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let file = folder.path().join("log.db");
    set(&file, 0o444);
    assert!(matches!(refusal(folder.path()), StoreError::ReadOnly(path) if path == file));
    set(&file, 0o600);
    set(folder.path(), 0o555);
    let refused = refusal(folder.path());
    set(folder.path(), 0o700);
    assert!(matches!(refused, StoreError::ReadOnly(path) if path == folder.path()));
    assert!(open(folder.path()).is_ok());
}

#[test]
fn a_new_log_is_its_owners_alone() {
    let (folder, store) = temporary();
    for name in ["log.db", "log.db-wal", "log.db-shm"] {
        let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    drop(store);
    let nowhere = open(&folder.path().join("missing")).unwrap_err();
    assert!(matches!(&nowhere, StoreError::Io { path, .. } if path.ends_with("missing")), "{nowhere}");
}
