//! Rows U3, U4, U10 to U13 where the answer is a stream.

use pointsman::domain::CompletionEnd;

use super::*;
use crate::support::rogue::{ROLE, STOP, USAGE, text_chunk};

/// An event stream of a role, `half` and these lines.
fn half_then(more: &[&str]) -> Vec<u8> {
    let half = text_chunk("half");
    let lines: Vec<&str> = [ROLE, &half].into_iter().chain(more.iter().copied()).collect();
    crate::support::rogue::events(&lines)
}

/// A stream that breaks after its first content: told as an error, nobody else asked, logged as `end`.
async fn assert_breaks(script: Vec<Act>, code: &str, end: CompletionEnd) {
    let (app, _rogue) = before(script).await;
    let response = stream(&app, "auto").await;
    assert_eq!(header(&response, "x-pointsman-model"), "rogue/a");
    let decision = header(&response, "x-pointsman-decision-id").to_owned();
    let read = read_all(response).await;
    assert_broken_off(&read, code);
    assert_eq!(text_of(&read.0), "half", "what came before the break goes out");
    assert!(app.upstream.calls().is_empty(), "no second model's text follows the first's");
    let done = wait_for_completion(&app, &decision).await;
    assert_eq!((done.end, done.finish_reason), (end, None));
}

#[tokio::test]
async fn u3_silence_after_content_is_an_error_event() {
    let script = vec![Act::Send(half_then(&[])), Act::Stall];
    assert_breaks(script, "upstream_timeout", CompletionEnd::UpstreamIdle).await;
}

#[tokio::test]
async fn u4_an_upstream_that_drips_is_ended_by_the_rule_on_lines() {
    let endless = "x".repeat(10_000).into_bytes();
    let script = vec![Act::Send(half_then(&[])), Act::Drip(endless, 1, T / 6)];
    assert_breaks(script, "upstream_timeout", CompletionEnd::UpstreamIdle).await;
}

#[tokio::test]
async fn u4_an_answer_that_goes_on_and_on_is_ended_by_the_total_time() {
    let lines = format!("data: {}\n\n", text_chunk("")).repeat(1_000).into_bytes();
    let script = vec![Act::Send(half_then(&[])), Act::Drip(lines, 200, T / 10)];
    assert_breaks(script, "upstream_timeout", CompletionEnd::UpstreamCut).await;
}

#[tokio::test]
async fn u10_odd_framing_in_one_byte_packets_gives_the_exact_text() {
    let head = String::from_utf8(crate::support::rogue::events(&[])).unwrap();
    let body = format!(
        ": hello\r\n\r\nevent: message\r\ndata:{ROLE}\r\n\r\ndata: {}\n\n: comment\n\ndata: {}\n\ndata:{STOP}\n\ndata: {USAGE}\r\n\r\ndata: [DONE]\n\n",
        text_chunk("café "),
        text_chunk("😀"),
    );
    let (app, _rogue) =
        before(vec![Act::Send(head.into_bytes()), Act::Drip(body.into_bytes(), 1, Duration::ZERO)]).await;
    let (text, is_torn) = read_all(stream(&app, "rogue/a").await).await;
    assert!(!is_torn);
    assert_eq!(text_of(&text), "café 😀");
    assert_eq!(text.matches(r#""prompt_tokens":7"#).count(), 1, "usage comes once");
    assert!(text.ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn u11_stream_cut_reports_error() {
    let script = vec![Act::Send(half_then(&[])), Act::Reset];
    assert_breaks(script, "upstream_error", CompletionEnd::UpstreamCut).await;
}

#[tokio::test]
async fn u11_clean_end_without_end_mark_reports_error() {
    assert_breaks(vec![Act::Send(half_then(&[]))], "upstream_error", CompletionEnd::UpstreamCut).await;
}

#[tokio::test]
async fn u11_error_event_after_content_reports_error() {
    let script = vec![Act::Send(half_then(&[r#"{"error":{"message":"boom"}}"#]))];
    assert_breaks(script, "upstream_error", CompletionEnd::UpstreamCut).await;
}

#[tokio::test]
async fn u11_garbage_after_content_reports_error() {
    let script = vec![Act::Send(half_then(&["{garbage"]))];
    assert_breaks(script, "upstream_error", CompletionEnd::UpstreamCut).await;
}

#[tokio::test]
async fn u11_before_the_first_content_somebody_else_serves() {
    for script in [
        vec![Act::Send(crate::support::rogue::events(&[ROLE])), Act::Reset],
        vec![Act::Send(crate::support::rogue::events(&[ROLE]))],
        vec![Act::Send(crate::support::rogue::events(&[ROLE])), Act::Stall],
    ] {
        let (app, _rogue) = before(script).await;
        let response = stream(&app, "auto").await;
        assert_eq!(header(&response, "x-pointsman-model"), "fake/good");
        let (text, is_torn) = read_all(response).await;
        assert_eq!((text_of(&text).as_str(), is_torn), ("Fine weather today.", false));
    }
}

#[tokio::test]
async fn u12_invalid_utf8_in_an_event_is_never_relayed_raw() {
    let mut bytes = half_then(&[]);
    bytes.extend_from_slice(
        format!("data: {}\n\n", text_chunk("x\u{1}y")).replace('\u{1}', "\u{7f}").as_bytes(),
    );
    let bytes: Vec<u8> = bytes.into_iter().map(|b| if b == 0x7f { 0xff } else { b }).collect();
    let mut script = bytes;
    script.extend_from_slice(format!("data: {STOP}\n\ndata: [DONE]\n\n").as_bytes());
    let (app, _rogue) = before(vec![Act::Send(script)]).await;
    // `read_all` would fail on bytes that are no UTF-8.
    let (text, _) = read_all(stream(&app, "rogue/a").await).await;
    assert_eq!(text_of(&text), "halfx\u{fffd}y");
}

#[tokio::test]
async fn u13_an_endless_line_is_refused() {
    let mut endless = half_then(&[]);
    endless.extend_from_slice(b"data: ");
    endless.resize(endless.len() + (24 << 20), b'x');
    assert_breaks(vec![Act::Send(endless)], "upstream_error", CompletionEnd::UpstreamCut).await;
}

/// A service that keeps streams alive after a tenth of the time that its calls may take.
async fn keeping_alive(script: Vec<Act>) -> (TestApp, Rogue) {
    let rogue = Rogue::start(script).await;
    let app = built(&rogue.base, "", |settings| settings.server.keep_alive = T / 10).await;
    (app, rogue)
}

const KEEP_ALIVE: &str = ": keep-alive\n\n";

#[tokio::test]
async fn a_silent_stream_is_kept_alive_by_comments_before_and_after_its_first_content() {
    let rest = format!("data: {}\n\ndata: {STOP}\n\ndata: {USAGE}\n\ndata: [DONE]\n\n", text_chunk(" whole"));
    let script =
        vec![Act::Wait(T / 4), Act::Send(half_then(&[])), Act::Wait(T / 4), Act::Send(rest.into_bytes())];
    let (app, _rogue) = keeping_alive(script).await;
    let response = stream(&app, "rogue/a").await;
    assert_eq!(header(&response, "content-type"), "text/event-stream");
    assert!(
        !header(&response, "x-pointsman-decision-id").is_empty()
            && !header(&response, "x-request-id").is_empty()
    );
    let (text, is_torn) = read_all(response).await;
    assert!(!is_torn && text.starts_with(KEEP_ALIVE), "{text}");
    let content = text.find("half").unwrap();
    assert!(text[content..].contains(KEEP_ALIVE), "{text}");
    assert_eq!(text_of(&text), "half whole");
    assert_eq!(text.matches(r#""prompt_tokens":7"#).count(), 1);
    assert!(
        text.contains(r#""model":"rogue/a","cost_usd":"#) && text.ends_with("data: [DONE]\n\n"),
        "{text}"
    );
}

#[tokio::test]
async fn u2_with_the_status_out_but_no_content_somebody_else_still_serves() {
    let (app, rogue) = keeping_alive(vec![Act::Stall]).await;
    let response = stream(&app, "auto").await;
    assert_eq!(response.status(), 200);
    let decision = header(&response, "x-pointsman-decision-id").to_owned();
    let (text, is_torn) = read_all(response).await;
    assert!(!is_torn && text.starts_with(KEEP_ALIVE), "{text}");
    assert_eq!(text_of(&text), "Fine weather today.");
    assert!(text.contains(r#""model":"fake/good","cost_usd":"#), "the last chunk says who served: {text}");
    rogue.until_left(1).await;
    let done = wait_for_completion(&app, &decision).await;
    assert_eq!((done.end, done.attempts.len()), (CompletionEnd::Complete, 2));
}

#[tokio::test]
async fn u17_with_the_status_out_failing_is_an_error_event() {
    let (app, _rogue) = keeping_alive(vec![Act::Stall]).await;
    let response = stream(&app, "down").await;
    assert_eq!(response.status(), 200, "it went out with the first comment");
    let decision = header(&response, "x-pointsman-decision-id").to_owned();
    let read = read_all(response).await;
    assert_broken_off(&read, "no_provider");
    assert_eq!(text_of(&read.0), "");
    let done = wait_for_completion(&app, &decision).await;
    assert_eq!((done.end, done.served), (CompletionEnd::Failed, None));
}
