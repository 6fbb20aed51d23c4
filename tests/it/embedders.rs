//! Who reads the prompt: MiniLM, or the student under load, late, or alone.

use std::time::Duration;

use futures::future::join_all;
use pointsman::config::{EmbedderKind, EmbedderSettings};
use serde_json::json;

use crate::support::{TestApp, chat, fault, header, read};

async fn app(kind: EmbedderKind, deadline: Duration) -> TestApp {
    TestApp::with_embedder(EmbedderSettings { kind, deadline, threads: 1, ..EmbedderSettings::default() })
        .await
}

/// Distinct asks of about a hundred tokens.
fn long_ask(i: usize) -> String {
    format!(
        "Case {i}. {}",
        "The signalman lowers the gates before the express comes through the village. ".repeat(7)
    )
}

async fn routed_by(app: &TestApp, ask: &str) -> String {
    let (status, answer) = read(app.post("/v1/route", &chat("auto", ask)).send().await.unwrap()).await;
    assert_eq!(status, 200, "{answer}");
    assert_ne!(answer["reason"], "default", "{answer}");
    answer["embedder"].as_str().unwrap().to_owned()
}

async fn count(app: &TestApp, labels: &str) -> u64 {
    let text = app.get("/metrics").await.text().await.unwrap();
    let line = format!("pointsman_prompts_read_total{{{labels}}} ");
    text.lines().find_map(|l| l.strip_prefix(&line)).map_or(0, |n| n.parse().unwrap())
}

#[tokio::test]
async fn o3_while_the_encoder_is_saturated_the_student_reads_and_no_request_fails() {
    let app = app(EmbedderKind::Adaptive, Duration::from_millis(20)).await;
    let asks: Vec<String> = (0..96).map(long_ask).collect();
    let read_by = join_all(asks.iter().map(|ask| routed_by(&app, ask))).await;
    let students = read_by.iter().filter(|e| *e == "student").count() as u64;
    let teachers = read_by.iter().filter(|e| *e == "minilm").count() as u64;
    assert_eq!(students + teachers, 96, "{read_by:?}");
    assert!(students >= 64, "one thread cannot read 96 of these in 20 ms: {read_by:?}");
    let counted = count(&app, "embedder=\"student\",reason=\"busy\"").await
        + count(&app, "embedder=\"student\",reason=\"late\"").await;
    assert_eq!(counted, students);
    assert_eq!(count(&app, "embedder=\"minilm\",reason=\"chosen\"").await, teachers);
}

#[tokio::test]
async fn an_idle_encoder_reads_and_a_late_one_is_replaced_in_the_decision_too() {
    let patient = app(EmbedderKind::Adaptive, Duration::from_secs(60)).await;
    assert_eq!(routed_by(&patient, "What is a signal box?").await, "minilm");
    let hasty = app(EmbedderKind::Adaptive, Duration::from_nanos(1)).await;
    let response = hasty.complete("auto", "What is a signal box?").await;
    assert_eq!(response.status(), 200);
    assert_ne!(header(&response, "x-pointsman-reason"), "default");
    let id = header(&response, "x-pointsman-decision-id").to_owned();
    crate::chat::wait_for_completion(&hasty, &id).await;
    let view = read(hasty.get(&format!("/v1/decisions/{id}")).await).await.1;
    assert_eq!(view["decision"]["encoding"]["embedder"], "student", "{view}");
    assert!(view["decision"]["context"].is_object(), "{view}");
}

#[tokio::test]
async fn the_student_alone_needs_no_encoder_and_gives_no_vectors() {
    let app = app(EmbedderKind::Student, Duration::from_millis(100)).await;
    assert_eq!(routed_by(&app, "What is a signal box?").await, "student");
    let body = json!({"model": "pointsman/minilm", "input": "text"});
    let response = app.post("/v1/embeddings", &body).send().await.unwrap();
    assert_eq!(fault(response).await.0, 501);
}
