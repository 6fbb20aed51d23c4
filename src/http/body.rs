//! Reading request bodies: JSON only, bounded before and while it is read.

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::Bytes;

use super::error::HttpError;

/// Reads a JSON body of at most `limit` bytes.
///
/// # Errors
/// When the content type is another, the body is longer, or the client breaks off.
pub(super) async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, HttpError> {
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
    axum::body::to_bytes(body, limit).await.map_err(|error| {
        // The one error of ours in there is the limit; whatever else it is, the client has gone.
        tracing::debug!(%error, "a body was not read");
        HttpError::too_large(limit)
    })
}
