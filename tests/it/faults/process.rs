//! The process as a whole: it is told to stop (X2), a handler panics (X3), its memory is bounded whatever an upstream sends (U13).

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::StreamExt;
use futures::future::join_all;
use pointsman::domain::{CompletionEnd, FeedbackRef};
use pointsman::http::{AdminTo, Api, OpenWithoutKeys, Places, gate_with};
use pointsman::store::{Scope, Store, StoreOptions};
use reqwest::{Client, Response};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use super::{read_all, text_of};
use crate::auth::key;
use crate::support::binary::{Binary, Home};
use crate::support::rogue::{Act, ROLE, Rogue, STOP, USAGE, events, response, text_chunk};
use crate::support::{FakeUpstream, LEARNED, TestApp, chat, fault, header};

/// A stream from `binary`, its first piece read.
async fn begun(binary: &Binary, body: serde_json::Value) -> (Response, String) {
    let request = Client::new().post(format!("{}/v1/chat/completions", binary.base));
    let request = request.header("content-type", "application/json").body(body.to_string());
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    let id = header(&response, "x-pointsman-decision-id").to_owned();
    (response, id)
}

/// Waits until nobody listens there any more.
async fn until_closed(binary: &Binary) {
    let address = binary.base.strip_prefix("http://").unwrap();
    while TcpStream::connect(address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn end_of(home: &Home, id: &str) -> CompletionEnd {
    let store = Store::open(StoreOptions::at(&home.log)).unwrap();
    let record = store.record(&FeedbackRef::Decision(id.parse().unwrap()), None).unwrap().unwrap();
    record.completed.expect("its end was flushed").end
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x2_at_sigterm_nobody_new_is_taken_streams_finish_the_log_is_flushed_and_the_code_is_0() {
    let (text, end) = (text_chunk("half and "), text_chunk("half"));
    let rest = events(&[&end, STOP, USAGE, "[DONE]"]);
    let rest = rest[rest.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4..].to_vec();
    let script =
        vec![Act::Send(events(&[ROLE, &text])), Act::Wait(Duration::from_millis(1500)), Act::Send(rest)];
    let rogue = Rogue::start(script).await;
    let home = Home::new(&rogue.base, LEARNED);
    let binary = Binary::start(&home).await;
    let (response, id) = begun(
        &binary,
        json!({"model": "fake/good", "stream": true, "messages": [{"role": "user", "content": "Hi"}]}),
    )
    .await;
    binary.terminate();
    until_closed(&binary).await;
    let (body, is_torn) = read_all(response).await;
    assert!(!is_torn && body.ends_with("data: [DONE]\n\n"), "{body}");
    assert_eq!(text_of(&body), "half and half");
    let (code, said) = binary.ended().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("stopping") && said.contains("stopped checkpoint="), "{said}");
    let beside = std::fs::metadata(home.log.with_file_name("log.db-wal")).map_or(0, |wal| wal.len());
    assert_eq!(beside, 0, "the one file holds everything");
    assert_eq!(end_of(&home, &id), CompletionEnd::Complete);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x2_a_stream_that_goes_on_beyond_the_grace_is_torn_and_still_logged() {
    let upstream = FakeUpstream::start().await;
    let home = Home::new(&upstream.base, LEARNED);
    let text = std::fs::read_to_string(&home.config).unwrap();
    std::fs::write(&home.config, text.replace("[server]\n", "[server]\nshutdown_grace_ms = 300\n")).unwrap();
    let binary = Binary::start(&home).await;
    let mut body = chat("fake/good", "Stream on");
    body["stream"] = json!(true);
    body["metadata"] = json!({"endless": "yes"});
    let (response, id) = begun(&binary, body).await;
    let mut stream = response.bytes_stream();
    stream.next().await.unwrap().unwrap();
    binary.terminate();
    let mut is_torn = false;
    while let Some(piece) = stream.next().await {
        is_torn |= piece.is_err();
    }
    assert!(is_torn);
    let (code, said) = binary.ended().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("cut off at the end of the grace time"), "{said}");
    assert_ne!(end_of(&home, &id), CompletionEnd::Complete);
    upstream.no_stream_open().await;
}

#[tokio::test]
async fn x3_a_handler_that_panics_is_a_500_and_the_service_goes_on() {
    let app = TestApp::start().await;
    key(&app, "alpha", &Scope::ALL, None).await;
    let api = Api {
        live: Arc::clone(&app.running.live),
        max_body_bytes: 1 << 20,
        body_timeout: Duration::from_secs(10),
        keep_alive: Duration::from_secs(15),
        guesses: Arc::default(),
        places: Arc::new(Places::new(2, 1)),
        open_without_keys: OpenWithoutKeys::No,
        admin: AdminTo::Loopback,
    };
    // A route that the service does not have, behind all the layers that its own routes have.
    let faulty =
        Router::new().route("/v1/faulty", get(async || -> &'static str { panic!("a secret of the inside") }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let gate = Arc::new(gate_with(faulty, api));
    let behind = Router::new().fallback(move |request: Request| {
        let gate = Arc::clone(&gate);
        async move { gate.answer(request).await }
    });
    tokio::spawn(async move { axum::serve(listener, behind).await });
    let get = |path: &str| app.client.get(format!("{base}{path}")).bearer_auth("alpha").send();
    for _ in 0..5 {
        // More often than there are places: each gives its own back.
        let response = get("/v1/faulty").await.unwrap();
        assert!(!header(&response, "x-request-id").is_empty());
        let text = response.text().await.unwrap();
        assert!(text.contains("\"code\":\"internal\"") && !text.contains("secret"), "{text}");
        assert_eq!(get("/v1/models").await.unwrap().status(), 200);
    }
    let response = app.client.get(format!("{base}/v1/faulty")).send().await.unwrap();
    assert_eq!(fault(response).await.0, 401, "the key is looked at before the handler runs");
}

/// The most memory that a process has held so far, kilobytes.
fn peak_kb(binary: &Binary) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", binary.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn u13_bombs_raise_the_memory_by_what_the_caps_allow_and_no_more() {
    const BOMBS: u64 = 4;
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    (0..512).for_each(|_| bomb.write_all(&[b' '; 1 << 20]).unwrap());
    let bomb = bomb.finish().unwrap();
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let rogue = Rogue::start(response(200, &headers, &bomb)).await;
    let home = Home::new(&rogue.base, LEARNED);
    let binary = Binary::start(&home).await;
    let ask = || async {
        let request = Client::new().post(format!("{}/v1/chat/completions", binary.base));
        let body = chat("fake/good", "Hello").to_string();
        fault(request.header("content-type", "application/json").body(body).send().await.unwrap()).await
    };
    let before = peak_kb(&binary);
    for answer in join_all((0..BOMBS).map(|_| ask())).await {
        assert_eq!((answer.0, answer.1.as_str()), (502, "upstream_error"));
    }
    // An answer may have 32 MiB, and its buffer twice that while it grows; all of the bombs would be 2 GiB.
    let (risen, allowed) = (peak_kb(&binary) - before, BOMBS * 64 * 1024 + 64 * 1024);
    assert!(risen < allowed, "{risen} kB, allowed are {allowed}");
}
