//! For operators: is it alive, is it ready, what does it count.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use tokio::runtime::Handle;

use super::Api;
use crate::telemetry::METRICS_CONTENT_TYPE;

/// Alive: the process answers.
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// Ready: requests are served. An unwell learner does not change that.
pub(super) async fn ready(State(api): State<Api>) -> Response {
    (StatusCode::OK, Json(api.service().readiness())).into_response()
}

/// Prometheus' text format.
pub(super) async fn metrics(State(api): State<Api>) -> Response {
    let service = api.service();
    let now = service.readiness();
    service.metrics.store(now.queued, now.dropped, service.store.is_healthy());
    service.metrics.learner(now.learned, now.committed, now.set_aside);
    service.metrics.tasks(Handle::current().metrics().num_alive_tasks());
    service.show_drift();
    service.show_upstreams();
    ([(header::CONTENT_TYPE, METRICS_CONTENT_TYPE)], service.metrics.render()).into_response()
}
