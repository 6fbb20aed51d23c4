//! Client keys.

use super::*;
use crate::domain::BudgetLimits;

fn key(id: &str, first: u8) -> NewKey {
    let mut hash = [7; 32];
    hash[31] = first;
    let scopes = vec![Scope::Infer, Scope::Read];
    NewKey {
        id: KeyId::from(id),
        hash,
        name: "team".into(),
        scopes,
        expires: None,
        budget: BudgetLimits::default(),
    }
}

#[tokio::test]
async fn a_key_is_found_by_its_whole_hash_until_it_is_revoked_or_ends() {
    let (_folder, store) = temporary();
    assert!(store.key_snapshot().is_empty());
    store.create_key(key("k1", 1)).await.unwrap();
    store.create_key(NewKey { expires: Some(UnixMs(100)), ..key("k2", 2) }).await.unwrap();
    let table = store.key_snapshot();
    let found = table.find(&key("", 1).hash, UnixMs(i64::MAX)).unwrap();
    assert_eq!(found.id, KeyId::from("k1"));
    assert!(found.may(Scope::Infer) && !found.may(Scope::Feedback));
    assert!(table.find(&key("", 3).hash, UnixMs(0)).is_none(), "the same first 31 bytes");
    assert!(table.find(&key("", 2).hash, UnixMs(99)).is_some());
    assert!(table.find(&key("", 2).hash, UnixMs(100)).is_none());
    assert!(store.revoke_key(KeyId::from("k1")).await.unwrap());
    assert!(!store.revoke_key(KeyId::from("k1")).await.unwrap());
    assert!(store.key_snapshot().find(&key("", 1).hash, UnixMs(0)).is_none());
    let revoked: Vec<_> = store.list_keys().unwrap().iter().map(|k| k.revoked.is_some()).collect();
    assert_eq!(revoked, [true, false]);
    assert_eq!(store.scan(Seq(0), 10).unwrap().len(), 3, "two made, one revoked");
}

#[tokio::test]
async fn a_key_of_another_process_shows_without_a_restart() {
    let (folder, server) = temporary();
    let cli = open(folder.path()).unwrap();
    cli.create_key(key("k1", 1)).await.unwrap();
    server.committed().wait_for(|seq| *seq == Seq(1)).await.unwrap();
    assert!(server.key_snapshot().find(&key("", 1).hash, UnixMs(0)).is_some());
    cli.revoke_key(KeyId::from("k1")).await.unwrap();
    server.committed().wait_for(|seq| *seq == Seq(2)).await.unwrap();
    assert!(server.key_snapshot().is_empty());
}

#[tokio::test]
async fn a_hash_that_is_taken_is_refused_and_the_writer_goes_on() {
    let (_folder, store) = temporary();
    store.create_key(key("k1", 1)).await.unwrap();
    assert!(matches!(store.create_key(key("k2", 1)).await, Err(StoreError::Sqlite { .. })));
    store.create_key(key("k2", 2)).await.unwrap();
    assert_eq!(store.list_keys().unwrap().len(), 2);
}

#[tokio::test]
async fn hostile_names_are_only_names() {
    let (_folder, store) = temporary();
    let name = "x'); DROP TABLE events; --";
    store.create_key(NewKey { id: KeyId::from(name), name: name.into(), ..key("", 1) }).await.unwrap();
    assert_eq!(store.list_keys().unwrap()[0].name, name);
    let by_completion = NewFeedback { to: FeedbackRef::Completion(name.into()), ..on(1, 0.5) };
    assert!(matches!(store.feedback(by_completion).await, Err(FeedbackRejected::NotFound)));
    assert_eq!(store.scan(Seq(0), 10).unwrap().len(), 1);
}

#[test]
fn no_sql_text_is_put_together_at_run_time() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    for file in std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).filter(|p| p.is_file()) {
        let code = std::fs::read_to_string(&file).unwrap();
        for line in code.lines().filter(|l| l.contains("format!")) {
            let sql = ["SELECT", "INSERT", "UPDATE", "DELETE", "PRAGMA", "FROM "];
            assert!(!sql.iter().any(|word| line.contains(word)), "{}: {line}", file.display());
        }
        for call in ["prepare_cached(&format!", "execute(&", "query_row(&", "push_str"] {
            assert!(!code.contains(call), "{}: {call}", file.display());
        }
    }
}
