//! Rows C1 to C4: clients that leave, read slowly, or send what is no request.

use std::time::Instant;

use pointsman::domain::{Basis, CompletionEnd, EventBody, Seq};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::support::rogue::{ROLE, text_chunk};

/// Longest time from the client's leaving to the end of the upstream call.
const WITHIN: Duration = Duration::from_secs(1);

/// The one decision's id, from the log: the client left before it was told.
async fn only_completed(app: &TestApp) -> Completed {
    let store = &app.running.service().store;
    let mut committed = store.committed();
    loop {
        for row in store.scan(Seq(0), 100).unwrap() {
            if let EventBody::Completed(done) = row.event.unwrap().body {
                return *done;
            }
        }
        committed.changed().await.unwrap();
    }
}

/// Its calls may take minutes: what ends them here is the client's leaving.
async fn patient(base: &str) -> TestApp {
    keeping_alive(base, WITHIN * 60).await
}

async fn keeping_alive(base: &str, after: Duration) -> TestApp {
    built(base, "", |settings| {
        settings.server.keep_alive = after;
        let routes = settings.routes.iter_mut().map(|r| &mut r.conduct);
        let all = settings.providers.iter_mut().map(|p| &mut p.conduct).chain(routes);
        for conduct in all {
            (conduct.timeouts.first_byte, conduct.timeouts.idle) = (WITHIN * 60, WITHIN * 60);
            conduct.timeouts.total = WITHIN * 120;
        }
    })
    .await
}

/// A client asks, waits until the upstream has been asked, and leaves.
async fn assert_leaving_closes(script: Vec<Act>, is_stream: bool) {
    let rogue = Rogue::start(script).await;
    let app = patient(&rogue.base).await;
    let mut body = chat("auto", "I shall not stay.");
    body["stream"] = json!(is_stream);
    let asking = tokio::spawn(app.post("/v1/chat/completions", &body).send());
    rogue.until_asked(1).await;
    let left = Instant::now();
    asking.abort();
    rogue.until_left(1).await;
    assert!(left.elapsed() < WITHIN, "{:?}", left.elapsed());
    let done = only_completed(&app).await;
    assert_eq!((done.end, done.kind), (CompletionEnd::ClientAborted, None));
    assert!(app.upstream.calls().is_empty(), "for a client that has left nobody else is asked");
}

#[tokio::test]
async fn c1_leaving_before_the_first_byte_cancels_the_upstream() {
    assert_leaving_closes(vec![Act::Stall], true).await;
}

#[tokio::test]
async fn c1_leaving_before_the_first_content_cancels_the_upstream() {
    let script = vec![Act::Send(crate::support::rogue::events(&[ROLE])), Act::Stall];
    assert_leaving_closes(script, true).await;
}

#[tokio::test]
async fn c1_leaving_a_plain_call_cancels_the_upstream() {
    assert_leaving_closes(vec![Act::Stall], false).await;
}

#[tokio::test]
async fn c1_leaving_in_the_middle_of_a_plain_answer_cancels_the_upstream() {
    let head =
        b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{\"id\":".to_vec();
    assert_leaving_closes(vec![Act::Send(head), Act::Stall], false).await;
}

#[tokio::test]
async fn c1_leaving_a_silent_stream_cancels_the_upstream() {
    let script = vec![Act::Send(crate::support::rogue::events(&[ROLE, &text_chunk("x")])), Act::Stall];
    let rogue = Rogue::start(script).await;
    let app = patient(&rogue.base).await;
    let response = stream(&app, "auto").await;
    let decision = header(&response, "x-pointsman-decision-id").to_owned();
    let mut chunks = response.bytes_stream();
    chunks.next().await.unwrap().unwrap();
    drop(chunks);
    rogue.until_left(1).await;
    let done = wait_for_completion(&app, &decision).await;
    assert_eq!((done.end, done.kind), (CompletionEnd::ClientAborted, None));
    let basis = done.billing.and_then(|billing| billing.basis);
    assert_eq!(basis, Some(Basis::Estimate), "the provider's count never came: {:?}", done.usage);
}

#[tokio::test]
async fn c1_leaving_while_only_comments_came_cancels_the_upstream() {
    let rogue = Rogue::start(vec![Act::Stall]).await;
    let app = keeping_alive(&rogue.base, T / 10).await;
    let response = stream(&app, "auto").await;
    let decision = header(&response, "x-pointsman-decision-id").to_owned();
    assert_eq!(response.status(), 200);
    let left = Instant::now();
    drop(response);
    rogue.until_left(1).await;
    assert!(left.elapsed() < WITHIN, "{:?}", left.elapsed());
    assert_eq!(wait_for_completion(&app, &decision).await.end, CompletionEnd::ClientAborted);
}

/// What the service answers to these bytes before it closes, and after how long.
async fn raw(app: &TestApp, pieces: &[&[u8]]) -> (String, Duration) {
    let mut socket = TcpStream::connect(app.running.addr).await.unwrap();
    let started = Instant::now();
    for piece in pieces {
        // It may have answered and closed already.
        let _ = socket.write_all(piece).await;
    }
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(WITHIN * 10, socket.read_to_end(&mut answer)).await.expect("it is closed");
    (String::from_utf8(answer).unwrap(), started.elapsed())
}

async fn quick(change: impl FnOnce(&mut Settings)) -> TestApp {
    let base = crate::support::rogue::dead_base().await;
    built(&base, "", |settings| {
        (settings.server.header_timeout, settings.server.body_timeout) = (T, T);
        settings.server.write_timeout = T;
        change(settings);
    })
    .await
}

#[tokio::test]
async fn c2_a_client_that_does_not_read_stops_the_upstream_and_is_given_up() {
    let many = format!("data: {}\n\n", text_chunk(&"x".repeat(1000))).repeat(64_000).into_bytes();
    let sent = many.len();
    let rogue = Rogue::start(vec![
        Act::Send(crate::support::rogue::events(&[ROLE])),
        Act::Drip(many, 1 << 16, Duration::ZERO),
    ])
    .await;
    let app = built(&rogue.base, "", |settings| settings.server.write_timeout = T).await;
    let mut socket = TcpStream::connect(app.running.addr).await.unwrap();
    let body = json!({"model": "auto", "stream": true, "messages": [{"role": "user", "content": "Hello"}]})
        .to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all((head + &body).as_bytes()).await.unwrap();
    rogue.until_left(1).await;
    assert!(rogue.written() < sent, "the whole of {sent} bytes was read for a client that reads nothing");
    assert_eq!(only_completed(&app).await.end, CompletionEnd::ClientAborted);
    drop(socket);
}

#[tokio::test]
async fn c3_a_head_that_does_not_end_is_closed_and_others_are_unharmed() {
    let app = quick(|_| {}).await;
    let slow = raw(&app, &[b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-a: "]);
    let (slow, served) = tokio::join!(slow, app.complete("fake/good", "Hello"));
    assert!(slow.1 < WITHIN * 5 && !slow.0.contains(" 200 "), "{slow:?}");
    assert_eq!(served.status(), 200);
}

#[tokio::test]
async fn c3_connections_are_bounded_and_idle_ones_make_room() {
    let app = quick(|settings| settings.server.max_open_connections = 3).await;
    let mut idle = Vec::new();
    for _ in 0..3 {
        idle.push(TcpStream::connect(app.running.addr).await.unwrap());
    }
    let (answer, _) = raw(&app, &[]).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 1"), "{answer}");
    // Their time to send a head is over soon, and then there is room.
    while app.client.get(format!("{}/healthz", app.base)).send().await.is_ok_and(|r| r.status() != 200) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn c4_what_is_no_request_is_refused_at_the_limit() {
    let app = quick(|settings| settings.server.max_body_bytes = 10_000).await;
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n";
    let slow = format!("{head}content-length: 100\r\n\r\n{{\"model\"");
    let announced = format!("{head}content-length: 99999\r\n\r\n");
    let endless = format!("{head}transfer-encoding: chunked\r\n\r\n4000\r\n{}", "x".repeat(0x4000));
    let smuggled = format!(
        "{head}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
    );
    let large_head = format!("{head}x-large: {}\r\n\r\n", "x".repeat(40_000));
    let odd_length = format!("{head}content-length: 5, 6\r\n\r\nhello");
    let deep = format!("{{\"model\":\"auto\",\"messages\":{}", "[".repeat(9_000));
    let deep = format!("{head}content-length: {}\r\n\r\n{deep}", deep.len());
    let form = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                content-type: multipart/form-data; boundary=x\r\ncontent-length: 5\r\n\r\n--x--";
    let cases: [(&str, &[u16]); 8] = [
        (&slow, &[408]),
        (&announced, &[413]),
        (&endless, &[413]),
        (&smuggled, &[400]),
        (&large_head, &[431]),
        (&odd_length, &[400]),
        (&deep, &[400, 422]),
        (form, &[415]),
    ];
    for (bytes, wanted) in cases {
        let (answer, took) = raw(&app, &[bytes.as_bytes()]).await;
        let status: u16 = answer.get(9..12).and_then(|s| s.parse().ok()).unwrap_or(0);
        assert!(
            wanted.contains(&status),
            "{wanted:?}, got {answer:?} for {}",
            &bytes[..bytes.len().min(200)]
        );
        assert_eq!(
            answer.matches("HTTP/1.1 ").count(),
            1,
            "one answer, and no second request behind it: {answer}"
        );
        assert!(took < WITHIN * 5);
    }
    assert_eq!(app.complete("fake/good", "Hello").await.status(), 200);
}
