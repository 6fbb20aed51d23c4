//! The simple strategies through the whole service, and what happens when the learned one cannot answer.

use crate::support::{TestApp, header};

async fn served(app: &TestApp, requests: usize) -> Vec<String> {
    let mut arms = Vec::new();
    for i in 0..requests {
        let response = app.complete("auto", &format!("Request {i}")).await;
        assert_eq!(response.status(), 200);
        arms.push(header(&response, "x-pointsman-model").to_owned());
    }
    arms
}

fn routes(strategy: &str) -> String {
    format!("[routes.auto]\nmodels = [\"fake/good\", \"fake/cheap\"]\ndefault = \"fake/good\"\n{strategy}\n")
}

#[tokio::test]
async fn fixed_round_robin_cheapest_and_weighted_do_what_they_say() {
    let app = TestApp::with_routes(&routes("strategy = \"fixed\"")).await;
    assert_eq!(served(&app, 3).await, ["fake/good"; 3]);
    let app = TestApp::with_routes(&routes("strategy = \"round_robin\"")).await;
    let arms = served(&app, 4).await;
    assert_eq!((&arms[0], &arms[1]), (&arms[2], &arms[3]));
    assert_ne!(arms[0], arms[1]);
    let app = TestApp::with_routes(&routes("strategy = \"cheapest\"")).await;
    assert_eq!(served(&app, 3).await, ["fake/cheap"; 3]);
    let app = TestApp::with_routes(&routes(
        "strategy = \"weighted\"\nshares = { \"fake/good\" = 1.0, \"fake/cheap\" = 0.0001 }",
    ))
    .await;
    assert!(served(&app, 5).await.iter().filter(|a| *a == "fake/good").count() >= 4);
    let app = TestApp::with_routes(&routes("strategy = \"fastest\"")).await;
    served(&app, 2).await;
}

#[tokio::test]
async fn o3_when_the_encoder_cannot_answer_the_default_serves_and_says_so() {
    let hasty = TestApp::hasty().await;
    let response = hasty.complete("auto", "Too late").await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "x-pointsman-reason"), "default");
    assert_eq!(header(&response, "x-pointsman-model"), "fake/good");
    let id = header(&response, "x-pointsman-decision-id").to_owned();
    crate::chat::wait_for_completion(&hasty, &id).await;
    let view = crate::support::read(hasty.get(&format!("/v1/decisions/{id}")).await).await.1;
    assert!(view["decision"]["fault"].as_str().unwrap().contains("not embedded"), "{view}");
}
