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
