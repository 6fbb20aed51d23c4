//! Names, labels and bounds of the metrics.

use super::*;
use crate::domain::AttemptEnd;

fn metrics() -> Metrics {
    Metrics::new(&[RouteName::from("auto")], &[ArmId::from("a/x")])
}

fn end(route: &str) -> RequestEnd<'_> {
    let decided = Some((Strategy::Learned, Reason::Greedy));
    RequestEnd { route: Some(route), decided, status: 200, took: Duration::from_millis(40) }
}

#[test]
fn names_and_labels_stay_as_they_are() {
    let m = metrics();
    let arm = ArmId::from("a/x");
    m.request(&end("auto"));
    m.attempt(&Attempt {
        arm: arm.clone(),
        end: AttemptEnd::Answered,
        status: Some(200),
        ms: 12.0,
        cost_usd: None,
    });
    m.first_token(&arm, 120.0);
    let usage = Usage { input_tokens: 10, output_tokens: 5, reasoning_tokens: 2, ..Usage::default() };
    m.usage(&arm, &usage, Some(0.25));
    m.embedded("minilm", EmbedReason::Chosen, Duration::from_millis(4));
    m.decided(Duration::from_micros(12));
    m.feedback(FeedbackResult::Stored);
    m.outclassed(&arm, true);
    m.store(3, 1, true);
    m.learner(Seq(8), Seq(10), 2);
    m.drift(Some(&arm), "quality", 0.5);
    m.drift_alarms(1);
    m.condition(&arm, 12.5);
    m.retry(&arm);
    m.breaker(&arm, 2);
    m.provider(&ProviderId::from("a"), 3, 4);
    m.shed(Shed::Key);
    m.config("older");
    m.config("c0ffee");
    m.reload(ReloadResult::Applied);
    let text = m.render();
    let shown = |l: &&str| !l.starts_with('#') && !l.contains("_bucket") || l.starts_with("# TYPE");
    let mut lines: Vec<_> = text.lines().filter(shown).collect();
    lines.sort_unstable();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    # TYPE pointsman_arm_outclassed gauge
    # TYPE pointsman_attempts counter
    # TYPE pointsman_breaker gauge
    # TYPE pointsman_config_info gauge
    # TYPE pointsman_config_reloads counter
    # TYPE pointsman_cost_usd counter
    # TYPE pointsman_decision_seconds histogram
    # TYPE pointsman_drift gauge
    # TYPE pointsman_drift_alarms counter
    # TYPE pointsman_embed_seconds histogram
    # TYPE pointsman_feedback counter
    # TYPE pointsman_first_token_seconds histogram
    # TYPE pointsman_learner_applied_seq gauge
    # TYPE pointsman_learner_condition gauge
    # TYPE pointsman_learner_lag_events gauge
    # TYPE pointsman_learner_set_aside_events counter
    # TYPE pointsman_prompts_read counter
    # TYPE pointsman_provider_in_flight gauge
    # TYPE pointsman_request_seconds histogram
    # TYPE pointsman_requests counter
    # TYPE pointsman_response_cache_bytes gauge
    # TYPE pointsman_response_cache_entries gauge
    # TYPE pointsman_retries counter
    # TYPE pointsman_retries_refused counter
    # TYPE pointsman_shed counter
    # TYPE pointsman_store_dropped_events counter
    # TYPE pointsman_store_healthy gauge
    # TYPE pointsman_store_queue gauge
    # TYPE pointsman_tasks gauge
    # TYPE pointsman_tokens counter
    pointsman_arm_outclassed{arm="a/x"} 1
    pointsman_attempts_total{arm="a/x",end="answered"} 1
    pointsman_breaker{arm="a/x"} 2
    pointsman_config_info{hash="c0ffee"} 1
    pointsman_config_reloads_total{result="applied"} 1
    pointsman_cost_usd_total{arm="a/x"} 0.25
    pointsman_decision_seconds_count 1
    pointsman_decision_seconds_sum 0.000012
    pointsman_drift_alarms_total 1
    pointsman_drift{arm="a/x",signal="quality"} 0.5
    pointsman_embed_seconds_count 1
    pointsman_embed_seconds_sum 0.004
    pointsman_feedback_total{result="stored"} 1
    pointsman_first_token_seconds_count{arm="a/x"} 1
    pointsman_first_token_seconds_sum{arm="a/x"} 0.12
    pointsman_learner_applied_seq 8
    pointsman_learner_condition{arm="a/x"} 12.5
    pointsman_learner_lag_events 2
    pointsman_learner_set_aside_events_total 2
    pointsman_prompts_read_total{embedder="minilm",reason="chosen"} 1
    pointsman_provider_in_flight{provider="a"} 3
    pointsman_request_seconds_count{route="auto"} 1
    pointsman_request_seconds_sum{route="auto"} 0.04
    pointsman_requests_total{route="auto",strategy="learned",reason="greedy",status="2xx"} 1
    pointsman_response_cache_bytes 0
    pointsman_response_cache_entries 0
    pointsman_retries_refused_total{provider="a"} 4
    pointsman_retries_total{arm="a/x"} 1
    pointsman_shed_total{why="key"} 1
    pointsman_store_dropped_events_total 1
    pointsman_store_healthy 1
    pointsman_store_queue 3
    pointsman_tasks 0
    pointsman_tokens_total{arm="a/x",kind="input"} 10
    pointsman_tokens_total{arm="a/x",kind="output"} 5
    pointsman_tokens_total{arm="a/x",kind="reasoning"} 2
    "#);
}

#[test]
fn names_that_clients_invent_share_one_label() {
    let m = metrics();
    let empty = m.render().lines().count();
    (0..1000).for_each(|i| m.request(&end(&format!("invented-{i}"))));
    (0..1000).for_each(|i| m.first_token(&ArmId::new(format!("b/{i}")), 1.0));
    let text = m.render();
    assert!(text.lines().count() < empty + 50, "{text}");
    assert!(text.contains("route=\"other\",strategy=\"learned\",reason=\"greedy\",status=\"2xx\"} 1000"));
}

#[test]
fn totals_never_go_back_and_bad_costs_are_left_out() {
    let m = metrics();
    m.store(0, 5, true);
    m.store(0, 3, true);
    m.usage(&ArmId::from("a/x"), &Usage::default(), Some(f64::NAN));
    let text = m.render();
    assert!(text.contains("pointsman_store_dropped_events_total 5"), "{text}");
    assert!(!text.contains("NaN"), "{text}");
}
