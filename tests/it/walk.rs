//! Deny by default: every path that there is, read off the router's source and the OpenAPI document, with no key, wrong keys, and
//! keys of every scope but the right one.

use std::collections::BTreeSet;
use std::path::Path;

use pointsman::config::EmbedderKind;
use pointsman::store::Scope;

use crate::auth::key;
use crate::support::{LEARNED, TestApp, fault, read};

/// What anybody who reaches the listener may read.
const OPEN: [&str; 3] = ["/healthz", "/readyz", "/openapi.json"];

/// Paths as they are registered: what stands in `.route("...")` anywhere under `src/http`.
fn registered(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            registered(&path, found);
        } else {
            let text = std::fs::read_to_string(&path).unwrap();
            let routes = text.split(".route(").skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"'));
            found.extend(routes.filter_map(|rest| rest.split('"').next()).map(str::to_owned));
        }
    }
}

async fn paths(app: &TestApp) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    registered(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http"), &mut all);
    assert!(
        all.len() >= 20 && all.contains("/v1/chat/completions") && all.contains("/admin/stats"),
        "{all:?}"
    );
    let document = read(app.get("/openapi.json").await).await.1;
    all.extend(document["paths"].as_object().unwrap().keys().cloned());
    all.extend(
        ["/admin", "/admin/", "/nowhere", "/v1/nowhere", "/dashboard", "/", "//v1/models"].map(str::to_owned),
    );
    all.retain(|path| !OPEN.contains(&path.as_str()));
    all
}

fn filled_in(path: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect::<Vec<_>>().join("/")
}

fn needed(path: &str) -> Scope {
    match path {
        "/feedback" | "/v1/feedback" => Scope::Feedback,
        "/metrics" => Scope::Read,
        _ if path.starts_with("/v1/decisions/") => Scope::Read,
        _ if path == "/admin" || path.starts_with("/admin/") => Scope::Admin,
        _ => Scope::Infer,
    }
}

async fn app() -> TestApp {
    TestApp::built(LEARNED, |settings| settings.embedder.kind = EmbedderKind::Student).await
}

async fn ask(app: &TestApp, method: &str, path: &str, secret: Option<&str>) -> (u16, String) {
    let mut request = app.client.request(method.parse().unwrap(), format!("{}{}", app.base, filled_in(path)));
    if let Some(secret) = secret {
        request = request.bearer_auth(secret);
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.text().await.unwrap())
}

#[tokio::test]
async fn no_path_answers_without_the_right_key() {
    let app = app().await;
    for scope in Scope::ALL {
        key(&app, scope.as_str(), &[scope], None).await;
    }
    key(&app, "no-scope-at-all", &[], None).await;
    let (paths, methods) = (paths(&app).await, ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);
    for (path, method) in paths.iter().flat_map(|path| methods.map(|method| (path, method))) {
        assert_eq!(ask(&app, method, path, None).await.0, 401, "{method} {path}");
        for scope in Scope::ALL {
            let (status, said) = ask(&app, method, path, Some(scope.as_str())).await;
            let denied = matches!(status, 401 | 403);
            assert_eq!(
                denied,
                scope != needed(path),
                "{method} {path} with {}: {status} {said}",
                scope.as_str()
            );
        }
        assert_eq!(ask(&app, method, path, Some("no-scope-at-all")).await.0, 403, "{method} {path}");
    }
    let mut shut_out = 0;
    for (path, method) in paths.iter().flat_map(|path| methods.map(|method| (path, method))) {
        for secret in ["wrong", "infe", "inferr", "key_infer"] {
            let (status, said) = ask(&app, method, path, Some(secret)).await;
            // Of operators' paths wrong keys are bounded; the bound is no way in.
            let is_bounded = status == 429 && needed(path) == Scope::Admin;
            shut_out += usize::from(is_bounded);
            assert!(status == 401 || is_bounded, "{method} {path} with {secret}: {status} {said}");
        }
    }
    assert!(shut_out > 0);
    for path in OPEN {
        assert_eq!(ask(&app, "GET", path, None).await.0, 200, "{path}");
        assert_ne!(ask(&app, "POST", path, None).await.0, 200, "{path}");
    }
}

/// A fixed row of numbers.
struct Row(u64);

impl Row {
    fn next(&mut self) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % 1_000_003).unwrap()
    }
}

#[tokio::test]
async fn no_text_but_the_key_itself_is_a_key() {
    let app = app().await;
    let secret = format!("pm-{}", "0123456789abcdef".repeat(4));
    key(&app, &secret, &Scope::ALL, None).await;
    // Twins that share all but the end, or all but the begin.
    let mut hostile: Vec<String> = (1..secret.len()).map(|n| secret[..n].to_owned()).collect();
    hostile.extend((1..secret.len()).map(|n| secret[n..].to_owned()));
    hostile.extend((0..secret.len()).map(|n| format!("{}x{}", &secret[..n], &secret[n + 1..])));
    hostile.extend(
        [
            "' OR '1'='1",
            "'; DROP TABLE client_keys; --",
            "\" OR 1=1 --",
            "%",
            "_",
            "*",
            "%00",
            "null",
            "undefined",
            "Bearer",
            "../../etc/passwd",
            "{{7*7}}",
            "${jndi:ldap://x}",
            "\u{fffd}",
            "pm-",
            "key_pm",
        ]
        .map(str::to_owned),
    );
    hostile.extend([
        format!("{secret} {secret}"),
        format!("{secret}%"),
        secret.to_uppercase(),
        format!("x {secret}"),
    ]);
    let (mut row, letters) =
        (Row(88_172_645_463_325_252), b" !\"#$%&'()*+,-./0123456789:;<=>?@AZ[]^_`az{|}~\x80\xff");
    for _ in 0..200 {
        let bytes: Vec<u8> = (0..1 + row.next() % 90).map(|_| letters[row.next() % letters.len()]).collect();
        hostile.push(bytes.iter().map(|b| char::from(*b)).collect());
    }
    for text in hostile {
        let Ok(bearer) = reqwest::header::HeaderValue::from_bytes(format!("Bearer {text}").as_bytes()) else {
            continue;
        };
        let request = app.client.get(format!("{}/v1/models", app.base)).header("authorization", bearer);
        assert_eq!(request.send().await.unwrap().status(), 401, "{text:?}");
        let Ok(bare) = reqwest::header::HeaderValue::from_bytes(text.as_bytes()) else { continue };
        let request = app.client.get(format!("{}/v1/models", app.base)).header("x-api-key", bare);
        let response = request.send().await.unwrap();
        assert_eq!(fault(response).await, (401, "unauthorized".into(), None), "{text:?}");
    }
    let good = app.client.get(format!("{}/v1/models", app.base)).bearer_auth(&secret).send().await.unwrap();
    assert_eq!(good.status(), 200);
}
