//! Rows C1 to C4: clients that leave, read slowly, or send what is no request.

use std::time::Instant;

use pointsman::domain::{CompletionEnd, EventBody, Seq};

use super::*;
use crate::support::rogue::{ROLE, text_chunk};

/// Longest time from the client's leaving to the end of the upstream call.
const WITHIN: Duration = Duration::from_secs(1);

/// The one decision's id, from the log: the client left before it was told.
async fn only_completed(app: &TestApp) -> Completed {
    let store = &app.running.service.store;
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
    built(base, "", |settings| {
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
    assert!(done.usage.is_none() && done.kind.is_none());
    assert_eq!(done.end, CompletionEnd::ClientAborted);
}
