//! `POST /admin/reload`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Json;

use super::super::Api;
use super::super::body::Incoming;
use super::super::error::HttpError;
use crate::service::{NotReloaded, Reloaded};

/// Reads the configuration file again and checks it as at the start. Without a fault it is in force for every request from now on, and
/// those in flight end as they began; with one, what was in force stays, and the answer names every fault.
#[utoipa::path(
    post, path = "/admin/reload", tag = "admin",
    request_body(content = crate::http::openapi::Empty),
    responses(
        (status = 200, description = "It is in force", body = crate::http::openapi::ReloadedView),
        (status = 422, description = "It is at fault, or was changed where that needs a restart: `error.metadata` has `file` and `faults`, each with `line`, `key`, `message`", body = crate::http::openapi::ErrorBody),
        (status = "default", description = "An error", body = crate::http::openapi::ErrorBody),
    )
)]
pub(in crate::http) async fn reload(
    State(api): State<Api>,
    incoming: Incoming,
) -> Result<Json<Reloaded>, HttpError> {
    super::read_no_words(&incoming)?;
    api.live.reload(super::who(&incoming)).await.map(Json).map_err(|refused| {
        let said = refused.to_string();
        match refused {
            NotReloaded::Faulty { file, faults } => HttpError::invalid_config(said, &file, faults),
            NotReloaded::NoFile => HttpError::invalid_request(StatusCode::CONFLICT, "no_config_file", said),
            NotReloaded::Stopping => HttpError::stopping(said),
        }
    })
}
