//! `GET /admin/models`: every model, whether it serves, how it stands, what it costs and who says so.

use axum::extract::State;
use axum::response::{IntoResponse, Json, Response};
use serde_json::json;

use super::super::Api;

/// Every configured model, and those that were learned of and are configured no more.
#[utoipa::path(
    get, path = "/admin/models", tag = "admin",
    responses(
        (status = 200, description = "The models", body = crate::http::openapi::ModelReports),
        (status = "default", description = "An error", body = crate::http::openapi::ErrorBody),
    )
)]
pub(in crate::http) async fn get(State(api): State<Api>) -> Response {
    Json(json!({"models": api.service().models()})).into_response()
}
