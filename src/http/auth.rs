//! Who may ask: one layer on the whole router, deny by default.
//!
//! Client keys are 256-bit random; the store holds their SHA-256 and nothing else, and the whole hash is the only look-up key.

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};

use super::error::HttpError;
use super::{Api, OpenWithoutKeys};
use crate::domain::KeyId;
use crate::service;
use crate::store::Scope;

/// Paths that anybody who reaches the listener may read.
const OPEN: &[&str] = &["/healthz", "/readyz", "/openapi.json"];

/// The key that a request came with; an extension of the request once the layer has let it in.
#[derive(Debug, Clone, Default)]
pub(super) struct Caller(pub(super) Option<KeyId>);

pub(super) async fn layer(
    State(api): State<Api>,
    mut request: Request,
    next: Next,
) -> Result<Response, HttpError> {
    let path = request.uri().path();
    let caller = if OPEN.contains(&path) { Caller(None) } else { admit(&api, path, request.headers())? };
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

fn admit(api: &Api, path: &str, headers: &HeaderMap) -> Result<Caller, HttpError> {
    let keys = api.service.store.key_snapshot();
    if keys.is_empty() && api.open_without_keys == OpenWithoutKeys::Yes {
        return Ok(Caller(None));
    }
    let secret = secret(headers).ok_or_else(HttpError::unauthorized)?;
    let hash: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
    let key = keys.find(&hash, service::now()).ok_or_else(HttpError::unauthorized)?;
    let scope = scope_of(path);
    if !key.may(scope) {
        return Err(HttpError::forbidden(scope.as_str()));
    }
    Ok(Caller(Some(key.id.clone())))
}

/// `Authorization: Bearer KEY` as OpenAI's SDKs send it, or `x-api-key: KEY` as Anthropic's do.
fn secret(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get("authorization").and_then(|v| v.to_str().ok()).and_then(|v| {
        let (scheme, key) = v.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    bearer.or_else(|| headers.get("x-api-key").and_then(|v| v.to_str().ok())).filter(|key| !key.is_empty())
}

fn scope_of(path: &str) -> Scope {
    match path {
        "/feedback" | "/v1/feedback" => Scope::Feedback,
        "/metrics" => Scope::Read,
        _ if path.starts_with("/v1/decisions/") => Scope::Read,
        _ if path == "/admin" || path.starts_with("/admin/") => Scope::Admin,
        _ => Scope::Infer,
    }
}
