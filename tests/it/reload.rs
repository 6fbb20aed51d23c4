//! G2: another configuration for a running service. `POINTSMAN_RELOADS` sets how many are alternated under load; the figures are printed
//! (`--nocapture`).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use pointsman::app::{self, Running};
use pointsman::config;
use pointsman::domain::ArmId;
use pointsman::policy::Standing;
use reqwest::Client;
use serde_json::{Value, json};

use crate::support::binary::{Binary, Home};
use crate::support::{FakeUpstream, LEARNED, chat, header, read, upstream};

const CLIENTS: usize = 4;

fn env(name: &str) -> Option<String> {
    (name == "FAKE_KEY").then(|| upstream::SECRET.to_owned())
}

/// A service in this process that can read its file again.
struct App {
    home: Home,
    running: Running,
    base: String,
    client: Client,
}

impl App {
    async fn start(upstream: &FakeUpstream, more: &str) -> Self {
        let home = Home::new(&upstream.base, more);
        let file = home.config.clone();
        let settings = config::load(&file, &env).unwrap();
        let again: app::ReadAgain = Box::new(move |before| config::reload(&file, &env, before));
        let running = app::start_from(settings, Some(again)).await.unwrap();
        let base = format!("http://{}", running.addr);
        Self { home, running, base, client: Client::new() }
    }

    fn edit(&self, from: &str, to: &str) {
        edit(&self.home.config, from, to);
    }

    async fn reload(&self) -> (u16, Value) {
        reload(&self.client, &self.base).await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        read(self.client.get(format!("{}{path}", self.base)).send().await.unwrap()).await
    }

    async fn ask(&self, body: &Value) -> reqwest::Response {
        post(&self.client, &self.base, "/v1/chat/completions", body).await
    }
}

fn edit(file: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{from:?} is not in {text}");
    std::fs::write(file, text.replacen(from, to, 1)).unwrap();
}

async fn post(client: &Client, base: &str, path: &str, body: &Value) -> reqwest::Response {
    let request = client.post(format!("{base}{path}")).header("content-type", "application/json");
    request.body(body.to_string()).send().await.unwrap()
}

async fn reload(client: &Client, base: &str) -> (u16, Value) {
    read(post(client, base, "/admin/reload", &json!({})).await).await
}

/// What the metrics say of `name`, with all its labels.
async fn metric(client: &Client, base: &str, name: &str) -> Vec<String> {
    let text = client.get(format!("{base}/metrics")).send().await.unwrap().text().await.unwrap();
    text.lines().filter(|line| line.starts_with(name)).map(str::to_owned).collect()
}

/// Asks until it is told to stop; counts answers, and keeps what was no whole answer.
async fn load(
    client: Client,
    base: String,
    worker: usize,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
) -> Vec<String> {
    let mut failed = Vec::new();
    for turn in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let mut body = chat("auto", &format!("Question {} of worker {worker}", turn % 5));
        body["stream"] = json!(turn % 3 == 0);
        let answer = post(&client, &base, "/v1/chat/completions", &body).await;
        let (status, text) = (answer.status(), answer.text().await.unwrap_or_else(|e| e.to_string()));
        if status != 200 || !(text.contains("[DONE]") || text.contains("\"finish_reason\":\"stop\"")) {
            failed.push(format!("{status} {text}"));
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
    failed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_good_and_bad_configurations_alternate_under_load_and_no_request_fails() {
    let rounds = std::env::var("POINTSMAN_RELOADS").ok().and_then(|n| n.parse().ok()).unwrap_or(24);
    let fake = FakeUpstream::start().await;
    let home = Home::new(&fake.base, LEARNED);
    let binary = Binary::start(&home).await;
    let (client, stop, done) = (Client::new(), Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
    let worker = |i| load(client.clone(), binary.base.clone(), i, Arc::clone(&stop), Arc::clone(&done));
    let load: Vec<_> = (0..CLIENTS).map(|i| tokio::spawn(worker(i))).collect();

    let good = std::fs::read_to_string(&home.config).unwrap();
    // The one has another default, prices and a model more; the other is as at the start.
    let other = good
        .replace(
            "models = [\"fake/good\", \"fake/cheap\"]\ndefault = \"fake/good\"",
            "models = [\"fake/cheap\", \"fake/long\"]\ndefault = \"fake/cheap\"",
        )
        .replace("input = 0.1, output = 0.1", "input = 0.2, output = 0.2");
    assert_ne!(good, other);
    let bad = [
        good.replace("default = \"fake/good\"", "default = \"fake/nobody\""),
        good.replace("[routes.auto]", "[routes.auto"),
    ];
    let began = Instant::now();
    let mut hash = metric(&client, &binary.base, "pointsman_config_info").await;
    for round in 0..rounds {
        let (text, is_good) = match round % 4 {
            0 => (&other, true),
            1 => (&bad[0], false),
            2 => (&good, true),
            _ => (&bad[1], false),
        };
        std::fs::write(&home.config, text).unwrap();
        let (status, body) = reload(&client, &binary.base).await;
        let now = metric(&client, &binary.base, "pointsman_config_info").await;
        assert_eq!(now.len(), 1, "{now:?}");
        if is_good {
            assert_eq!(status, 200, "{body}");
            assert!(now[0].contains(body["config"].as_str().unwrap()) && now != hash, "{now:?}");
            hash = now;
        } else {
            assert_eq!((status, &body["error"]["code"]), (422, &json!("invalid_config")), "{body}");
            let fault = &body["error"]["metadata"]["faults"][0];
            assert!(fault["line"].as_u64().is_some_and(|line| line > 10), "{body}");
            assert_eq!(now, hash, "what was in force stays");
        }
    }
    let took = began.elapsed();
    stop.store(true, Ordering::Relaxed);
    for worker in load {
        assert_eq!(worker.await.unwrap(), Vec::<String>::new());
    }
    let served = done.load(Ordering::Relaxed);
    assert!(served > 0);
    println!(
        "{rounds} reloads, {served} requests, none failed, {:.0} requests/s",
        served as f64 / took.as_secs_f64()
    );
    // The file was seen to change besides: more may have been read than were ordered.
    for result in ["applied", "refused"] {
        let count =
            metric(&client, &binary.base, &format!("pointsman_config_reloads_total{{result=\"{result}\"}}"))
                .await;
        let count: u64 = count[0].rsplit_once(' ').unwrap().1.parse().unwrap();
        assert!(count >= rounds / 2, "{result}: {count}");
    }
    binary.terminate();
    let (code, said) = binary.ended().await;
    assert_eq!(code, Some(0));
    assert!(
        said.contains("in force") && said.contains("is not taken over, what was in force stays"),
        "{said}"
    );
}

#[tokio::test]
async fn an_order_without_words_takes_none_but_an_empty_object() {
    let fake = FakeUpstream::start().await;
    let app = App::start(&fake, LEARNED).await;
    for path in ["/admin/reload", "/admin/policies/rollback", "/admin/experiments/x/stop"] {
        let answer = post(&app.client, &app.base, path, &json!([null, null])).await;
        assert_eq!(answer.status(), 400, "{path}");
    }
    assert_eq!(app.reload().await.0, 200);
}

#[tokio::test]
async fn g2_every_fault_of_a_bad_one_is_named_with_its_line() {
    let fake = FakeUpstream::start().await;
    let app = App::start(&fake, LEARNED).await;
    app.edit("[routes.auto]\n", "[routes.auto]\nstrategi = \"fixed\"\nmax_latency_ms = -3\n");
    let line = 1 + std::fs::read_to_string(&app.home.config)
        .unwrap()
        .lines()
        .position(|l| l.contains("strategi"))
        .unwrap();
    let (status, body) = app.reload().await;
    assert_eq!(status, 422, "{body}");
    let metadata = &body["error"]["metadata"];
    assert_eq!(metadata["file"], app.home.config.display().to_string());
    let found: Vec<_> = metadata["faults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f["line"].clone(), f["key"].clone()))
        .collect();
    assert_eq!(
        found,
        [
            (json!(line), json!("routes.auto.strategi")),
            (json!(line + 1), json!("routes.auto.max_latency_ms"))
        ]
    );
    assert!(metadata["faults"][0]["message"].as_str().unwrap().contains("strategy"), "{body}");
    assert_eq!(app.ask(&chat("auto", "Still there?")).await.status(), 200);
    let counted = metric(&app.client, &app.base, "pointsman_config_reloads_total").await;
    assert_eq!(counted, ["pointsman_config_reloads_total{result=\"refused\"} 1"]);
    app.running.stop().await;
}

#[tokio::test]
async fn g2_what_needs_a_restart_is_refused_by_name_and_nothing_of_the_file_is_taken_over() {
    let fake = FakeUpstream::start().await;
    let app = App::start(&fake, LEARNED).await;
    app.edit("listen = \"127.0.0.1:0\"", "listen = \"127.0.0.1:9\"");
    app.edit("kind = \"student\"", "kind = \"student\"\nqueue = 7");
    app.edit(
        "[routes.auto]",
        "[learning]\nkey_share = 0.4\n[routes.other]\nmodels = [\"fake/good\"]\ndefault = \"fake/good\"\n[routes.auto]",
    );
    let (status, body) = app.reload().await;
    assert_eq!(status, 422, "{body}");
    let faults = body["error"]["metadata"]["faults"].as_array().unwrap();
    let named: Vec<_> = faults.iter().map(|fault| fault["key"].as_str().unwrap()).collect();
    assert_eq!(named, ["server.listen", "embedder.queue", "learning.key_share"], "{body}");
    assert!(
        faults
            .iter()
            .all(|f| f["line"].is_u64() && f["message"].as_str().unwrap().contains("needs a restart")),
        "{body}"
    );
    assert_eq!(app.ask(&chat("other", "Anybody?")).await.status(), 404);
    app.running.stop().await;
}

#[tokio::test]
async fn g2_requests_in_flight_end_as_they_began_and_models_leave_and_come_back() {
    const LEAVING: &str = "[models.\"fake/leaving\"]\nprovider = \"fake\"\nmodel = \"leaving\"\nprice = { input = 0.1, output = 0.1 }\n\
                           context_window = 8000\ncapabilities = [\"tools\"]\n";
    let fake = FakeUpstream::start().await;
    let app = App::start(&fake, &format!("{LEAVING}{LEARNED}")).await;
    let leaving = ArmId::from("fake/leaving");
    let standing = || app.running.service().learning.policy().standing(&leaving);

    // The learner has heard of it.
    let answer = app.ask(&chat("fake/leaving", "Hello")).await;
    let report = json!({"decision_id": header(&answer, "x-pointsman-decision-id"), "value": 0.9});
    assert_eq!(post(&app.client, &app.base, "/feedback", &report).await.status(), 200);
    let end = *app.running.service().store.committed().borrow();
    app.running.service().learning.watch().wait_for(|s| s.published >= end).await.unwrap();

    let mut body = chat("fake/leaving", "On and on");
    (body["stream"], body["metadata"]) = (json!(true), json!({"endless": "yes"}));
    let mut stream = app.ask(&body).await.bytes_stream();
    stream.next().await.unwrap().unwrap();
    app.edit(LEAVING, "");
    let (status, said) = app.reload().await;
    assert_eq!(status, 200, "{said}");
    for _ in 0..20 {
        assert!(!stream.next().await.unwrap().unwrap().is_empty(), "it goes on");
    }
    assert_eq!(app.ask(&chat("fake/leaving", "Anybody?")).await.status(), 404);
    assert_eq!(standing(), Some(Standing::Removed));
    drop(stream);
    fake.no_stream_open().await;

    app.edit("[routes.auto]", &format!("{LEAVING}[routes.auto]"));
    assert_eq!(app.reload().await.0, 200);
    assert_eq!(app.ask(&chat("fake/leaving", "Back?")).await.status(), 200);
    assert_ne!(standing(), Some(Standing::Removed));
    let rows = app.get("/admin/audit").await.1;
    let done: Vec<_> =
        rows["audit"].as_array().unwrap().iter().map(|row| (&row["what"], &row["who"])).collect();
    assert_eq!(done, [(&json!("config_reloaded"), &json!("loopback")); 2], "{rows}");
    app.running.stop().await;
}

#[tokio::test]
async fn g2_what_was_spent_and_who_is_down_is_known_after_a_reload() {
    const ROUTES: &str = "[routes.auto]\nmodels = [\"fake/good\"]\ndefault = \"fake/good\"\nbudget = { usd_per_day = 1.0 }\n\
                          [routes.bad]\nmodels = [\"fake/broken\"]\ndefault = \"fake/broken\"\nstrategy = \"fixed\"\nretry = { max = 0 }\n";
    let fake = FakeUpstream::start().await;
    let app = App::start(&fake, ROUTES).await;
    assert_eq!(app.ask(&chat("auto", "Hello")).await.status(), 200);
    for _ in 0..6 {
        assert_ne!(app.ask(&chat("bad", "Hello")).await.status(), 200);
    }
    let open = "pointsman_breaker{arm=\"fake/broken\"} 2";
    assert_eq!(metric(&app.client, &app.base, "pointsman_breaker{arm=\"fake/broken\"}").await, [open]);
    let limit = async || app.get("/admin/stats").await.1["budgets"][0]["limits"][0].clone();
    let before = limit().await;
    assert!(before["spent_usd"].as_f64().unwrap() > 0.0, "{before}");

    // Gone, and back with another limit.
    app.edit("budget = { usd_per_day = 1.0 }\n", "");
    assert_eq!(app.reload().await.0, 200);
    assert_eq!(limit().await, Value::Null);
    app.edit("[routes.auto]\n", "[routes.auto]\nbudget = { usd_per_day = 2.0 }\n");
    assert_eq!(app.reload().await.0, 200);
    let after = limit().await;
    assert_eq!((&after["spent_usd"], &after["limit_usd"]), (&before["spent_usd"], &json!(2.0)));
    assert_eq!(metric(&app.client, &app.base, "pointsman_breaker{arm=\"fake/broken\"}").await, [open]);

    // Another key for the provider: whoever rested because of the old one is asked again.
    app.edit("[providers.fake]\n", "[providers.fake]\nheaders = { \"x-account\" = \"2\" }\n");
    assert_eq!(app.reload().await.0, 200);
    let calls = fake.calls().len();
    app.ask(&chat("bad", "Hello")).await;
    let last = fake.calls().pop().unwrap();
    assert_eq!((fake.calls().len(), last.headers["x-account"].to_str().unwrap()), (calls + 1, "2"));
    app.running.stop().await;
}

#[tokio::test]
async fn g2_a_signal_and_a_changed_file_are_enough() {
    let fake = FakeUpstream::start().await;
    let home = Home::new(&fake.base, LEARNED);
    let (binary, client) = (Binary::start(&home).await, Client::new());
    let ask = async |model: &str| {
        post(&client, &binary.base, "/v1/chat/completions", &chat(model, "Hi")).await.status().as_u16()
    };
    let until_there = async |model: &str| {
        for _ in 0..1500 {
            if ask(model).await == 200 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{model} is not there");
    };
    assert_eq!(ask("second").await, 404);
    edit(
        &home.config,
        "[routes.auto]",
        "[routes.second]\nmodels = [\"fake/good\"]\ndefault = \"fake/good\"\n[routes.auto]",
    );
    assert!(std::process::Command::new("kill").args(["-HUP", &binary.pid()]).status().unwrap().success());
    until_there("second").await;
    edit(
        &home.config,
        "[routes.auto]",
        "[routes.third]\nmodels = [\"fake/good\"]\ndefault = \"fake/good\"\n[routes.auto]",
    );
    until_there("third").await;
    binary.terminate();
    let (code, said) = binary.ended().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("by=\"file\"") || said.contains("by=file"), "{said}");
}

#[tokio::test]
async fn g2_without_a_file_there_is_nothing_to_read_again() {
    let app = crate::support::TestApp::start().await;
    let (status, body) = reload(&app.client, &app.base).await;
    assert_eq!((status, &body["error"]["code"]), (409, &json!("no_config_file")), "{body}");
}
