mod hedging;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;

use super::*;
use crate::domain::{Arm, ArmId, AttemptEnd, CapabilitySet, Limits, Price, ProviderId};
use crate::provider::testing::{
    self, Act, COMPLETION, Fake, ROLE_CHUNK, STOP_CHUNK, plain, streamed, text_chunk,
};
use crate::provider::{Format, Provider, ProviderError, Reply, Timeouts};

const SHORT: Duration = Duration::from_millis(150);

fn target(name: &str, provider: Arc<dyn Provider>) -> Target {
    let arm = Arm {
        id: ArmId::from(name),
        provider: ProviderId::from("fake"),
        model: format!("{name}-model"),
        price: Price::flat(1.0, 1.0),
        limits: Limits { context_window: 8000, max_output: None },
        capabilities: CapabilitySet::default(),
    };
    let limits = UpstreamLimits::default();
    Target {
        arm: Arc::new(arm),
        upstream: Arc::new(Upstream::new(provider, limits, Conduct::default())),
        output_cap: None,
    }
}

fn with_window(target: Target, context_window: u32) -> Target {
    let mut arm = Arm::clone(&target.arm);
    arm.limits.context_window = context_window;
    Target { arm: Arc::new(arm), ..target }
}

fn plan(targets: Vec<Target>) -> Plan {
    Plan::starting_now(targets, once(), Arc::default())
}

/// Short, and nobody is asked a second time.
fn once() -> Conduct {
    let timeouts = Timeouts { first_byte: SHORT, ..Timeouts::default() };
    Conduct { timeouts, retry: RetrySettings { most: 0, ..RetrySettings::default() }, hedge: None }
}

/// A plan whose first target is `first`, and whose second answers.
async fn first_then_good(first: &Fake) -> (Plan, Fake) {
    let good = Fake::answering(200, &[], COMPLETION.as_bytes()).await;
    let targets =
        vec![target("a", first.provider(Format::OpenAi)), target("b", good.provider(Format::OpenAi))];
    (plan(targets), good)
}

fn ends(attempts: &[crate::domain::Attempt]) -> Vec<AttemptEnd> {
    attempts.iter().map(|a| a.end).collect()
}

async fn assert_falls_back(first: &Fake, end: AttemptEnd) {
    let (plan, _good) = first_then_good(first).await;
    let done = run(&plan, plain()).await.unwrap();
    assert_eq!(done.served.id.as_str(), "b");
    assert_eq!(ends(&done.attempts), [end, AttemptEnd::Answered]);
    assert!(done.first_content_ms >= 0.0 && done.attempts[0].ms >= 0.0);
}

fn error_of(failed: &DispatchFailed) -> &ProviderError {
    match &failed.cause {
        Cause::Call(error) => error,
        Cause::PassedOver(refused) => panic!("nobody was asked: {refused:?}"),
    }
}

async fn text_of(reply: Reply) -> Result<String, ProviderError> {
    let Reply::Stream(mut chunks) = reply else { panic!("a stream was asked for") };
    let mut text = String::new();
    while let Some(chunk) = chunks.next().await {
        let value: serde_json::Value = serde_json::from_slice(&chunk?.data).unwrap();
        text.push_str(value["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
    }
    Ok(text)
}

#[tokio::test]
async fn u1_connect_refused_falls_back() {
    let good = Fake::answering(200, &[], COMPLETION.as_bytes()).await;
    let dead = testing::provider_at(&testing::dead_url().await, Format::OpenAi);
    let plan = plan(vec![target("a", dead), target("b", good.provider(Format::OpenAi))]);
    let done = run(&plan, plain()).await.unwrap();
    assert_eq!(ends(&done.attempts), [AttemptEnd::Connect, AttemptEnd::Answered]);
    assert!(good.requests()[0].contains(r#""model":"b-model""#));
}

#[tokio::test]
async fn u1_reset_falls_back() {
    assert_falls_back(&Fake::start(vec![Act::Reset]).await, AttemptEnd::Connect).await;
}

#[tokio::test]
async fn u2_no_first_byte_falls_back() {
    assert_falls_back(&Fake::start(vec![Act::Stall]).await, AttemptEnd::FirstByteTimeout).await;
}

#[tokio::test]
async fn u5_rate_limit_falls_back_and_rests_the_arm() {
    let limited = Fake::answering(429, &[("retry-after", "30")], b"{}").await;
    let (plan, _good) = first_then_good(&limited).await;
    let done = run(&plan, plain()).await.unwrap();
    assert_eq!(ends(&done.attempts), [AttemptEnd::RateLimited, AttemptEnd::Answered]);
    let health = plan.health.snapshot();
    assert!(health.rest_left(&ArmId::from("a")).unwrap() > Duration::from_secs(20));
    assert!(health.is_available(&ArmId::from("b")));
}

#[tokio::test]
async fn u6_server_error_falls_back() {
    assert_falls_back(&Fake::answering(503, &[], b"").await, AttemptEnd::ServerError).await;
}

#[tokio::test]
async fn u7_a_bad_request_is_not_asked_again() {
    let body =
        br#"{"error":{"message":"temperature is wrong","type":"invalid_request_error","code":"bad_value"}}"#;
    let (plan, good) = first_then_good(&Fake::answering(400, &[], body).await).await;
    let failed = run(&plan, plain()).await.unwrap_err();
    assert_eq!(ends(&failed.attempts), [AttemptEnd::BadRequest]);
    assert_eq!(error_of(&failed).upstream().unwrap().code.as_deref(), Some("bad_value"));
    assert!(good.requests().is_empty());
}

#[tokio::test]
async fn u7_a_request_too_long_goes_to_a_larger_window_only() {
    let body = br#"{"error":{"message":"too long","code":"context_length_exceeded"}}"#;
    let small = Fake::answering(400, &[], body).await;
    let same = Fake::answering(200, &[], COMPLETION.as_bytes()).await;
    let large = Fake::answering(200, &[], COMPLETION.as_bytes()).await;
    let targets = vec![
        target("a", small.provider(Format::OpenAi)),
        target("same", same.provider(Format::OpenAi)),
        with_window(target("large", large.provider(Format::OpenAi)), 100_000),
    ];
    let done = run(&plan(targets.clone()), plain()).await.unwrap();
    assert_eq!(done.served.id.as_str(), "large");
    assert!(same.requests().is_empty());
    let failed = run(&plan(targets[..2].to_vec()), plain()).await.unwrap_err();
    assert!(error_of(&failed).is_context_length());
}

#[tokio::test]
async fn u8_refused_credentials_fall_back_and_turn_the_arm_off() {
    let (plan, _good) = first_then_good(&Fake::answering(401, &[], b"{}").await).await;
    let done = run(&plan, plain()).await.unwrap();
    assert_eq!(ends(&done.attempts), [AttemptEnd::Credentials, AttemptEnd::Answered]);
    assert!(!plan.health.snapshot().is_available(&ArmId::from("a")));
}

#[tokio::test]
async fn u9_html_falls_back() {
    assert_falls_back(&Fake::answering(200, &[], b"<html></html>").await, AttemptEnd::Malformed).await;
}

#[tokio::test]
async fn u14_redirect_falls_back() {
    let moved = Fake::answering(307, &[("location", "http://127.0.0.1:9/")], b"").await;
    assert_falls_back(&moved, AttemptEnd::Malformed).await;
}

#[tokio::test]
async fn u11_a_stream_that_fails_before_its_first_content_falls_back() {
    let good = Fake::streaming(&[ROLE_CHUNK, &text_chunk("good"), STOP_CHUNK, "[DONE]"]).await;
    for acts in [
        vec![Act::Send(testing::events(&[ROLE_CHUNK]))],
        vec![Act::Send(testing::events(&[ROLE_CHUNK])), Act::Reset],
        vec![Act::Send(testing::events(&[ROLE_CHUNK, r#"{"error":{"message":"boom"}}"#]))],
        vec![Act::Send(testing::events(&["garbage"]))],
        vec![Act::Send(testing::events(&[ROLE_CHUNK])), Act::Stall],
        vec![Act::Send(testing::stream_head())],
    ] {
        let bad = Fake::start(acts.clone()).await;
        let targets =
            vec![target("a", bad.provider(Format::OpenAi)), target("b", good.provider(Format::OpenAi))];
        let done = run(&plan(targets), streamed()).await.unwrap();
        assert_eq!(done.served.id.as_str(), "b", "{acts:?}");
        assert!(done.attempts[0].end.is_arm_failure());
        // All chunks are there, those read ahead too, and nothing of the first model.
        assert_eq!(text_of(done.reply).await.unwrap(), "good");
    }
}

#[tokio::test]
async fn u11_after_the_first_content_nobody_else_is_asked() {
    let bad = Fake::streaming(&[ROLE_CHUNK, &text_chunk("half"), r#"{"error":{"message":"boom"}}"#]).await;
    let (plan, good) = first_then_good(&bad).await;
    let done = run(&plan, streamed()).await.unwrap();
    assert_eq!(done.served.id.as_str(), "a");
    assert_eq!(text_of(done.reply).await.unwrap_err().status(), Some(500));
    assert!(good.requests().is_empty());
}

#[tokio::test]
async fn an_empty_answer_is_an_answer_and_an_endless_preamble_is_none() {
    let empty = Fake::streaming(&[ROLE_CHUNK, STOP_CHUNK, "[DONE]"]).await;
    let done = run(&plan(vec![target("a", empty.provider(Format::OpenAi))]), streamed()).await.unwrap();
    assert_eq!(text_of(done.reply).await.unwrap(), "");
    let endless = Fake::streaming(&[ROLE_CHUNK; 300]).await;
    let failed =
        run(&plan(vec![target("a", endless.provider(Format::OpenAi))]), streamed()).await.unwrap_err();
    assert_eq!(ends(&failed.attempts), [AttemptEnd::Malformed]);
}

#[tokio::test]
async fn u17_all_down_gives_every_attempt_and_the_last_cause() {
    let down = Fake::answering(503, &[("retry-after", "3")], b"").await;
    let targets = ["a", "b", "c"].map(|name| target(name, down.provider(Format::OpenAi)));
    let failed = run(&plan(targets.to_vec()), plain()).await.unwrap_err();
    assert_eq!(ends(&failed.attempts), [AttemptEnd::ServerError; 3]);
    assert_eq!(error_of(&failed).retry_after(), Some(Duration::from_secs(3)));
    assert_eq!(down.requests().len(), 3);
}

#[tokio::test]
async fn the_total_time_ends_the_plan() {
    let (stall, good) =
        (Fake::start(vec![Act::Stall]).await, Fake::answering(200, &[], COMPLETION.as_bytes()).await);
    let targets =
        vec![target("a", stall.provider(Format::OpenAi)), target("b", good.provider(Format::OpenAi))];
    let timeouts = Timeouts { total: SHORT, ..Timeouts::default() };
    let conduct = Conduct { timeouts, ..Conduct::default() };
    let failed = run(&Plan::starting_now(targets, conduct, Arc::default()), plain()).await.unwrap_err();
    assert_eq!(*error_of(&failed), ProviderError::TotalTimeout);
    assert!(good.requests().is_empty());
}

#[tokio::test]
async fn what_one_format_cannot_say_goes_to_the_next_target() {
    let body = br#"{"model":"auto","n":2,"messages":[{"role":"user","content":"hi"}]}"#;
    let request = Arc::new(crate::wire::chat::ChatRequest::parse(body).unwrap());
    let (first, good) =
        (Fake::start(vec![Act::Stall]).await, Fake::answering(200, &[], COMPLETION.as_bytes()).await);
    let anthropic = target("a", first.provider(Format::Anthropic));
    let targets = vec![anthropic.clone(), target("b", good.provider(Format::OpenAi))];
    let done = run(&plan(targets), Arc::clone(&request)).await.unwrap();
    assert_eq!(done.served.id.as_str(), "b");
    let failed = run(&plan(vec![anthropic]), request).await.unwrap_err();
    assert!(matches!(error_of(&failed), ProviderError::Untranslatable(e) if e.param.as_deref() == Some("n")));
    assert!(first.requests().is_empty());
}

#[tokio::test]
async fn c1_dropping_the_dispatch_closes_the_call() {
    let mut stalled = Fake::start(vec![Act::Stall]).await;
    let targets = vec![target("a", stalled.provider(Format::OpenAi))];
    let running = Plan::starting_now(targets, Conduct::default(), Arc::default());
    let task = tokio::spawn(async move { run(&running, plain()).await.is_ok() });
    while stalled.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    task.abort();
    stalled.until_closed().await;
}

/// Asked again after a moment.
fn retrying(most: u32) -> Conduct {
    let wait = Duration::from_millis(5);
    Conduct { retry: RetrySettings { most, base: wait, max_wait: wait * 4 }, ..once() }
}

#[tokio::test]
async fn u6_after_all_have_failed_the_first_is_asked_again_as_often_as_allowed() {
    let (first, second) = (Fake::answering(503, &[], b"").await, Fake::answering(400, &[], b"{}").await);
    let (a, b) = (target("a", first.provider(Format::OpenAi)), target("b", first.provider(Format::OpenAi)));
    let failed = run(&Plan::starting_now(vec![a.clone(), b], retrying(2), Arc::default()), plain()).await;
    let arms: Vec<_> = failed.unwrap_err().attempts.into_iter().map(|a| a.arm.to_string()).collect();
    assert_eq!(arms, ["a", "b", "a", "a"]);
    let refusing = target("b", second.provider(Format::OpenAi));
    let failed = run(&Plan::starting_now(vec![a, refusing], retrying(2), Arc::default()), plain()).await;
    assert_eq!(ends(&failed.unwrap_err().attempts), [AttemptEnd::ServerError, AttemptEnd::BadRequest]);
}

#[tokio::test]
async fn u17_second_attempts_end_with_the_providers_budget() {
    let down = Fake::answering(503, &[], b"").await;
    let limits = UpstreamLimits { retry_budget: 0.0, ..UpstreamLimits::default() };
    let upstream = Arc::new(Upstream::new(down.provider(Format::OpenAi), limits, Conduct::default()));
    let target = Target { upstream: Arc::clone(&upstream), ..target("a", down.provider(Format::OpenAi)) };
    let mut calls = 0;
    for _ in 0..20 {
        // Each request with a health of its own: it is the budget that ends this, not the breaker.
        let plan = Plan::starting_now(vec![target.clone()], retrying(1), Arc::default());
        calls += run(&plan, plain()).await.unwrap_err().attempts.len();
    }
    assert_eq!(calls, 30, "20 requests and the 10 in reserve");
    assert_eq!(upstream.retries_refused(), 10);
}

#[tokio::test]
async fn u1_an_open_breaker_passes_the_arm_over() {
    let down = Fake::answering(503, &[], b"").await;
    let (one, health) = (target("a", down.provider(Format::OpenAi)), Arc::<Health>::default());
    let ask = || Plan::starting_now(vec![one.clone()], once(), Arc::clone(&health));
    for _ in 0..5 {
        assert_eq!(ends(&run(&ask(), plain()).await.unwrap_err().attempts), [AttemptEnd::ServerError]);
    }
    let failed = run(&ask(), plain()).await.unwrap_err();
    assert!(matches!(failed.cause, Cause::PassedOver(Refused { why: Hindrance::Down, .. })), "{failed:?}");
    assert_eq!((failed.attempts.len(), down.requests().len()), (0, 5));
    let (plan, _good) = first_then_good(&down).await;
    let plan = Plan { health: Arc::clone(&health), ..plan };
    assert_eq!(run(&plan, plain()).await.unwrap().attempts.len(), 1, "the next one is asked at once");
}

#[tokio::test]
async fn u11_answers_that_break_off_open_the_breaker_too() {
    let cut = Fake::streaming(&[ROLE_CHUNK, &text_chunk("half")]).await;
    let (one, health) = (target("a", cut.provider(Format::OpenAi)), Arc::<Health>::default());
    for _ in 0..5 {
        let plan = Plan::starting_now(vec![one.clone()], once(), Arc::clone(&health));
        text_of(run(&plan, streamed()).await.unwrap().reply).await.unwrap_err();
    }
    assert!(!health.snapshot().is_available(&one.arm.id));
}

#[tokio::test]
async fn o2_a_full_provider_is_passed_over_and_a_stream_holds_its_place_to_its_end() {
    let slow =
        Fake::start(vec![Act::Send(testing::events(&[ROLE_CHUNK, &text_chunk("x")])), Act::Stall]).await;
    let limits = UpstreamLimits { max_in_flight: 1, ..UpstreamLimits::default() };
    let upstream = Arc::new(Upstream::new(slow.provider(Format::OpenAi), limits, Conduct::default()));
    let full = Target { upstream: Arc::clone(&upstream), ..target("a", slow.provider(Format::OpenAi)) };
    let held = run(&plan(vec![full.clone()]), streamed()).await.unwrap();
    assert!(upstream.is_full());
    let failed = run(&plan(vec![full.clone()]), streamed()).await.unwrap_err();
    assert!(matches!(failed.cause, Cause::PassedOver(Refused { why: Hindrance::Busy, .. })), "{failed:?}");
    let good = Fake::streaming(&[ROLE_CHUNK, &text_chunk("good"), STOP_CHUNK, "[DONE]"]).await;
    let other = target("b", good.provider(Format::OpenAi));
    assert_eq!(run(&plan(vec![full, other]), streamed()).await.unwrap().served.id.as_str(), "b");
    drop(held);
    assert_eq!(upstream.in_flight(), 0);
}
