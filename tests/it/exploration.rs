//! Who is explored and who never is, and bounds that nobody meets: over HTTP.

use serde_json::{Value, json};

use crate::support::{TestApp, chat, read};

/// As curious as a route can be told to be.
const CURIOUS: &str = "[routes.auto]\nmodels = [\"fake/good\", \"fake/cheap\"]\ndefault = \"fake/good\"\n\
    exploration = { max_expected_loss = 1.0, floor = 0.1, share = 1.0 }\n";

fn tool_turn(model: &str, ask: &str) -> Value {
    json!({"model": model, "messages": [
        {"role": "user", "content": ask},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "Rain"},
    ]})
}

/// The answers of `/v1/route` to `body`, asked so many times.
async fn decided(app: &TestApp, body: &Value, times: usize) -> Vec<Value> {
    let mut answers = Vec::new();
    for _ in 0..times {
        let (status, answer) = read(app.post("/v1/route", body).send().await.unwrap()).await;
        assert_eq!(status, 200, "{answer}");
        answers.push(answer);
    }
    answers
}

fn count(answers: &[Value], field: &str, value: &str) -> usize {
    answers.iter().filter(|a| a[field] == value).count()
}

#[tokio::test]
async fn a_tool_loop_and_a_model_asked_for_by_name_are_never_explored() {
    let app = TestApp::with_routes(CURIOUS).await;
    let free = decided(&app, &chat("auto", "What is the weather?"), 200).await;
    assert!(count(&free, "reason", "explore") >= 5, "the route does explore, or this test shows nothing");
    for answer in decided(&app, &tool_turn("auto", "What is the weather?"), 60).await {
        assert_ne!(answer["reason"], "explore");
        assert_eq!(answer["propensity"], 1.0);
        let others = answer["ranking"].as_array().unwrap().iter().filter(|r| r["model"] != answer["model"]);
        assert!(others.into_iter().all(|r| r["propensity"] == 0.0), "{answer}");
    }
    for answer in decided(&app, &chat("fake/cheap", "What is the weather?"), 20).await {
        assert_eq!((&answer["reason"], &answer["model"]), (&json!("explicit"), &json!("fake/cheap")));
        assert_eq!(answer["propensity"], 1.0);
    }
}

#[tokio::test]
async fn set_to_0_it_is_purely_greedy_and_a_share_holds() {
    for (setting, most) in [
        ("max_expected_loss = 0.0, floor = 0.1", 0.0),
        ("share = 0.0", 0.0),
        ("max_expected_loss = 1.0, share = 0.1", 0.1),
    ] {
        let route = CURIOUS.split("exploration").next().unwrap();
        let app = TestApp::with_routes(&format!("{route}exploration = {{ {setting} }}\n")).await;
        for answer in decided(&app, &chat("auto", "Anything"), 8).await {
            let ranking = answer["ranking"].as_array().unwrap();
            let others: f64 = ranking.iter().skip(1).map(|r| r["propensity"].as_f64().unwrap()).sum();
            assert!(others <= most + 1e-12, "{setting}: {answer}");
            assert!(most == 0.0 || others > 0.0, "{setting}: {answer}");
        }
    }
}

#[tokio::test]
async fn bounds_that_nobody_meets_are_given_up_and_the_record_says_which() {
    let app = TestApp::start().await;
    let mut body = chat("auto", "Faster than light, please");
    let expected = [
        (json!({"max_latency_ms": 1}), json!(["max_latency_ms"])),
        (json!({"min_quality": 1.0}), json!(["min_quality"])),
        (json!({"min_quality": 1.0, "max_cost_usd": 1.0}), json!(["min_quality"])),
        (
            json!({"min_quality": 1.0, "max_cost_usd": 1e-9, "max_latency_ms": 600_000}),
            json!(["min_quality", "max_latency_ms", "max_cost_usd"]),
        ),
        (json!({"max_cost_usd": 1.0}), json!([])),
    ];
    for (wish, given_up) in expected {
        body["pointsman"] = wish.clone();
        let answer = read(app.post("/v1/route", &body).send().await.unwrap()).await.1;
        assert_eq!(answer["relaxed"], given_up, "{wish}: {answer}");
        let last = given_up.as_array().unwrap().last().and_then(Value::as_str);
        if last == Some("max_cost_usd") {
            assert_eq!(answer["model"], "fake/cheap", "when even the money cannot be met, the cheapest");
        }
        // Reports are accepted once the decision is on disk.
        let id = answer["decision_id"].as_str().unwrap();
        assert_eq!(
            app.post("/feedback", &json!({"decision_id": id, "value": 1})).send().await.unwrap().status(),
            200
        );
        let view = read(app.get(&format!("/v1/decisions/{id}")).await).await.1;
        let summary = view["explanation"]["summary"].as_str().unwrap();
        match last {
            None => assert!(view["decision"]["relaxed"].is_null() && !summary.contains("No model met")),
            Some(name) => {
                assert_eq!(view["decision"]["relaxed"], given_up);
                assert!(summary.contains("No model met") && summary.contains(name), "{summary}");
            }
        }
    }
}
