//! Client keys.

use super::*;
use crate::domain::{RateLimits, RouteName};

fn key(id: &str, first: u8) -> NewKey {
    let mut hash = [7; 32];
    hash[31] = first;
    let scopes = vec![Scope::Infer, Scope::Read];
    NewKey {
        id: KeyId::from(id),
        hash,
        terms: KeyTerms { name: "team".into(), scopes, ..KeyTerms::default() },
    }
}

#[tokio::test]
async fn a_key_is_found_by_its_whole_hash_until_it_is_revoked_or_ends() {
    let (_folder, store) = temporary();
    assert!(store.key_snapshot().is_empty());
    store.create_key(key("k1", 1), "test").await.unwrap();
    let mut ends = key("k2", 2);
    ends.terms.expires = Some(UnixMs(100));
    store.create_key(ends, "test").await.unwrap();
    let table = store.key_snapshot();
    let found = table.find(&key("", 1).hash, UnixMs(i64::MAX)).unwrap();
    assert_eq!(found.id, KeyId::from("k1"));
    assert!(found.may(Scope::Infer) && !found.may(Scope::Feedback));
    assert!(table.find(&key("", 3).hash, UnixMs(0)).is_none(), "the same first 31 bytes");
    assert!(table.find(&key("", 2).hash, UnixMs(99)).is_some());
    assert!(table.find(&key("", 2).hash, UnixMs(100)).is_none());
    assert!(store.revoke_key(KeyId::from("k1"), "test").await.unwrap());
    assert!(!store.revoke_key(KeyId::from("k1"), "test").await.unwrap());
    assert!(store.key_snapshot().find(&key("", 1).hash, UnixMs(0)).is_none());
    let revoked: Vec<_> = store.list_keys().unwrap().iter().map(|k| k.revoked.is_some()).collect();
    assert_eq!(revoked, [true, false]);
    assert_eq!(store.scan(Seq(0), 10).unwrap().len(), 3, "two made, one revoked");
}

#[tokio::test]
async fn a_key_of_another_process_shows_without_a_restart() {
    let (folder, server) = temporary();
    let cli = open(folder.path()).unwrap();
    cli.create_key(key("k1", 1), "cli").await.unwrap();
    server.committed().wait_for(|seq| *seq == Seq(1)).await.unwrap();
    assert!(server.key_snapshot().find(&key("", 1).hash, UnixMs(0)).is_some());
    cli.revoke_key(KeyId::from("k1"), "test").await.unwrap();
    server.committed().wait_for(|seq| *seq == Seq(2)).await.unwrap();
    assert!(server.key_snapshot().is_empty());
}

#[tokio::test]
async fn what_a_key_may_changes_with_a_row_of_who_did_it_and_not_for_a_revoked_one() {
    let (_folder, store) = temporary();
    store.create_key(key("k1", 1), "cli").await.unwrap();
    let rate = RateLimits { rpm: Some(10), tpm: None };
    let routes: std::sync::Arc<[RouteName]> = [RouteName::from("auto")].into();
    let set = move |terms: &mut KeyTerms| (terms.rate, terms.routes) = (rate, Some(routes));
    let changed = store.change_key(KeyId::from("k1"), set, "key_boss").await.unwrap().unwrap();
    let found = store.key_snapshot().find(&key("", 1).hash, UnixMs(0)).unwrap().terms.clone();
    assert_eq!(found, changed.terms);
    assert_eq!((found.rate, found.name.as_str()), (rate, "team"));
    assert!(store.revoke_key(KeyId::from("k1"), "cli").await.unwrap());
    let nothing = store.change_key(KeyId::from("k1"), |_| {}, "cli").await.unwrap();
    assert_eq!(nothing, None);
    let rows = store.audit(None, 10).unwrap();
    let told: Vec<_> = rows.iter().map(|r| (r.who.as_str(), r.what.as_str(), r.subject.as_str())).collect();
    assert_eq!(
        told,
        [("cli", "key_revoked", "k1"), ("key_boss", "key_changed", "k1"), ("cli", "key_created", "k1")]
    );
    assert_eq!(rows[1].detail.as_ref().unwrap()["rpm"], 10);
    assert_eq!(store.audit(Some(rows[1].id), 10).unwrap().len(), 1);
}

#[tokio::test]
async fn a_hash_that_is_taken_is_refused_and_the_writer_goes_on() {
    let (_folder, store) = temporary();
    store.create_key(key("k1", 1), "test").await.unwrap();
    assert!(matches!(store.create_key(key("k2", 1), "test").await, Err(StoreError::Sqlite { .. })));
    store.create_key(key("k2", 2), "test").await.unwrap();
    assert_eq!(store.list_keys().unwrap().len(), 2);
}

#[tokio::test]
async fn hostile_names_are_only_names() {
    let (_folder, store) = temporary();
    let name = "x'); DROP TABLE events; --";
    let mut hostile = NewKey { id: KeyId::from(name), ..key("", 1) };
    hostile.terms.name = name.into();
    store.create_key(hostile, name).await.unwrap();
    assert_eq!(store.list_keys().unwrap()[0].terms.name, name);
    assert_eq!(store.audit(None, 10).unwrap()[0].who, name);
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
