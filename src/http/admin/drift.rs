//! `GET /admin/drift`: what is watched, how near each signal is to an alarm, and the last alarms.

use axum::extract::State;
use axum::response::{IntoResponse, Json, Response};

use super::super::Api;

/// The watches of every model and of the traffic, and the last hundred alarms with the levels before and after.
#[utoipa::path(
    get, path = "/admin/drift", tag = "admin",
    responses((status = 200, description = "`arms`, `traffic`, `raised`, `alarms`"))
)]
pub(in crate::http) async fn get(State(api): State<Api>) -> Response {
    Json(api.service().checkup()).into_response()
}
