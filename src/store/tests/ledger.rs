//! What calls came to.

use super::*;

const BEFORE_THE_LEDGER: &str = "
    ALTER TABLE decisions DROP COLUMN route; ALTER TABLE decisions DROP COLUMN user; ALTER TABLE decisions DROP COLUMN tags;
    ALTER TABLE decisions DROP COLUMN ending; ALTER TABLE decisions DROP COLUMN input_tokens;
    ALTER TABLE decisions DROP COLUMN output_tokens; ALTER TABLE decisions DROP COLUMN cached_tokens;
    ALTER TABLE decisions DROP COLUMN cache_write_tokens; ALTER TABLE decisions DROP COLUMN reasoning_tokens;
    ALTER TABLE decisions DROP COLUMN cost_usd; ALTER TABLE decisions DROP COLUMN basis;
    ALTER TABLE decisions DROP COLUMN settled_usd; ALTER TABLE decisions DROP COLUMN reserved_usd;
    ALTER TABLE decisions DROP COLUMN prices; DROP TABLE price_tables;
    DROP INDEX events_feedback; CREATE INDEX events_decision ON events (decision, seq) WHERE decision IS NOT NULL;
    PRAGMA user_version = 6";

async fn two_calls(store: &Store) {
    let asked = |n| Decision { user: Some("ada".into()), ..decision(n, "a") };
    store.append(decided(asked(1))).await.unwrap();
    store.append(ended(completed(1, "a"))).await.unwrap();
    store.append(decided(asked(2))).await.unwrap();
    let failed = Completed {
        served: None,
        end: CompletionEnd::Failed,
        usage: None,
        cost_usd: None,
        ..completed(2, "a")
    };
    store.append(ended(failed)).await.unwrap();
}

fn check(store: &Store) {
    let users = store.spend_by(LedgerGroup::User, UnixMs(0), 10).unwrap();
    let [ada] = users.as_slice() else { panic!("{users:?}") };
    assert_eq!(
        (ada.name.as_str(), ada.requests, ada.answered, ada.failed, ada.unpriced),
        ("ada", 2, 1, 1, 0)
    );
    assert_eq!((ada.input_tokens, ada.output_tokens), (90, 30));
    assert!((ada.settled_usd - 1e-7 / 3.0).abs() < 1e-18, "{ada:?}");
    let tags = store.spend_by(LedgerGroup::Tag, UnixMs(0), 10).unwrap();
    assert_eq!((tags[0].name.as_str(), tags[0].requests), ("feature=search", 2));
}

#[tokio::test]
async fn calls_are_summed_up_by_user_and_by_tag_and_rows_of_before_the_ledger_too() {
    let (folder, store) = temporary();
    two_calls(&store).await;
    check(&store);
    assert!(
        store.spend_by(LedgerGroup::User, UnixMs(i64::MAX >> 16), 10).unwrap().is_empty(),
        "later ones only"
    );
    store.close();
    outsider(folder.path()).execute_batch(BEFORE_THE_LEDGER).unwrap();
    check(&open(folder.path()).unwrap());
}

#[test]
fn a_price_table_is_kept_once() {
    let (_folder, store) = temporary();
    let prices = serde_json::json!({"a": {"input": 1.0, "output": 2.0}});
    store.keep_prices("v1", &prices).unwrap();
    store.keep_prices("v1", &serde_json::json!({})).unwrap();
    let tables = store.price_tables().unwrap();
    assert_eq!((tables.len(), &tables[0].prices), (1, &prices));
}
