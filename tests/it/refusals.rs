//! Bad requests: the right status, the field named, nothing written, nobody called.

use serde_json::json;

use crate::support::{LEARNED, TestApp, chat, fault};

#[tokio::test]
async fn each_bad_request_is_named() {
    let app = TestApp::start().await;
    let cases = [
        ("{", 400, "bad_request", None),
        ("", 400, "bad_request", None),
        ("[]", 400, "bad_request", None),
        (r#"{"messages": [{"role": "user", "content": "x"}]}"#, 422, "invalid_field", Some("model")),
        (r#"{"model": "auto"}"#, 422, "invalid_field", Some("messages")),
        (r#"{"model": "auto", "messages": []}"#, 422, "invalid_field", Some("messages")),
        (
            r#"{"model": 7, "messages": [{"role": "user", "content": "x"}]}"#,
            422,
            "invalid_field",
            Some("model"),
        ),
        (
            r#"{"model": "auto", "messages": [{"role": "user", "content": 7}]}"#,
            422,
            "invalid_field",
            Some("messages[0].content"),
        ),
        (
            r#"{"model": "auto", "messages": [{"role": "user", "content": "x"}], "max_tokens": -1}"#,
            422,
            "invalid_field",
            Some("max_tokens"),
        ),
        (
            r#"{"model": "autoo", "messages": [{"role": "user", "content": "x"}]}"#,
            404,
            "model_not_found",
            Some("model"),
        ),
        (
            r#"{"model": "auto", "messages": [{"role": "user", "content": "x"}], "pointsman": {"weights": {"quality": -1}}}"#,
            422,
            "invalid_field",
            Some("pointsman.weights.quality"),
        ),
        (
            r#"{"model": "auto", "messages": [{"role": "user", "content": "x"}], "pointsman": {"wieghts": {}}}"#,
            422,
            "invalid_field",
            Some("pointsman"),
        ),
    ];
    for (body, status, code, param) in cases {
        for path in ["/v1/chat/completions", "/v1/route"] {
            let found = fault(app.post_text(path, body.into()).send().await.unwrap()).await;
            assert_eq!((found.0, found.1.as_str()), (status, code), "{path} {body}");
            if let Some(param) = param {
                assert!(found.2.as_deref().is_some_and(|p| p.starts_with(param)), "{body}: {found:?}");
            }
        }
    }
    assert!(app.upstream.calls().is_empty());
    assert_eq!(app.running.service().store.committed().borrow().0, 0, "nothing was written");
}

#[tokio::test]
async fn a_body_is_bounded_and_must_be_json() {
    let app = TestApp::start().await;
    let long = chat("auto", &"x".repeat(10_000_000));
    assert_eq!(fault(app.post("/v1/chat/completions", &long).send().await.unwrap()).await.0, 413);
    let plain =
        app.client.post(format!("{}/v1/chat/completions", app.base)).body(chat("auto", "x").to_string());
    assert_eq!(plain.header("content-type", "text/plain").send().await.unwrap().status(), 415);
    let deep =
        format!("{{\"model\": \"auto\", \"messages\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let status = app.post_text("/v1/chat/completions", deep).send().await.unwrap().status();
    assert!(status == 400 || status == 422, "{status}");
    let nowhere = app.post("/v1/nowhere", &json!({})).send().await.unwrap();
    assert_eq!(fault(nowhere).await.1, "not_found");
    assert_eq!(fault(app.get("/v1/chat/completions").await).await.0, 405);
}

#[tokio::test]
async fn an_arm_that_cannot_is_left_out_and_an_empty_set_names_the_filter() {
    let app = TestApp::start().await;
    let mut body = chat("auto", "Look at this");
    body["messages"][0]["content"] = json!([{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]);
    let response = app.post("/v1/chat/completions", &body).send().await.unwrap();
    let text = response.text().await.unwrap();
    assert!(text.contains("no_eligible_arm") && text.contains("images"), "{text}");
    let long = chat("auto", &"many words ".repeat(8000));
    let text = app.post("/v1/chat/completions", &long).send().await.unwrap().text().await.unwrap();
    assert!(text.contains("context_window"), "{text}");
}

#[tokio::test]
async fn beyond_loopback_it_refuses_to_start_without_keys() {
    let folder = tempfile::TempDir::new().unwrap();
    let store = folder.path().join("log.db");
    let text = crate::support::config_text("http://127.0.0.1:9", &store, LEARNED)
        .replace("127.0.0.1:0", "0.0.0.0:0");
    let settings = pointsman::config::parse(&text, &folder.path().join("pointsman.toml"), &|name: &str| {
        (name == "FAKE_KEY").then(|| "x".into())
    })
    .unwrap();
    let refused = pointsman::app::start(settings).await.map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("pointsman keys create"), "{refused}");
}
