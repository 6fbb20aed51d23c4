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
