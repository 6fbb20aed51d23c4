//! Rows U1 to U17 but those of streams.

use std::io::Write;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use pointsman::domain::AttemptEnd;

use super::*;
use crate::support::rogue::{COMPLETION, black_hole, dead_base, json, response};
use crate::support::{read, upstream};

/// Far more than any wait of these tests, far less than a default time-out.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn u1_refused_connection_falls_back_or_502() {
    let app = app_at(&dead_base().await, "").await;
    assert_fails(&app, 502, "upstream_error").await;
}

#[tokio::test]
async fn u1_reset_falls_back_or_502_and_teaches_no_quality() {
    let (app, _rogue) = before(vec![Act::Reset]).await;
    assert_fails(&app, 502, "upstream_error").await;
    let response = app.complete("rogue/a", "Hello").await;
    let done = completed(&app, &response).await;
    assert_eq!(done.attempts.iter().map(|a| a.end).collect::<Vec<_>>(), [AttemptEnd::Connect]);
    assert_eq!((done.served, done.kind), (None, None), "nobody is credited with an answer");
}

#[tokio::test]
async fn u1_black_hole_falls_back_or_504_within_the_connect_time() {
    let (base, _waiting, _listener) = black_hole().await;
    let app = app_at(&base, "").await;
    let started = Instant::now();
    assert_fails(&app, 504, "upstream_timeout").await;
    assert!(started.elapsed() < SOON);
}

#[tokio::test]
async fn u2_no_first_byte_falls_back_or_504_and_the_call_is_closed() {
    let (app, rogue) = before(vec![Act::Stall]).await;
    let started = Instant::now();
    assert_fails(&app, 504, "upstream_timeout").await;
    assert!(started.elapsed() < SOON);
    rogue.until_left(2).await;
}

#[tokio::test]
async fn u5_rate_limit_passes_on_its_wait_and_rests_the_arm() {
    let limited = |wait| response(429, &[("retry-after", wait)], b"{}");
    let (app, rogue) = before(limited("20")).await;
    let first = app.complete("rogue/a", "Hello").await;
    assert_eq!(header(&first, "retry-after"), "20");
    assert_eq!(header(&first, "x-should-retry"), "false");
    assert_eq!(fault(first).await.1, "rate_limited");
    let again = app.complete("rogue/a", "Hello").await;
    assert_eq!(again.status(), 429);
    let left: u64 = header(&again, "retry-after").parse().unwrap();
    assert!((1..=20).contains(&left), "{left}");
    assert_eq!(rogue.asked(), 1, "who asked to wait is not asked");
    let (_, answer) = read(app.post("/v1/route", &chat("auto", "Hello")).send().await.unwrap()).await;
    assert_eq!(answer["excluded"][0]["why"], "rate_limited", "{answer}");
}

#[tokio::test]
async fn u5_absurd_waits_are_capped_and_a_short_one_is_waited_for() {
    let rogue = Rogue::start(response(429, &[("retry-after", "99999999999")], b"{}")).await;
    let app = app_at(&rogue.base, "retry = { max = 1, base_ms = 10, max_wait_ms = 1500 }").await;
    let capped: u64 = header(&app.complete("rogue/a", "Hello").await, "retry-after").parse().unwrap();
    assert!(capped <= 300, "{capped}");
    rogue.plays(vec![response(429, &[("retry-after-ms", "50")], b"{}"), json(200, COMPLETION)]);
    let served = app.complete("rogue/b", "Hello").await;
    assert_eq!((served.status().as_u16(), header(&served, "x-pointsman-attempts")), (200, "2"));
}

#[tokio::test]
async fn u6_server_errors_fall_back_or_502() {
    let (app, rogue) = before(json(500, "{}")).await;
    for status in [500, 529] {
        rogue.plays(vec![json(status, r#"{"error":{"message":"on fire"}}"#)]);
        assert_fails(&app, 502, "upstream_error").await;
        rogue.plays(vec![json(200, COMPLETION)]);
        assert_eq!(app.complete("rogue/a", "Hello").await.status(), 200);
    }
}

#[tokio::test]
async fn u6_a_passing_failure_is_asked_again_and_all_attempts_are_logged() {
    let rogue = Rogue::start(json(200, COMPLETION)).await;
    let app = app_at(&rogue.base, "retry = { max = 2, base_ms = 5, max_wait_ms = 20 }").await;
    rogue.plays(vec![json(503, "{}"), vec![Act::Reset], json(200, COMPLETION)]);
    let response = app.complete("rogue/a", "Hello").await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "x-pointsman-attempts"), "3");
    let ends: Vec<_> = completed(&app, &response).await.attempts.iter().map(|a| a.end).collect();
    assert_eq!(ends, [AttemptEnd::ServerError, AttemptEnd::Connect, AttemptEnd::Answered]);
    let text = app.get("/metrics").await.text().await.unwrap();
    assert!(text.contains("pointsman_retries_total{arm=\"rogue/a\"} 2"), "{text}");
}

#[tokio::test]
async fn u7_a_refused_request_keeps_message_and_code_and_goes_nowhere_else() {
    let said = r#"{"error":{"message":"too long","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#;
    let (app, rogue) = before(json(400, said)).await;
    for model in ["rogue/a", "auto"] {
        let (status, body) = read(app.complete(model, "Hello").await).await;
        assert_eq!((status, &body["error"]["code"]), (400, &json!("context_length_exceeded")));
        assert_eq!(body["error"]["message"], "too long");
    }
    for status in [413, 422] {
        rogue.plays(vec![json(status, r#"{"error":{"message":"no","code":"odd"}}"#)]);
        assert_eq!(fault(app.complete("auto", "Hello").await).await.0, status);
    }
    assert!(app.upstream.calls().is_empty(), "the same input goes to nobody else");
}

#[tokio::test]
async fn u8_refused_credentials_are_a_502_without_the_providers_text() {
    let said = format!(r#"{{"error":{{"message":"Incorrect API key provided: {}"}}}}"#, upstream::SECRET);
    for status in [401, 403] {
        let (app, rogue) = before(json(status, &said)).await;
        let first = app.complete("rogue/a", "Hello").await;
        assert_eq!(first.status(), 502);
        let text = first.text().await.unwrap();
        assert!(!text.contains(upstream::SECRET) && !text.contains("Incorrect"), "{text}");
        assert_eq!(app.complete("rogue/a", "Hello").await.status(), 502);
        assert_eq!(rogue.asked(), 1, "the arm is off");
        assert_eq!(app.complete("auto", "Hello").await.status(), 200);
    }
}

#[tokio::test]
async fn u9_what_is_no_answer_falls_back_or_502() {
    let html = response(200, &[("content-type", "text/html")], b"<html>gateway</html>");
    let cut =
        b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{\"id\":".to_vec();
    let cases = [json(200, ""), html, json(200, "[]"), json(200, r#"{"choices":[]}"#), vec![Act::Send(cut)]];
    for script in cases {
        let (app, _rogue) = before(script).await;
        assert_fails(&app, 502, "upstream_error").await;
    }
}

#[tokio::test]
async fn u12_invalid_utf8_in_a_body_is_a_502() {
    let bad = COMPLETION.replace("hello", "h\u{1}").into_bytes();
    let bad: Vec<u8> = bad.into_iter().map(|b| if b == 1 { 0xff } else { b }).collect();
    let (app, _rogue) = before(response(200, &[("content-type", "application/json")], &bad)).await;
    assert_fails(&app, 502, "upstream_error").await;
}

#[tokio::test]
async fn u13_a_gzip_bomb_and_a_huge_head_are_a_502() {
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    (0..64).for_each(|_| bomb.write_all(&[b' '; 1 << 20]).unwrap());
    let bomb = bomb.finish().unwrap();
    let bomb = response(200, &[("content-type", "application/json"), ("content-encoding", "gzip")], &bomb);
    let huge = "x".repeat(70_000);
    for script in [bomb, response(200, &[("x-huge", &huge)], COMPLETION.as_bytes())] {
        let (app, _rogue) = before(script).await;
        assert_fails(&app, 502, "upstream_error").await;
    }
}

#[tokio::test]
async fn u14_a_redirect_is_not_followed() {
    let other = Rogue::start(json(200, COMPLETION)).await;
    let (app, _rogue) = before(response(307, &[("location", &format!("{}/v1/x", other.base))], b"")).await;
    assert_fails(&app, 502, "upstream_error").await;
    assert_eq!(other.asked(), 0);
}

#[tokio::test]
async fn u15_an_unknown_host_falls_back_or_502() {
    let app = app_at("http://no-such-host.invalid", "").await;
    let (status, code, _) = fault(app.complete("rogue/a", "Hello").await).await;
    assert!(
        matches!((status, code.as_str()), (502, "upstream_error") | (504, "upstream_timeout")),
        "{status}"
    );
    assert_eq!(header(&app.complete("auto", "Hello").await, "x-pointsman-model"), "fake/good");
}

#[tokio::test]
async fn u16_tls_to_a_plain_port_is_a_502_and_not_downgraded() {
    let rogue = Rogue::start(json(200, COMPLETION)).await;
    let app = app_at(&rogue.base.replace("http://", "https://"), "").await;
    let (status, _, _) = fault(app.complete("rogue/a", "Hello").await).await;
    assert!(status == 502 || status == 504, "{status}");
    assert_eq!(rogue.asked(), 0, "no request in the clear");
}

#[tokio::test]
async fn u17_all_down_is_a_503_with_a_wait_and_each_is_asked_once() {
    let (app, rogue) = before(json(503, "{}")).await;
    let response = app.complete("down", "Hello").await;
    assert_eq!(header(&response, "x-should-retry"), "false");
    assert!(!header(&response, "retry-after").is_empty());
    assert_eq!(fault(response).await, (503, "no_provider".into(), None));
    assert_eq!(rogue.asked(), 2);
}

#[tokio::test]
async fn u17_while_every_breaker_is_open_nobody_is_asked() {
    let (app, rogue) = before(json(503, "{}")).await;
    for _ in 0..5 {
        assert_eq!(app.complete("rogue/a", "Hello").await.status(), 502);
    }
    let refused = app.complete("rogue/a", "Hello").await;
    let wait: u64 = header(&refused, "retry-after").parse().unwrap();
    assert!((1..=5).contains(&wait), "{wait}");
    assert!(!refused.headers().contains_key("x-should-retry"), "nobody was asked: an SDK may try again");
    assert_eq!(fault(refused).await, (503, "no_provider".into(), None));
    assert_eq!(rogue.asked(), 5);
    let (_, answer) = read(app.post("/v1/route", &chat("auto", "Hello")).send().await.unwrap()).await;
    assert_eq!(answer["excluded"], json!([{"model": "rogue/a", "why": "unhealthy"}]));
    let text = app.get("/metrics").await.text().await.unwrap();
    assert!(text.contains("pointsman_breaker{arm=\"rogue/a\"} 2"), "{text}");
}
