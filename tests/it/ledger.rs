//! The ledger: every kind of token at its price, by a named price table; what broke off is billed as far as it came.

use futures::StreamExt;
use pointsman::domain::{Basis, CompletionEnd};
use serde_json::{Value, json};

use crate::chat::wait_for_completion;
use crate::support::{TestApp, chat, header, read};

/// A price with all its parts, beside the usual models.
const RICH: &str = "[models.\"fake/rich\"]\nprovider = \"fake\"\nmodel = \"rich\"\ncontext_window = 8000\n\
     price = { input = 2.0, output = 10.0, cached_input = 0.5, cache_write = 2.5, reasoning = 20.0, \
     long = { above = 1000, input = 4.0, output = 15.0, cached_input = 1.0 } }\n\
     [routes.auto]\nmodels = [\"fake/rich\", \"fake/good\"]\ndefault = \"fake/rich\"\nstrategy = \"fixed\"\n";

async fn stats(app: &TestApp, query: &str) -> Value {
    read(app.get(&format!("/admin/stats{query}")).await).await.1
}

/// Sends `body`; the decision and what the answer says that it cost, USD.
async fn paid(app: &TestApp, body: &Value) -> (String, f64) {
    let response = app.post("/v1/chat/completions", body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let told = |name| header(&response, name).to_owned();
    (told("x-pointsman-decision-id"), told("x-pointsman-cost-usd").parse().unwrap())
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

#[tokio::test]
async fn the_sums_are_usage_times_price_for_every_kind_of_token() {
    let app = TestApp::with_routes(RICH).await;
    let mut short = chat("auto", "Hello");
    short["metadata"] = json!({"cached": "40", "written": "20", "thought": "10"});
    let mut long = chat("auto", "Hello");
    long["metadata"] = json!({"cached": "2000"});
    let (id, of_short) = paid(&app, &short).await;
    let (_, of_long) = paid(&app, &long).await;
    // 80 fresh, 40 read and 20 written tokens in; 40 of text and 10 of reasoning out.
    assert!(
        near(of_short, (80.0 * 2.0 + 40.0 * 0.5 + 20.0 * 2.5 + 40.0 * 10.0 + 10.0 * 20.0) / 1e6),
        "{of_short}"
    );
    assert!(near(of_long, (100.0 * 4.0 + 2000.0 * 1.0 + 50.0 * 15.0) / 1e6), "{of_long}");

    let done = wait_for_completion(&app, &id).await;
    let billing = done.billing.unwrap();
    assert_eq!((billing.basis, billing.reserved_usd), (Some(Basis::Table), None));
    assert!(near(billing.settled_usd, of_short));
    let (_, prices) = read(app.get("/admin/prices").await).await;
    assert_eq!(prices["current"], &*billing.prices);
    assert_eq!(prices["tables"][0]["version"], &*billing.prices);
    assert_eq!(prices["tables"][0]["prices"]["fake/rich"]["long"]["above"], 1000);

    let told = stats(&app, "").await;
    let total = &told["total"];
    assert!(near(total["spend_usd"].as_f64().unwrap(), of_short + of_long), "{told}");
    for (field, tokens) in [
        ("input_tokens", 2240),
        ("output_tokens", 100),
        ("cached_tokens", 2040),
        ("cache_write_tokens", 20),
        ("reasoning_tokens", 10),
        ("unpriced", 0),
    ] {
        assert_eq!(total[field], tokens, "{field} in {told}");
    }
    assert_eq!(told["by"]["model"][0]["spend_usd"], total["spend_usd"]);
    let text = app.get("/metrics").await.text().await.unwrap();
    assert!(text.contains("pointsman_tokens_total{arm=\"fake/rich\",kind=\"cache_write\"} 20"), "{text}");
}

#[tokio::test]
async fn a_call_that_breaks_off_is_billed_as_far_as_it_came_and_says_so() {
    let app = TestApp::with_routes(RICH).await;
    let mut body = chat("auto", "Go on and on.");
    body["stream"] = json!(true);
    body["metadata"] = json!({"endless": "yes"});
    let response = app.post("/v1/chat/completions", &body).send().await.unwrap();
    let id = header(&response, "x-pointsman-decision-id").to_owned();
    let mut pieces = response.bytes_stream();
    let mut seen = String::new();
    while !seen.contains("and on") {
        seen += &String::from_utf8_lossy(&pieces.next().await.unwrap().unwrap());
    }
    drop(pieces);
    let done = wait_for_completion(&app, &id).await;
    let (usage, billing) = (done.usage.unwrap(), done.billing.unwrap());
    assert_eq!((done.end, billing.basis), (CompletionEnd::ClientAborted, Some(Basis::Estimate)));
    assert!(usage.input_tokens > 0 && usage.output_tokens >= 6, "{usage:?}");
    let cost = f64::from(usage.input_tokens) * 2e-6 + f64::from(usage.output_tokens) * 1e-5;
    assert!(near(done.cost_usd.unwrap(), cost) && near(billing.settled_usd, cost), "{usage:?}");
    let told = stats(&app, "").await;
    assert!(near(told["total"]["estimated_usd"].as_f64().unwrap(), cost), "{told}");
    assert_eq!(told["total"]["unpriced"], 0);
}

#[tokio::test]
async fn users_and_tags_are_summed_up_from_the_ledger() {
    let app = TestApp::with_routes(RICH).await;
    let mut sums = [0.0, 0.0];
    for n in 0..3 {
        let mut body = chat("auto", "Hello");
        let user = n % 2;
        body["pointsman"] =
            json!({"user": format!("user-{user}"), "tags": {"feature": "search", "n": n.to_string()}});
        body["metadata"] = json!({"cached": (100 * n).to_string()});
        let (id, cost) = paid(&app, &body).await;
        sums[user] += cost;
        wait_for_completion(&app, &id).await;
    }
    paid(&app, &chat("auto", "of nobody")).await;
    let told = stats(&app, "?by=user,tag").await;
    let lines = |group: &str| {
        let found = told["by"][group].as_array().unwrap().iter();
        found
            .map(|l| {
                (
                    l["name"].as_str().unwrap(),
                    l["requests"].as_u64().unwrap(),
                    l["spend_usd"].as_f64().unwrap(),
                )
            })
            .collect::<Vec<_>>()
    };
    let users = lines("user");
    assert_eq!(users.len(), 2, "{told}");
    assert!(
        users[0].0 == "user-0" && users[0].1 == 2 && near(users[0].2, sums[0]),
        "{users:?}: the dearest first"
    );
    assert!(users[1].0 == "user-1" && near(users[1].2, sums[1]), "{users:?}");
    let tags = lines("tag");
    assert_eq!(tags.len(), 4);
    assert!(
        tags[0].0 == "feature=search" && tags[0].1 == 3 && near(tags[0].2, sums[0] + sums[1]),
        "{tags:?}"
    );
    assert!(told["by"].get("model").is_none(), "only what was asked for");
}

#[tokio::test]
async fn what_was_reserved_stands_beside_what_was_settled() {
    let app = TestApp::with_routes(&format!("{RICH}budget = {{ usd_per_day = 1.0 }}\n")).await;
    let (id, cost) = paid(&app, &chat("auto", "Hello")).await;
    let billing = wait_for_completion(&app, &id).await.billing.unwrap();
    let reserved = billing.reserved_usd.unwrap();
    assert!(reserved > 0.0 && near(billing.settled_usd, cost), "{billing:?}");
    let total = &stats(&app, "").await["total"];
    assert!(near(total["reserved_usd"].as_f64().unwrap(), reserved), "{total}");
}

#[tokio::test]
async fn a_reported_call_without_its_cost_is_unpriced_and_not_free() {
    let app = TestApp::with_routes(RICH).await;
    let mut body = chat("auto", "Hello");
    body["pointsman"] = json!({"user": "ada", "tags": {"feature": "search"}});
    let (status, chosen) = read(app.post("/v1/route", &body).send().await.unwrap()).await;
    assert_eq!(status, 200, "{chosen}");
    let usage = json!({"input_tokens": 100, "output_tokens": 50});
    let report = json!({"decision_id": chosen["decision_id"], "usage": usage});
    assert_eq!(app.post("/feedback", &report).send().await.unwrap().status(), 200);
    let told = stats(&app, "?by=user,tag").await;
    for (group, name) in [("user", "ada"), ("tag", "feature=search")] {
        let line = &told["by"][group][0];
        assert_eq!((&line["name"], &line["unpriced"]), (&json!(name), &json!(1)), "{told}");
        assert_eq!((&line["input_tokens"], &line["output_tokens"]), (&json!(100), &json!(50)), "{told}");
    }
}
