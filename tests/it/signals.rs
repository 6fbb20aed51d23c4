//! Reports that nobody sends: behaviour, when the operator wants it, and the sampled judge.

use futures::StreamExt;
use pointsman::domain::{Feedback, FeedbackRef, Source};
use serde_json::json;

use crate::support::{LEARNED, TestApp, chat, header, read};

async fn watching() -> TestApp {
    TestApp::built(LEARNED, |settings| settings.learning.implicit = true).await
}

fn judged(share: f64, usd_per_day: f64) -> String {
    format!("{LEARNED}[judge]\nmodel = \"fake/judge\"\nshare = {share}\nusd_per_day = {usd_per_day}\n")
}

/// Reports on a decision, once there are `count`.
async fn reports(app: &TestApp, decision: &str, count: usize) -> Vec<Feedback> {
    let store = &app.running.service().store;
    let to = FeedbackRef::Decision(decision.parse().unwrap());
    let mut committed = store.committed();
    loop {
        let feedback = store.record(&to, None).unwrap().map(|r| r.feedback).unwrap_or_default();
        if feedback.len() >= count {
            return feedback;
        }
        committed.changed().await.unwrap();
    }
}

async fn ask(app: &TestApp, model: &str, text: &str) -> String {
    let id = header(&app.complete(model, text).await, "x-pointsman-decision-id").to_owned();
    crate::chat::wait_for_completion(app, &id).await;
    id
}

#[tokio::test]
async fn the_same_ask_again_is_a_weak_report_on_the_answer_that_was_not_enough() {
    let app = watching().await;
    let first = ask(&app, "auto", "What is the capital of Norway?").await;
    let other = ask(&app, "auto", "And of Sweden?").await;
    let second = ask(&app, "auto", "What is the capital of Norway?").await;
    let said = reports(&app, &first, 1).await.remove(0);
    assert_eq!(
        (said.source, said.value, said.comment.as_deref()),
        (Source::Implicit, Some(0.0), Some("retry"))
    );
    assert!(said.weight < 0.5);
    for id in [other, second] {
        assert!(reports(&app, &id, 0).await.is_empty());
    }
}

#[tokio::test]
async fn f8_a_retry_after_a_failure_of_ours_says_nothing_and_neither_does_anything_when_it_is_off() {
    let app = watching().await;
    let failed = ask(&app, "fake/broken", "Try").await;
    ask(&app, "fake/broken", "Try").await;
    let marker = ask(&app, "auto", "Later").await;
    ask(&app, "auto", "Later").await;
    reports(&app, &marker, 1).await;
    assert!(reports(&app, &failed, 0).await.is_empty(), "the queue is in order: it would be there by now");
    let app = TestApp::start().await;
    let first = ask(&app, "auto", "Twice").await;
    let second = ask(&app, "auto", "Twice").await;
    let mine = json!({"decision_id": second, "value": 1});
    assert_eq!(app.post("/feedback", &mine).send().await.unwrap().status(), 200);
    assert!(reports(&app, &first, 0).await.is_empty());
}

#[tokio::test]
async fn a_stream_that_the_client_breaks_off_is_a_weak_report() {
    let app = watching().await;
    let mut body = chat("fake/good", "Never end.");
    body["stream"] = json!(true);
    body["metadata"] = json!({"endless": "yes"});
    let response = app.post("/v1/chat/completions", &body).send().await.unwrap();
    let id = header(&response, "x-pointsman-decision-id").to_owned();
    let mut stream = response.bytes_stream();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    let said = reports(&app, &id, 1).await.remove(0);
    assert_eq!((said.source, said.comment.as_deref()), (Source::Implicit, Some("abort")));
}

#[tokio::test]
async fn the_judge_rates_plain_and_streamed_answers_in_the_background() {
    let app = TestApp::built(&judged(1.0, 1.0), |_| {}).await;
    let plain = ask(&app, "auto", "What is the weather like?").await;
    let mut body = chat("auto", "And tomorrow?");
    body["stream"] = json!(true);
    let response = app.post("/v1/chat/completions", &body).send().await.unwrap();
    let streamed = header(&response, "x-pointsman-decision-id").to_owned();
    response.text().await.unwrap();
    for id in [&plain, &streamed] {
        let said = reports(&app, id, 1).await.remove(0);
        assert_eq!((said.source, said.value, said.key), (Source::Judge, Some(0.7), None));
        let judged = said.judged.unwrap();
        assert_eq!((judged.by.as_str(), judged.pi), ("fake/judge", 1.0));
        assert!(judged.cost_usd > 0.0);
        assert_eq!(said.comment, None, "no text is kept");
    }
    let calls = app.upstream.calls();
    let seen: Vec<_> = calls.iter().filter(|c| c.body["model"] == "judge").map(|c| c.bytes.clone()).collect();
    assert!(
        seen[0].contains("What is the weather like?") && seen[0].contains("Fine weather today."),
        "{seen:?}"
    );
    assert!(seen[1].contains("And tomorrow?") && seen[1].contains("Fine weather today."), "{seen:?}");
    let view = app.running.service().judge.as_ref().unwrap().view();
    assert_eq!((view.judged, view.was_candidate), (2, 0));
    assert!(view.spent_today_usd > 0.0);
    let store = &app.running.service().store;
    let logged = store.judge_spend_usd(pointsman::domain::UnixMs(0)).unwrap();
    assert!((logged - view.spent_today_usd).abs() < 1e-12, "what a restart would begin with");
}

#[tokio::test]
async fn the_judge_keeps_its_budget_and_never_rates_itself() {
    let app = TestApp::built(&judged(1.0, 1e-7), |_| {}).await;
    let judge = app.running.service().judge.clone().unwrap();
    ask(&app, "fake/judge", "Do you like yourself?").await;
    assert_eq!(judge.view().was_candidate, 1);
    ask(&app, "auto", "Too dear to judge").await;
    while judge.view().over_budget == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!((judge.view().judged, judge.view().spent_today_usd), (0, 0.0));
    let asked = app.upstream.calls().iter().filter(|c| c.body["model"] == "judge").count();
    assert_eq!(asked, 1, "the caller's own request alone");
}

#[tokio::test]
async fn a_judge_is_calibrated_on_answers_that_a_person_rated_too() {
    let app = TestApp::built(&judged(1.0, 1.0), TestApp::waits_for_vectors).await;
    for n in 0..12 {
        let id = ask(&app, "auto", &format!("Question {n}")).await;
        reports(&app, &id, 1).await;
        let mine = json!({"decision_id": id, "value": 0.2});
        assert_eq!(read(app.post("/feedback", &mine).send().await.unwrap()).await.0, 200);
    }
    app.learned().await;
    let (status, seen) = read(app.get("/admin/judge").await).await;
    assert_eq!(
        (status, &seen["judge"]["model"], &seen["judge"]["judged"]),
        (200, &json!("fake/judge"), &json!(12))
    );
    assert!(seen["judge"]["spent_today_usd"].as_f64().unwrap() > 0.0);
    let of =
        |source: &str| seen["sources"].as_array().unwrap().iter().find(|s| s["source"] == source).unwrap();
    let judge = of("judge");
    assert_eq!(
        (&judge["judge"], &judge["reports"], &judge["pairs"]),
        (&json!("fake/judge"), &json!(12), &json!(12.0))
    );
    assert!(
        (judge["bias"].as_f64().unwrap() + 0.5).abs() < 1e-9,
        "people say 0.2 where it says 0.7: {judge}"
    );
    let line = |name: &str| judge["line"][name].as_f64().unwrap();
    assert!(line("a") + line("b") * 0.7 < 0.55, "{judge}");
    assert_eq!((&of("user")["reports"], &of("user")["pairs"]), (&json!(12), &json!(0.0)));
    assert_eq!((&seen["guard"]["trust"], &seen["keys"]), (&json!(true), &json!([])), "nobody has a key here");
}
