//! `GET /admin/judge`: who reports, how far each is believed and why, how each source compares with persons, and the judge's money.

use axum::extract::State;
use axum::response::{IntoResponse, Json, Response};

use super::super::Api;

/// The judge's counts and budget, every source's calibration against persons who rated the same answers, and how far each key is
/// believed.
#[utoipa::path(
    get, path = "/admin/judge", tag = "admin",
    responses(
        (status = 200, description = "Who reports", body = crate::http::openapi::ReportingView),
        (status = "default", description = "An error", body = crate::http::openapi::ErrorBody),
    )
)]
pub(in crate::http) async fn get(State(api): State<Api>) -> Response {
    Json(api.service().reporting()).into_response()
}
