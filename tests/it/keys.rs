//! Client keys as operators handle them: over HTTP and from another process; which routes they may ask for, and how much.

use pointsman::domain::{RateLimits, RouteName, Seq};
use pointsman::store::{KeyTerms, Scope, Store, StoreOptions};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::auth::{key, key_on};
use crate::support::{TestApp, chat, fault, header, read};

const TWO_ROUTES: &str = "[routes.auto]\nmodels = [\"fake/good\", \"fake/cheap\"]\ndefault = \"fake/good\"\n\
     [routes.other]\nmodels = [\"fake/cheap\", \"fake/long\"]\ndefault = \"fake/cheap\"\nstrategy = \"fixed\"\n";

fn admin(app: &TestApp, method: Method, path: &str) -> RequestBuilder {
    let request = app.client.request(method, format!("{}{path}", app.base));
    request.bearer_auth("boss").header("content-type", "application/json")
}

async fn order(app: &TestApp, method: Method, path: &str, body: &Value) -> (u16, Value) {
    read(admin(app, method, path).body(body.to_string()).send().await.unwrap()).await
}

async fn ask(app: &TestApp, secret: &str, model: &str) -> Response {
    let body = chat(model, "Hello");
    app.post("/v1/chat/completions", &body).bearer_auth(secret).send().await.unwrap()
}

fn infer(change: impl FnOnce(&mut KeyTerms)) -> KeyTerms {
    let mut terms = KeyTerms { scopes: vec![Scope::Infer], ..KeyTerms::default() };
    change(&mut terms);
    terms
}

#[tokio::test]
async fn keys_are_made_changed_and_revoked_over_http_and_each_change_holds_at_once() {
    let app = TestApp::with_routes(TWO_ROUTES).await;
    key(&app, "boss", &[Scope::Admin], None).await;
    let wanted =
        json!({"name": "app", "routes": ["auto"], "expires_in_days": 3, "budget": {"usd_per_day": 1.0}});
    let (status, made) = order(&app, Method::POST, "/admin/keys", &wanted).await;
    assert_eq!(status, 201, "{made}");
    let (id, secret) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    assert!(secret.starts_with("pm-") && secret.len() == 67);
    assert_eq!(ask(&app, secret, "auto").await.status(), 200);
    assert_eq!(ask(&app, secret, "other").await.status(), 403);

    let (_, listed) = order(&app, Method::GET, "/admin/keys", &Value::Null).await;
    assert!(!listed.to_string().contains(&secret[3..]), "a key is shown once");
    let row = listed["keys"].as_array().unwrap().iter().find(|k| k["id"] == id).unwrap().clone();
    assert_eq!((&row["routes"], &row["budget"]), (&json!(["auto"]), &json!({"usd_per_day": 1.0})));

    let path = format!("/admin/keys/{id}");
    let (status, changed) = order(&app, Method::PATCH, &path, &json!({"routes": null, "rpm": 1})).await;
    assert_eq!((status, &changed["routes"], &changed["rpm"]), (200, &Value::Null, &json!(1)));
    assert_eq!((&changed["name"], &changed["expires"]), (&json!("app"), &row["expires"]), "as they were");
    assert_eq!(ask(&app, secret, "other").await.status(), 200);
    assert_eq!(ask(&app, secret, "other").await.status(), 429);
    order(&app, Method::PATCH, &path, &json!({"rpm": null, "scopes": ["feedback"]})).await;
    assert_eq!(fault(ask(&app, secret, "auto").await).await.1, "forbidden");
    let past = json!({"scopes": ["infer"], "expires": "2020-01-01T00:00:00Z"});
    order(&app, Method::PATCH, &path, &past).await;
    assert_eq!(ask(&app, secret, "auto").await.status(), 401, "it has ended");
    order(&app, Method::PATCH, &path, &json!({"expires": null})).await;
    assert_eq!(ask(&app, secret, "auto").await.status(), 200);
    assert_eq!(order(&app, Method::DELETE, &path, &Value::Null).await.0, 200);
    assert_eq!(ask(&app, secret, "auto").await.status(), 401);
    assert_eq!(order(&app, Method::DELETE, &path, &Value::Null).await.0, 404);
    assert_eq!(order(&app, Method::PATCH, &path, &json!({"rpm": 5})).await.0, 404, "for good");

    let (_, told) = order(&app, Method::GET, "/admin/audit?limit=2", &Value::Null).await;
    let rows = told["audit"].as_array().unwrap();
    let what: Vec<_> =
        rows.iter().map(|r| (r["who"].as_str().unwrap(), r["what"].as_str().unwrap())).collect();
    assert_eq!(what, [("key_boss", "key_revoked"), ("key_boss", "key_changed")]);
    assert!(!told.to_string().contains(&secret[3..]));
    let before = format!("/admin/audit?before={}", rows[1]["id"]);
    let (_, earlier) = order(&app, Method::GET, &before, &Value::Null).await;
    let earlier = earlier["audit"].as_array().unwrap();
    assert_eq!(earlier.last().unwrap()["subject"], "key_boss", "the first key of all");
}

#[tokio::test]
async fn a_wrong_order_names_its_field_and_changes_nothing() {
    let app = TestApp::start().await;
    key(&app, "boss", &[Scope::Admin], None).await;
    key(&app, "reader", &[Scope::Read], None).await;
    for (body, status, param) in [
        (json!({"routes": ["nowhere"]}), 422, Some("routes")),
        (json!({"rpm": 0}), 422, Some("rpm")),
        (json!({"scopes": []}), 422, Some("scopes")),
        (json!({"budget": {"usd_per_day": 0}}), 422, Some("budget")),
        (json!({"colour": "red"}), 400, None),
    ] {
        let answer = admin(&app, Method::POST, "/admin/keys").body(body.to_string()).send().await.unwrap();
        let (found, _, named) = fault(answer).await;
        assert_eq!((found, named.as_deref()), (status, param), "{body}");
    }
    let (_, listed) = order(&app, Method::GET, "/admin/keys", &Value::Null).await;
    assert_eq!(listed["keys"].as_array().unwrap().len(), 2);
    let other = app.client.get(format!("{}/admin/keys", app.base)).bearer_auth("reader").send();
    assert_eq!(other.await.unwrap().status(), 403);
}

#[tokio::test]
async fn what_another_process_changes_holds_without_a_restart() {
    let app = TestApp::with_routes(TWO_ROUTES).await;
    let id = key_on(&app, "alpha", infer(|_| {})).await;
    assert_eq!(ask(&app, "alpha", "other").await.status(), 200);
    app.learned().await;
    let cli = Store::open(StoreOptions::at(app.store_path())).unwrap();
    let mut committed = app.running.service().store.committed();
    let mut seen = async |after: Seq| {
        committed.wait_for(|seq| *seq > after).await.unwrap();
    };
    let end = *cli.committed().borrow();
    let only: std::sync::Arc<[RouteName]> = [RouteName::from("auto")].into();
    cli.change_key(id.clone(), move |terms| terms.routes = Some(only), "cli").await.unwrap().unwrap();
    seen(end).await;
    assert_eq!(fault(ask(&app, "alpha", "other").await).await.1, "route_not_allowed");
    let end = *cli.committed().borrow();
    assert!(cli.revoke_key(id, "cli").await.unwrap());
    seen(end).await;
    app.get("/healthz").await;
    cli.close();
    assert!(app.running.service().store.key_snapshot().is_empty());
}

#[tokio::test]
async fn a_key_asks_for_its_routes_and_their_models_and_sees_no_others() {
    let app = TestApp::with_routes(TWO_ROUTES).await;
    let only = |terms: &mut KeyTerms| terms.routes = Some([RouteName::from("other")].into());
    key_on(&app, "alpha", infer(only)).await;
    for (model, status) in [
        ("other", 200),
        ("other:cheap", 200),
        ("fake/long", 200),
        ("auto", 403),
        ("fake/good", 403),
        ("auto:best", 403),
    ] {
        let answer = ask(&app, "alpha", model).await;
        assert_eq!(answer.status(), status, "{model}");
        if status == 403 {
            assert_eq!(fault(answer).await, (403, "route_not_allowed".into(), Some("model".into())));
        }
    }
    let mut fallback = chat("other", "Hello");
    fallback["models"] = json!(["fake/good"]);
    let answer = app.post("/v1/chat/completions", &fallback).bearer_auth("alpha").send().await.unwrap();
    assert_eq!(fault(answer).await.2.as_deref(), Some("models"));
    let route = app.post("/v1/route", &chat("auto", "Hello")).bearer_auth("alpha").send().await.unwrap();
    assert_eq!(route.status(), 403);

    let see = async |path: &str| {
        let request = app.client.get(format!("{}{path}", app.base)).bearer_auth("alpha");
        read(request.send().await.unwrap()).await
    };
    let (_, list) = see("/v1/models").await;
    let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["other", "fake/cheap", "fake/long"]);

    let text = json!({"model": "pointsman/minilm", "input": "Hello"});
    let embed =
        async |secret: &str| app.post("/v1/embeddings", &text).bearer_auth(secret).send().await.unwrap();
    assert_eq!(fault(embed("alpha").await).await, (403, "route_not_allowed".into(), Some("model".into())));
    key_on(&app, "beta", infer(|terms| terms.routes = Some([RouteName::from("pointsman/minilm")].into())))
        .await;
    assert_eq!(embed("beta").await.status(), 200);
    assert_eq!(see("/v1/models/fake/long").await.0, 200);
    let (status, hidden) = see("/v1/models/auto").await;
    assert_eq!((status, &hidden["error"]["code"]), (404, &json!("model_not_found")));
    let (_, unknown) = read(ask(&app, "alpha", "nothing").await).await;
    let said = unknown["error"]["message"].as_str().unwrap();
    assert!(said.contains("other") && !said.contains("auto"), "{said}");
}

#[tokio::test]
async fn requests_per_minute_are_limited_and_every_answer_says_how_they_stand() {
    let app = TestApp::start().await;
    let limited = |terms: &mut KeyTerms| terms.rate = RateLimits { rpm: Some(2), tpm: None };
    key_on(&app, "alpha", infer(limited)).await;
    key_on(&app, "beta", infer(|_| {})).await;
    let first = ask(&app, "alpha", "fake/good").await;
    assert_eq!(first.status(), 200);
    assert_eq!(
        (header(&first, "x-ratelimit-limit-requests"), header(&first, "x-ratelimit-remaining-requests")),
        ("2", "1")
    );
    assert!(header(&first, "x-ratelimit-reset-requests").ends_with('s'));
    assert!(!first.headers().contains_key("x-ratelimit-limit-tokens"), "tokens are not limited");
    let mut stream = chat("fake/good", "Hello");
    stream["stream"] = json!(true);
    let second = app.post("/v1/chat/completions", &stream).bearer_auth("alpha").send().await.unwrap();
    assert_eq!((second.status().as_u16(), header(&second, "x-ratelimit-remaining-requests")), (200, "0"));

    let third = ask(&app, "alpha", "fake/good").await;
    let wait: u64 = header(&third, "retry-after").parse().unwrap();
    assert!((1..=30).contains(&wait), "a request comes back every 30 s: {wait}");
    assert_eq!(header(&third, "x-ratelimit-remaining-requests"), "0");
    assert_eq!(fault(third).await, (429, "rate_limit_exceeded".into(), None));
    let models = app.client.get(format!("{}/v1/models", app.base)).bearer_auth("alpha").send().await.unwrap();
    assert_eq!(models.status(), 200, "nothing is counted there");
    let other = ask(&app, "beta", "fake/good").await;
    assert!(other.status() == 200 && !other.headers().contains_key("x-ratelimit-limit-requests"));
    let messages =
        json!({"model": "fake/good", "max_tokens": 10, "messages": [{"role": "user", "content": "x"}]});
    let refused = app.post("/v1/messages", &messages).header("x-api-key", "alpha").send().await.unwrap();
    assert_eq!(refused.status(), 429);
    assert_eq!(read(refused).await.1["error"]["type"], "rate_limit_error", "in the format's own shape");
}

#[tokio::test]
async fn tokens_per_minute_are_taken_by_estimate_and_corrected_by_what_was_used() {
    let app = TestApp::start().await;
    let limited = |terms: &mut KeyTerms| terms.rate = RateLimits { rpm: None, tpm: Some(1000) };
    key_on(&app, "alpha", infer(limited)).await;
    let first = ask(&app, "alpha", "fake/good").await;
    assert_eq!(header(&first, "x-ratelimit-limit-tokens"), "1000");
    let remaining: u32 = header(&first, "x-ratelimit-remaining-tokens").parse().unwrap();
    assert!(remaining >= 850, "100 in and 50 out were used, a minute fills all: {remaining}");
    let failed = ask(&app, "alpha", "fake/broken").await;
    let after: u32 = header(&failed, "x-ratelimit-remaining-tokens").parse().unwrap();
    assert!(failed.status() == 502 && after >= remaining, "what failed used nothing: {after}");

    let mut long = chat("fake/long", "Hello");
    long["max_tokens"] = json!(4000);
    let served = app.post("/v1/chat/completions", &long).bearer_auth("alpha").send().await.unwrap();
    assert_eq!((served.status().as_u16(), header(&served, "x-ratelimit-remaining-tokens")), (200, "0"));
    let refused = ask(&app, "alpha", "fake/good").await;
    let wait: u64 = header(&refused, "retry-after").parse().unwrap();
    assert!(wait > 100, "more than 3,000 tokens are owed: {wait}");
    let (_, said) = read(refused).await;
    assert!(said["error"]["message"].as_str().unwrap().contains("1000 tokens per minute"), "{said}");
}

#[tokio::test]
async fn after_many_wrong_keys_an_address_may_not_try_at_the_admin_paths_for_a_while() {
    let app = TestApp::start().await;
    key(&app, "boss", &Scope::ALL, None).await;
    let stats = async |secret: &str| {
        app.client.get(format!("{}/admin/stats", app.base)).bearer_auth(secret).send().await.unwrap()
    };
    for n in 0..10 {
        assert_eq!(stats(&format!("guess-{n}")).await.status(), 401);
    }
    let shut = stats("boss").await;
    let wait: u64 = header(&shut, "retry-after").parse().unwrap();
    assert!((1..=6).contains(&wait));
    assert_eq!(fault(shut).await.1, "rate_limit_exceeded");
    assert_eq!(ask(&app, "boss", "fake/good").await.status(), 200, "clients are served");
}

#[tokio::test]
async fn requests_that_a_client_sends_again_are_counted_by_key() {
    let app = TestApp::start().await;
    key(&app, "boss", &Scope::ALL, None).await;
    for count in ["0", "1", "2"] {
        let request = app.post("/v1/chat/completions", &chat("fake/good", "Hello")).bearer_auth("boss");
        request.header("x-stainless-retry-count", count).send().await.unwrap();
    }
    let text = app.client.get(format!("{}/metrics", app.base)).bearer_auth("boss").send().await.unwrap();
    let text = text.text().await.unwrap();
    assert!(text.contains("pointsman_client_retries_total{key=\"key_boss\"} 2"), "{text}");
}
