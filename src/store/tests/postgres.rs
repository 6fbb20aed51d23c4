//! The same on both databases, and what Postgres alone has: its schema, its lease, replicas that write one log.

use std::thread;

use futures::future::join_all;

use super::*;

#[path = "../../../tests/it/support/postgres.rs"]
#[expect(dead_code, reason = "the tests over HTTP use the rest of it")]
mod server;

/// The database of one test; `None`: there is no server.
fn database(name: &str) -> Option<String> {
    Some(server::shared(name)?.database(name))
}

fn connect(url: &str) -> Result<Store, StoreError> {
    Store::open(StoreOptions::at(StoreAddress::named(url, None).unwrap()))
}

/// Opened outside of the async task, as at a start.
async fn opened(url: &str) -> Store {
    let url = url.to_owned();
    tokio::task::spawn_blocking(move || connect(&url).unwrap()).await.unwrap()
}

async fn read<T: Send + 'static>(store: &Store, read: impl FnOnce(Store) -> T + Send + 'static) -> T {
    let store = store.clone();
    tokio::task::spawn_blocking(move || read(store)).await.unwrap()
}

/// Everything that callers do, in one order.
async fn busy_day(store: &Store) -> Vec<String> {
    let mut said = Vec::new();
    let mut say = |what: String| said.push(what);
    for n in 0..40 {
        store
            .try_append(decided(Decision { user: Some(format!("user\0{}", n % 3)), ..decision(n, "a") }))
            .unwrap();
        store.try_append(ended(completed(n, if n % 5 == 0 { "b" } else { "a" }))).unwrap();
    }
    serve(store, 100, "a", "a").await;
    serve(store, 101, "b", "b").await;
    let kind = |receipt: Result<Receipt, FeedbackRejected>| match receipt {
        Ok(receipt) => format!("{:?} {:?} {}", receipt.kind, receipt.seq, receipt.decision),
        Err(error) => error.to_string(),
    };
    for (n, value) in [(3, 0.25), (3, 0.25), (3, 0.75), (5, 1.0), (9999, 0.5)] {
        say(kind(store.feedback(on(n, value)).await));
    }
    let keyed = |n, value, key: &str| {
        let report = Report { idempotency_key: Some(key.into()), ..Report::quality(value) };
        NewFeedback { report, ..on(n, value) }
    };
    for item in [keyed(7, 0.5, "k\0"), keyed(7, 0.5, "k\0"), keyed(8, 0.5, "k\0")] {
        say(kind(store.feedback(item).await));
    }
    let by_completion = NewFeedback { to: FeedbackRef::Completion("chatcmpl-11".into()), ..on(0, 0.5) };
    say(kind(store.feedback(by_completion).await));
    for score in [1.0, 0.0] {
        let (one, other) = (FeedbackRef::Decision(decision_id(100)), FeedbackRef::Decision(decision_id(101)));
        let item =
            NewComparison { one, other, score, by: None, report: Report::quality(score), within_ms: None };
        say(kind(store.compare(item).await));
    }
    for value in [1.0, 1.0, 0.0] {
        let report = Report { source: Source::Code, ..Report::quality(value) };
        let item = NewEpisode { session: "s".into(), by: None, report, within_ms: None };
        say(kind(store.rate_episode(item).await));
    }
    let refused: Result<(), _> = store
        .perform(|log| {
            log.append(decided(decision(77_777, "a")))?;
            log.event(Seq(1_000_000)).map(drop)
        })
        .await;
    assert!(refused.is_err());
    let id = KeyId::new("key_1");
    let scopes = vec![Scope::Infer, Scope::Read];
    let terms = KeyTerms { name: "n".into(), scopes, expires: Some(UnixMs(9)), ..KeyTerms::default() };
    store.create_key(NewKey { id: id.clone(), hash: [7; 32], terms }, "cli").await.unwrap();
    let twice = NewKey { id: id.clone(), hash: [8; 32], terms: KeyTerms::default() };
    assert!(store.create_key(twice, "cli").await.is_err(), "the others in its transaction are spared");
    let limit = |terms: &mut KeyTerms| terms.rate = RateLimits { rpm: Some(5), tpm: None };
    say(format!("{:?}", store.change_key(id.clone(), limit, "cli").await.unwrap().map(|row| row.terms)));
    say(format!("{:?}", store.revoke_key(id.clone(), "cli").await.unwrap()));
    say(format!("{:?}", store.revoke_key(id, "cli").await.unwrap()));
    said
}

/// All that can be read, without times.
fn everything(store: &Store) -> Vec<String> {
    let mut said = Vec::new();
    let (a, b) = (|e: &dyn std::fmt::Debug| format!("{e:?}"), FeedbackRef::Decision(decision_id(3)));
    for row in store.scan(Seq(0), 1000).unwrap() {
        let body = row.event.unwrap().body;
        let body = match body {
            EventBody::Feedback(f) => {
                let id = FeedbackId::from_uuid(Uuid::nil());
                EventBody::Feedback(Box::new(Feedback { id, at: UnixMs(0), ..*f }))
            }
            other => other,
        };
        said.push(format!("{} {body:?}", row.seq));
    }
    said.push(a(&store.record(&b, None).unwrap().map(|r| (r.completed, r.feedback.len()))));
    said.push(a(&store.session_decisions("s", None, 9).unwrap()));
    said.push(a(&store.session_decisions("s", Some(&KeyId::new("other")), 9).unwrap()));
    for group in [LedgerGroup::User, LedgerGroup::Tag] {
        let lines = store.spend_by(group, UnixMs(0), 10).unwrap();
        // Sums of floats depend on the order of the rows.
        let line = |l: LedgerLine| {
            let name = l.name.replace('\u{2400}', "\0");
            (name, l.requests, l.answered, l.input_tokens, l.unpriced, (l.settled_usd * 1e15).round())
        };
        let mut lines: Vec<_> = lines.into_iter().map(line).collect();
        lines.sort_by(|a, b| a.0.cmp(&b.0));
        said.push(a(&lines));
    }
    let keys = store.list_keys().unwrap();
    said.push(a(&keys
        .iter()
        .map(|k| (k.id.clone(), k.terms.clone(), k.revoked.is_some()))
        .collect::<Vec<_>>()));
    let audit = store.audit(None, 10).unwrap();
    said.push(a(&audit.iter().map(|r| (r.id, &r.what, &r.detail)).collect::<Vec<_>>()));
    said.push(a(&store.audit(Some(2), 10).unwrap().len()));
    said.push(a(&store.judge_spend_usd(UnixMs(0)).unwrap()));
    said.push(a(&store.key_snapshot().is_empty()));
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_databases_say_the_same_and_hold_the_same() {
    let Some(url) = database("both_databases") else { return };
    let (_folder, file) = temporary();
    let shared = opened(&url).await;
    assert_eq!(busy_day(&file).await, busy_day(&shared).await);
    let policy = |version: &str| NewPolicy {
        version: PolicyVersion::new(version),
        cut: Seq(3),
        manifest: "{}".into(),
        state: vec![0, 255, 1],
    };
    for store in [&file, &shared] {
        read(store, move |store| {
            store.promote(policy("p-1")).unwrap();
            store.keep_policy(policy("p-1")).unwrap();
            let prices = serde_json::json!({"a": 1.5});
            store.keep_prices("v1", &prices).unwrap();
            store.keep_prices("v1", &prices).unwrap();
            store.set_aside(Seq(4), "no reason".into());
        })
        .await;
    }
    let both =
        [read(&file, |store| everything(&store)).await, read(&shared, |store| everything(&store)).await];
    for (of_file, of_server) in both[0].iter().zip(&both[1]) {
        assert_eq!(of_file, of_server);
    }
    assert_eq!(both[0].len(), both[1].len());
    for store in [file, shared] {
        let (kept, promotions, aside, tables) = read(&store, |store| {
            let policy = store.policy(&PolicyVersion::new("p-1")).unwrap();
            (
                policy,
                store.promotions().unwrap(),
                store.list_set_aside(9).unwrap(),
                store.price_tables().unwrap(),
            )
        })
        .await;
        assert_eq!(kept, Some(policy("p-1")));
        assert_eq!((promotions.len(), aside.len(), tables.len()), (1, 1, 1));
        let policies = read(&store, |store| store.policies().unwrap()).await;
        assert_eq!(policies[0].state_bytes, 3);
        read(&store, Store::close).await;
    }
}

/// Reports until the report is taken: a busy machine may be too slow for a commit in time.
async fn insist(store: &Store, n: u128) -> Receipt {
    loop {
        match store.feedback(on(n, 0.5)).await {
            Ok(receipt) => return receipt,
            Err(FeedbackRejected::Store(_)) => {}
            Err(refused) => panic!("{refused}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r2_replicas_that_write_at_once_leave_one_log_without_gaps_and_count_every_report_once() {
    let Some(url) = database("replicas_write") else { return };
    let replicas = join_all((0..3).map(|_| opened(&url))).await;
    for n in 0..60 {
        replicas[0].append(decided(decision(n, "a"))).await.unwrap();
    }
    let report = |n: u128| {
        let replica = replicas[(n % 3) as usize].clone();
        async move {
            replica.try_append(decided(decision(1000 + n, "b"))).unwrap();
            let first = insist(&replica, n % 60).await;
            assert_eq!(first.id, insist(&replica, n % 60).await.id);
        }
    };
    join_all((0..180).map(report)).await;
    for replica in &replicas {
        read(replica, |store| store.close()).await;
    }
    let store = opened(&url).await;
    let rows = read(&store, |store| store.scan(Seq(0), 10_000)).await.unwrap();
    let places: Vec<u64> = rows.iter().map(|row| row.seq.0).collect();
    assert_eq!(places, (1..=60 + 180 + 60).collect::<Vec<_>>());
    let counted = server::query(&url, "SELECT sum(n) FROM pointsman.arm_ticks");
    assert_eq!(counted, ["60"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r3_a_lead_that_another_took_over_writes_nothing_any_more() {
    let Some(url) = database("stale_lead") else { return };
    let store = opened(&url).await;
    assert_eq!(store.lead(), None, "only who follows the log can lead");
    let _tail = store.follow();
    let lead = loop {
        if let Some(lead) = store.lead() {
            break lead;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let save = |lead| move |store: Store| store.save_checkpoint(lead, Seq(0), vec![1]);
    read(&store, save(lead)).await.unwrap();
    server::query(
        &url,
        "UPDATE pointsman.leadership SET epoch = epoch + 1, holder = 'another', until = now() + interval '1 hour'",
    );
    assert!(matches!(read(&store, save(lead)).await, Err(StoreError::NotLeading)));
    assert_eq!(read(&store, |store| store.checkpoints()).await.unwrap().len(), 1);
    while store.lead().is_some() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(store.is_healthy(), "being second is no fault");
}

#[test]
fn d5_replicas_that_start_together_make_the_tables_once_and_a_newer_schema_is_refused() {
    let Some(url) = database("start_together") else { return };
    let starts: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn({
                let url = url.clone();
                move || connect(&url).map(drop)
            })
        })
        .collect();
    for start in starts {
        start.join().unwrap().unwrap();
    }
    server::query(&url, "UPDATE pointsman.schema_version SET version = 999");
    let newer = connect(&url).unwrap_err();
    assert!(matches!(newer, StoreError::NewerSchema { found: 999, .. }), "{newer}");
    assert!(!newer.to_string().contains(server::PASSWORD), "{newer}");
}

#[test]
fn d6_a_server_that_is_not_there_or_lets_nobody_in_is_named_without_the_password() {
    let nowhere = connect("postgres://ann:s3cret@127.0.0.1:1/logs").unwrap_err().to_string();
    assert!(
        nowhere.contains("store.url") && nowhere.contains("postgres://ann@127.0.0.1:1/logs"),
        "{nowhere}"
    );
    assert!(!nowhere.contains("s3cret"));
    let Some(url) = database("lets_nobody_in") else { return };
    let wrong = connect(&url.replace(server::PASSWORD, "s3cret")).unwrap_err().to_string();
    assert!(wrong.contains("password authentication failed") && !wrong.contains("s3cret"), "{wrong}");
}

#[test]
fn a_server_is_believed_by_its_certificate_and_one_of_an_unknown_authority_is_not() {
    let Some((server, authority)) = server::with_tls("certificate") else { return };
    let url = server.database("encrypted");
    let trusting = format!("{url}?sslmode=verify-full&sslrootcert={}", authority.display());
    let store = connect(&trusting).unwrap();
    let sql = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND application_name = 'pointsman'";
    assert_eq!(server::query(&url, sql), ["1"]);
    drop(store);
    for strict in [format!("{url}?sslmode=require"), trusting.replace("127.0.0.1", "localhost")] {
        let refused = connect(&strict).unwrap_err();
        assert!(refused.to_string().contains("certificate"), "{refused}");
    }
}
