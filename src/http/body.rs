//! Reading requests: who asks, and a JSON body, bounded before and while it is read.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use bytes::Bytes;

use super::error::HttpError;
use super::{Api, auth, headers};
use crate::service::Caller;

/// A request with a JSON body.
pub(super) struct Incoming {
    /// Who asks, and what its headers say.
    pub(super) caller: Caller,
    /// The body, not parsed yet.
    pub(super) bytes: Bytes,
}

impl FromRequest<Api> for Incoming {
    type Rejection = HttpError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, HttpError> {
        let key = request.extensions().get::<auth::Caller>().cloned().unwrap_or_default();
        let (parts, body) = request.into_parts();
        let bytes = read(&parts.headers, body, api).await?;
        Ok(Self { caller: headers::caller(&parts.headers, &key)?, bytes })
    }
}

async fn read(headers: &HeaderMap, body: Body, api: &Api) -> Result<Bytes, HttpError> {
    let limit = api.max_body_bytes;
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    let essence = content_type.split(';').next().unwrap_or("").trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(HttpError::unsupported_media_type(essence));
    }
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(HttpError::too_large(limit));
    }
    let reading = tokio::time::timeout(api.body_timeout, axum::body::to_bytes(body, limit));
    let read = reading.await.map_err(|_| HttpError::body_too_slow(api.body_timeout))?;
    read.map_err(|error| {
        tracing::debug!(%error, "a body was not read");
        if is_limit(&error) { HttpError::too_large(limit) } else { HttpError::body_cut() }
    })
}

/// Whether the limit was what ended a body, and not the client or its framing.
fn is_limit(error: &axum::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(inner) = cause {
        if inner.is::<hyper::Error>() {
            return false;
        }
        cause = inner.source();
    }
    true
}
