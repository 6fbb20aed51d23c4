//! What goes to an upstream: headers of an allow-list, to the host of the configuration, whatever the client sends.

use std::collections::BTreeSet;

use pointsman::config::EmbedderKind;
use serde_json::json;

use crate::support::rogue::{COMPLETION, Rogue, json as answer};
use crate::support::{LEARNED, TestApp, chat, header, upstream};

const PLANTED: &str = "planted-by-the-client";

/// All that our client sets, for any format.
const ALLOWED: [&str; 9] = [
    "accept",
    "accept-encoding",
    "anthropic-version",
    "authorization",
    "content-length",
    "content-type",
    "host",
    "user-agent",
    "x-api-key",
];

async fn app() -> TestApp {
    TestApp::built(LEARNED, |settings| settings.embedder.kind = EmbedderKind::Student).await
}

#[tokio::test]
async fn no_header_of_the_clients_goes_out() {
    let app = app().await;
    for model in ["fake/good", "claude/sonnet", "gem/flash", "co/command"] {
        let mut request = app.post("/v1/chat/completions", &chat(model, "Hello"));
        for name in [
            "authorization",
            "cookie",
            "x-api-key",
            "x-goog-api-key",
            "api-key",
            "proxy-authorization",
            "te",
            "x-hop",
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-base-url",
            "x-upstream",
            "openai-organization",
            "anthropic-beta",
            "traceparent",
            "x-request-id",
            "referer",
            "origin",
            "user-agent",
            "accept",
            "accept-language",
        ] {
            request = request.header(name, PLANTED);
        }
        // What `Connection` names is for the next hop alone.
        let response = request.header("connection", "x-hop, x-api-key").send().await.unwrap();
        assert_eq!(response.status(), 200);
        let call = app.upstream.calls().pop().unwrap();
        let names: BTreeSet<_> = call.headers.keys().map(|name| name.as_str()).collect();
        let key = match model {
            "gem/flash" => "x-goog-api-key",
            "claude/sonnet" => "x-api-key",
            _ => "authorization",
        };
        let foreign: Vec<_> = names.iter().filter(|n| !ALLOWED.contains(n) && **n != key).collect();
        assert!(foreign.is_empty(), "{model}: {foreign:?}");
        assert!(call.headers[key].to_str().unwrap().ends_with(upstream::SECRET));
        assert!(!format!("{:?}", call.headers).contains(PLANTED), "{:?}", call.headers);
    }
}

#[tokio::test]
async fn a_request_id_of_the_clients_comes_back_only_when_it_is_plain() {
    let app = app().await;
    let id = async |given: &[u8]| {
        let value = reqwest::header::HeaderValue::from_bytes(given).unwrap();
        let response = app
            .client
            .get(format!("{}/healthz", app.base))
            .header("x-request-id", value)
            .send()
            .await
            .unwrap();
        header(&response, "x-request-id").to_owned()
    };
    assert_eq!(id(b"req-1.A:b/c_d").await, "req-1.A:b/c_d");
    for odd in [&b"a b"[..], b"a;b", b"<script>", b"\xff\xfe", b"{}", "x".repeat(129).as_bytes()] {
        let own = id(odd).await;
        assert!(own.len() == 36 && own.as_bytes() != odd, "{own}");
    }
}

#[tokio::test]
async fn no_field_of_a_body_chooses_a_host_or_a_key() {
    let app = app().await;
    let trap = Rogue::start(answer(200, COMPLETION)).await;
    let planted = |mut body: serde_json::Value| {
        let base = format!("{}/v1", trap.base);
        for name in
            ["api_base", "base_url", "api_url", "endpoint", "url", "host", "proxy", "custom_llm_provider"]
        {
            body[name] = json!(base);
        }
        body["api_key"] = json!(PLANTED);
        body["headers"] = json!({"authorization": PLANTED, "x-base-url": base});
        body["extra_headers"] = body["headers"].clone();
        body["litellm_params"] = json!({"api_base": base, "api_key": PLANTED});
        body
    };
    let ask = json!([{"role": "user", "content": "Hello"}]);
    let bodies = [
        ("/v1/chat/completions", json!({"model": "fake/good", "messages": ask})),
        ("/v1/chat/completions", json!({"model": "auto", "messages": ask})),
        ("/v1/messages", json!({"model": "fake/good", "messages": ask, "max_tokens": 9})),
        ("/v1/responses", json!({"model": "fake/good", "input": "Hello"})),
        ("/v1/completions", json!({"model": "fake/good", "prompt": "Hello"})),
        ("/v1/route", json!({"model": "auto", "messages": ask})),
        ("/v1/embeddings", json!({"model": "pointsman/minilm", "input": "Hello"})),
        ("/feedback", json!({"decision_id": "x", "value": 1})),
    ];
    for (path, body) in bodies {
        let before = app.upstream.calls().len();
        let status = app.post(path, &planted(body)).send().await.unwrap().status().as_u16();
        for call in &app.upstream.calls()[before..] {
            assert_eq!(call.headers["authorization"], format!("Bearer {}", upstream::SECRET), "{path}");
        }
        assert!(status == 200 || status == 404 || (400..=501).contains(&status), "{path}: {status}");
    }
    assert_eq!(trap.asked(), 0, "nobody called where a body said");
    assert!(app.upstream.calls().len() >= 2, "and the configured host was called");
    assert_eq!(app.complete("fake/good", "Hello").await.status(), 200);
}
