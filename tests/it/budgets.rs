//! Budgets through the whole service: the sum never passes a limit, whoever asks and however a call ends.

use std::path::Path;

use pointsman::app;
use pointsman::config;
use pointsman::domain::BudgetLimits;
use pointsman::store::{KeyTerms, Scope};
use reqwest::Response;
use serde_json::{Value, json};

use crate::auth::key_on;
use crate::support::{TestApp, chat, config_text, fault, header, read, upstream};

/// Each call of `fake/good` costs 150 tokens at 1 USD per million.
const COST: f64 = 150e-6;
const HOUR_MS: i64 = 3_600_000;

fn route(more: &str) -> String {
    format!(
        "[routes.auto]\nmodels = [\"fake/good\", \"fake/cheap\"]\ndefault = \"fake/good\"\nstrategy = \"fixed\"\n{more}"
    )
}

async fn stats(app: &TestApp) -> Value {
    read(app.get("/admin/stats").await).await.1
}

fn limit(stats: &Value, period: &str, field: &str) -> f64 {
    let limits = stats["budgets"][0]["limits"].as_array().unwrap();
    limits.iter().find(|l| l["period"] == period).unwrap()[field].as_f64().unwrap()
}

async fn spent(response: Response) -> f64 {
    let cost = header(&response, "x-pointsman-cost-usd").parse().unwrap();
    response.text().await.unwrap();
    cost
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_clients_never_spend_more_than_the_limit_and_the_next_hour_serves_again() {
    let app = TestApp::with_routes(&route("budget = { usd_per_hour = 0.01 }\n")).await;
    let client = async || {
        let (mut sum, mut refused) = (0.0, 0);
        for _ in 0..8 {
            let response = app.complete("auto", "What is the weather in Oslo?").await;
            match response.status().as_u16() {
                200 => sum += spent(response).await,
                429 => {
                    let wait: u64 = header(&response, "retry-after").parse().unwrap();
                    assert!((1..=3600).contains(&wait));
                    let (_, body) = read(response).await;
                    assert_eq!(body["error"]["code"], "budget_exceeded");
                    assert_eq!(body["error"]["metadata"]["budget"]["scope"], "route auto");
                    refused += 1;
                }
                other => panic!("status {other}"),
            }
        }
        (sum, refused)
    };
    let alone = async || {
        let mut sum = 0.0;
        for _ in 0..1000 {
            let response = app.complete("auto", "And in Bergen?").await;
            if response.status() == 429 {
                return sum;
            }
            sum += spent(response).await;
        }
        panic!("the limit never came");
    };
    let all = futures::future::join_all((0..64).map(|_| client())).await;
    let sum: f64 = all.iter().map(|(sum, _)| sum).sum();
    assert!(sum <= 0.01, "{sum} spent of 0.01");
    let sum = sum + alone().await;
    let refused: i32 = all.iter().map(|(_, refused)| refused).sum();
    assert!(sum <= 0.01, "{sum} spent of 0.01");
    assert!(sum > 0.009, "{sum}: nine tenths of it can be spent");
    assert!(refused > 0, "512 calls would have cost {}", 512.0 * COST);
    let told = stats(&app).await;
    assert!((limit(&told, "hour", "spent_usd") - sum).abs() < 1e-6, "{told}");
    assert_eq!(told["budgets"][0]["reserved_usd"], 0.0, "nothing is in flight: {told}");
    app.running.service().spend.clock.advance(HOUR_MS);
    assert_eq!(app.complete("auto", "And now?").await.status(), 200);
}

fn long(more: &str) -> String {
    format!("[routes.auto]\nmodels = [\"fake/long\"]\ndefault = \"fake/long\"\nstrategy = \"fixed\"\n{more}")
}

/// The upstream counts a hundred tokens of input, so the prompt has that many: what is not known beforehand cannot be set aside.
fn long_ask() -> String {
    "What is the weather like in Oslo today? ".repeat(15)
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_could_be_dearer_than_what_is_left_are_capped_and_no_sum_passes_its_limit() {
    let named = "[budgets.team-a]\nusd_per_day = 0.015\n";
    let app = TestApp::with_routes(&format!("{}{named}", long("budget = { usd_per_hour = 0.02 }\n"))).await;
    let client = async || {
        let mut sum = 0.0;
        for n in 0..3 {
            let mut body = chat("auto", &long_ask());
            if n == 0 {
                body["pointsman"] = json!({"budget": "team-a"});
            }
            let response = app.post("/v1/chat/completions", &body).send().await.unwrap();
            match response.status().as_u16() {
                200 => sum += spent(response).await,
                429 => assert_eq!(fault(response).await.1, "budget_exceeded"),
                other => panic!("status {other}"),
            }
        }
        sum
    };
    let sum: f64 = futures::future::join_all((0..64).map(|_| client())).await.into_iter().sum();
    assert!(sum > 0.01 && sum <= 0.02, "{sum} spent of 0.02; 192 whole answers would have cost 0.79");
    let told = stats(&app).await;
    for budget in told["budgets"].as_array().unwrap() {
        let limit = &budget["limits"][0];
        let of = |field: &str| limit[field].as_f64().unwrap();
        assert!(of("spent_usd") <= of("limit_usd"), "{budget}");
        assert_eq!(budget["reserved_usd"], 0.0, "{budget}");
    }
    let asked: Vec<u64> =
        app.upstream.calls().iter().map(|c| c.body["max_tokens"].as_u64().unwrap()).collect();
    assert!(!asked.is_empty() && asked.iter().all(|tokens| (1..4000).contains(tokens)), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_not_cut_short_while_there_is_money_and_the_decision_says_when_it_is() {
    let ask = async |limit: &str| {
        let app = TestApp::with_routes(&long(&format!("budget = {{ usd_per_hour = {limit} }}\n"))).await;
        let response = app.complete("auto", &long_ask()).await;
        let id = header(&response, "x-pointsman-decision-id").to_owned();
        let cost = spent(response).await;
        let cap =
            app.get_logged(&format!("/v1/decisions/{id}")).await["decision"]["budget"]["output_cap"].clone();
        (cap, app.upstream.calls()[0].body["max_tokens"].clone(), cost)
    };
    let (cap, asked, cost) = ask("1.0").await;
    assert_eq!((cap, asked), (Value::Null, Value::Null));
    assert!((cost - 4100e-6).abs() < 1e-9, "{cost}");
    let (cap, asked, cost) = ask("0.01").await;
    assert_eq!(cap, asked);
    assert!((1..4000).contains(&cap.as_u64().unwrap()) && cost < 4100e-6, "{cap} {cost}");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_and_aborts_give_their_reservations_back() {
    let app = TestApp::with_routes(&route("budget = { usd_per_hour = 0.01 }\n")).await;
    assert_eq!(app.complete("fake/broken", "x").await.status(), 502);
    let route = app.post(
        "/v1/chat/completions",
        &json!({"model": "auto", "stream": true, "metadata": {"endless": "yes"},
        "messages": [{"role": "user", "content": "Go on and on."}]}),
    );
    let stream = route.send().await.unwrap();
    assert_eq!(stream.status(), 200);
    let told = stats(&app).await;
    assert!(told["budgets"][0]["reserved_usd"].as_f64().unwrap() > 0.0, "in flight: {told}");
    app.upstream.a_stream_open().await;
    drop(stream);
    app.upstream.no_stream_open().await;
    while stats(&app).await["budgets"][0]["reserved_usd"] != 0.0 {
        tokio::task::yield_now().await;
    }
    let told = stats(&app).await;
    assert!(
        limit(&told, "hour", "spent_usd") > 0.0,
        "an aborted call counts at what was expected of it: {told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_budget_and_a_keys_budget_hold_besides_the_routes() {
    let named = "[budgets.team-a]\nusd_per_day = 0.002\n";
    let app = TestApp::with_routes(&format!("{}{named}", route(""))).await;
    let with = |budget: &str| {
        let mut body = chat("auto", "Hello");
        body["pointsman"] = json!({"budget": budget});
        app.post("/v1/chat/completions", &body).send()
    };
    let (status, code, param) = fault(with("team-b").await.unwrap()).await;
    assert_eq!((status, code.as_str(), param.as_deref()), (422, "invalid_field", Some("pointsman.budget")));
    let mut refused = None;
    for _ in 0..500 {
        let response = with("team-a").await.unwrap();
        if response.status() == 429 {
            refused = Some(read(response).await.1);
            break;
        }
    }
    let refused = refused.expect("500 calls cost more than the budget");
    assert_eq!(refused["error"]["metadata"]["budget"]["scope"], "budget team-a");
    assert_eq!(app.complete("auto", "without a name").await.status(), 200);

    let limits = BudgetLimits { usd_per_hour: Some(1e-9), ..BudgetLimits::default() };
    let new = |scope, budget| KeyTerms { scopes: vec![scope], budget, ..KeyTerms::default() };
    let poor_key = key_on(&app, "poor", new(Scope::Infer, limits)).await;
    key_on(&app, "boss", new(Scope::Admin, BudgetLimits::default())).await;
    let poor =
        app.post("/v1/chat/completions", &chat("fake/good", "x")).bearer_auth("poor").send().await.unwrap();
    assert_eq!(fault(poor).await.1, "budget_exceeded", "a model by name counts towards the key too");
    let admin =
        |secret: &'static str| app.client.get(format!("{}/admin/stats", app.base)).bearer_auth(secret).send();
    assert_eq!(admin("poor").await.unwrap().status(), 403);
    assert_eq!(app.get("/admin/stats").await.status(), 401);
    let told = read(admin("boss").await.unwrap()).await.1;
    assert_eq!(told["budgets"][0]["scope"], "key key_poor", "{told}");

    let richer = BudgetLimits { usd_per_hour: Some(1.0), ..BudgetLimits::default() };
    let store = &app.running.service().store;
    store.change_key(poor_key, move |terms| terms.budget = richer, "test").await.unwrap().unwrap();
    let rich =
        app.post("/v1/chat/completions", &chat("fake/good", "x")).bearer_auth("poor").send().await.unwrap();
    assert_eq!(rich.status(), 200, "a budget that was raised holds at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_alone_reserve_until_they_are_reported() {
    let app = TestApp::with_routes(&route("budget = { usd_per_day = 1.0 }\n")).await;
    let decide = async || read(app.post("/v1/route", &chat("auto", "Hello")).send().await.unwrap()).await.1;
    let reserved = async || stats(&app).await["budgets"][0]["reserved_usd"].as_f64().unwrap();
    let first = decide().await;
    assert!(reserved().await > 0.0);
    let report = json!({"decision_id": first["decision_id"], "cost_usd": 0.25});
    assert_eq!(app.post("/feedback", &report).send().await.unwrap().status(), 200);
    let told = stats(&app).await;
    assert_eq!((limit(&told, "day", "spent_usd"), reserved().await), (0.25, 0.0));
    let report = json!({"decision_id": first["decision_id"], "cost_usd": 0.5});
    assert_eq!(app.post("/feedback", &report).send().await.unwrap().status(), 200);
    assert_eq!(limit(&stats(&app).await, "day", "spent_usd"), 0.5, "a revision corrects");
    let mut dry = chat("auto", "Hello");
    dry["pointsman"] = json!({"dry_run": true});
    assert_eq!(app.post("/v1/route", &dry).send().await.unwrap().status(), 200);
    assert_eq!(reserved().await, 0.0, "a dry run reserves nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_decision_and_its_explanation_tell_of_the_budget() {
    let routes = "[routes.auto]\nmodels = [\"fake/good\", \"fake/cheap\"]\ndefault = \"fake/good\"\nbudget = { usd_per_hour = 1.0 }\n";
    let app = TestApp::with_routes(routes).await;
    let response = app.complete("auto", "Hello").await;
    let id = header(&response, "x-pointsman-decision-id").to_owned();
    response.text().await.unwrap();
    let view = app.get_logged(&format!("/v1/decisions/{id}")).await;
    let budget = &view["decision"]["budget"];
    assert_eq!(budget["scopes"][0]["route"], "auto");
    assert!(budget["reserved_usd"].as_f64().unwrap() >= budget["expected_usd"].as_f64().unwrap());
    assert!(view["explanation"]["budget"].as_str().unwrap().contains("route auto"), "{view}");
}

/// A service over `upstream` whose log lies in `folder`.
async fn start(folder: &Path, upstream: &str) -> app::Running {
    let text = config_text(upstream, &folder.join("log.db"), &route("budget = { usd_per_month = 1.0 }\n"));
    let env = |name: &str| (name == "FAKE_KEY").then(|| upstream::SECRET.to_owned());
    app::start(config::parse(&text, &folder.join("p.toml"), &env).unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_spent_is_known_after_a_restart() {
    let (folder, upstream) = (tempfile::tempdir().unwrap(), upstream::FakeUpstream::start().await);
    let client = reqwest::Client::new();
    let running = start(folder.path(), &upstream.base).await;
    for _ in 0..3 {
        let url = format!("http://{}/v1/chat/completions", running.addr);
        let sent = client
            .post(url)
            .header("content-type", "application/json")
            .body(chat("auto", "Hello").to_string())
            .send()
            .await
            .unwrap();
        assert_eq!(sent.status(), 200);
    }
    running.stop().await;
    let running = start(folder.path(), &upstream.base).await;
    let url = format!("http://{}/admin/stats", running.addr);
    let told = read(client.get(url).send().await.unwrap()).await.1;
    assert!((limit(&told, "month", "spent_usd") - 3.0 * COST).abs() < 1e-9, "{told}");
    assert_eq!(told["total"]["requests"], 3);
    assert_eq!(told["budgets"][0]["reserved_usd"], 0.0);
    running.stop().await;
}

#[tokio::test]
async fn a_reported_cost_far_above_what_was_expected_makes_the_next_reservation_larger() {
    let app = TestApp::with_routes(&route("budget = { usd_per_hour = 1.0 }\n")).await;
    let times = async || {
        let answer = read(app.post("/v1/route", &chat("auto", "Hello")).send().await.unwrap()).await.1;
        let id = answer["decision_id"].as_str().unwrap().to_owned();
        let logged = app.get_logged(&format!("/v1/decisions/{id}")).await;
        let budget = &logged["decision"]["budget"];
        let usd = |field: &str| budget[field].as_f64().unwrap();
        (id, usd("expected_usd"), usd("reserved_usd") / usd("expected_usd"))
    };
    let (id, expected, before) = times().await;
    assert!((before - 4.0).abs() < 0.1, "{before}");
    let report = json!({"decision_id": id, "cost_usd": 8.0 * expected});
    assert_eq!(app.post("/feedback", &report).send().await.unwrap().status(), 200);
    let (.., after) = times().await;
    assert!(after > 4.5, "{after} times what is expected is set aside");
}
