use std::io::Write;
use std::time::Duration;

use futures::StreamExt;

use super::testing::{
    self, Act, COMPLETION, Fake, ROLE_CHUNK, STOP_CHUNK, USAGE_CHUNK, plain, streamed, text_chunk,
};
use super::*;
use crate::domain::AttemptEnd;

const SHORT: Duration = Duration::from_millis(150);

async fn failure_of(fake: &Fake) -> ProviderError {
    fake.provider(Format::OpenAi).complete(&testing::call(plain())).await.unwrap_err()
}

/// All chunks of a stream, and the error that ended it.
async fn read_stream(fake: &Fake, call: &ProviderCall) -> (Vec<Chunk>, Option<ProviderError>) {
    let Reply::Stream(mut chunks) = fake.provider(Format::OpenAi).complete(call).await.unwrap() else {
        panic!("a stream was asked for");
    };
    let mut read = Vec::new();
    while let Some(item) = chunks.next().await {
        match item {
            Ok(chunk) => read.push(chunk),
            Err(error) => {
                assert!(chunks.next().await.is_none(), "an error is the last item");
                return (read, Some(error));
            }
        }
    }
    (read, None)
}

fn text_of(chunks: &[Chunk]) -> String {
    let delta = |c: &Chunk| {
        let value: serde_json::Value = serde_json::from_slice(&c.data).unwrap();
        value["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned()
    };
    chunks.iter().map(delta).collect()
}

#[tokio::test]
async fn a_whole_answer_passes_through_and_the_call_carries_only_our_headers() {
    let fake = Fake::answering(200, &[("content-type", "application/json")], COMPLETION.as_bytes()).await;
    let reply = fake.provider(Format::OpenAi).complete(&testing::call(plain())).await.unwrap();
    let Reply::Full { body, facts, .. } = reply else { panic!("no stream was asked for") };
    assert_eq!(body, COMPLETION.as_bytes());
    assert_eq!(facts.usage.unwrap().input_tokens, 7);
    assert_eq!(facts.cost_usd, Some(0.5));

    let request = fake.requests().remove(0);
    assert!(request.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("authorization: Bearer sk-secret\r\n"), "{request}");
    assert!(request.ends_with(r#"{"model":"m-1","messages":[{"role":"user","content":"hi"}]}"#), "{request}");
}

#[tokio::test]
async fn an_anthropic_upstream_is_called_in_its_own_words() {
    let fake =
        Fake::answering(200, &[("content-type", "application/json")], testing::MESSAGE.as_bytes()).await;
    let reply = fake.provider(Format::Anthropic).complete(&testing::call(plain())).await.unwrap();
    let Reply::Full { facts, .. } = reply else { panic!("no stream was asked for") };
    assert_eq!(facts.finish_reason.as_deref(), Some("stop"));
    let request = fake.requests().remove(0);
    assert!(request.starts_with("POST /v1/messages HTTP/1.1\r\n"), "{request}");
    assert!(
        request.contains("x-api-key: sk-secret\r\n") && request.contains("anthropic-version: 2023-06-01\r\n")
    );
    assert!(!request.contains("authorization"), "{request}");
}

#[tokio::test]
async fn u1_reset_before_the_answer_is_a_lost_connection() {
    let fake = Fake::start(vec![Act::Reset]).await;
    assert_eq!(failure_of(&fake).await.attempt_end(), AttemptEnd::Connect);
    let dead = testing::provider_at(&testing::dead_url().await, Format::OpenAi);
    assert_eq!(dead.complete(&testing::call(plain())).await.unwrap_err(), ProviderError::Connect);
}

#[tokio::test]
async fn u2_no_first_byte_in_time_and_the_call_is_closed() {
    let mut fake = Fake::start(vec![Act::Stall]).await;
    let timeouts = Timeouts { first_byte: SHORT, ..Timeouts::default() };
    let call = testing::call_within(plain(), timeouts);
    let error = fake.provider(Format::OpenAi).complete(&call).await.unwrap_err();
    assert_eq!(error, ProviderError::FirstByteTimeout);
    fake.until_closed().await;
}

#[tokio::test]
async fn u2_a_stream_without_content_runs_into_the_same_time() {
    let fake = Fake::start(vec![Act::Send(testing::events(&[ROLE_CHUNK])), Act::Stall]).await;
    let timeouts = Timeouts { first_byte: SHORT, ..Timeouts::default() };
    let (chunks, error) = read_stream(&fake, &testing::call_within(streamed(), timeouts)).await;
    assert_eq!((chunks.len(), error), (1, Some(ProviderError::FirstByteTimeout)));
}

#[tokio::test]
async fn u3_silence_after_content_is_idle_and_invents_no_end() {
    let fake = Fake::start(vec![Act::Send(testing::events(&[&text_chunk("a")])), Act::Stall]).await;
    let timeouts = Timeouts { idle: SHORT, ..Timeouts::default() };
    let (chunks, error) = read_stream(&fake, &testing::call_within(streamed(), timeouts)).await;
    assert_eq!(error, Some(ProviderError::Idle));
    assert_eq!(text_of(&chunks), "a");
    assert!(chunks.iter().all(|c| c.facts.finish_reason.is_none()));
}

#[tokio::test]
async fn u4_the_total_time_ends_an_answer_that_drips() {
    let slow = Act::Drip(text_chunk("x").repeat(200_000).into_bytes());
    let fake = Fake::start(vec![Act::Send(testing::events(&[&text_chunk("a")])), slow]).await;
    // Long enough for the stream to begin on a busy machine.
    let timeouts = Timeouts { total: Duration::from_secs(2), ..Timeouts::default() };
    let (_, error) = read_stream(&fake, &testing::call_within(streamed(), timeouts)).await;
    assert_eq!(error, Some(ProviderError::TotalTimeout));
}

#[tokio::test]
async fn u5_a_rate_limit_tells_how_long_to_wait() {
    let body = br#"{"error":{"message":"slow down","type":"rate_limit","param":null,"code":null}}"#;
    let fake = Fake::answering(429, &[("retry-after", "7")], body).await;
    let error = failure_of(&fake).await;
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    assert_eq!(error.upstream().unwrap().message, "slow down");
    assert_eq!((error.attempt_end(), error.status()), (AttemptEnd::RateLimited, Some(429)));
}

#[tokio::test]
async fn u6_server_errors_keep_their_status() {
    for status in [500, 502, 503, 504, 529, 404, 408] {
        let fake = Fake::answering(status, &[], b"<html>oops</html>").await;
        let error = failure_of(&fake).await;
        assert_eq!((error.attempt_end(), error.status()), (AttemptEnd::ServerError, Some(status)));
    }
}

#[tokio::test]
async fn u7_a_refused_request_keeps_message_and_code() {
    let body = br#"{"error":{"message":"maximum context length is 8192","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#;
    for status in [400, 413, 422] {
        let fake = Fake::answering(status, &[], body).await;
        let error = failure_of(&fake).await;
        assert!(error.is_context_length());
        assert_eq!((error.attempt_end(), error.status()), (AttemptEnd::BadRequest, Some(status)));
        assert_eq!(error.upstream().unwrap().code.as_deref(), Some("context_length_exceeded"));
    }
}

#[tokio::test]
async fn u8_refused_credentials_keep_nothing_of_the_text() {
    for status in [401, 403] {
        let body =
            br#"{"error":{"message":"Incorrect API key provided: sk-secr**","code":"invalid_api_key"}}"#;
        let fake = Fake::answering(status, &[], body).await;
        let error = failure_of(&fake).await;
        assert_eq!(error.attempt_end(), AttemptEnd::Credentials);
        assert!(error.upstream().is_none());
        assert!(!format!("{error:?} {error}").contains("sk-"));
    }
}

#[tokio::test]
async fn u9_what_is_no_answer_is_malformed() {
    let bodies: [&[u8]; 9] = [
        b"",
        b"<html></html>",
        b"[]",
        b"{}",
        b"{\"choices\":[]}",
        b"{\"choices\":[{}]}",
        b"null",
        b"{\"choices\":[{\"message\":",
        &COMPLETION.as_bytes()[..60],
    ];
    for body in bodies {
        let fake = Fake::answering(200, &[("content-type", "application/json")], body).await;
        let error = failure_of(&fake).await;
        assert_eq!(error.attempt_end(), AttemptEnd::Malformed, "{}", String::from_utf8_lossy(body));
    }
    let fake = Fake::answering(200, &[("content-type", "application/json")], COMPLETION.as_bytes()).await;
    let error = fake.provider(Format::OpenAi).complete(&testing::call(streamed())).await.unwrap_err();
    assert_eq!(error, ProviderError::Malformed { fault: Fault::WrongContentType, status: Some(200) });
}

#[tokio::test]
async fn u9_a_truncated_body_is_a_cut_answer() {
    let mut bytes = testing::response(200, &[("content-type", "application/json")], COMPLETION.as_bytes());
    bytes.truncate(bytes.len() - 20);
    assert_eq!(failure_of(&Fake::start(vec![Act::Send(bytes)]).await).await, ProviderError::Cut);
}

#[tokio::test]
async fn an_error_inside_a_200_is_an_error() {
    let fake = Fake::answering(200, &[], br#"{"error":{"code":502,"message":"provider down"}}"#).await;
    assert_eq!(failure_of(&fake).await.status(), Some(502));
}

#[tokio::test]
async fn u10_one_byte_packets_and_odd_framing_give_the_exact_text() {
    let mut bytes = testing::stream_head();
    let chunk = text_chunk("café 😀");
    bytes.extend_from_slice(
        format!(": hi\r\n\r\ndata:{chunk}\r\n\r\ndata: {STOP_CHUNK}\r\n\r\ndata: [DONE]\r\n\r\n").as_bytes(),
    );
    let fake = Fake::start(vec![Act::Drip(bytes)]).await;
    let (chunks, error) = read_stream(&fake, &testing::call(streamed())).await;
    assert_eq!((text_of(&chunks).as_str(), error), ("café 😀", None));
}

#[tokio::test]
async fn usage_comes_once_and_last_even_from_servers_that_put_it_elsewhere() {
    let running = r#"{"id":"c1","model":"m","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}],"usage":{"prompt_tokens":7,"completion_tokens":1}}"#;
    let last = r#"{"id":"c1","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":2,"cost":0.25}}"#;
    let fake = Fake::streaming(&[running, last, "[DONE]"]).await;
    let (chunks, error) = read_stream(&fake, &testing::call(streamed())).await;
    assert_eq!(error, None);
    let with_usage: Vec<bool> = chunks.iter().map(|c| c.facts.usage.is_some()).collect();
    assert_eq!(with_usage, [false, false, true]);
    assert!(chunks[2].facts.is_usage_only);
    assert_eq!((chunks[2].facts.usage.unwrap().output_tokens, chunks[2].facts.cost_usd), (2, Some(0.25)));
    let body = fake.requests().remove(0);
    assert!(body.contains(r#""stream_options":{"include_usage":true}"#), "{body}");
}

#[tokio::test]
async fn u11_a_stream_that_breaks_is_cut_and_never_finished_off() {
    let content = text_chunk("a");
    for acts in [
        vec![Act::Send(testing::events(&[&content]))],
        vec![Act::Send(testing::events(&[&content])), Act::Reset],
        vec![Act::Send(testing::events(&[&content])), Act::Send(b"data: {\"id\":\"c1\",\"choi".to_vec())],
    ] {
        let fake = Fake::start(acts).await;
        let (chunks, error) = read_stream(&fake, &testing::call(streamed())).await;
        assert_eq!(error, Some(ProviderError::Cut));
        assert!(chunks.iter().all(|c| c.facts.finish_reason.is_none()));
    }
}

#[tokio::test]
async fn u11_error_and_garbage_events_end_the_stream_after_what_came_before() {
    let content = text_chunk("a");
    let fake = Fake::streaming(&[&content, r#"{"error":{"message":"boom","code":500}}"#]).await;
    let (chunks, error) = read_stream(&fake, &testing::call(streamed())).await;
    assert_eq!((text_of(&chunks).as_str(), error.unwrap().status()), ("a", Some(500)));
    let fake = Fake::streaming(&[&content, "garbage", &content]).await;
    let (chunks, error) = read_stream(&fake, &testing::call(streamed())).await;
    assert_eq!((text_of(&chunks).as_str(), error.unwrap().attempt_end()), ("a", AttemptEnd::Malformed));
}

#[tokio::test]
async fn a_stream_that_ends_after_its_finish_reason_is_whole_without_done() {
    let fake = Fake::streaming(&[&text_chunk("a"), STOP_CHUNK, USAGE_CHUNK]).await;
    let (chunks, error) = read_stream(&fake, &testing::call(streamed())).await;
    assert_eq!((error, chunks.len()), (None, 3));
    let fake = Fake::streaming(&["[DONE]"]).await;
    let (_, error) = read_stream(&fake, &testing::call(streamed())).await;
    assert_eq!(error.unwrap().attempt_end(), AttemptEnd::Malformed);
}

#[tokio::test]
async fn u12_invalid_utf8_is_never_relayed_raw() {
    let bad = [b"{\"choices\":[{\"message\":{\"content\":\"".as_slice(), b"\xff", b"\"}}]}"].concat();
    assert_eq!(failure_of(&Fake::answering(200, &[], &bad).await).await.attempt_end(), AttemptEnd::Malformed);
    let event = [testing::stream_head(), b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\xff\"},\"finish_reason\":\"stop\"}]}\n\n".to_vec()].concat();
    let fake = Fake::start(vec![Act::Send(event)]).await;
    let (chunks, _) = read_stream(&fake, &testing::call(streamed())).await;
    assert_eq!(text_of(&chunks), "a\u{fffd}");
}

#[tokio::test]
async fn u13_a_gzip_bomb_an_endless_line_and_a_huge_head_are_refused() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&vec![b' '; 64 * 1024 * 1024]).unwrap();
    let bomb = gzip.finish().unwrap();
    assert!(bomb.len() < 1024 * 1024);
    let fake = Fake::answering(200, &[("content-encoding", "gzip")], &bomb).await;
    let too_large = ProviderError::Malformed { fault: Fault::TooLarge, status: Some(200) };
    assert_eq!(failure_of(&fake).await, too_large);

    let endless = vec![b'x'; crate::wire::sse::MAX_EVENT + 1];
    let fake = Fake::start(vec![Act::Send(testing::stream_head()), Act::Send(endless)]).await;
    let (_, error) = read_stream(&fake, &testing::call(streamed())).await;
    assert_eq!(error.as_ref(), Some(&too_large));

    let fake = Fake::answering(200, &[("x-long", &"y".repeat(70_000))], COMPLETION.as_bytes()).await;
    assert_eq!(failure_of(&fake).await, too_large);
}

#[tokio::test]
async fn u13_broken_compression_is_malformed_and_good_compression_is_read() {
    let fake = Fake::answering(200, &[("content-encoding", "gzip")], b"this is no gzip at all").await;
    assert_eq!(
        failure_of(&fake).await,
        ProviderError::Malformed { fault: Fault::Encoding, status: Some(200) }
    );
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(COMPLETION.as_bytes()).unwrap();
    let fake = Fake::answering(200, &[("content-encoding", "gzip")], &gzip.finish().unwrap()).await;
    let reply = fake.provider(Format::OpenAi).complete(&testing::call(plain())).await.unwrap();
    assert!(matches!(reply, Reply::Full { body, .. } if body == COMPLETION.as_bytes()));
}

#[tokio::test]
async fn u14_a_redirect_is_not_followed() {
    let other = Fake::answering(200, &[], COMPLETION.as_bytes()).await;
    for status in [301, 302, 307, 308] {
        let fake = Fake::answering(status, &[("location", &other.base_url)], b"").await;
        let fault = ProviderError::Malformed { fault: Fault::Redirect, status: Some(status) };
        assert_eq!(failure_of(&fake).await, fault);
    }
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn u15_an_unknown_host_is_no_connection() {
    let provider = testing::provider_at("http://no-such-host.invalid/v1", Format::OpenAi);
    assert_eq!(provider.complete(&testing::call(plain())).await.unwrap_err(), ProviderError::Connect);
}

#[tokio::test]
async fn u16_tls_to_a_plain_port_is_no_connection_and_not_downgraded() {
    let fake = Fake::answering(200, &[], COMPLETION.as_bytes()).await;
    let provider = testing::provider_at(&fake.base_url.replace("http:", "https:"), Format::OpenAi);
    let mut call = testing::call(plain());
    call.timeouts.first_byte = Duration::from_secs(5);
    let error = provider.complete(&call).await.unwrap_err();
    assert_eq!(error.attempt_end(), AttemptEnd::Connect);
}

#[tokio::test]
async fn c1_dropping_the_wait_or_the_stream_closes_the_upstream_call() {
    let mut fake = Fake::start(vec![Act::Stall]).await;
    let provider = fake.provider(Format::OpenAi);
    let waiting = tokio::spawn(async move { provider.complete(&testing::call(plain())).await.is_ok() });
    while fake.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    waiting.abort();
    fake.until_closed().await;

    let mut fake = Fake::start(vec![Act::Send(testing::events(&[&text_chunk("a")])), Act::Stall]).await;
    let reply = fake.provider(Format::OpenAi).complete(&testing::call(streamed())).await.unwrap();
    let Reply::Stream(mut chunks) = reply else { panic!("a stream was asked for") };
    assert!(chunks.next().await.unwrap().is_ok());
    drop(chunks);
    fake.until_closed().await;
}

#[test]
fn settings_are_checked_and_their_debug_form_hides_the_key() {
    let mut settings = ProviderSettings::new(ProviderId::from("p"), Format::OpenAiCompatible);
    assert!(matches!(build(settings.clone()), Err(ProviderBuildError::MissingBaseUrl)));
    for url in ["ftp://x/v1", "x", "http://user:pw@x/v1", "http://x/v1?key=1", "file:///etc/passwd"] {
        settings.base_url = Some(url.to_owned());
        let Err(error) = build(settings.clone()) else { panic!("{url} was taken") };
        assert!(matches!(error, ProviderBuildError::BadBaseUrl { .. }), "{url}: {error}");
        assert!(!error.to_string().contains("pw"));
    }
    settings.base_url = Some("http://127.0.0.1:1/v1".to_owned());
    settings.headers = vec![("Host".to_owned(), "x".to_owned())];
    assert!(matches!(build(settings.clone()), Err(ProviderBuildError::BadHeader { .. })));
    settings.headers = vec![("x-title".to_owned(), "pointsman".to_owned())];
    settings.api_key = Some("sk-secret\n".to_owned().into());
    assert!(matches!(build(settings.clone()), Err(ProviderBuildError::BadKey)));
    settings.api_key = Some("sk-secret".to_owned().into());
    assert!(build(settings.clone()).is_ok());
    assert!(!format!("{settings:?}").contains("sk-secret"));
}

#[tokio::test]
async fn azure_is_reached_by_query_and_auth_header() {
    let fake = Fake::answering(200, &[("content-type", "application/json")], COMPLETION.as_bytes()).await;
    let mut settings = ProviderSettings::new(ProviderId::from("azure"), Format::OpenAi);
    settings.base_url = Some(fake.base_url.clone());
    settings.api_key = Some("hush".to_owned().into());
    settings.auth_header = Some("api-key".to_owned());
    settings.query = vec![("api-version".to_owned(), "2024-10-21 &x".to_owned())];
    build(settings).unwrap().complete(&testing::call(plain())).await.unwrap();
    let request = fake.requests().pop().unwrap();
    assert!(
        request.starts_with("POST /v1/chat/completions?api-version=2024-10-21+%26x HTTP/1.1"),
        "{request}"
    );
    assert!(request.contains("api-key: hush") && !request.contains("Bearer"), "{request}");
}

#[tokio::test]
async fn one_provider_has_a_path_for_each_deployment() {
    let fake = Fake::answering(200, &[("content-type", "application/json")], COMPLETION.as_bytes()).await;
    let mut settings = ProviderSettings::new(ProviderId::from("azure"), Format::OpenAi);
    settings.base_url = Some(fake.base_url.clone());
    settings.path = Some("openai/deployments/{model}/chat/completions".to_owned());
    settings.query = vec![("api-version".to_owned(), "2024-10-21".to_owned())];
    let provider = build(settings).unwrap();
    for (model, part) in [("gpt-5-mini", "gpt-5-mini"), ("our own/../x?y", "our%20own%2F..%2Fx%3Fy")] {
        let mut call = testing::call(plain());
        call.model = model.into();
        provider.complete(&call).await.unwrap();
        let request = fake.requests().pop().unwrap();
        let wanted =
            format!("POST /v1/openai/deployments/{part}/chat/completions?api-version=2024-10-21 HTTP/1.1");
        assert!(request.starts_with(&wanted), "{request}");
    }
}
