//! X1: kill -9 at any moment under load. Acknowledged feedback is on disk exactly once, and the state after a restart is the fold
//! of the log, bit for bit. `POINTSMAN_KILLS` sets how often; the figures are printed (`--nocapture`).

use std::collections::HashMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pointsman::domain::{EventBody, FeedbackRef, Seq};
use pointsman::learning::{Actor, LearnerSource, LearningOptions, fold};
use pointsman::policy::{LearnedState, Learner, Settings};
use pointsman::routing::Featurizer;
use pointsman::routing::prior::shipped;
use pointsman::store::{Store, StoreOptions};
use reqwest::Client;
use serde_json::{Value, json};

use crate::support::{FakeUpstream, LEARNED, chat, config_text};

const CLIENTS: usize = 6;

/// Decision id and value of each report that was answered with 200.
pub type Acknowledged = Arc<Mutex<HashMap<String, f64>>>;

fn start(config: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .args(["serve", "--config"])
        .arg(config)
        .env("FAKE_KEY", "k")
        .env("RUST_LOG", "error")
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

async fn until_ready(client: &Client, base: &str) -> Duration {
    let began = Instant::now();
    while client.get(format!("{base}/readyz")).send().await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    began.elapsed()
}

/// Asks and reports until the server is gone.
async fn load(client: Client, base: String, worker: usize, acknowledged: Acknowledged) {
    for turn in 0.. {
        let ask = chat("auto", &format!("Question {} of worker {worker}", turn % 5));
        let path = if turn % 3 == 0 { "/v1/chat/completions" } else { "/v1/route" };
        let asked = client.post(format!("{base}{path}")).json_body(&ask).send().await;
        let Ok(answer) = asked else { return };
        let header = answer.headers().get("x-pointsman-decision-id").map(|v| v.to_str().unwrap().to_owned());
        let Ok(text) = answer.text().await else { return };
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        let Some(id) = header.or_else(|| body["decision_id"].as_str().map(str::to_owned)) else { continue };
        let value = f64::from(turn % 11) / 10.0;
        let report = json!({"decision_id": id, "value": value});
        match client.post(format!("{base}/feedback")).json_body(&report).send().await {
            Ok(answer) if answer.status() == 200 => {
                acknowledged.lock().unwrap().insert(id, value);
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

pub trait JsonBody {
    fn json_body(self, body: &Value) -> Self;
}

impl JsonBody for reqwest::RequestBuilder {
    fn json_body(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }
}

/// Every acknowledged report is there once, with its value; no report of the log is there twice.
pub fn check_log(store: &Store, acknowledged: &HashMap<String, f64>) -> usize {
    for (id, value) in acknowledged {
        let record = store.record(&FeedbackRef::Decision(id.parse().unwrap()), None).unwrap();
        let values: Vec<_> =
            record.expect("the decision is there").feedback.iter().map(|f| f.value).collect();
        assert_eq!(values, [Some(*value)], "{id}");
    }
    let (mut seen, mut after, mut reports) = (HashMap::new(), Seq(0), 0);
    loop {
        let rows = store.scan(after, 1000).unwrap();
        let Some(last) = rows.last() else { return reports };
        after = last.seq;
        for row in rows {
            if let EventBody::Feedback(report) = row.event.unwrap().body {
                reports += 1;
                assert_eq!(seen.insert(report.decision, report.id), None, "one report each was sent");
            }
        }
    }
}

/// The state of a restart (newest checkpoint and the rest of the log) is the fold of the whole log.
pub fn check_state(store: &Store) {
    let featurizer = Featurizer::built_in().unwrap();
    let (schema, prior) = (featurizer.schema().clone(), Arc::new(shipped(featurizer.schema()).unwrap()));
    let empty = LearnedState::with_prior(schema, prior, featurizer.dim(), Settings::DEFAULT).unwrap();
    let make = || Box::new(empty.clone()) as Box<dyn Learner>;
    let restore = |bytes: &[u8]| {
        LearnedState::from_bytes(bytes).map(|s| Box::new(s) as Box<dyn Learner>).map_err(|e| e.to_string())
    };
    let source = LearnerSource { make: &make, restore: &restore };
    let learning = Actor::start(store, &source, LearningOptions::default()).unwrap();
    while store.lead().is_none() {
        // Of a store that replicas share: the lease of the one that led has to run out.
        std::thread::sleep(Duration::from_millis(20));
    }
    let end = learning.stop().unwrap();
    let restarted = store.checkpoints().unwrap().remove(0);
    assert_eq!(restarted.seq, end);
    let mut from_zero = empty.clone();
    fold(store, &mut from_zero, end).unwrap();
    assert!(
        restarted.state.unwrap() == from_zero.to_bytes(),
        "the restarted state is not the fold of the log"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x1_kill_9_under_load_loses_and_doubles_nothing() {
    let kills: u64 = std::env::var("POINTSMAN_KILLS").map_or(50, |k| k.parse().unwrap());
    let folder = tempfile::TempDir::new().unwrap();
    let upstream = FakeUpstream::start().await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (log, config) = (folder.path().join("log.db"), folder.path().join("pointsman.toml"));
    let text =
        config_text(&upstream.base, &log, LEARNED).replace("127.0.0.1:0", &format!("127.0.0.1:{port}"));
    // Checkpoints often, so that kills hit them too.
    std::fs::write(&config, text + "[learning]\ncheckpoint_every_events = 50\n").unwrap();
    let base = format!("http://127.0.0.1:{port}");
    let client = Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
    let all: Acknowledged = Arc::default();
    let (mut slowest, mut random) = (Duration::ZERO, 88_172_645_463_325_252_u64);
    for kill in 0..kills {
        let mut server = start(&config);
        slowest = slowest.max(until_ready(&client, &base).await);
        let fresh: Acknowledged = Arc::default();
        let workers: Vec<_> = (0..CLIENTS)
            .map(|w| tokio::spawn(load(client.clone(), base.clone(), w, Arc::clone(&fresh))))
            .collect();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        tokio::time::sleep(Duration::from_millis(50 + random % 600)).await;
        server.kill().unwrap();
        server.wait().unwrap();
        for worker in workers {
            worker.await.unwrap();
        }
        let fresh = std::mem::take(&mut *fresh.lock().unwrap());
        let store = Store::open(StoreOptions::at(&log)).unwrap();
        check_log(&store, &fresh);
        if kill % 5 == 4 {
            check_state(&store);
        }
        store.close();
        all.lock().unwrap().extend(fresh);
    }
    let store = Store::open(StoreOptions::at(&log)).unwrap();
    let acknowledged = all.lock().unwrap();
    let logged = check_log(&store, &acknowledged);
    check_state(&store);
    let end = store.committed().borrow().0;
    println!(
        "{kills} kills: {} acknowledged reports, all there once; {logged} in the log; {end} events; slowest start {slowest:?}",
        acknowledged.len()
    );
    assert!(acknowledged.len() as u64 > kills, "the load was too light to show anything");
}
