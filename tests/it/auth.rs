//! Client keys: who is let in, to what, and how soon a change counts.

use pointsman::domain::{KeyId, UnixMs};
use pointsman::store::{KeyTerms, NewKey, Scope};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::support::{TestApp, chat, fault, header, read};

pub async fn key(app: &TestApp, secret: &str, scopes: &[Scope], expires: Option<UnixMs>) -> KeyId {
    let terms = KeyTerms { scopes: scopes.to_vec(), expires, ..KeyTerms::default() };
    key_on(app, secret, terms).await
}

/// A key of these terms whose text is `secret`.
pub async fn key_on(app: &TestApp, secret: &str, terms: KeyTerms) -> KeyId {
    let id = KeyId::from(format!("key_{secret}").as_str());
    let hash = Sha256::digest(secret.as_bytes()).into();
    let new = NewKey { id: id.clone(), hash, terms: KeyTerms { name: secret.into(), ..terms } };
    app.running.service().store.create_key(new, "test").await.unwrap();
    id
}

#[tokio::test]
async fn without_a_key_every_path_but_the_open_ones_is_closed() {
    let app = TestApp::start().await;
    key(&app, "alpha", &Scope::ALL, None).await;
    let document = read(app.get("/openapi.json").await).await.1;
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() >= 7);
    for path in paths.keys().map(String::as_str).chain(["/metrics", "/v1/feedback", "/nowhere"]) {
        for method in ["GET", "POST", "DELETE"] {
            let url = format!("{}{}", app.base, path.replace("{id}", "x"));
            let response = app.client.request(method.parse().unwrap(), url).send().await.unwrap();
            assert_eq!(response.status(), 401, "{method} {path}");
        }
    }
    for open in ["/healthz", "/readyz", "/openapi.json"] {
        assert_eq!(app.get(open).await.status(), 200, "{open}");
    }
}

#[tokio::test]
async fn a_key_is_taken_as_bearer_or_x_api_key_and_a_wrong_one_is_not() {
    let app = TestApp::start().await;
    key(&app, "alpha", &Scope::ALL, None).await;
    let ask = || app.post("/v1/chat/completions", &chat("fake/good", "Hello"));
    assert_eq!(ask().header("authorization", "Bearer alpha").send().await.unwrap().status(), 200);
    assert_eq!(ask().header("x-api-key", "alpha").send().await.unwrap().status(), 200);
    for wrong in ["alph", "alphaa", "ALPHA", "' OR 1=1 --", ""] {
        let response = ask().header("authorization", format!("Bearer {wrong}")).send().await.unwrap();
        assert_eq!(fault(response).await, (401, "unauthorized".into(), None), "{wrong:?}");
    }
}

#[tokio::test]
async fn scopes_expiry_and_revocation_hold() {
    let app = TestApp::start().await;
    let feedback_only = key(&app, "beta", &[Scope::Feedback], None).await;
    key(&app, "old", &Scope::ALL, Some(UnixMs(1))).await;
    let ask = |secret: &'static str| {
        app.post("/v1/chat/completions", &chat("fake/good", "Hello")).bearer_auth(secret).send()
    };
    assert_eq!(fault(ask("beta").await.unwrap()).await.0, 403);
    assert_eq!(ask("old").await.unwrap().status(), 401);
    assert!(app.running.service().store.revoke_key(feedback_only, "test").await.unwrap());
    assert_eq!(ask("beta").await.unwrap().status(), 401);
}

#[tokio::test]
async fn f4_another_keys_decision_looks_like_none() {
    let app = TestApp::start().await;
    key(&app, "alpha", &Scope::ALL, None).await;
    key(&app, "beta", &Scope::ALL, None).await;
    let body = chat("fake/good", "Hello");
    let response = app.post("/v1/chat/completions", &body).bearer_auth("alpha").send().await.unwrap();
    let id = header(&response, "x-pointsman-decision-id").to_owned();
    let report = json!({"decision_id": id, "value": 1});
    let as_key = |secret: &'static str| app.post("/feedback", &report).bearer_auth(secret).send();
    assert_eq!(fault(as_key("beta").await.unwrap()).await.1, "unknown_decision");
    assert_eq!(as_key("alpha").await.unwrap().status(), 200);
    let look = |secret: &'static str| {
        app.client.get(format!("{}/v1/decisions/{id}", app.base)).bearer_auth(secret).send()
    };
    assert_eq!(look("beta").await.unwrap().status(), 404);
    assert_eq!(look("alpha").await.unwrap().status(), 200);
}
