//! Who may ask: deny by default.
//!
//! Client keys are 256-bit random; the store holds their SHA-256 and nothing else, and the whole hash is the only look-up key.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::HeaderMap;
use sha2::{Digest, Sha256};

use super::error::HttpError;
use super::guesses::Peer;
use super::{AdminTo, Api, OpenWithoutKeys};
use crate::domain::KeyId;
use crate::service::{self, Meter};
use crate::store::{KeyRow, Scope};

/// Paths that anybody who reaches the listener may read.
const OPEN: &[&str] = &["/healthz", "/readyz", "/openapi.json"];

/// The key that a request came with; an extension of the request once it has been let in.
#[derive(Debug, Clone, Default)]
pub(super) struct Caller {
    /// `None`: there are no keys, or the path is open.
    pub(super) key: Option<Arc<KeyRow>>,
    /// Counts what the key uses; `None`: it has no limits, or nothing is counted on this path.
    pub(super) meter: Option<Arc<Meter>>,
}

impl Caller {
    /// The key's id.
    pub(super) fn id(&self) -> Option<&KeyId> {
        self.key.as_ref().map(|key| &key.id)
    }

    /// Who orders something, for the audit table.
    pub(super) fn name(&self) -> &str {
        self.id().map_or("loopback", |id| id.as_str())
    }
}

/// Who asks, when they may.
pub(super) fn admit(api: &Api, request: &Request) -> Result<Caller, HttpError> {
    let path = request.uri().path();
    if is_admin(path) && api.admin == AdminTo::Nobody {
        return Err(HttpError::no_path(path));
    }
    if OPEN.contains(&path) { Ok(Caller::default()) } else { guarded(api, path, request) }
}

/// On the paths of operators, wrong keys are counted by where they come from.
fn guarded(api: &Api, path: &str, request: &Request) -> Result<Caller, HttpError> {
    let scope = scope_of(path);
    let peer = request.extensions().get::<Peer>().filter(|_| scope == Scope::Admin).copied();
    if let Some(wait_ms) = peer.and_then(|peer| api.guesses.shut_out(peer)) {
        return Err(HttpError::too_many_wrong_keys(wait_ms));
    }
    let admitted = known(api, scope, request.headers());
    if let (Err(Refused::Unknown), Some(peer)) = (&admitted, peer) {
        api.guesses.wrong(peer);
    }
    admitted.map_err(|refused| match refused {
        Refused::NoKey | Refused::Unknown => HttpError::unauthorized(),
        Refused::Scope => HttpError::forbidden(scope.as_str()),
    })
}

enum Refused {
    NoKey,
    Unknown,
    Scope,
}

fn known(api: &Api, scope: Scope, headers: &HeaderMap) -> Result<Caller, Refused> {
    let keys = api.service().store.key_snapshot();
    if keys.is_empty() && api.open_without_keys == OpenWithoutKeys::Yes {
        return Ok(Caller::default());
    }
    let secret = secret(headers).ok_or(Refused::NoKey)?;
    let hash: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
    let key = keys.find(&hash, service::now()).ok_or(Refused::Unknown)?;
    if !key.may(scope) {
        return Err(Refused::Scope);
    }
    Ok(Caller { key: Some(Arc::clone(key)), meter: None })
}

/// `Authorization: Bearer KEY` as OpenAI's SDKs send it, or `x-api-key: KEY` as Anthropic's do.
pub(super) fn secret(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get("authorization").and_then(|v| v.to_str().ok()).and_then(|v| {
        let (scheme, key) = v.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    bearer.or_else(|| headers.get("x-api-key").and_then(|v| v.to_str().ok())).filter(|key| !key.is_empty())
}

fn is_admin(path: &str) -> bool {
    path == "/admin" || path.starts_with("/admin/")
}

fn scope_of(path: &str) -> Scope {
    match path {
        "/feedback" | "/v1/feedback" => Scope::Feedback,
        "/metrics" => Scope::Read,
        _ if path.starts_with("/v1/decisions/") => Scope::Read,
        _ if is_admin(path) => Scope::Admin,
        _ => Scope::Infer,
    }
}
