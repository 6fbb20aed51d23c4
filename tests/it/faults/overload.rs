//! Rows O1 and O2.

use super::*;
use crate::support::rogue::{ROLE, text_chunk};

#[tokio::test]
async fn o2_a_dead_provider_holds_no_more_than_its_share() {
    let rogue =
        Rogue::start(vec![Act::Send(crate::support::rogue::events(&[ROLE, &text_chunk("x")])), Act::Stall])
            .await;
    let app = built(&rogue.base, "max_in_flight = 2", |settings| {
        settings.providers.iter_mut().for_each(|p| p.conduct.timeouts.idle = Duration::from_secs(60));
    })
    .await;
    let (one, two) = (stream(&app, "rogue/a").await, stream(&app, "rogue/b").await);
    let refused = stream(&app, "rogue/a").await;
    assert!(!header(&refused, "retry-after").is_empty());
    assert_eq!(fault(refused).await, (503, "overloaded".into(), None));
    assert_eq!(rogue.asked(), 2);
    let text = app.get("/metrics").await.text().await.unwrap();
    assert!(text.contains("pointsman_provider_in_flight{provider=\"rogue\"} 2"), "{text}");
    let others = app.complete("auto", "Hello").await;
    assert_eq!(header(&others, "x-pointsman-model"), "fake/good", "others are unharmed");
    drop((one, two));
    rogue.until_left(2).await;
    rogue.plays(vec![crate::support::rogue::json(200, crate::support::rogue::COMPLETION)]);
    while app.complete("rogue/a", "Hello").await.status() != 200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn o1_over_the_bound_in_all_a_503_and_over_a_keys_bound_a_429() {
    let script = vec![Act::Send(crate::support::rogue::events(&[ROLE, &text_chunk("x")])), Act::Stall];
    let rogue = Rogue::start(script).await;
    let app = built(&rogue.base, "", |settings| {
        (settings.server.max_connections, settings.server.max_in_flight_per_key) = (3, 2);
        settings.providers.iter_mut().for_each(|p| p.conduct.timeouts.idle = Duration::from_secs(60));
    })
    .await;
    let mut keys = Vec::new();
    for name in ["one", "two"] {
        crate::auth::key(&app, name, &pointsman::store::Scope::ALL, None).await;
        keys.push(name);
    }
    let mut body = chat("rogue/a", "Stream, please.");
    body["stream"] = json!(true);
    let ask = |key: &str| app.post("/v1/chat/completions", &body).bearer_auth(key).send();
    let held = (ask(keys[0]).await.unwrap(), ask(keys[0]).await.unwrap());
    let over_key = ask(keys[0]).await.unwrap();
    assert!(!header(&over_key, "retry-after").is_empty() && !header(&over_key, "x-request-id").is_empty());
    assert_eq!(fault(over_key).await, (429, "overloaded".into(), None));
    let other = ask(keys[1]).await.unwrap();
    assert_eq!(other.status(), 200, "another key is unharmed");
    let over_all = ask(keys[1]).await.unwrap();
    assert!(!header(&over_all, "retry-after").is_empty());
    assert_eq!(fault(over_all).await, (503, "overloaded".into(), None));
    assert_eq!(app.get("/healthz").await.status(), 200, "operators can look");
    drop((held, other));
    rogue.until_left(3).await;
}

#[tokio::test]
async fn a_hedged_request_is_served_by_the_faster_and_both_are_logged() {
    let rogue = Rogue::start(vec![Act::Stall]).await;
    let app = built(&rogue.base, "", |settings| {
        for route in &mut settings.routes {
            route.conduct.hedge = Some(pointsman::dispatch::Hedge::After(T / 10));
            route.conduct.timeouts.first_byte = Duration::from_secs(60);
            route.conduct.timeouts.total = Duration::from_secs(60);
        }
    })
    .await;
    let response = app.complete("auto", "Hello").await;
    assert_eq!(header(&response, "x-pointsman-model"), "fake/good");
    assert_eq!(header(&response, "x-pointsman-attempts"), "2");
    rogue.until_left(1).await;
    let done = completed(&app, &response).await;
    let logged: Vec<_> = done.attempts.iter().map(|a| (a.arm.as_str(), a.end.as_str())).collect();
    assert_eq!(logged, [("rogue/a", "cancelled"), ("fake/good", "answered")]);
    assert!(done.given_up_usd() > 0.0 && done.cost_usd.is_some());
}
