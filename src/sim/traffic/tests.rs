//! The traffic against a stand-in router and the real upstream.

use std::collections::HashMap;
use std::sync::Arc;

use super::*;
use crate::sim::relay::Relay;
use crate::sim::upstream::{Served, Upstream, UpstreamSettings};

fn plan(router: &Relay, rating_delay: usize) -> TrafficPlan {
    TrafficPlan {
        router: router.base_url.clone(),
        route: "auto".into(),
        clients: 4,
        streaming: 0.2,
        rated: 0.3,
        rating_delay,
        rating_source: "user",
        seed: 5,
    }
}

async fn world(n: usize) -> (Arc<Playbook>, Upstream, Relay) {
    let book = Arc::new(Playbook::simulated(n, 2));
    let settings = UpstreamSettings { time_scale: 1e6, ..UpstreamSettings::default() };
    let upstream = Upstream::start(Arc::clone(&book), settings).await.unwrap();
    let relay = Relay::start(Arc::clone(&book), upstream.base_url()).await;
    (book, upstream, relay)
}

#[tokio::test]
async fn every_prompt_is_asked_once_and_each_record_agrees_with_the_upstreams_ledger() {
    let (book, upstream, relay) = world(300).await;
    let mut records = Vec::new();
    let report = drive(&book, &plan(&relay, 20), |r| records.push(r)).await.unwrap();
    assert_eq!((report.answered, report.failed), (300, 0), "{:?}", report.first_failure);
    let mut plays: Vec<usize> = records.iter().map(|r| r.play).collect();
    plays.sort_unstable();
    assert!(plays.into_iter().eq(0..300));
    for record in &records {
        let expected = Served { play: Some(record.play), model: record.served };
        assert_eq!(upstream.served(&record.completion), Some(expected));
        let truth = book.plays[record.play].truths[record.served];
        let cost = f64::from(truth.output_tokens) * book.models[record.served].price.output / 1e6;
        assert!((record.cost_usd.unwrap() - cost).abs() < 1e-12, "streamed: {}", record.streamed);
    }
    assert!((30..=90).contains(&report.streamed), "{}", report.streamed);
    upstream.stop().await;
}

#[tokio::test]
async fn a_third_is_rated_late_with_the_truth_about_the_model_that_served() {
    let (book, upstream, relay) = world(300).await;
    let mut by_decision = HashMap::new();
    let report = drive(&book, &plan(&relay, 40), |r| {
        by_decision.insert(r.decision.clone(), (by_decision.len(), r));
    })
    .await
    .unwrap();
    upstream.stop().await;
    let seen = relay.seen.lock().unwrap();
    assert_eq!((report.rated, report.refused), (seen.feedback.len(), 0));
    assert!((60..=120).contains(&seen.feedback.len()), "{}", seen.feedback.len());
    let mut waits = Vec::new();
    for (body, answered) in seen.feedback.iter().zip(&seen.answered_before) {
        let (position, record) = &by_decision[body["decision_id"].as_str().unwrap()];
        assert_eq!(body["value"].as_f64(), Some(book.plays[record.play].truths[record.served].quality));
        assert_eq!(body["source"], "user");
        waits.push(answered.saturating_sub(*position));
    }
    assert!(waits.iter().filter(|w| **w > 10).count() > waits.len() / 3, "{waits:?}");
}

#[tokio::test]
async fn a_dead_router_is_reported_and_not_an_endless_wait() {
    let (book, upstream, mut relay) = world(5).await;
    relay.base_url = "http://127.0.0.1:1".into();
    let report = drive(&book, &plan(&relay, 0), |_| {}).await.unwrap();
    assert_eq!((report.answered, report.failed, report.rated), (0, 5, 0));
    assert!(report.first_failure.unwrap().contains("/v1/chat/completions"));
    upstream.stop().await;
}
