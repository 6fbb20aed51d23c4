//! Rows D: the database is locked, full, damaged, read-only or of another version.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command};

use pointsman::config::EmbedderKind;
use pointsman::domain::{Decision, DecisionId, EventBody, FeedbackRef};
use pointsman::store::{Store, StoreOptions};
use reqwest::{Client, Response};
use serde_json::{Value, json};

use crate::support::binary::{Binary, Home, again};
use crate::support::{FakeUpstream, LEARNED, TestApp, chat, fault, header, read};

/// Where the database of [`another_process_holds_the_lock`] lies.
const HOLD: &str = "POINTSMAN_TEST_HOLD";

/// The second process of `d1_...`: it holds the database until its input ends. Without its variable there is nothing to hold.
#[test]
fn another_process_holds_the_lock() {
    let Some(path) = std::env::var_os(HOLD) else { return };
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
    println!("held");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// Another process that holds the database until this is dropped.
struct Holder(Child);

impl Holder {
    fn of(path: &Path) -> Self {
        let mut child = again("faults::store::another_process_holds_the_lock", HOLD, path);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.contains("held")));
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

async fn app() -> TestApp {
    TestApp::built(LEARNED, |settings| settings.embedder.kind = EmbedderKind::Student).await
}

/// A completion whose decision is on disk.
async fn logged(app: &TestApp) -> String {
    let id = header(&app.complete("auto", "Rate me").await, "x-pointsman-decision-id").to_owned();
    app.get_logged(&format!("/v1/decisions/{id}")).await;
    id
}

async fn metric(app: &TestApp, name: &str) -> f64 {
    let text = app.get("/metrics").await.text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

async fn store_of(app: &TestApp) -> String {
    read(app.get("/readyz").await).await.1["store"].as_str().unwrap().to_owned()
}

/// Feedback cannot be stored: 503, and when to come again.
async fn assert_refused(refused: Response) {
    assert_eq!(header(&refused, "retry-after"), "1");
    assert_eq!(fault(refused).await, (503, "store_unavailable".into(), None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d1_while_another_process_holds_the_database_completions_go_on_and_feedback_is_a_503() {
    let app = app().await;
    let id = logged(&app).await;
    let report = json!({"decision_id": id, "value": 0.5});
    let holder = Holder::of(&app.store_path());
    for _ in 0..3 {
        assert_eq!(app.complete("auto", "Go on").await.status(), 200);
    }
    assert_refused(app.post("/feedback", &report).send().await.unwrap()).await;
    assert_eq!(app.complete("auto", "Go on").await.status(), 200);
    assert_eq!(store_of(&app).await, "unwell: it cannot be written");
    assert_eq!(metric(&app, "pointsman_store_healthy").await, 0.0);
    assert!(
        metric(&app, "pointsman_store_dropped_events_total").await >= 1.0,
        "what was not written is counted"
    );
    drop(holder);
    while app.post("/feedback", &report).send().await.unwrap().status() != 200 {}
    assert_eq!(store_of(&app).await, "well");
    let view = app.get_logged(&format!("/v1/decisions/{id}")).await;
    assert_eq!(view["feedback"].as_array().unwrap().len(), 1, "{view}");
    logged(&app).await;
}

struct Caller {
    client: Client,
    base: String,
}

impl Caller {
    async fn post(&self, path: &str, body: &Value) -> Response {
        let request =
            self.client.post(format!("{}{path}", self.base)).header("content-type", "application/json");
        request.body(body.to_string()).send().await.unwrap()
    }

    async fn ask(&self) -> String {
        let answer = self.post("/v1/chat/completions", &chat("auto", "Fill the disk")).await;
        assert_eq!(answer.status(), 200);
        header(&answer, "x-pointsman-decision-id").to_owned()
    }
}

/// The size to which files may grow; the log is not allowed to go beyond it until the limit is lifted.
const QUOTA_BLOCKS: &str = "2000";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d2_when_the_log_cannot_grow_completions_go_on_feedback_is_a_503_and_space_mends_it() {
    let upstream = FakeUpstream::start().await;
    let home = Home::new(&upstream.base, LEARNED);
    // A limit on files' sizes that is an error of `write`, as a quota is, and not a signal.
    let script = format!("trap '' XFSZ; ulimit -S -f {QUOTA_BLOCKS}; exec \"$@\"");
    let served = home.serve();
    let mut limited = Command::new("sh");
    limited.args(["-c", &script, "sh"]).arg(served.get_program()).args(served.get_args());
    limited.envs(served.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let binary = Binary::run(limited, "info").await;
    let caller = Caller { client: Client::new(), base: binary.base.clone() };
    let mut kept = Vec::new();
    loop {
        assert!(kept.len() < 2000, "the quota does not bite");
        let id = caller.ask().await;
        let answer = caller.post("/feedback", &json!({"decision_id": id, "value": 1})).await;
        match answer.status().as_u16() {
            200 => kept.push(id),
            // The report, or its decision before it, was not written.
            404 | 503 => break,
            other => panic!("{other}"),
        }
    }
    // What is left is too little for one commit, and may do for a smaller one: reports alone fill it up.
    let (mut refusals, mut fills) = (0, 0);
    while refusals < 3 {
        fills += 1;
        let fill = json!({"decision_id": kept[0], "name": format!("fill-{fills}"), "value": 1, "comment": "x".repeat(4000)});
        let answer = caller.post("/feedback", &fill).await;
        assert!(fills < 2000, "the quota does not bite");
        if answer.status() == 200 {
            refusals = 0;
        } else {
            refusals += 1;
            assert_refused(answer).await;
        }
    }
    let is_full = |metrics: &str| {
        metrics.contains("pointsman_store_healthy 0")
            && !metrics.contains("pointsman_store_dropped_events_total 0")
    };
    for asked in 0.. {
        assert!(asked < 2000, "nothing is lost, or it is not counted");
        caller.ask().await;
        let metrics = caller.client.get(format!("{}/metrics", caller.base)).send().await.unwrap();
        if is_full(&metrics.text().await.unwrap()) {
            break;
        }
    }
    let lifted =
        Command::new("prlimit").args(["--pid", &binary.pid(), "--fsize=unlimited"]).status().unwrap();
    assert!(lifted.success());
    let id = loop {
        let id = caller.ask().await;
        match caller.post("/feedback", &json!({"decision_id": id, "value": 1})).await.status().as_u16() {
            200 => break id,
            // The decision itself may still have been lost, or the writer may not have tried again.
            404 | 503 => {}
            other => panic!("{other}"),
        }
    };
    kept.push(id);
    binary.terminate();
    let (code, said) = binary.ended().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the store cannot write") && said.contains("the store writes again"), "{said}");
    let store = Store::open(StoreOptions::at(&home.log)).unwrap();
    for id in kept {
        let record = store.record(&FeedbackRef::Decision(id.parse().unwrap()), None).unwrap().unwrap();
        let quality = record.feedback.iter().filter(|report| report.name == "quality").count();
        assert_eq!(quality, 1, "{id}: what was answered with 200 is there, once");
    }
}

/// A log with a hundred events, closed.
fn written(home: &Home) -> Vec<u8> {
    let store = Store::open(StoreOptions::at(&home.log)).unwrap();
    for n in 0..100 {
        store.try_append(decision(n, "")).unwrap();
    }
    store.close();
    fs::read(&home.log).unwrap()
}

fn decision(n: u64, fault: &str) -> EventBody {
    let id: DecisionId = format!("00000000-0000-7000-8000-{n:012x}").parse().unwrap();
    let plain =
        Decision::certain(id, Default::default(), "auto".into(), "fake/good".into(), "fixed@1".into());
    EventBody::Decided(Box::new(Decision { fault: Some(fault.to_owned()), ..plain }))
}

#[test]
fn d3_what_is_no_whole_log_is_not_started_on_and_the_message_says_what_to_do() {
    let home = Home::new("http://127.0.0.1:1", LEARNED);
    let good = written(&home);
    let mut flipped = good.clone();
    flipped[8192..16_384].iter_mut().for_each(|byte| *byte ^= 0x55);
    for (content, words) in [
        (flipped.as_slice(), "is damaged"),
        (&good[..good.len() / 2], "is damaged"),
        (b"SQLite format 2, or so it says".repeat(300).as_slice(), "is not a SQLite database"),
        (b"", "is empty"),
    ] {
        fs::write(&home.log, content).unwrap();
        let (code, said) = home.refused();
        assert_eq!(code, Some(1), "{said}");
        let names = said.contains(&home.log.display().to_string());
        assert!(names && said.contains(words) && said.contains("from a backup"), "{said}");
        assert!(fs::read(&home.log).unwrap() == content, "it is left as it was");
    }
}

#[test]
fn d4_a_read_only_file_or_folder_is_not_started_on() {
    let home = Home::new("http://127.0.0.1:1", LEARNED);
    written(&home);
    for (path, closed, open) in [(home.log.as_path(), 0o444, 0o600), (home.folder.path(), 0o555, 0o700)] {
        let set = |mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        set(closed);
        let (code, said) = home.refused();
        set(open);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("is read-only: give this user write permission"), "{said}");
    }
}

#[test]
fn d5_a_newer_schema_is_not_started_on_and_left_alone() {
    let home = Home::new("http://127.0.0.1:1", LEARNED);
    written(&home);
    rusqlite::Connection::open(&home.log).unwrap().pragma_update(None, "user_version", 999).unwrap();
    let before = fs::read(&home.log).unwrap();
    let (code, said) = home.refused();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("has schema 999") && said.contains("use the newer pointsman"), "{said}");
    assert!(fs::read(&home.log).unwrap() == before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d3_damaged_while_in_use_completions_go_on_nothing_more_is_written_and_the_alarm_is_up() {
    let app = app().await;
    let store = &app.running.service().store;
    // More than the page cache holds.
    for n in 0..80 {
        store.append(decision(n, &"x".repeat(100_000))).await.unwrap();
    }
    for name in ["log.db", "log.db-wal"] {
        let file = fs::OpenOptions::new().write(true).open(app.store_path().with_file_name(name)).unwrap();
        let length = file.metadata().unwrap().len();
        // The head stays: the file is a database still, and what it held is gone.
        for at in (4096..length).step_by(4096) {
            file.write_at(&[0x55; 4096], at).unwrap();
        }
    }
    let report = |n: u64| json!({"decision_id": format!("00000000-0000-7000-8000-{n:012x}"), "value": 1});
    for n in [1, 40, 2] {
        assert_refused(app.post("/feedback", &report(n)).send().await.unwrap()).await;
    }
    assert_eq!(app.complete("auto", "Go on").await.status(), 200);
    assert_eq!(store_of(&app).await, "unwell: it cannot be written");
    assert_eq!(metric(&app, "pointsman_store_healthy").await, 0.0);
    let written = fs::metadata(app.store_path().with_file_name("log.db-wal")).unwrap().len();
    assert_eq!(app.complete("auto", "Go on").await.status(), 200);
    assert_refused(app.post("/feedback", &report(1)).send().await.unwrap()).await;
    assert_eq!(fs::metadata(app.store_path().with_file_name("log.db-wal")).unwrap().len(), written);
    assert!(metric(&app, "pointsman_store_dropped_events_total").await >= 1.0);
}
