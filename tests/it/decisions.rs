//! Deciding without calling, looking back, and the lists.

use serde_json::json;

use crate::support::{TestApp, chat, fault, header, read};

#[tokio::test]
async fn route_decides_calls_nobody_and_takes_reports_of_the_call() {
    let app = TestApp::start().await;
    let response = app.post("/v1/route", &chat("auto", "Which one?")).send().await.unwrap();
    assert_eq!(
        (header(&response, "x-pointsman-route"), header(&response, "x-pointsman-attempts")),
        ("auto", "0")
    );
    let answer = read(response).await.1;
    assert!(app.upstream.calls().is_empty());
    assert_eq!(answer["embedder"], "minilm");
    let ranking = answer["ranking"].as_array().unwrap();
    assert_eq!(ranking.len(), 2);
    let sum: f64 = ranking.iter().map(|r| r["propensity"].as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-9);
    assert!(ranking[0]["utility"].as_f64() >= ranking[1]["utility"].as_f64());
    let chosen = ranking.iter().find(|r| r["model"] == answer["model"]).unwrap();
    assert_eq!(chosen["propensity"], answer["propensity"]);

    let id = answer["decision_id"].as_str().unwrap();
    let report = json!({"decision_id": id, "value": 0.9, "usage": {"input_tokens": 10, "output_tokens": 20}, "cost_usd": 0.01,
                        "latency_ms": 700});
    assert_eq!(app.post("/feedback", &report).send().await.unwrap().status(), 200);
    let view = read(app.get(&format!("/v1/decisions/{id}")).await).await.1;
    assert_eq!(view["completed"]["end"], "reported");
    assert_eq!(view["completed"]["cost_usd"], 0.01);
}

#[tokio::test]
async fn a_dry_run_leaves_no_trace() {
    let app = TestApp::start().await;
    let mut body = chat("auto", "Just looking");
    body["pointsman"] = json!({"dry_run": true});
    let (status, answer) = read(app.post("/v1/chat/completions", &body).send().await.unwrap()).await;
    assert_eq!(status, 200);
    assert!(answer["ranking"].is_array() && app.upstream.calls().is_empty());
    let id = answer["decision_id"].as_str().unwrap();
    assert_eq!(app.get(&format!("/v1/decisions/{id}")).await.status(), 404);
}

#[tokio::test]
async fn a_decision_explains_itself() {
    let app = TestApp::start().await;
    let response = app.complete("auto:best", "Why?").await;
    let id = header(&response, "x-pointsman-decision-id").to_owned();
    // At once: what waits to be written is written for whoever asks.
    let view = read(app.get(&format!("/v1/decisions/{id}")).await).await.1;
    assert!(view["explanation"]["summary"].as_str().unwrap().contains("fake/"));
    assert_eq!(view["explanation"]["alternatives"].as_array().unwrap().len(), 1);
    assert_eq!(view["decision"]["preference"]["weights"]["quality"], 1.0);
    assert_eq!(view["decision"]["context"]["features"].as_array().unwrap().len(), 45);
    assert_eq!(view["decision"].get("prompt"), None, "prompts are not kept unless wanted");
    assert_eq!(view["completed"]["end"], "complete");
    assert_eq!(read(app.get("/v1/decisions/chatcmpl-plain").await).await.1["decision"]["id"], json!(id));
}

#[tokio::test]
async fn wishes_change_the_choice() {
    let app = TestApp::start().await;
    let mut body = chat("auto", "Only this one");
    body["pointsman"] = json!({"models": ["*/cheap"]});
    let response = app.post("/v1/chat/completions", &body).send().await.unwrap();
    assert_eq!(header(&response, "x-pointsman-model"), "fake/cheap");
    body["pointsman"] = json!({"models": ["nobody/*"]});
    let response = app.post("/v1/chat/completions", &body).send().await.unwrap();
    assert_eq!(fault(response).await.1, "no_eligible_arm");
    let dear = chat("auto", "Cheaply, please");
    let response = app
        .post("/v1/route", &dear)
        .header("x-pointsman-weights", "quality=0.01,cost=0.99")
        .send()
        .await
        .unwrap();
    assert_eq!(read(response).await.1["ranking"][0]["model"], "fake/cheap");
}

#[tokio::test]
async fn a_conversation_without_a_name_is_known_by_its_start() {
    let app = TestApp::start().await;
    let first = chat("fake/good", "Hello");
    let mut second = first.clone();
    let turns = second["messages"].as_array_mut().unwrap();
    turns.push(json!({"role": "assistant", "content": "Hi"}));
    turns.push(json!({"role": "user", "content": "More"}));
    let mut sessions = Vec::new();
    for (body, header_value) in
        [(&first, None), (&second, None), (&chat("fake/good", "Other"), None), (&first, Some("mine"))]
    {
        let mut request = app.post("/v1/chat/completions", body);
        if let Some(value) = header_value {
            request = request.header("x-session-id", value);
        }
        let id = header(&request.send().await.unwrap(), "x-pointsman-decision-id").to_owned();
        crate::chat::wait_for_completion(&app, &id).await;
        let view = read(app.get(&format!("/v1/decisions/{id}")).await).await.1;
        sessions.push(view["decision"]["session"].as_str().unwrap().to_owned());
    }
    assert_eq!(sessions[0], sessions[1]);
    assert_ne!(sessions[0], sessions[2]);
    assert_eq!(sessions[3], "mine");
}

#[tokio::test]
async fn models_lists_routes_and_arms() {
    let app = TestApp::start().await;
    let list = read(app.get("/v1/models").await).await.1;
    let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&"auto") && ids.contains(&"fake/good"), "{ids:?}");
    let one = read(app.get("/v1/models/fake/good").await).await.1;
    assert_eq!((&one["context_length"], &one["pricing"]["prompt"]), (&json!(8000), &json!("0.000001")));
    assert_eq!(fault(app.get("/v1/models/fake/none").await).await.1, "model_not_found");
}

#[tokio::test]
async fn embeddings_have_openais_shape() {
    let app = TestApp::start().await;
    let body = json!({"model": "pointsman/minilm", "input": ["one text", "another text"], "encoding_format": "float"});
    let answer = read(app.post("/v1/embeddings", &body).send().await.unwrap()).await.1;
    let first = answer["data"][0]["embedding"].as_array().unwrap();
    let norm: f64 = first.iter().map(|x| x.as_f64().unwrap().powi(2)).sum();
    assert_eq!((first.len(), answer["data"][1]["index"].as_u64()), (384, Some(1)));
    assert!((norm - 1.0).abs() < 1e-4);
    for (field, value) in [("input", json!([])), ("model", json!("gpt")), ("encoding_format", json!("hex"))] {
        let mut bad = body.clone();
        bad[field] = value;
        let response = app.post("/v1/embeddings", &bad).send().await.unwrap();
        assert_eq!(fault(response).await.2.as_deref(), Some(field));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_what_is_watched_for_drift() {
    let app = TestApp::start().await;
    let response = app.complete("auto", "What is the tallest mountain?").await;
    response.text().await.unwrap();
    app.learned().await;
    let (status, body) = read(app.get("/admin/drift").await).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["raised"], 0);
    assert!(body["arms"].is_array() && body["traffic"].is_object() && body["alarms"].is_array(), "{body}");
}
