//! Requests in flight are bounded. What is over the bound is shed here, with a 429, and nowhere later.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use futures::StreamExt;
use tokio::sync::Semaphore;

use super::error::HttpError;

/// Operators must be able to look when clients cannot be served.
const NEVER_SHED: &[&str] = &["/healthz", "/readyz", "/metrics"];

pub(super) async fn layer(
    State(places): State<Arc<Semaphore>>,
    request: Request,
    next: Next,
) -> Result<Response, HttpError> {
    let path = request.uri().path();
    if NEVER_SHED.contains(&path) || path.starts_with("/admin/") {
        return Ok(next.run(request).await);
    }
    let place = places.try_acquire_owned().map_err(|_| HttpError::overloaded())?;
    let response = next.run(request).await;
    let streams = response.headers().get(header::CONTENT_TYPE).is_some_and(|t| t == "text/event-stream");
    if !streams {
        return Ok(response);
    }
    // A stream keeps its place until its last event, or until the client leaves.
    let (parts, body) = response.into_parts();
    let held = body.into_data_stream().inspect(move |_| {
        let _held = &place;
    });
    Ok(Response::from_parts(parts, Body::from_stream(held)))
}
