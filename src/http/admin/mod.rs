//! What operators call: everything under `/admin`. The scope `admin` is needed (see `auth`); without any key, loopback is enough, as in
//! the rest of the API. Nothing here reads the disk while it answers.

pub(super) mod drift;
pub(super) mod judge;
pub(super) mod stats;

use axum::Router;
use axum::routing::get;

use super::Api;

/// All paths under `/admin`.
pub(super) fn router() -> Router<Api> {
    Router::new()
        .route("/admin/stats", get(stats::get))
        .route("/admin/drift", get(drift::get))
        .route("/admin/judge", get(judge::get))
}
