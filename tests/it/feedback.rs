//! Feedback: on disk before the answer, once, and nothing of what is refused.

use serde_json::{Value, json};

use crate::support::{TestApp, fault, header, read};

async fn decision(app: &TestApp) -> String {
    let response = app.complete("auto", "Rate me").await;
    header(&response, "x-pointsman-decision-id").to_owned()
}

async fn report(app: &TestApp, body: &Value) -> (u16, Value) {
    read(app.post("/feedback", body).send().await.unwrap()).await
}

#[tokio::test]
async fn f1_the_same_again_has_the_same_id_and_a_revision_replaces() {
    let app = TestApp::start().await;
    let id = decision(&app).await;
    let (status, first) = report(&app, &json!({"decision_id": id, "value": 0.5})).await;
    assert_eq!((status, &first["applied"]), (200, &json!(true)));
    let (_, again) = report(&app, &json!({"decision_id": id, "value": 0.5})).await;
    assert_eq!(first["feedback_id"], again["feedback_id"]);
    let (status, revised) = report(&app, &json!({"decision_id": id, "value": true})).await;
    assert_eq!(status, 200);
    assert_ne!(first["feedback_id"], revised["feedback_id"]);
    let view = read(app.get(&format!("/v1/decisions/{id}")).await).await.1;
    let values: Vec<_> = view["feedback"].as_array().unwrap().iter().map(|f| f["value"].clone()).collect();
    assert_eq!(values, [json!(0.5), json!(1.0)], "both stay in the log");
}

#[tokio::test]
async fn f2_an_idempotency_key_is_bound_to_its_body_and_a_completions_id_will_do() {
    let app = TestApp::start().await;
    decision(&app).await;
    let body = json!({"decision_id": "chatcmpl-plain", "verdict": "good_fit", "idempotency_key": "k1"});
    let (status, first) = report(&app, &body).await;
    assert_eq!(status, 200, "{first}");
    assert_eq!(report(&app, &body).await.1["feedback_id"], first["feedback_id"]);
    let other = json!({"decision_id": "chatcmpl-plain", "verdict": "failed", "idempotency_key": "k1"});
    let response = app.post("/feedback", &other).send().await.unwrap();
    assert_eq!(fault(response).await, (409, "feedback_conflict".into(), None));
}

#[tokio::test]
async fn several_reports_are_answered_one_by_one() {
    let app = TestApp::start().await;
    let id = decision(&app).await;
    let body = json!({"feedback": [{"decision_id": id, "value": 1}, {"decision_id": "nobody", "value": 1}, {"decision_id": id, "value": 7}]});
    let (status, answer) = report(&app, &body).await;
    assert_eq!(status, 200);
    let items = answer["feedback"].as_array().unwrap();
    assert_eq!(items[0]["applied"], true);
    assert_eq!((&items[1]["status"], &items[1]["error"]["code"]), (&json!(404), &json!("unknown_decision")));
    assert_eq!((&items[2]["status"], &items[2]["error"]["param"]), (&json!(422), &json!("value")));
}

#[tokio::test]
async fn f5_what_is_refused_leaves_nothing_behind() {
    let app = TestApp::start().await;
    let id = decision(&app).await;
    crate::chat::wait_for_completion(&app, &id).await;
    let before = *app.running.service().store.committed().borrow();
    let cases = [
        (r#"{"decision_id": "ID", "value": NaN}"#, 422, Some("value")),
        (r#"{"decision_id": "ID", "value": 1e999}"#, 422, Some("value")),
        (r#"{"decision_id": "ID", "value": 1.01}"#, 422, Some("value")),
        (r#"{"decision_id": "ID", "value": "good"}"#, 422, Some("value")),
        (r#"{"decision_id": "ID"}"#, 422, Some("value")),
        (r#"{"decision_id": "ID", "value": 1, "weight": 0}"#, 422, Some("weight")),
        (r#"{"decision_id": "ID", "value": 1, "sourse": "user"}"#, 422, Some("sourse")),
        (r#"{"decision_id": "ID", "value": 1, "cost_usd": -1}"#, 422, Some("cost_usd")),
        (r#"{"decision_id": "0192f0c1-0000-7000-8000-000000000000", "value": 1}"#, 404, None),
        (r#"{"winner": "ID", "loser": "ID"}"#, 422, Some("loser")),
        (r#"{"winner": "ID"}"#, 422, Some("loser")),
        (r#"{"winner": "ID", "loser": "nobody", "value": 1}"#, 422, Some("value")),
        (r#"{"tie": ["ID"]}"#, 422, Some("tie")),
        (r#"{"decision_id": "ID", "session_id": "s", "value": 1}"#, 422, Some("session_id")),
        (r#"{"session_id": "nobody's", "value": 1}"#, 404, None),
        (r#"{"winner": "ID", "loser": "nobody"}"#, 404, None),
        (r#"{"value": 1"#, 400, None),
        ("[]", 400, None),
    ];
    for (body, status, param) in cases {
        let response = app.post_text("/feedback", body.replace("ID", &id)).send().await.unwrap();
        let found = fault(response).await;
        assert_eq!((found.0, found.2.as_deref()), (status, param), "{body}");
    }
    assert_eq!(*app.running.service().store.committed().borrow(), before, "nothing was written");
}

#[tokio::test]
async fn feedback_moves_the_policy() {
    let app = TestApp::start().await;
    for model in ["fake/good", "fake/cheap"].repeat(15) {
        // Both have reports whatever would have been drawn.
        let mut body = crate::support::chat("auto", "Rate me");
        body["pointsman"] = json!({"models": [model]});
        let response = app.post("/v1/chat/completions", &body).send().await.unwrap();
        assert_eq!(header(&response, "x-pointsman-model"), model);
        let id = header(&response, "x-pointsman-decision-id").to_owned();
        let value = f64::from(u8::from(model == "fake/cheap"));
        assert_eq!(report(&app, &json!({"decision_id": id, "value": value})).await.0, 200);
    }
    app.learned().await;
    let body = crate::support::chat("auto", "Rate me");
    let answer = read(app.post("/v1/route", &body).send().await.unwrap()).await.1;
    let quality = |arm: &str| {
        let ranking = answer["ranking"].as_array().unwrap();
        ranking.iter().find(|r| r["model"] == arm).unwrap()["quality"]["mean"].as_f64().unwrap()
    };
    assert!(quality("fake/cheap") > quality("fake/good") + 0.2, "{answer}");
    assert_eq!(answer["ranking"][0]["model"], "fake/cheap", "{answer}");
}

#[tokio::test]
async fn comparisons_ties_and_episodes_are_reports_like_others() {
    let app = TestApp::built(crate::support::LEARNED, TestApp::waits_for_vectors).await;
    let (mut ids, mut models) = (Vec::new(), Vec::new());
    while ids.len() < 30 {
        let mut body = crate::support::chat("auto", "Compare me");
        let model = ["fake/good", "fake/cheap"][ids.len() % 2];
        body["pointsman"] = json!({"session_id": "talk", "models": [model]});
        let response = app.post("/v1/chat/completions", &body).send().await.unwrap();
        ids.push(header(&response, "x-pointsman-decision-id").to_owned());
        models.push(header(&response, "x-pointsman-model").to_owned());
    }
    assert_eq!((models[0].as_str(), models[1].as_str()), ("fake/good", "fake/cheap"));
    for pair in ids.chunks(2) {
        let (status, answer) = report(&app, &json!({"winner": pair[1], "loser": pair[0]})).await;
        assert_eq!((status, &answer["applied"]), (200, &json!(true)), "{answer}");
    }
    let (_, first) = report(&app, &json!({"winner": ids[1], "loser": ids[0]})).await;
    let (_, turned) = report(&app, &json!({"winner": ids[0], "loser": ids[1]})).await;
    let (_, tie) = report(&app, &json!({"tie": [ids[1], ids[0]]})).await;
    let (_, again) = report(&app, &json!({"tie": [ids[0], ids[1]]})).await;
    assert!(first["feedback_id"] != turned["feedback_id"] && turned["feedback_id"] != tie["feedback_id"]);
    assert_eq!(tie["feedback_id"], again["feedback_id"]);
    app.learned().await;
    let quality = async || {
        let answer =
            read(app.post("/v1/route", &crate::support::chat("auto", "Compare me")).send().await.unwrap())
                .await
                .1;
        let ranking = answer["ranking"].as_array().unwrap().clone();
        ["fake/cheap", "fake/good"].map(|arm| {
            ranking.iter().find(|r| r["model"] == arm).unwrap()["quality"]["mean"].as_f64().unwrap()
        })
    };
    let [cheap, good] = quality().await;
    assert!(cheap > good + 0.05, "preferences alone turn the ranking: {cheap} {good}");
    let (status, whole) = report(&app, &json!({"session_id": "talk", "value": 0})).await;
    assert_eq!(status, 200, "{whole}");
    let (_, same) = report(&app, &json!({"session_id": "talk", "value": false})).await;
    assert_eq!(whole["feedback_id"], same["feedback_id"]);
    app.learned().await;
    let [lower, _] = quality().await;
    assert!(lower < cheap, "an episode counts for each of its decisions: {cheap} then {lower}");
}

#[tokio::test]
async fn f3_after_the_window_reports_are_gone_and_a_foreign_id_is_not_found() {
    let close =
        |s: &mut pointsman::config::Settings| s.learning.feedback_window = Some(std::time::Duration::ZERO);
    let app = TestApp::built(crate::support::LEARNED, close).await;
    let id = decision(&app).await;
    crate::chat::wait_for_completion(&app, &id).await;
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let response = app.post("/feedback", &json!({"decision_id": id, "value": 1})).send().await.unwrap();
    assert_eq!(fault(response).await, (410, "feedback_closed".into(), None));
    let nobody = json!({"decision_id": "0192f0c1-0000-7000-8000-000000000000", "value": 1});
    assert_eq!(report(&app, &nobody).await.0, 404);
}
